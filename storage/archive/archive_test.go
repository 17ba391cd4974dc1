package archive_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/archive"
)

func create(t *testing.T, dir string) *archive.Archive {
	t.Helper()
	a, err := archive.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() }) // a test may have closed it
	return a
}

func blobOf(content string) archive.Blob {
	sum := sha256.Sum256([]byte(content))
	return archive.Blob{Size: int64(len(content)), At: storage.Location("sha256-" + hex.EncodeToString(sum[:]) + ".run-1")}
}

// add makes a snapshot with these blobs, and returns what it had to copy.
func add(t *testing.T, a *archive.Archive, blobs ...string) (copied []string, sum string) {
	t.Helper()
	d, err := a.Begin(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	d.About = []byte(`{}`)
	contents := map[archive.Blob]string{}
	var list strings.Builder
	for _, content := range blobs {
		b := blobOf(content)
		contents[b] = content
		list.WriteString(b.Line())
	}
	err = errors.Join(
		d.AddFile("hallmark.db", strings.NewReader("store of "+strings.Join(blobs, " "))),
		d.AddFile("certs/ca.key", strings.NewReader("key")),
		d.AddList(strings.NewReader(list.String())),
		d.Missing(func(b archive.Blob) error {
			copied = append(copied, contents[b])
			return a.Put(b, strings.NewReader(contents[b]))
		}))
	if err != nil {
		t.Fatal(err)
	}
	if sum, err = d.Finish(); err != nil {
		t.Fatal(err)
	}
	return copied, sum
}

// read returns everything that a snapshot holds.
func read(a *archive.Archive, name string) (files map[string]string, blobs []string, err error) {
	s, err := a.Snapshot(name)
	if err != nil {
		return nil, nil, err
	}
	files = map[string]string{}
	err = s.CopyFiles(func(path string, content io.Reader) error {
		text, err := io.ReadAll(content)
		files[path] = string(text)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	err = s.EachBlob(func(b archive.Blob) error {
		var buf bytes.Buffer
		err := s.CopyBlob(&buf, b)
		blobs = append(blobs, buf.String())
		return err
	})
	return files, blobs, err
}

func names(t *testing.T, a *archive.Archive) []string {
	t.Helper()
	found, err := a.Names()
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestSnapshotsShareBlobs(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "saved")
	a := create(t, dir)
	if copied, _ := add(t, a, "one", "two"); !slices.Equal(copied, []string{"one", "two"}) {
		t.Errorf("the first copies %q", copied)
	}
	copied, sum := add(t, a, "two", "three")
	if !slices.Equal(copied, []string{"three"}) {
		t.Errorf("the second copies %q", copied)
	}
	if s, err := a.Snapshot(""); err != nil || s.Sum() != sum || s.Blobs.Count != 2 || s.Blobs.Bytes != 8 {
		t.Errorf("the newest: %+v, %v", s, err)
	}
	for i, want := range [][]string{{"one", "two"}, {"two", "three"}} {
		files, blobs, err := read(a, names(t, a)[i])
		if err != nil || !slices.Equal(blobs, want) || files["hallmark.db"] != "store of "+strings.Join(want, " ") || files["certs/ca.key"] != "key" {
			t.Errorf("snapshot %d holds %q and %q, %v", i, files, blobs, err)
		}
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestKeep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := create(t, dir)
	add(t, a, "old", "shared")
	add(t, a, "shared", "new")
	removed, err := a.Keep(1)
	if err != nil || removed != 1 {
		t.Errorf("removed %d, %v", removed, err)
	}
	if _, blobs, err := read(a, ""); err != nil || !slices.Equal(blobs, []string{"shared", "new"}) {
		t.Errorf("what is left holds %q, %v", blobs, err)
	}
	for content, want := range map[string]bool{"old": false, "shared": true, "new": true} {
		if has, err := a.Has(blobOf(content)); err != nil || has != want {
			t.Errorf("%q is there: %v, %v", content, has, err)
		}
	}
	if left := names(t, a); len(left) != 1 {
		t.Errorf("there are %q", left)
	}
}

// TestBrokenOff leaves a snapshot unfinished: it is not one, the one before is whole, and the blobs that
// were copied are not copied again.
func TestBrokenOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := create(t, dir)
	add(t, a, "one")
	d, err := a.Begin(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	two, three := blobOf("two"), blobOf("three")
	err = errors.Join(d.AddFile("hallmark.db", strings.NewReader("half")), a.Put(two, strings.NewReader("two")))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Put(three, strings.NewReader("thr")); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("a blob that comes cut off: %v", err)
	}
	// A process that was killed while it copied leaves this.
	half := filepath.Join(dir, "blobs", three.Label()[len(three.Label())-2:], three.Label()+".new")
	if err := os.WriteFile(half, []byte("th"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	a = create(t, dir)
	if found := names(t, a); len(found) != 1 {
		t.Errorf("there are %q", found)
	}
	if copied, _ := add(t, a, "one", "two", "three"); !slices.Equal(copied, []string{"three"}) {
		t.Errorf("the next copies %q", copied)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*", "*.part")); err != nil || len(left) > 0 {
		t.Errorf("left is %q, %v", left, err)
	}
}

func TestClockGoesBack(t *testing.T) {
	t.Parallel()
	a := create(t, t.TempDir())
	for _, at := range []time.Time{time.Now(), time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)} {
		d, err := a.Begin(at)
		if err != nil {
			t.Fatal(err)
		}
		d.About = []byte(`{}`)
		if err := d.AddList(strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Finish(); err != nil {
			t.Fatal(err)
		}
		if s, err := a.Snapshot(""); err != nil || !s.Made.Equal(d.Made) {
			t.Errorf("the newest was made at %v, want %v", s.Made, d.Made)
		}
	}
}

// TestDamaged changes each file of an archive in turn: reading it must fail, and never give other content.
func TestDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := create(t, dir)
	add(t, a, "one", "two")
	var paths []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Name() != "hallmark-backup" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil || len(paths) != 6 {
		t.Fatalf("%q, %v", paths, err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		flipped := bytes.Clone(content)
		flipped[len(flipped)/2] ^= 1
		for what, damaged := range map[string][]byte{"flipped": flipped, "cut": content[:len(content)-1], "longer": append(bytes.Clone(content), ' '), "empty": nil} {
			if filepath.Base(path) == "manifest.json" && what != "empty" {
				continue // its own SHA-256 is what it is known by: a changed one is another backup
			}
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := read(a, ""); !errors.Is(err, archive.ErrDamaged) {
				t.Errorf("%s, %s: %v", path, what, err)
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, _, err := read(a, ""); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s removed: %v", path, err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := read(a, ""); err != nil {
		t.Errorf("put back: %v", err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Create(foreign); !errors.Is(err, archive.ErrForeign) {
		t.Errorf("a directory of others: %v", err)
	}
	if _, err := archive.Open(foreign); !errors.Is(err, archive.ErrNone) {
		t.Errorf("opened a directory of others: %v", err)
	}
	dir := t.TempDir()
	a := create(t, dir)
	if _, err := archive.Create(dir); !errors.Is(err, archive.ErrInUse) {
		t.Errorf("two writers: %v", err)
	}
	if _, err := a.Snapshot(""); !errors.Is(err, archive.ErrNone) {
		t.Errorf("the newest of none: %v", err)
	}
	d, err := a.Begin(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../up", "/etc/passwd", "certs/../../up", ""} {
		if err := d.AddFile(path, strings.NewReader("")); err == nil {
			t.Errorf("took the file %q", path)
		}
	}
	sum := sha512.Sum512([]byte("x"))
	for line, good := range map[string]bool{
		"1 sha512-" + hex.EncodeToString(sum[:]) + ".r-1\n": true,
		"1 sha256-../../etc/passwd.r-1\n":                   false,
		"1 md5-900150983cd24fb0d6963f7d28e17f72.r-1\n":      false,
		"x " + string(blobOf("x").At) + "\n":                false,
		"nonsense\n":                                        false,
	} {
		d, err := a.Begin(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.AddList(strings.NewReader(line)); err != nil {
			t.Fatal(err)
		}
		if err := d.Missing(func(archive.Blob) error { return nil }); (err == nil) != good {
			t.Errorf("a list with %q: %v", line, err)
		}
	}
}
