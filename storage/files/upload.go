package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
)

// Create implements storage.Blobs.
func (d *Dir) Create(_ context.Context, id string) (storage.Upload, error) {
	return d.openUpload(id, os.O_CREATE|os.O_EXCL)
}

// Resume implements storage.Blobs.
func (d *Dir) Resume(_ context.Context, id string) (storage.Upload, error) {
	return d.openUpload(id, 0)
}

func (d *Dir) openUpload(id string, flag int) (storage.Upload, error) {
	if !validName(id, 1) {
		return nil, fmt.Errorf("upload %q: %w", id, storage.ErrNotFound)
	}
	if !d.acquire(id) {
		return nil, fmt.Errorf("upload %s: %w", id, storage.ErrBusy)
	}
	f, err := os.OpenFile(d.uploadPath(id), os.O_RDWR|flag, 0o600)
	if err != nil {
		d.release(id)
		return nil, storeError(notFound(err))
	}
	// The end of the file is how far the upload came. After a power loss that may be less than was
	// acknowledged, and a client that asks is told so.
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		d.release(id)
		return nil, errors.Join(err, f.Close())
	}
	return &upload{dir: d, id: id, file: f, size: size}, nil
}

func (d *Dir) acquire(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open[id] {
		return false
	}
	d.open[id] = true
	return true
}

func (d *Dir) release(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, id)
}

func (d *Dir) uploadPath(id string) string { return filepath.Join(d.path, uploadsDir, id) }

// Stat implements storage.Blobs.
func (d *Dir) Stat(_ context.Context, id string) (storage.UploadInfo, error) {
	if !validName(id, 1) {
		return storage.UploadInfo{}, fmt.Errorf("upload %q: %w", id, storage.ErrNotFound)
	}
	info, err := os.Stat(d.uploadPath(id))
	if err != nil {
		return storage.UploadInfo{}, notFound(err)
	}
	return uploadInfo(info), nil
}

func uploadInfo(info fs.FileInfo) storage.UploadInfo {
	return storage.UploadInfo{ID: info.Name(), Size: info.Size(), Modified: info.ModTime()}
}

// Uploads implements storage.Blobs.
func (d *Dir) Uploads(ctx context.Context) iter.Seq2[storage.UploadInfo, error] {
	return func(yield func(storage.UploadInfo, error) bool) {
		for info, err := range entries(ctx, filepath.Join(d.path, uploadsDir)) {
			if err != nil {
				yield(storage.UploadInfo{}, err)
				return
			}
			if !yield(uploadInfo(info), nil) {
				return
			}
		}
	}
}

// upload is an open upload. One goroutine uses it at a time.
type upload struct {
	dir  *Dir
	id   string
	file *os.File // nil once it has ended
	size int64
}

// Write implements storage.Upload.
func (u *upload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	u.size += int64(n)
	return n, storeError(err)
}

// ReadAt implements storage.Upload.
func (u *upload) ReadAt(p []byte, at int64) (int, error) { return u.file.ReadAt(p, at) }

// Size implements storage.Upload.
func (u *upload) Size() int64 { return u.size }

// Seal implements storage.Upload.
func (u *upload) Seal(_ context.Context, label string) (storage.Location, error) {
	if !validName(label, 3) {
		return "", errors.Join(fmt.Errorf("label %q is not one", label), u.Cancel())
	}
	at := u.dir.newLocation(label)
	path := filepath.Join(u.dir.shelf(label), string(at))
	if err := u.move(path); err != nil {
		return "", errors.Join(storeError(err), u.Cancel())
	}
	// The name is given first, so that bytes and name are flushed at the same time: each is a wait for the
	// disk. If we stop here, the file may be short or empty, and no record names it.
	named := make(chan error, 1)
	go func() { named <- durable.SyncDir(filepath.Dir(path)) }()
	err := errors.Join(u.file.Sync(), <-named, u.Close())
	if err != nil {
		return "", errors.Join(storeError(err), os.Remove(path))
	}
	return at, nil
}

// move renames the upload to path, and makes the directory when path is the first name in it.
func (u *upload) move(path string) error {
	err := os.Rename(u.dir.uploadPath(u.id), path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := durable.SyncDir(filepath.Join(u.dir.path, sealedDir)); err != nil {
		return err
	}
	return os.Rename(u.dir.uploadPath(u.id), path)
}

// Cancel implements storage.Upload.
func (u *upload) Cancel() error {
	if u.file == nil {
		return nil
	}
	err := os.Remove(u.dir.uploadPath(u.id))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, u.Close())
}

// Close implements storage.Upload.
func (u *upload) Close() error {
	if u.file == nil {
		return nil
	}
	err := u.file.Close()
	u.file = nil
	u.dir.release(u.id)
	return err
}

// storeError gives a full disk the contract's name.
func storeError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	}
	return err
}
