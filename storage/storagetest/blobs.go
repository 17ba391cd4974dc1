package storagetest

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
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
}

// FullDisk runs what an engine has to pass that keeps blobs in dir itself.
func FullDisk(t *testing.T, open func(dir string) (storage.Blobs, error)) {
	blobsSuite{open}.testFullDisk(t)
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

// wantKnown wants an upload to know its bytes, in the way of its engine.
func wantKnown(t *testing.T, u storage.Upload, want string) {
	t.Helper()
	switch u := u.(type) {
	case storage.Readable:
		back := make([]byte, len(want))
		if _, err := u.ReadAt(back, 0); err != nil || string(back) != want {
			t.Errorf("read back %q, %v; want %q", back, err, want)
		}
	case storage.Summed:
		sum256, sum512 := sha256.Sum256([]byte(want)), sha512.Sum512([]byte(want))
		if got := u.Sum("sha256"); !bytes.Equal(got, sum256[:]) {
			t.Errorf("sha256 of %q: %x", want, got)
		}
		if got := u.Sum("sha512"); !bytes.Equal(got, sum512[:]) {
			t.Errorf("sha512 of %q: %x", want, got)
		}
		if held, err := u.Held(); err != nil || held != nil && string(held) != want {
			t.Errorf("it holds %q, %v; want %q, or nothing", held, err, want)
		}
	default:
		t.Error("it can neither be read back nor does it know its hashes")
	}
}

func (e blobsSuite) testSeal(t *testing.T) {
	dir := t.TempDir()
	b := e.at(t, dir)
	u := create(t, b, "hello, ")
	write(t, u, "world")
	if u.Size() != 12 {
		t.Errorf("size %d", u.Size())
	}
	wantKnown(t, u, "hello, world")
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
