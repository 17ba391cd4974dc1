package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

func TestBlobs(t *testing.T) {
	storagetest.Blobs(t, func(dir string) (storage.Blobs, error) { return files.Open(dir, "") })
}

// TestWrongDisk opens directories that are not the one which the store remembers.
func TestWrongDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	d, err := files.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := files.Open(dir, d.ID()); err != nil || again.ID() != d.ID() {
		t.Errorf("the right one: %v", err)
	}
	_, err = files.Open(t.TempDir(), d.ID())
	if !errors.Is(err, storage.ErrCorrupt) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("an empty directory: %v", err)
	}
	other := t.TempDir()
	if _, err := files.Open(other, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := files.Open(other, d.ID()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("another registry's: %v", err)
	}
}

// TestCreateInterrupted starts over what an earlier start left before the id was written.
func TestCreateInterrupted(t *testing.T) {
	dir := t.TempDir()
	for _, left := range []string{"uploads", "sealed"} {
		if err := os.Mkdir(filepath.Join(dir, left), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "id.new"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := files.Open(dir, "")
	if err != nil || len(d.ID()) != 32 {
		t.Errorf("id %q, %v", d.ID(), err)
	}
}
