package datadir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// A Target is where the blobs of a directory are to be.
type Target interface {
	storage.Blobs
	// Import makes a sealed blob of what write writes, at the location that it has where the blobs are. It is there whole or not at all.
	Import(ctx context.Context, at storage.Location, write func(io.Writer) error) error
}

// OpenToMove opens a data directory whose blobs are to be moved: nobody else has it open. Errors are those of Open.
func OpenToMove(path string, o Options) (*Dir, error) { return openRows(path, ToChange, o) }

// Source opens the blobs where they are. Nothing of them changes.
func (d *Dir) Source(ctx context.Context, o Options) (err error) {
	reader := &Dir{Path: d.Path, Mode: ToRead, Store: d.Store}
	d.Blobs, err = reader.openBlobs(ctx, o)
	return ownerHint(d.Path, err)
}

// blobsID is the id that the blobs have wherever they are: a move takes it along, so that they can come back to where they were.
func (d *Dir) blobsID(ctx context.Context) (id string, err error) {
	id, err = d.Setting(ctx, settingBlobs)
	return strings.TrimPrefix(id, remoteBlobs), err
}

// Target opens where the blobs are to be: an object store, or nil for the directory. Nothing serves them from there before Use.
// Error: storage.ErrCorrupt, where the blobs of another registry are there.
func (d *Dir) Target(ctx context.Context, to *s3.Config, o Options) (Target, error) {
	id, err := d.blobsID(ctx)
	if err != nil {
		return nil, err
	}
	if to == nil {
		return d.targetFiles(id)
	}
	// If we stop behind it, the prefix is this registry's, and the next move goes on with it.
	if err := s3.Claim(ctx, *to, id); err != nil {
		return nil, err
	}
	return s3.Open(ctx, *to, id, s3.Options{Rows: d.Rows(), Free: d.freeRows, Log: o.Log})
}

// Holds says whether a blob is there with its length.
func Holds(ctx context.Context, t Target, at storage.Location, size int64) (bool, error) {
	f, err := t.Open(ctx, at)
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return f.Size() == size, f.Close()
}

// targetFiles makes the directory of the blobs, or opens the one that they were in before.
func (d *Dir) targetFiles(id string) (Target, error) {
	entries, err := os.ReadDir(d.File(BlobsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, err = os.Stat(filepath.Join(d.File(BlobsDir), "id"))
	if errors.Is(err, fs.ErrNotExist) && len(entries) > 0 && !isBegun(entries) {
		return nil, fmt.Errorf("%s is not empty, and holds no blobs of a registry: move away what is in it", d.File(BlobsDir))
	}
	if err == nil {
		return files.Open(d.File(BlobsDir), id)
	}
	return files.Recreate(d.File(BlobsDir), id)
}

// isBegun says that a directory has nothing but what is made before its id.
func isBegun(entries []fs.DirEntry) bool {
	return !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() != "files" && e.Name() != "id.new" })
}

// Use has the blobs be in the target from here on. If we stop before, they are where they were; behind it, the configuration has to
// name the target.
func (d *Dir) Use(ctx context.Context, to *s3.Config) error {
	id, err := d.blobsID(ctx)
	if err != nil {
		return err
	}
	if to != nil {
		id = remoteBlobs + id
	}
	return d.Set(ctx, settingBlobs, id)
}
