package files

import (
	"context"
	"io"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
)

// Recreate makes a directory of blobs with the id of another one, whose blobs are to be imported, or opens one
// that it made.
func Recreate(path, id string) (*Dir, error) {
	if _, err := create(path, id); err != nil {
		return nil, err
	}
	return Open(path, id)
}

// Import makes a sealed blob of what write writes, at the location that it had in another directory of the
// same id: a restore puts it where the store says that it is. It is there whole or not at all.
func (d *Dir) Import(_ context.Context, at storage.Location, write func(io.Writer) error) error {
	path, err := d.sealedPath(at)
	if err != nil {
		return err
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return storeError(durable.Write(path, modeSealed, write))
}
