// Package files is the embedded engine of storage.Blobs: one file a blob, in a directory of its own.
//
//	DIR/id                       which directory this is, so that another one is not taken for it
//	DIR/uploads/ID               an upload, appended to; its length is its progress
//	DIR/sealed/ab/LABEL.RUN-N    a sealed blob; "ab" are the last two characters of the label
//
// RUN is drawn at random by each process and N counts, so a name is never used twice. No path is built
// from input: ids and labels are checked character by character first.
package files

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/sys/unix"
)

const (
	idFile     = "id"
	uploadsDir = "uploads"
	sealedDir  = "sealed"
)

// Dir is a directory of blobs. It implements storage.Blobs.
type Dir struct {
	path string
	id   string
	run  string // in the name of every blob that this process seals
	next atomic.Uint64

	mu   sync.Mutex
	open map[string]bool // guarded by mu; ids of uploads that have a writer
}

// Open opens the directory path. With an empty id it is made where it is not there, and given an id of
// its own; else it must have this one. A store remembers the id, so that a disk that is not mounted, or
// is another registry's, is noticed before anything is served. Error: storage.ErrCorrupt.
func Open(path, id string) (*Dir, error) {
	found, err := readID(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open blobs: %w", err)
	case id == "" && found == "":
		found, err = create(path, randomHex(16))
	case id != "" && found == "":
		err = fmt.Errorf("%w: %s is empty, and this registry's blobs were there; is a disk not mounted?", storage.ErrCorrupt, path)
	case id != "" && found != id:
		err = fmt.Errorf("%w: %s holds the blobs of another registry", storage.ErrCorrupt, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return &Dir{path: path, id: found, run: randomHex(8), open: make(map[string]bool)}, nil
}

// ID returns the id that the directory was given when it was made.
func (d *Dir) ID() string { return d.id }

func readID(path string) (string, error) {
	data, err := os.ReadFile(filepath.Join(path, idFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(data)), err
}

// create makes the directories, and the id last: if we stop before it is there, the next start does it
// all again.
func create(path, id string) (string, error) {
	for _, dir := range []string{path, filepath.Join(path, uploadsDir), filepath.Join(path, sealedDir)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	if err := durable.WriteFile(filepath.Join(path, idFile), []byte(id+"\n"), 0o600); err != nil {
		return "", err
	}
	return id, durable.SyncDir(filepath.Dir(path))
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // which never fails
	return hex.EncodeToString(b)
}

// Open implements storage.Blobs.
func (d *Dir) Open(_ context.Context, at storage.Location) (storage.Blob, error) {
	path, err := d.sealedPath(at)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, notFound(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return blob{f, info.Size()}, nil
}

// Length implements storage.Blobs.
func (d *Dir) Length(_ context.Context, at storage.Location) (int64, error) {
	path, err := d.sealedPath(at)
	if err != nil {
		return 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, notFound(err)
	}
	return info.Size(), nil
}

// blob is an open sealed file.
type blob struct {
	*os.File
	size int64
}

func (b blob) Size() int64 { return b.size }

// Remove implements storage.Blobs. The removal is not flushed: if it is lost with the power, the file is
// a stray, which nobody names.
func (d *Dir) Remove(_ context.Context, at storage.Location) error {
	path, err := d.sealedPath(at)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sealed implements storage.Blobs.
func (d *Dir) Sealed(ctx context.Context) iter.Seq2[storage.SealedInfo, error] {
	return func(yield func(storage.SealedInfo, error) bool) {
		shelves, err := os.ReadDir(filepath.Join(d.path, sealedDir))
		if err != nil {
			yield(storage.SealedInfo{}, err)
			return
		}
		for _, shelf := range shelves {
			for info, err := range entries(ctx, filepath.Join(d.path, sealedDir, shelf.Name())) {
				if err != nil {
					yield(storage.SealedInfo{}, err)
					return
				}
				if !yield(d.sealedInfo(info), nil) {
					return
				}
			}
		}
	}
}

func (d *Dir) sealedInfo(info fs.FileInfo) storage.SealedInfo {
	label, run, _ := strings.Cut(info.Name(), ".")
	return storage.SealedInfo{
		At:    storage.Location(info.Name()),
		Label: label,
		Size:  info.Size(),
		Fresh: strings.HasPrefix(run, d.run+"-"),
	}
}

// entries yields what is in a directory, a part at a time, so that memory does not follow its length.
// What goes away meanwhile is passed over.
func entries(ctx context.Context, dir string) iter.Seq2[fs.FileInfo, error] {
	return func(yield func(fs.FileInfo, error) bool) {
		f, err := os.Open(dir)
		if err != nil {
			yield(nil, err)
			return
		}
		defer f.Close() //nolint:errcheck // it was only read
		for {
			infos, err := f.Readdir(512)
			for _, info := range infos {
				if !yield(info, ctx.Err()) {
					return
				}
			}
			if len(infos) == 0 {
				if !errors.Is(err, io.EOF) {
					yield(nil, err)
				}
				return
			}
		}
	}
}

// Free implements storage.Blobs.
func (d *Dir) Free() (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.path, &s); err != nil {
		return 0, 0, fmt.Errorf("ask for the free space of %s: %w", d.path, err)
	}
	return s.Bavail * uint64(s.Bsize), s.Blocks * uint64(s.Bsize), nil
}

// sealedPath returns the file of a location, which is a name that seal made.
func (d *Dir) sealedPath(at storage.Location) (string, error) {
	label, run, ok := strings.Cut(string(at), ".")
	if !ok || !validName(label, 3) || !validName(run, 1) {
		return "", fmt.Errorf("location %q: %w", at, storage.ErrNotFound)
	}
	return filepath.Join(d.shelf(label), string(at)), nil
}

func (d *Dir) shelf(label string) string {
	return filepath.Join(d.path, sealedDir, label[len(label)-2:])
}

func (d *Dir) newLocation(label string) storage.Location {
	return storage.Location(label + "." + d.run + "-" + strconv.FormatUint(d.next.Add(1), 36))
}

// validName says that a name is at least minimum and at most 200 lower-case letters, digits and '-'.
func validName(name string, minimum int) bool {
	if len(name) < minimum || len(name) > 200 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return storage.ErrNotFound
	}
	return err
}
