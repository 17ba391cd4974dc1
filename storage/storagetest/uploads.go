package storagetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

func create(t *testing.T, b storage.Blobs, content string) storage.Upload {
	t.Helper()
	u, err := b.Create(background)
	if err != nil {
		t.Fatal(err)
	}
	write(t, u, content)
	return u
}

func write(t *testing.T, u storage.Upload, content string) {
	t.Helper()
	if n, err := io.WriteString(u, content); n != len(content) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(content), err)
	}
}

func uploadIDs(t *testing.T, b storage.Blobs) string {
	t.Helper()
	var ids []string
	for info, err := range b.Uploads(background) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, fmt.Sprintf("%s:%d", info.ID, info.Size))
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func (e blobsSuite) testResume(t *testing.T) {
	dir := t.TempDir()
	u := create(t, e.at(t, dir), "hello, ")
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	b := e.at(t, dir) // a later process
	if left := leftovers(t, b); len(left) > 0 {
		t.Errorf("leftovers: %v", left)
	}
	if got := uploadIDs(t, b); got != u.ID()+":7" {
		t.Errorf("uploads: %s", got)
	}
	u, err := b.Resume(background, u.ID())
	if err != nil {
		t.Fatal(err)
	}
	if u.Size() != 7 {
		t.Errorf("resumed at %d", u.Size())
	}
	write(t, u, "world")
	wantKnown(t, u, "hello, world")
	wantBlob(t, b, seal(t, u, "abc"), "hello, world")
	if _, err := b.Resume(background, u.ID()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("resume what was sealed: %v", err)
	}
}

func (e blobsSuite) testBusy(t *testing.T) {
	b := e.at(t, t.TempDir())
	u := create(t, b, "123")
	if _, err := b.Resume(background, u.ID()); !errors.Is(err, storage.ErrBusy) {
		t.Errorf("a second writer: %v", err)
	}
	if info, err := b.Stat(background, u.ID()); err != nil || info.Size != 3 || info.ID != u.ID() || info.Modified.IsZero() {
		t.Errorf("stat while it is open: %+v, %v", info, err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	u, err := b.Resume(background, u.ID())
	if err != nil {
		t.Fatalf("after the first writer left: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Error(err)
	}
}

func (e blobsSuite) testCancel(t *testing.T) {
	b := e.at(t, t.TempDir())
	u := create(t, b, "123")
	if err := errors.Join(u.Cancel(), u.Cancel(), u.Close()); err != nil {
		t.Error(err)
	}
	if _, err := b.Stat(background, u.ID()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("stat: %v", err)
	}
	if _, err := b.Resume(background, u.ID()); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("resume: %v", err)
	}
}

func (e blobsSuite) testNames(t *testing.T) {
	b := e.at(t, t.TempDir())
	fine := create(t, b, "x")
	at := seal(t, fine, "fine")
	run, n, _ := strings.Cut(fine.ID(), ".")
	for _, bad := range []string{
		"", ".", "..", "../x", "a/b", "a\x00", "A", "a b", "ä", strings.Repeat("a", 300),
		run, run + ".", "." + n, "+" + run + "." + n, run + ".0" + n, run + "/." + n, run + "../" + n, strings.ToUpper(run) + ".Z",
	} {
		if _, err := b.Stat(background, bad); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("stat of upload %q: %v", bad, err)
		}
		if _, err := b.Resume(background, bad); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("resume of upload %q: %v", bad, err)
		}
		for _, at := range []string{bad, "abc." + bad, bad + ".abc-1", bad + "." + run + "/" + n} {
			wantNoBlob(t, b, storage.Location(at))
		}
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "a\x00", "A", "a b", "ä", strings.Repeat("a", 300)} {
		u := create(t, b, "x")
		if _, err := u.Seal(background, bad); err == nil {
			t.Errorf("sealed under label %q", bad)
		}
		if got := uploadIDs(t, b); got != "" {
			t.Errorf("label %q left upload %s", bad, got)
		}
	}
	wantBlob(t, b, at, "x")
}
