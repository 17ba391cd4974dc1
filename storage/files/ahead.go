package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
	"golang.org/x/sys/unix"
)

// A file of its own for each blob needs a name that is durable too, and to flush a directory is a wait for the
// disk like that for the bytes. So names are made ahead, a shelf of them with two flushes, and a file keeps its
// name for as long as it is there. What it is its permissions say, which are flushed with its bytes.
const (
	modeUnused = 0o200 // a name made ahead
	modeUpload = 0o600
	modeSealed = 0o400
)

func isUnused(mode fs.FileMode) bool { return mode&modeSealed == 0 }
func isSealed(mode fs.FileMode) bool { return mode&modeUnused == 0 }

// ahead is the names that were made and not used yet.
type ahead struct {
	mu    sync.Mutex
	files []*os.File // guarded by mu; those of the places before next, the first of them last
	next  uint64     // guarded by mu; the first number that no file has
}

// take returns an empty file whose name is durable.
func (d *Dir) take() (p place.Place, f *os.File, err error) {
	d.ahead.mu.Lock()
	defer d.ahead.mu.Unlock()
	if len(d.ahead.files) == 0 {
		if err := d.makeShelf(); err != nil {
			return p, nil, err
		}
	}
	last := len(d.ahead.files) - 1
	p, f = place.Place{Run: d.run, N: d.ahead.next - uint64(last) - 1}, d.ahead.files[last]
	d.ahead.files = d.ahead.files[:last]
	if err := f.Chmod(modeUpload); err != nil {
		return p, nil, errors.Join(err, f.Close())
	}
	return p, f, nil
}

// makeShelf makes a directory with all its files. If we stop within it, nobody has been given one of them; the
// files are removed as leftovers.
func (d *Dir) makeShelf() error {
	// Where the disk was mounted one can make files too, and they are gone when it is mounted again.
	if err := d.Here(); err != nil {
		return err
	}
	first := place.Place{Run: d.run, N: d.ahead.next}
	d.ahead.next += perShelf // also when it fails: no name is tried twice
	if err := durable.MkdirAll(d.shelf(first), 0o700); err != nil {
		return err
	}
	made := make([]*os.File, perShelf)
	for i := range made {
		f, err := openRegular(d.file(place.Place{Run: d.run, N: first.N + uint64(i)}), os.O_RDWR|os.O_CREATE|os.O_EXCL, modeUnused)
		if err != nil {
			return errors.Join(err, d.dropShelf(first, made))
		}
		made[perShelf-1-i] = f
	}
	if err := durable.SyncDir(d.shelf(first)); err != nil {
		return errors.Join(err, d.dropShelf(first, made))
	}
	d.ahead.files = made
	return nil
}

func (d *Dir) dropShelf(first place.Place, made []*os.File) error {
	for _, f := range made {
		if f != nil {
			_ = f.Close() // it is empty
		}
	}
	if err := os.RemoveAll(d.shelf(first)); err != nil {
		return fmt.Errorf("remove what was made of a shelf: %w", err)
	}
	return nil
}

// unlink removes the file of a place, and its shelf with the last.
func (d *Dir) unlink(p place.Place) error {
	if err := os.Remove(d.file(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	removeEmpty(d.shelf(p))
	return nil
}

// removeEmpty removes a directory if nothing is in it.
func removeEmpty(dir string) {
	_ = unix.Rmdir(dir) // most have something
}
