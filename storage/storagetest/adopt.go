package storagetest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// Adopter runs the suite of storage.Adopter on an engine: where it cannot adopt, and on a disk where it can.
func Adopter(t *testing.T, open func(dir string) (storage.Blobs, error)) {
	e := blobsSuite{open}
	t.Run("Elsewhere", func(t *testing.T) { e.testAdoptElsewhere(t, SmallDisk(t, 1<<20)) })
	t.Run("Adopt", func(t *testing.T) { e.testAdopt(t, ReflinkDisk(t)) })
}

func adopter(t *testing.T, b storage.Blobs) storage.Adopter {
	t.Helper()
	a, ok := b.(storage.Adopter)
	if !ok {
		t.Fatalf("%T is no Adopter", b)
	}
	return a
}

// foreignFile is a file of somebody else's.
func foreignFile(t *testing.T, dir, content string) *os.File {
	t.Helper()
	name := filepath.Join(dir, "foreign")
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil { //nolint:gosec // others have such files
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it was only read
	return f
}

// testAdoptElsewhere wants a file of another disk to be refused, again and again, and nothing left of the tries.
func (e blobsSuite) testAdoptElsewhere(t *testing.T, elsewhere string) {
	b := e.at(t, t.TempDir())
	for range 3 {
		if _, err := adopter(t, b).Adopt(background, foreignFile(t, elsewhere, "theirs")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a file of another disk: %v", err)
		}
	}
	if got := uploadIDs(t, b); got != "" {
		t.Errorf("uploads left: %s", got)
	}
}

// testAdopt wants what was adopted to be whole, and to stay as it was when its owner changes the file.
func (e blobsSuite) testAdopt(t *testing.T, disk string) {
	b := e.at(t, filepath.Join(disk, "blobs"))
	content := strings.Repeat("0123456789abcdef", 4096)
	file := foreignFile(t, disk, content)
	u, err := adopter(t, b).Adopt(background, file)
	if err != nil {
		t.Fatal(err)
	}
	if u.Size() != int64(len(content)) {
		t.Errorf("size %d", u.Size())
	}
	write(t, u, "more")
	if err := os.WriteFile(file.Name(), []byte("changed"), 0o644); err != nil { //nolint:gosec // as above
		t.Fatal(err)
	}
	at := seal(t, u, "sha256-abc")
	wantBlob(t, b, at, content+"more")
	info, err := os.Stat(file.Name())
	if err != nil || info.Mode() != 0o644 || info.Size() != 7 {
		t.Errorf("their file has the mode %v: %v", info.Mode(), err)
	}
	u, err = adopter(t, b).Adopt(background, foreignFile(t, disk, content))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Cancel(); err != nil {
		t.Error(err)
	}
	if got := uploadIDs(t, b); got != "" {
		t.Errorf("uploads left: %s", got)
	}
}
