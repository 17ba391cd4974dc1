package s3

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/place"
)

// Import makes a sealed blob of what write writes, at the location that it had in another engine, and instead of what was there.
// Its object has a name of its own: an import that broke off has written to another one. It is there whole or not at all: if we
// stop before its row is there, an upload is left, which DropUploads or a sweep drops.
func (s *Store) Import(ctx context.Context, at storage.Location, write func(io.Writer) error) error {
	p, ok := place.OfLocation(at)
	if !ok {
		return fmt.Errorf("location %q: %w", at, storage.ErrNotFound)
	}
	up, err := s.Create(ctx)
	if err != nil {
		return err
	}
	if err := write(up); err != nil {
		return errors.Join(err, up.Cancel())
	}
	u := up.(*upload)
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sealAs(ctx, p, func(tx storage.Tx) { dropObject(tx, p) })
}

// dropObject has the object of a place removed, where it has one.
func dropObject(tx storage.Tx, p place.Place) {
	var o object
	if getRow(tx, objectTable, p, &o) == nil { // a row that cannot be read names nothing
		putGone(tx, settled(), goneRow{Place: o.place(p).String(), Epoch: o.Epoch, Size: o.Size})
	}
}

// DropUploads drops all uploads: those of an import that broke off, where no client has any.
func (s *Store) DropUploads(ctx context.Context) error {
	for info, err := range s.Uploads(ctx) {
		if err != nil {
			return err
		}
		u, err := s.Resume(ctx, info.ID)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err == nil {
			err = u.Cancel()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
