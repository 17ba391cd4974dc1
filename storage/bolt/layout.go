package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/layout"
	"go.etcd.io/bbolt"
)

// Aside is where the file of a store is kept that had an older layout.
func Aside(path string, layout uint32) string {
	return path + ".layout" + strconv.FormatUint(uint64(layout), 10)
}

// migrate takes the store to the layout of this program, and keeps its file as it was beside it.
func (s *Store) migrate(c Config) error {
	path := s.db.Path()
	way := layout.Way{
		Store: s, Steps: c.Steps, Name: path, Say: c.Say,
		Keep: func(from uint32) (string, error) {
			aside := Aside(path, from)
			return aside, s.copyTo(aside)
		},
		GoBack: func(from uint32) string { return goBack(path, from) },
	}
	if c.ReadOnly {
		return way.Readable(context.Background())
	}
	return way.Go(context.Background())
}

// goBack says how to.
func goBack(path string, layout uint32) string {
	return fmt.Sprintf("To go back: stop hallmark, `mv %s %s`, and run the version that wrote it; what was pushed since then is lost.",
		Aside(path, layout), path)
}

// copyTo writes the store into a file, whole or not at all.
func (s *Store) copyTo(path string) error {
	return durable.Write(path, 0o600, func(w io.Writer) error { return s.Snapshot(context.Background(), w, nil) })
}

// checkLayout reads the store's layout, or writes it into a store that was just made. A store that has one is only
// read: a commit, also one that changes no row, would write over pages of a store that may be damaged.
func checkLayout(db *bbolt.DB, newest uint32) error {
	if err := checkLength(db); err != nil {
		return err
	}
	made := true
	err := db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(layout.Table))
		if made = meta != nil; !made {
			return nil
		}
		return knownLayout(db, meta.Get([]byte(layout.VersionKey)), newest)
	})
	if err != nil || made {
		return err
	}
	if db.IsReadOnly() {
		return fmt.Errorf("%w: it is empty", storage.ErrReadOnly)
	}
	return db.Update(func(tx *bbolt.Tx) error { return writeLayout(tx, newest) })
}

// knownLayout wants a layout that this program knows.
func knownLayout(db *bbolt.DB, found []byte, newest uint32) error {
	err := layout.Known(found, newest)
	if errors.Is(err, storage.ErrNewer) {
		return fmt.Errorf("%w; %s", err, older(db.Path(), newest))
	}
	return err
}

// older says what can be done by who has a program that is older than the store.
func older(path string, newest uint32) string {
	for layout := newest; layout > 0; layout-- {
		if _, err := os.Stat(Aside(path, layout)); err == nil {
			return "run the version that wrote it, or go back to the store as it was before: " + goBack(path, layout)
		} else if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return "run the version that wrote it, or restore a backup"
}

// checkLength refuses a file that lost its end: bbolt would fault on a page that is not there.
func checkLength(db *bbolt.DB) error {
	info, err := os.Stat(db.Path())
	if err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return fmt.Errorf("%w: it has %d bytes and needs %d", storage.ErrCorrupt, info.Size(), tx.Size())
		}
		return nil
	})
}

// writeLayout marks a store as ours. If we stop before it, the next start finds an empty file and writes it.
func writeLayout(tx *bbolt.Tx, newest uint32) error {
	if name, _ := tx.Cursor().First(); name != nil {
		return fmt.Errorf("%w: it is not a store of this program", storage.ErrCorrupt)
	}
	meta, err := tx.CreateBucket([]byte(layout.Table))
	if err != nil {
		return err
	}
	return meta.Put([]byte(layout.VersionKey), layout.Number(newest))
}

// create makes an empty store where there is none, under another name first: if we stop before the
// rename, the next start finds no store and makes it again.
func create(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() < 4096 {
		return fmt.Errorf("%w: it has only %d bytes", storage.ErrCorrupt, info.Size())
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.Remove(path + ".new"); err != nil { // half of one, that bbolt would refuse
		return err
	}
	db, err := bbolt.Open(path+".new", 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	return durable.Rename(path+".new", path)
}
