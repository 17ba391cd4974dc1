package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
	"golang.org/x/sys/unix"
)

// Create implements storage.Blobs.
func (d *Dir) Create(context.Context) (storage.Upload, error) {
	p, f, err := d.take()
	if err != nil {
		return nil, storeError(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uploads[p] = true
	return &upload{dir: d, place: p, file: f}, nil
}

// Resume implements storage.Blobs.
func (d *Dir) Resume(ctx context.Context, id string) (storage.Upload, error) {
	p, ok := place.Parse(id, ".")
	if !ok {
		return nil, place.NoUpload(id)
	}
	if err := d.acquire(p); err != nil {
		return nil, err
	}
	// The size of the file is how far the upload came. After a power loss that may be less than was
	// acknowledged, and a client that asks is told so.
	info, err := d.Stat(ctx, id)
	if err != nil {
		d.forget(p)
		return nil, err
	}
	f, err := openRegular(d.file(p), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		d.release(p)
		return nil, storeError(err)
	}
	return &upload{dir: d, place: p, file: f, size: info.Size}, nil
}

// acquire makes the caller the only writer of an upload, which may be of an earlier process, or not be there.
// Error: storage.ErrBusy.
func (d *Dir) acquire(p place.Place) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.uploads[p] {
		return fmt.Errorf("upload %s: %w", p, storage.ErrBusy)
	}
	d.uploads[p] = true
	if p.Run != d.run {
		d.resumed.Add(p)
	}
	return nil
}

// release leaves an upload to the next writer.
func (d *Dir) release(p place.Place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uploads[p] = false
}

// forget ends an upload.
func (d *Dir) forget(p place.Place) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.uploads, p)
}

// Stat implements storage.Blobs.
func (d *Dir) Stat(_ context.Context, id string) (storage.UploadInfo, error) {
	p, ok := place.Parse(id, ".")
	if !ok {
		return storage.UploadInfo{}, place.NoUpload(id)
	}
	var info unix.Stat_t
	if err := unix.Stat(d.file(p), &info); err != nil {
		return storage.UploadInfo{}, notFound(err)
	}
	if mode := fs.FileMode(info.Mode); isSealed(mode) || isUnused(mode) {
		return storage.UploadInfo{}, place.NoUpload(id)
	}
	// It was made some time before it came to be an upload, which changed its mode.
	return storage.UploadInfo{ID: id, Size: info.Size, Modified: time.Unix(info.Ctim.Unix())}, nil
}

// Uploads implements storage.Blobs.
func (d *Dir) Uploads(ctx context.Context) iter.Seq2[storage.UploadInfo, error] {
	return func(yield func(storage.UploadInfo, error) bool) {
		d.mu.Lock()
		known := slices.Collect(maps.Keys(d.uploads))
		d.mu.Unlock()
		for _, p := range known {
			info, err := d.Stat(ctx, p.String())
			if errors.Is(err, storage.ErrNotFound) {
				continue // it has ended meanwhile
			}
			if !yield(info, errors.Join(err, ctx.Err())) {
				return
			}
		}
	}
}

// upload is an open upload. One goroutine uses it at a time.
type upload struct {
	dir   *Dir
	place place.Place
	file  *os.File // nil once it has ended
	size  int64
}

// ID implements storage.Upload.
func (u *upload) ID() string { return u.place.String() }

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

// Seal implements storage.Upload. The bytes and what says that they are sealed are flushed together; the name
// was made durable before. If we stop within it, the file is an upload, or a blob that nothing names.
func (u *upload) Seal(_ context.Context, label string) (storage.Location, error) {
	if !place.ValidLabel(label) {
		return "", errors.Join(fmt.Errorf("label %.100q is not one", label), u.Cancel())
	}
	if err := errors.Join(u.file.Chmod(modeSealed), u.file.Sync(), u.end()); err != nil {
		return "", errors.Join(storeError(err), u.dir.unlink(u.place))
	}
	return storage.Location(label + "." + u.place.String()), nil
}

// Cancel implements storage.Upload.
func (u *upload) Cancel() error {
	if u.file == nil {
		return nil
	}
	return errors.Join(u.dir.unlink(u.place), u.end())
}

// end closes an upload that is none any longer.
func (u *upload) end() error {
	err := u.file.Close()
	u.file = nil
	u.dir.forget(u.place)
	return err
}

// Close implements storage.Upload.
func (u *upload) Close() error {
	if u.file == nil {
		return nil
	}
	err := u.file.Close()
	u.file = nil
	u.dir.release(u.place)
	return err
}

// storeError gives a full disk the contract's name.
func storeError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	}
	return err
}
