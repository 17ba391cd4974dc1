package files_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"golang.org/x/sys/unix"
)

func TestBlobs(t *testing.T) {
	open := func(dir string) (storage.Blobs, error) { return files.Open(dir, "") }
	storagetest.Blobs(t, open)
	t.Run("FullDisk", func(t *testing.T) { storagetest.FullDisk(t, open) })
}

func TestAdopter(t *testing.T) {
	storagetest.Adopter(t, func(dir string) (storage.Blobs, error) { return files.Open(dir, "") })
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
	if err := os.Mkdir(filepath.Join(dir, "files"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "id.new"), []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := files.Open(dir, "")
	if err != nil || len(d.ID()) != 32 {
		t.Errorf("id %q, %v", d.ID(), err)
	}
}

func open(t *testing.T, dir string) *files.Dir {
	t.Helper()
	d, err := files.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func seal(t *testing.T, d *files.Dir, content string) storage.Location {
	t.Helper()
	u, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(u, content); err != nil {
		t.Fatal(err)
	}
	at, err := u.Seal(t.Context(), "sha256-abc")
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func wantContent(t *testing.T, d *files.Dir, at storage.Location, want string) {
	t.Helper()
	f, err := d.Open(t.Context(), at)
	if err != nil {
		t.Fatalf("open %s: %v", at, err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", at, got, err, want)
	}
}

// sweep removes what is left, and returns the locations of blobs, and the number of names that were never used.
func sweep(t *testing.T, d *files.Dir, named ...storage.Location) (blobs []storage.Location, unused int) {
	t.Helper()
	rows := func(yield func(storage.Location, error) bool) {
		for _, at := range named {
			if !yield(at, nil) {
				return
			}
		}
	}
	for left, err := range d.Leftovers(t.Context(), rows) {
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Remove(t.Context(), left.At); err != nil {
			t.Fatal(err)
		}
		if left.Unused {
			unused++
		} else {
			blobs = append(blobs, left.At)
		}
	}
	return blobs, unused
}

// inFiles counts the directories and files of blobs.
func inFiles(t *testing.T, dir string) (shelves, names int) {
	t.Helper()
	for _, pattern := range []struct {
		glob  string
		count *int
	}{{"*", &shelves}, {"*/*", &names}} {
		found, err := filepath.Glob(filepath.Join(dir, "files", pattern.glob))
		if err != nil {
			t.Fatal(err)
		}
		*pattern.count = len(found)
	}
	return shelves, names
}

// TestOlderVersion opens a directory whose blobs an older version sealed.
func TestOlderVersion(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	named, stray := storage.Location("sha256-abc.0123456789abcdef-1k"), storage.Location("sha256-abc.0123456789abcdef-1l")
	for name, content := range map[string]string{
		"sealed/bc/" + string(named): "named",
		"sealed/bc/" + string(stray): "stray",
		"sealed/bc/README":           "somebody's own",
		"uploads/a1b2":               "half an upload",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, dir)
	if blobs, _ := sweep(t, d, named); !slices.Equal(blobs, []storage.Location{stray}) {
		t.Errorf("swept %v", blobs)
	}
	wantContent(t, d, named, "named")
	if err := d.Remove(t.Context(), named); err != nil {
		t.Error(err)
	}
	if _, err := d.Length(t.Context(), named); !errors.Is(err, storage.ErrNotFound) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "sealed/bc/README")); err != nil {
		t.Errorf("a file of somebody's own: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(left) > 0 {
		t.Errorf("where the older version kept uploads: %v, %v", left, err)
	}
}

// TestLostPermissions opens a copy of a directory that has lost the permissions of its files, by which sealed files
// are told from uploads. What a row names stays nevertheless.
func TestLostPermissions(t *testing.T) {
	dir := t.TempDir()
	at := seal(t, open(t, dir), "kept")
	paths, err := filepath.Glob(filepath.Join(dir, "files", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, dir)
	if blobs, unused := sweep(t, d, at); len(blobs) > 0 || unused > 0 {
		t.Errorf("swept %v and %d unused names", blobs, unused)
	}
	for info, err := range d.Uploads(t.Context()) {
		if err != nil || info.Size > 0 {
			t.Errorf("a blob is taken for the upload %+v, %v", info, err)
		}
	}
	wantContent(t, d, at, "kept")
}

// TestNamesAhead wants names to be made many at once, and to go with what had them: nothing is left of a
// directory of blobs that were all removed.
func TestNamesAhead(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	var group sync.WaitGroup
	all := make([]storage.Location, 100)
	for i := range all {
		group.Go(func() { all[i] = seal(t, d, fmt.Sprint(i)) })
	}
	group.Wait()
	if shelves, names := inFiles(t, dir); shelves != 2 || names != 128 {
		t.Errorf("100 blobs have %d directories with %d files", shelves, names)
	}
	later := open(t, dir)
	for i, at := range all {
		wantContent(t, later, at, fmt.Sprint(i))
	}
	if blobs, unused := sweep(t, later, all...); len(blobs) > 0 || unused != 28 {
		t.Errorf("swept %v and %d unused names", blobs, unused)
	}
	for _, at := range all {
		if err := later.Remove(t.Context(), at); err != nil {
			t.Error(err)
		}
	}
	if shelves, names := inFiles(t, dir); shelves != 0 || names != 0 {
		t.Errorf("%d directories with %d files are left", shelves, names)
	}
}

// TestNoInodes has no room for a shelf of names. Nothing is left of it, and there is a next time.
func TestNoInodes(t *testing.T) {
	dir := storagetest.SmallDisk(t, 1<<20)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "nr_inodes=40"); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	for range 2 {
		if _, err := d.Create(t.Context()); !errors.Is(err, storage.ErrFull) {
			t.Errorf("%v, want ErrFull", err)
		}
		if shelves, names := inFiles(t, dir); shelves != 0 || names != 0 {
			t.Errorf("%d directories with %d files are left", shelves, names)
		}
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "nr_inodes=400"); err != nil {
		t.Fatal(err)
	}
	wantContent(t, d, seal(t, d, "at last"), "at last")
}

// TestImport puts a blob where another directory had it, twice, as a restore does that was killed.
func TestImport(t *testing.T) {
	dir := t.TempDir()
	at := seal(t, open(t, t.TempDir()), "there")
	d := open(t, dir)
	for range 2 {
		err := d.Import(t.Context(), at, func(w io.Writer) error {
			_, err := io.WriteString(w, "there")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wantContent(t, d, at, "there")
	if blobs, unused := sweep(t, open(t, dir), at); len(blobs) > 0 || unused > 0 {
		t.Errorf("swept %v and %d unused names", blobs, unused)
	}
	if blobs, _ := sweep(t, open(t, dir)); len(blobs) != 1 {
		t.Errorf("it was not sealed: swept %v", blobs)
	}
}
