// Package files is the embedded engine of storage.Blobs: one file a blob, in a directory of its own.
//
//	DIR/id                      which directory this is, so that another one is not taken for it
//	DIR/files/RUN-S/N           a file, which keeps this name; its permissions say what it is:
//	                            -w------- not used yet, rw------- an upload, r-------- a sealed blob
//	DIR/sealed/ab/LABEL.RUN-N   a blob that an older version sealed
//
// RUN is drawn at random by each process, N counts its files and S its shelves of them, so a name is never used
// twice. No path is built from input: ids and locations are parsed first, and paths are built from the result.
package files

import (
	"context"
	crand "crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
	"golang.org/x/sys/unix"
)

const (
	idFile    = "id"
	filesDir  = "files"
	sealedDir = "sealed"
	olderDir  = "uploads" // where older versions kept uploads
)

// Dir is a directory of blobs. It implements storage.Blobs.
type Dir struct {
	path  string
	id    string
	run   uint64
	ahead ahead
	// noReflinks says that the file system was found to have none.
	noReflinks atomic.Bool

	mu      sync.Mutex
	uploads map[place.Place]bool // guarded by mu; the uploads that are known, and whether they have a writer
	resumed place.Set            // guarded by mu; those of earlier processes to which this one wrote
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
		found, err = create(path, newID())
	case id != "" && found == "":
		err = fmt.Errorf("%w: %s is empty, and this registry's blobs were there; is a disk not mounted?", storage.ErrCorrupt, path)
	case id != "" && found != id:
		err = fmt.Errorf("%w: %s holds the blobs of another registry", storage.ErrCorrupt, path)
	}
	if err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	d := &Dir{path: path, id: found, run: rand.Uint64(), uploads: make(map[place.Place]bool), resumed: place.Set{}}
	if err := d.adopt(); err != nil {
		return nil, fmt.Errorf("open blobs: %w", err)
	}
	return d, nil
}

// OpenReadOnly opens the directory path, which has this id, and changes nothing in it: no upload may be begun. Error:
// storage.ErrCorrupt.
func OpenReadOnly(path, id string) (*Dir, error) {
	found, err := readID(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("open blobs: %w", err)
	case id == "":
		return nil, fmt.Errorf("open blobs: %w: the store does not know its blobs yet", storage.ErrReadOnly)
	case id != found:
		return nil, fmt.Errorf("open blobs: %w: %s does not hold this registry's blobs; is a disk not mounted?", storage.ErrCorrupt, path)
	}
	return &Dir{path: path, id: found, run: rand.Uint64(), uploads: make(map[place.Place]bool), resumed: place.Set{}}, nil
}

// adopt prepares a directory that an earlier process made, which may have been killed before its names were
// durable, or that an older version made. The uploads that it left cannot be resumed: their
// clients begin anew. Their directory stays, empty: who goes back to that version needs it.
func (d *Dir) adopt() error {
	err := durable.Settle(filepath.Join(d.path, filesDir), 0o700)
	left, notRead := os.ReadDir(filepath.Join(d.path, olderDir))
	if !errors.Is(notRead, fs.ErrNotExist) {
		err = errors.Join(err, notRead)
	}
	for _, upload := range left {
		err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, olderDir, upload.Name())))
	}
	return err
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

// create makes the directory, and the id last: if we stop before it is there, the next start does it
// all again.
func create(path, id string) (string, error) {
	if err := durable.MkdirAll(filepath.Join(path, filesDir), 0o700); err != nil {
		return "", err
	}
	return id, durable.WriteFile(filepath.Join(path, idFile), []byte(id+"\n"), 0o600)
}

func newID() string {
	b := make([]byte, 16)
	crand.Read(b) // which never fails
	return hex.EncodeToString(b)
}

// Open implements storage.Blobs.
func (d *Dir) Open(_ context.Context, at storage.Location) (storage.Blob, error) {
	path, err := d.sealedPath(at)
	if err != nil {
		return nil, err
	}
	f, err := openRegular(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, d.notFound(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(readError(err), f.Close())
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
		return 0, d.notFound(err)
	}
	return info.Size(), nil
}

// openRegular opens or makes a regular file, as os.OpenFile does, which first asks the system in four calls more
// whether the file can be waited for. No regular file can, and it is nearly half of what it costs to read a small blob.
func openRegular(path string, flags int, mode uint32) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC, mode)
		if err == nil {
			return os.NewFile(uintptr(fd), path), nil
		}
		if !errors.Is(err, unix.EINTR) { // as file systems over a network answer
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// blob is an open sealed file.
type blob struct {
	*os.File
	size int64
}

func (b blob) Size() int64 { return b.size }

// Read implements io.Reader.
func (b blob) Read(p []byte) (int, error) {
	n, err := b.File.Read(p)
	return n, readError(err)
}

// ReadAt implements io.ReaderAt.
func (b blob) ReadAt(p []byte, at int64) (int, error) {
	n, err := b.File.ReadAt(p, at)
	return n, readError(err)
}

// readError gives what a disk says that cannot read what was written to it the contract's name. What passes, as
// too many open files do, keeps its own.
func readError(err error) error {
	for _, bad := range []error{unix.EIO, unix.ENODATA, unix.EBADMSG, unix.EUCLEAN, unix.EILSEQ} {
		if errors.Is(err, bad) {
			return fmt.Errorf("%w: the disk cannot read it: %w", storage.ErrCorrupt, err)
		}
	}
	return err
}

// Remove implements storage.Blobs. The removal is not flushed: if it is lost with the power, the file is
// a leftover, which no row names.
func (d *Dir) Remove(_ context.Context, at storage.Location) error {
	_, p, older, _ := place.Cut(at)
	path, err := d.sealedPath(at)
	switch {
	case err != nil:
		return err
	case !older:
		return d.unlink(p)
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Free implements storage.Blobs.
func (d *Dir) Free() (free, size uint64, err error) { return durable.Free(d.path) }

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return storage.ErrNotFound
	}
	return err
}

// notFound says that a blob is not there, unless the whole directory is not, as when its disk was taken away: then
// nothing is known of any.
func (d *Dir) notFound(err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return readError(err)
	}
	if err := d.Here(); err != nil {
		return err
	}
	return storage.ErrNotFound
}

// Here returns nil while the directory at its path is the one that was opened, and not what is left where its disk was
// mounted.
func (d *Dir) Here() error {
	if id, err := readID(d.path); err != nil || id != d.id {
		return errors.Join(fmt.Errorf("%s is not the directory of blobs any more; is its disk still mounted?", d.path), err)
	}
	return nil
}
