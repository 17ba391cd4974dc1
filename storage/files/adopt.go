package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/sys/unix"
)

// Adopt implements storage.Adopter by a reflink: the upload shares the blocks of the file until one of both is written to, so whoever
// has the file may go on changing it. A hard link would be the same file: sealing it changes its mode there, and what is written
// there changes here.
func (d *Dir) Adopt(ctx context.Context, file *os.File) (storage.Readable, error) {
	if d.noReflinks.Load() || !sameDevice(d.path, file) {
		return nil, errors.ErrUnsupported
	}
	begun, err := d.Create(ctx)
	if err != nil {
		return nil, err
	}
	u := begun.(*upload)
	if err = u.clone(file); err == nil {
		return u, nil
	}
	if !errors.Is(err, storage.ErrFull) { // it has none, or none for such files: each try wastes a name
		d.noReflinks.Store(true)
		err = errors.Join(errors.ErrUnsupported, err)
	}
	return nil, errors.Join(err, u.Cancel())
}

// clone gives an empty upload the bytes of a file.
func (u *upload) clone(file *os.File) error {
	if err := unix.IoctlFileClone(int(u.file.Fd()), int(file.Fd())); err != nil {
		return storeError(fmt.Errorf("share the blocks of %s: %w", file.Name(), err))
	}
	end, err := u.file.Seek(0, io.SeekEnd)
	u.size = end
	return err
}

// sameDevice says whether a file is on the file system of a directory.
func sameDevice(dir string, file *os.File) bool {
	var ours, theirs unix.Stat_t
	return unix.Stat(dir, &ours) == nil && unix.Fstat(int(file.Fd()), &theirs) == nil && ours.Dev == theirs.Dev
}
