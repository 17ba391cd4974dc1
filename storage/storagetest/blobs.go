package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// Blobs runs the suite on an engine. open opens the blobs kept in dir, and makes them where there are none.
func Blobs(t *testing.T, open func(dir string) (storage.Blobs, error)) {
	e := blobsSuite{open}
	t.Run("Seal", e.testSeal)
	t.Run("Resume", e.testResume)
	t.Run("Busy", e.testBusy)
	t.Run("Cancel", e.testCancel)
	t.Run("Names", e.testNames)
	t.Run("SameLabel", e.testSameLabel)
	t.Run("Leftovers", e.testLeftovers)
	t.Run("Remove", e.testRemove)
	t.Run("OpenWhileRemoved", e.testOpenWhileRemoved)
	t.Run("Free", e.testFree)
	t.Run("FullDisk", e.testFullDisk)
}

type blobsSuite struct {
	open func(dir string) (storage.Blobs, error)
}

func (e blobsSuite) at(t *testing.T, dir string) storage.Blobs {
	t.Helper()
	b, err := e.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

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

func seal(t *testing.T, u storage.Upload, label string) storage.Location {
	t.Helper()
	at, err := u.Seal(background, label)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func wantBlob(t *testing.T, b storage.Blobs, at storage.Location, want string) {
	t.Helper()
	f, err := b.Open(background, at)
	if err != nil {
		t.Errorf("open %q: %v", at, err)
		return
	}
	defer f.Close() //nolint:errcheck // it was only read
	got, err := io.ReadAll(f)
	if err != nil || string(got) != want || f.Size() != int64(len(want)) {
		t.Errorf("blob %q holds %q (size %d), %v; want %q", at, got, f.Size(), err, want)
	}
	if length, err := b.Length(background, at); err != nil || length != f.Size() {
		t.Errorf("blob %q has the length %d, %v; want %d", at, length, err, f.Size())
	}
}

func wantNoBlob(t *testing.T, b storage.Blobs, at storage.Location) {
	t.Helper()
	if _, err := b.Open(background, at); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("open of location %q: %v, want ErrNotFound", at, err)
	}
	if _, err := b.Length(background, at); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("length of location %q: %v, want ErrNotFound", at, err)
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

func (e blobsSuite) testSeal(t *testing.T) {
	dir := t.TempDir()
	b := e.at(t, dir)
	u := create(t, b, "hello, ")
	write(t, u, "world")
	if u.Size() != 12 {
		t.Errorf("size %d", u.Size())
	}
	back := make([]byte, 5)
	if _, err := u.ReadAt(back, 7); err != nil || string(back) != "world" {
		t.Errorf("read back %q, %v", back, err)
	}
	at := seal(t, u, "sha256-abc")
	wantBlob(t, b, at, "hello, world")
	if err := errors.Join(u.Close(), u.Cancel()); err != nil {
		t.Errorf("Close and Cancel after Seal: %v", err)
	}
	if got := uploadIDs(t, b); got != "" {
		t.Errorf("uploads left: %s", got)
	}
	wantBlob(t, e.at(t, dir), at, "hello, world")
	wantBlob(t, b, seal(t, create(t, b, ""), "empty"), "")
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

// testSameLabel seals the same label from many goroutines, as parallel pushes of one blob do.
func (e blobsSuite) testSameLabel(t *testing.T) {
	b := e.at(t, t.TempDir())
	var mu sync.Mutex
	seen := map[storage.Location]int{}
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			at := seal(t, create(t, b, fmt.Sprint(i)), "same")
			mu.Lock()
			defer mu.Unlock()
			if _, taken := seen[at]; taken {
				t.Errorf("location %q was given twice", at)
			}
			seen[at] = i
		})
	}
	group.Wait()
	for at, i := range seen {
		wantBlob(t, b, at, fmt.Sprint(i))
	}
}

// leftovers returns what is left of earlier processes, but for what they prepared and did not use.
func leftovers(t *testing.T, b storage.Blobs, named ...storage.Location) (left []storage.Leftover) {
	t.Helper()
	for l, err := range b.Leftovers(background, all(named)) {
		if err != nil {
			t.Fatal(err)
		}
		if !l.Unused {
			left = append(left, l)
		}
	}
	return left
}

func all(named []storage.Location) iter.Seq2[storage.Location, error] {
	return func(yield func(storage.Location, error) bool) {
		for _, at := range named {
			if !yield(at, nil) {
				return
			}
		}
	}
}

func (e blobsSuite) testLeftovers(t *testing.T) {
	dir := t.TempDir()
	earlier := e.at(t, dir)
	var named []storage.Location
	for i := range 200 {
		named = append(named, seal(t, create(t, earlier, fmt.Sprint(i)), "named"))
	}
	removed := seal(t, create(t, earlier, "removed"), "old-one")
	left := seal(t, create(t, earlier, "left"), "old-one")
	started := create(t, earlier, "")
	half := create(t, earlier, "half")
	if err := earlier.Remove(background, removed); err != nil {
		t.Fatal(err)
	}
	if got := leftovers(t, earlier); len(got) > 0 {
		t.Errorf("to the process itself they are %v", got)
	}

	b := e.at(t, dir)
	fresh := seal(t, create(t, b, "fresh"), "new-one")
	own := create(t, b, "123")
	for round := range 2 {
		got := leftovers(t, b, named...)
		if len(got) != 1 || got[0].Size != 4 {
			t.Errorf("leftovers: %v", got)
			continue
		}
		wantBlob(t, b, got[0].At, "left")
		want := []string{started.ID() + ":0", half.ID() + ":4", own.ID() + ":3"}
		slices.Sort(want)
		if ids := uploadIDs(t, b); ids != strings.Join(want, " ") {
			t.Errorf("round %d: uploads %s, want %s", round, ids, want)
		}
	}
	u, err := b.Resume(background, half.ID())
	if err != nil {
		t.Fatal(err)
	}
	write(t, u, " and half")
	resumed := seal(t, u, "whole") // and its row is about to be written
	for l, err := range b.Leftovers(background, all(named)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Remove(background, l.At); err != nil {
			t.Error(err)
		}
	}
	wantNoBlob(t, b, left)
	for l, err := range b.Leftovers(background, all(named)) {
		t.Errorf("left after all was removed: %v, %v", l, err)
	}
	wantBlob(t, b, resumed, "half and half")
	for i, at := range named {
		wantBlob(t, b, at, fmt.Sprint(i))
	}
	wantBlob(t, b, fresh, "fresh")

	ctx, cancel := context.WithCancel(background)
	cancel()
	for _, err := range b.Leftovers(ctx, all(named)) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled, but: %v", err)
		}
	}
	failed := errors.New("the rows cannot be read")
	for l, err := range b.Leftovers(background, func(yield func(storage.Location, error) bool) { yield("", failed) }) {
		if !errors.Is(err, failed) {
			t.Errorf("%v is a leftover, and not %v, although not all rows were read", l, err)
		}
	}
}

func (e blobsSuite) testRemove(t *testing.T) {
	b := e.at(t, t.TempDir())
	at := seal(t, create(t, b, "1"), "same")
	for range 2 {
		if err := b.Remove(background, at); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	wantNoBlob(t, b, at)
	if again := seal(t, create(t, b, "2"), "same"); again == at {
		t.Errorf("location %q was used again", at)
	}
}

func (e blobsSuite) testOpenWhileRemoved(t *testing.T) {
	b := e.at(t, t.TempDir())
	at := seal(t, create(t, b, "still here"), "abc")
	f, err := b.Open(background, at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	if err := b.Remove(background, at); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); err != nil || string(got) != "still here" {
		t.Errorf("a reader of a removed blob got %q, %v", got, err)
	}
}

func (e blobsSuite) testFree(t *testing.T) {
	b := e.at(t, t.TempDir())
	free, size, err := b.Free()
	if err != nil || free == 0 || size < free {
		t.Errorf("free %d of %d, %v", free, size, err)
	}
}

func (e blobsSuite) testFullDisk(t *testing.T) {
	b := e.at(t, SmallDisk(t, 1<<20))
	kept := seal(t, create(t, b, "kept"), "kept")
	u := create(t, b, "")
	n, err := io.Copy(struct{ io.Writer }{u}, bytes.NewReader(make([]byte, 4<<20)))
	if !errors.Is(err, storage.ErrFull) {
		t.Errorf("wrote %d bytes to a disk of 1 MiB: %v", n, err)
	}
	if u.Size() == 0 || u.Size() > 1<<20 {
		t.Errorf("the upload says it holds %d bytes", u.Size())
	}
	if err := u.Cancel(); err != nil {
		t.Error(err)
	}
	wantBlob(t, b, kept, "kept")
	wantBlob(t, b, seal(t, create(t, b, "after"), "after"), "after")
}
