package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/files"
)

// What is in a data directory.
const (
	storeFile    = "hallmark.db"
	blobsDir     = "blobs"
	certsDir     = "certs"
	keysDir      = "keys"
	socketFile   = "hallmark.sock"
	passwordFile = "admin-password"
)

// settingsTable keeps what belongs to the data directory as a whole, under the names below.
const settingsTable = storage.Table("hallmark/settings")

const (
	blobsSetting = "blobs" // the id of the blobs directory
	urlSetting   = "url"   // the public URL, as it was last given
	adminSetting = "admin" // there once the first administrator was made
)

// data is an open data directory. One process has it open at a time.
type data struct {
	path  string
	store *bolt.Store
	blobs *files.Dir
	isNew bool
	how   opening
}

// opening is what a data directory is opened for.
type opening int

const (
	toRead   opening = iota // nothing in it changes
	toChange                // an older one is brought up to date, which is said on standard error
	toServe                 // and it is made where there is none
)

// errNoData says that a directory holds no registry.
var errNoData = errors.New("there is no registry in it")

// openData opens a data directory. Errors: errNoData, storage.ErrInUse, and, of one that is only read, storage.ErrOlder
// and storage.ErrReadOnly: it is of an older version, or its first start did not come to its end.
func (e *env) openData(ctx context.Context, path string, how opening, onCommit func(int, time.Duration, error)) (*data, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &data{path: path, how: how}
	if _, err := os.Stat(d.file(storeFile)); errors.Is(err, fs.ErrNotExist) {
		if how != toServe {
			return nil, fmt.Errorf("data directory %s: %w", path, errNoData)
		}
		d.isNew = true
	}
	if how != toRead {
		if err := durable.Settle(path, 0o700); err != nil {
			return nil, ownerHint(path, err)
		}
	}
	d.store, err = e.openStore(d.file(storeFile), how, onCommit)
	if errors.Is(err, storage.ErrInUse) {
		return nil, fmt.Errorf("data directory %s is %w: another hallmark runs on it", path, err)
	}
	if err != nil {
		return nil, ownerHint(path, err)
	}
	if d.blobs, err = d.openBlobs(ctx); err != nil {
		return nil, errors.Join(ownerHint(path, err), d.store.Close())
	}
	return d, nil
}

// layoutSteps take a store of an older version to what the rooms of this one keep. A step is never changed or
// removed once it was released.
var layoutSteps = []bolt.Step{
	{Does: "index images by what is said of them and by their layers", Run: func(store storage.Store) error {
		ctx := context.Background()
		return errors.Join(provenance.Reindex(ctx, store), registry.IndexLayers(ctx, store))
	}},
	{Does: "pack the records", Run: func(store storage.Store) error { return provenance.Pack(context.Background(), store) }},
	{Does: "note that all records can be found", Run: func(store storage.Store) error { return provenance.MarkIndexed(context.Background(), store) }},
	{Does: "keep new blobs in files that are named ahead; those that are there stay where they are", Run: func(storage.Store) error { return nil }},
	{Does: "note everything that images refer to, so that it stays as long as they do", Run: func(store storage.Store) error {
		return registry.CompleteReferences(context.Background(), store)
	}},
	{Does: "note from where on each record names the one before it", Run: func(store storage.Store) error {
		return provenance.MarkChained(context.Background(), store)
	}},
	// An older version would leave such rows behind when it deletes an image. The server adds those of images that are there.
	{Does: "let images be found by the diff ids of their layers, too", Run: func(storage.Store) error { return nil }},
	{Does: "index images by one spelling of what they were built from", Run: func(store storage.Store) error {
		return provenance.Reindex(context.Background(), store)
	}},
}

func (e *env) openStore(path string, how opening, onCommit func(int, time.Duration, error)) (*bolt.Store, error) {
	return bolt.Open(path, bolt.Config{
		OnCommit: onCommit,
		ReadOnly: how == toRead,
		Steps:    layoutSteps,
		Say:      func(sentence string) { fmt.Fprintln(e.stderr, "hallmark:", sentence) },
	})
}

// openBlobs opens the blobs that belong to the store. If we stop before their id is kept, the next start
// takes the directory that is there.
func (d *data) openBlobs(ctx context.Context) (*files.Dir, error) {
	id, err := d.setting(ctx, blobsSetting)
	if err != nil {
		return nil, err
	}
	if d.how == toRead {
		return files.OpenReadOnly(d.file(blobsDir), id)
	}
	blobs, err := files.Open(d.file(blobsDir), id)
	if err != nil || id != "" {
		return blobs, err
	}
	return blobs, d.set(ctx, blobsSetting, blobs.ID())
}

func (d *data) file(name string) string { return filepath.Join(d.path, name) }

// setting returns a setting, or "".
func (d *data) setting(ctx context.Context, name string) (value string, err error) {
	err = d.store.View(ctx, func(tx storage.Reader) error {
		v, err := tx.Get(settingsTable, []byte(name))
		value = string(v)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	})
	return value, err
}

func (d *data) set(ctx context.Context, name, value string) error {
	return d.store.Update(ctx, func(tx storage.Tx) error {
		tx.Put(settingsTable, []byte(name), []byte(value))
		return nil
	})
}

func (d *data) close() error { return d.store.Close() }

// ownerHint explains a refusal of the file system: most often the directory is another user's, as a
// volume is that was made by root.
func ownerHint(path string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	uid := os.Geteuid()
	for dir := path; ; dir = filepath.Dir(dir) {
		info, statErr := os.Stat(dir)
		if statErr != nil && dir != filepath.Dir(dir) {
			continue
		}
		if stat, ok := info.Sys().(*syscall.Stat_t); statErr == nil && ok && int(stat.Uid) != uid {
			return fmt.Errorf("%w: %s belongs to uid %d, and hallmark runs as uid %d. Either give it the directory: chown -R %d:%d %s. Or run it as uid %d",
				err, dir, stat.Uid, uid, uid, os.Getegid(), dir, stat.Uid)
		}
		return err
	}
}
