package datadir

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"github.com/seed-260924e6/hallmark/storage/transfer"
)

// Snapshot writes the store as it is at this moment, as the file of one in a directory, wherever it is, and lets also read the same state.
func (d *Dir) Snapshot(ctx context.Context, w io.Writer, also func(storage.Reader) error) error {
	switch s := d.Store.(type) {
	case *bolt.Store:
		return s.Snapshot(ctx, w, also)
	case *postgres.Store:
		return s.Snapshot(ctx, func(tx storage.Reader) error {
			if err := d.copyInto(ctx, w, tx); err != nil {
				return err
			}
			return also(tx)
		})
	}
	return errors.ErrUnsupported
}

// copyInto makes a file of all rows. It loses its name as soon as it is open: if we stop behind that, nothing is left.
func (d *Dir) copyInto(ctx context.Context, w io.Writer, tx storage.Reader) (err error) {
	dir, err := os.MkdirTemp(d.Path, ".snapshot-")
	if err != nil {
		return err
	}
	file, err := OpenStore(filepath.Join(dir, StoreFile), ToServe, Options{})
	if err = errors.Join(err, os.RemoveAll(dir)); file == nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err != nil {
		return err
	}
	t := &transfer.Transfer{From: moment{tx}, To: file, Leave: []storage.Table{MoveTable}}
	if _, err := t.Run(ctx); err != nil {
		return err
	}
	return file.Snapshot(ctx, w, nil)
}

// moment is a store that stands still.
type moment struct{ storage.Reader }

// View implements storage.Store.
func (m moment) View(ctx context.Context, fn func(storage.Reader) error) error {
	return errors.Join(ctx.Err(), fn(m.Reader))
}

// Update implements storage.Store.
func (moment) Update(context.Context, func(storage.Tx) error) error { return storage.ErrReadOnly }

// Close implements storage.Store.
func (moment) Close() error { return nil }
