// Package archive keeps copies of a data directory outside of it: snapshots that share their blobs.
//
//	DIR/hallmark-backup                marks the directory; the one who writes to it holds its lock
//	DIR/blobs/ab/LABEL                 a blob under its digest, as in "sha256-…ab"; all snapshots share it
//	DIR/snapshots/NAME/manifest.json   what the snapshot is, with the size and SHA-256 of each of its files
//	DIR/snapshots/NAME/blobs           the blobs that it needs, a line each: size and location
//	DIR/snapshots/NAME/files/…         files of the data directory, under their paths there
//	DIR/snapshots/NAME.part/           one under way, or one that was broken off
//
// A snapshot is there completely or not at all: its directory gets its name when everything in it, and every blob
// that it needs, is on the disk. An interrupted backup leaves complete blobs, and the next one
// does not copy them again. A snapshot never changes later.
//
// The package knows no domain type: a blob is bytes under their digest, and a location is opaque except
// for the label at its beginning.
package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/seed-260924e6/hallmark/internal/durable"
)

const (
	markFile     = "hallmark-backup"
	blobsDir     = "blobs"
	snapshotsDir = "snapshots"
	manifestFile = "manifest.json"
	listFile     = "blobs"
	filesDir     = "files"
	partSuffix   = ".part"
)

// The errors of an archive. Test with [errors.Is].
var (
	// ErrNone: the directory holds no archive, or no such snapshot.
	ErrNone = errors.New("there is no backup")
	// ErrForeign: the directory is not empty, and not an archive.
	ErrForeign = errors.New("it holds something else than backups")
	// ErrInUse: another process writes to the archive.
	ErrInUse = errors.New("another backup is being written to it")
	// ErrDamaged: what is there is not what was written.
	ErrDamaged = errors.New("the backup is damaged")
)

// Archive is a directory of snapshots. One that was made with Create may be written to.
type Archive struct {
	path string
	lock *os.File // nil when it is only read
}

// Create opens an archive to write to it, and makes it where there is none. Errors: ErrForeign, ErrInUse.
func Create(path string) (*Archive, error) {
	if err := makeArchive(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, markFile), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrInUse), lock.Close())
	}
	// The one who made it may have been killed before its names were durable.
	if err := durable.Settle(filepath.Join(path, snapshotsDir), 0o700); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Archive{path, lock}, nil
}

// makeArchive makes the directories, and the mark last: if we stop before it is there, the next one finds
// directories that it would have made itself.
func makeArchive(path string) error {
	if _, err := os.Stat(filepath.Join(path, markFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if name := e.Name(); name != blobsDir && name != snapshotsDir && name != markFile+".new" && name != "lost+found" {
			return fmt.Errorf("%s: %w (%s): name a directory that is new or empty", path, ErrForeign, name)
		}
	}
	for _, dir := range []string{blobsDir, snapshotsDir} {
		if err := durable.MkdirAll(filepath.Join(path, dir), 0o700); err != nil {
			return err
		}
	}
	mark := "Backups of a Hallmark registry, with its private keys. `hallmark restore` reads them.\n"
	return durable.WriteFile(filepath.Join(path, markFile), []byte(mark), 0o600)
}

// Open opens an archive to read it. Error: ErrNone.
func Open(path string) (*Archive, error) {
	_, err := os.Stat(filepath.Join(path, markFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, ErrNone)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrNone, err)
	}
	return &Archive{path: path}, nil
}

// Close ends the use of the archive.
func (a *Archive) Close() error {
	if a.lock == nil {
		return nil
	}
	return a.lock.Close()
}

// Names returns the names of all snapshots, the oldest first.
func (a *Archive) Names() (names []string, err error) {
	entries, err := os.ReadDir(filepath.Join(a.path, snapshotsDir))
	for _, e := range entries {
		if e.IsDir() && !strings.HasSuffix(e.Name(), partSuffix) {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}

func (a *Archive) snapshotPath(name string) string { return filepath.Join(a.path, snapshotsDir, name) }

// blobPath is where a blob is kept. The label was checked.
func (a *Archive) blobPath(label string) string {
	return filepath.Join(a.path, blobsDir, label[len(label)-2:], label)
}
