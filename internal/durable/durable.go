// Package durable makes, replaces, renames and removes files and directories so that a power loss finds them as
// they were before or as they are after.
//
// A file has two parts that are flushed separately: its bytes, by a flush of the file, and its name, by a flush of the
// directory that holds it. The same is true of a directory. If the power fails, a name that was not flushed is lost, with everything
// below it. This package makes everything in a data directory, a backup or a restore. No other package calls
// the functions of os that create or rename files; a linter enforces that.
//
// A process may also be killed between a name and its flush. The next one finds the name, and could rely on it
// until the power fails. So code that opens a directory of an earlier process calls Settle first.
package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// WriteFile replaces the file path by one with this content, whole or not at all.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	return Write(path, mode, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// Write replaces the file path by one that write fills, whole or not at all. If we stop inside it, the old
// file is still there, beside one that ends in ".new" and that the next Write replaces.
func Write(path string, mode fs.FileMode, write func(io.Writer) error) error {
	// One that was left may have a mode that lets nobody write to it.
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = giveAway(f)
	if err == nil {
		err = write(f)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(path+".new"))
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path+".new"))
	}
	return Rename(path+".new", path)
}

// OpenFile opens a file to read and write it, and makes it, with a durable name, where it is not there. Its bytes
// are the caller's to flush.
func OpenFile(path string, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	made := err == nil
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, os.O_RDWR, mode)
	}
	if err != nil {
		return nil, err
	}
	if made { // what was there is whose it is: behind a link it may be anybody's
		err = giveAway(f)
	}
	if err = errors.Join(err, SyncDir(filepath.Dir(path))); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// MkdirAll makes a directory and those above it that are missing, and flushes the name of each that it made. A
// directory that is there costs one look.
func MkdirAll(path string, mode fs.FileMode) error {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil: // let the system say what is wrong with it
		return os.Mkdir(path, mode)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(path)
	if err := MkdirAll(parent, mode); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := giveAwayDir(path); err != nil {
		return err
	}
	return SyncDir(parent)
}

// Settle makes a directory and those above it that are missing, as MkdirAll does, and flushes the names in it and in
// those above it on the same file system, because an earlier process may have been killed before it did.
func Settle(path string, mode fs.FileMode) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := MkdirAll(path, mode); err != nil {
		return err
	}
	if err := SyncDir(path); err != nil {
		return err
	}
	for above := filepath.Dir(path); above != path && sameDisk(above, path); path, above = above, filepath.Dir(above) {
		if err := SyncDir(above); err != nil {
			return unlessForeign(err)
		}
	}
	return nil
}

func sameDisk(a, b string) bool {
	var one, other unix.Stat_t
	return unix.Stat(a, &one) == nil && unix.Stat(b, &other) == nil && one.Dev == other.Dev
}

// unlessForeign forgives a directory that cannot be opened or flushed: it was not ours to make.
func unlessForeign(err error) error {
	for _, foreign := range []error{fs.ErrPermission, errors.ErrUnsupported, unix.EINVAL, unix.EROFS} {
		if errors.Is(err, foreign) {
			return nil
		}
	}
	return err
}

// Rename renames a file or directory within a directory, in place of what has that name. If we stop inside it,
// the one or the other name is there.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// Remove removes a file or an empty directory for good. One that is not there is removed already.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a directory durable.
func SyncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// SyncTree makes the names in a directory and in all those below it durable. It looks at every name, so it is for
// the end of what wrote them all.
func SyncTree(path string) error {
	return filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return SyncDir(path)
	})
}
