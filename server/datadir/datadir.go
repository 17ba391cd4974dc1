// Package datadir is the directory that holds everything a registry knows: its store, its blobs, its keys and certificates,
// and the socket of the server that runs on it.
//
// It knows where things are, upgrades a directory of an older version, and says who owns a directory that it cannot
// open. The content of the store belongs to the rooms.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// What is in a data directory.
const (
	StoreFile    = "hallmark.db"
	BlobsDir     = "blobs"
	CertsDir     = "certs"
	KeysDir      = "keys"
	SocketFile   = "hallmark.sock"
	PasswordFile = "admin-password"
)

// SettingsTable keeps what belongs to the data directory as a whole, under the names below.
const SettingsTable = storage.Table("hallmark/settings")

// The settings.
const (
	settingBlobs = "blobs" // the id of the blobs directory
	SettingURL   = "url"   // the public URL, as it was last given
	// SettingBackup is when the last backup was finished that asked us, as RFC 3339.
	SettingBackup = "backup"
	SettingAdmin  = "admin" // there once the first administrator was made
)

// Dir is an open data directory. One process has it open at a time.
type Dir struct {
	Path  string // absolute
	Store Store
	Blobs Blobs
	Mode  Mode

	locked  *os.File      // ProcessFile; nil where the store is in the directory, or is only read
	name    string        // of the process, where the store is in a database
	several bool          // it is open several times
	wrapped storage.Store // Store behind Options.Wrap, joining; nil before it is open
}

// Blobs are those of a registry: in the directory, or in an object store.
type Blobs interface {
	storage.Blobs
	// Here returns nil while what keeps the blobs answers, and is what was opened.
	Here() error
}

// Rows is the store as the rooms see it.
func (d *Dir) Rows() storage.Store {
	if d.wrapped != nil {
		return d.wrapped
	}
	return d.Store
}

// Mode is what a data directory is opened for.
type Mode int

// The modes, each of which may do what those before it may.
const (
	ToRead   Mode = iota // nothing in it changes
	ToChange             // an older one is brought up to date, which Options.Say is told
	ToServe              // and it is made where there is none
)

// Options are how a store is opened.
type Options struct {
	// OnCommit is told of each transaction; nil is nobody.
	OnCommit func(changes int, took time.Duration, err error)
	// Say is told what is done to a store of an older version, as sentences; nil is nobody.
	Say func(sentence string)
	// Wrap puts something between the rooms and the store, as a test does that counts what they read; nil is nothing.
	Wrap func(storage.Store) storage.Store
	// S3 says where the object store of the blobs is, or returns nil where they are in the directory; nil is as well.
	S3 func() (*s3.Config, error)
	// Database is the URL of the database that the store is in, or "" where it is in the directory.
	Database string
	// Log is told of what goes on in the background; nil is nobody.
	Log *slog.Logger

	admit func(storage.Reader) error // which database is opened; nil is one that is a registry's store, or empty
}

// wrap is a store as the rooms see it.
func (o Options) wrap(s storage.Store) storage.Store {
	if o.Wrap != nil {
		s = o.Wrap(s)
	}
	return storage.Joining(s)
}

// ErrNone says that a directory holds no registry.
var ErrNone = errors.New("there is no registry in it")

// Open opens a data directory. Errors: ErrNone, storage.ErrInUse, and, of one that is only read, storage.ErrOlder
// and storage.ErrReadOnly: it is of an older version, or its first start did not come to its end.
func Open(ctx context.Context, path string, mode Mode, o Options) (*Dir, error) {
	d, err := openRows(path, mode, o)
	if err != nil {
		return nil, err
	}
	if d.Blobs, err = d.openBlobs(ctx, o); err != nil {
		return nil, errors.Join(ownerHint(d.Path, err), d.Close())
	}
	return d, nil
}

// openRows opens a data directory without its blobs.
func openRows(path string, mode Mode, o Options) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d := &Dir{Path: path, Mode: mode}
	if mode != ToServe && !d.isThere() {
		return nil, fmt.Errorf("data directory %s: %w", path, ErrNone)
	}
	if mode != ToRead {
		if err := durable.Settle(path, 0o700); err != nil {
			return nil, ownerHint(path, err)
		}
	}
	if err := d.keepOut(); err != nil {
		return nil, ownerHint(path, err)
	}
	err = d.openStore(o)
	if errors.Is(err, storage.ErrInUse) && o.Database == "" {
		return nil, fmt.Errorf("data directory %s is %w: another hallmark runs on it", path, err)
	}
	if err != nil {
		return nil, ownerHint(path, err)
	}
	d.wrapped = o.wrap(d.Store)
	return d, nil
}

// OpenStore opens the store in a file, which has the usual name only once its directory is whole.
func OpenStore(path string, mode Mode, o Options) (*bolt.Store, error) {
	return bolt.Open(path, bolt.Config{OnCommit: o.OnCommit, ReadOnly: mode == ToRead, Steps: Layouts, Say: o.say})
}

func (o Options) say(sentence string) {
	if o.Say != nil {
		o.Say(sentence)
	}
}

// openBlobs opens the blobs that belong to the store, wherever they are.
func (d *Dir) openBlobs(ctx context.Context, o Options) (Blobs, error) {
	id, err := d.Setting(ctx, settingBlobs)
	if err != nil {
		return nil, err
	}
	remote, err := o.remote()
	if err != nil {
		return nil, err
	}
	switch {
	case remote != nil:
		return d.openRemote(ctx, *remote, id, o.Log)
	case isRemote(id):
		return nil, errors.New("this registry's blobs are in an object store, and the configuration names none: set blobs.s3 again, or take them into the directory with `hallmark move`")
	}
	return d.openFiles(ctx, id)
}

// openFiles opens the blobs in the directory. If we stop before their id is kept, the next start takes the directory that is
// there.
func (d *Dir) openFiles(ctx context.Context, id string) (Blobs, error) {
	if d.Mode == ToRead {
		return files.OpenReadOnly(d.File(BlobsDir), id)
	}
	blobs, err := files.Open(d.File(BlobsDir), id)
	if err != nil || id != "" {
		return blobs, err
	}
	return blobs, d.Set(ctx, settingBlobs, blobs.ID())
}

// Again opens the directory once more, as one of several servers in this process see it, for tests: over the same store, with Wrap of
// its own, and with blobs of its own where they are in an object store. Files are one process's, so their directory is the same. It is not closed.
func (d *Dir) Again(ctx context.Context, o Options) (*Dir, error) {
	again := &Dir{Path: d.Path, Store: d.Store, Mode: d.Mode, Blobs: d.Blobs, wrapped: o.wrap(d.Store), several: true}
	if _, inFiles := d.Blobs.(*files.Dir); inFiles {
		return again, nil
	}
	var err error
	again.Blobs, err = again.openBlobs(ctx, o)
	return again, err
}

// File is the path of what has a name in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.Path, name) }

// Setting returns a setting, or "".
func (d *Dir) Setting(ctx context.Context, name string) (value string, err error) {
	err = d.Rows().View(ctx, func(tx storage.Reader) error {
		v, err := tx.Get(SettingsTable, []byte(name))
		value = string(v)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	})
	return value, err
}

// Set keeps a setting, durably.
func (d *Dir) Set(ctx context.Context, name, value string) error {
	return d.Rows().Update(ctx, func(tx storage.Tx) error {
		tx.Put(SettingsTable, []byte(name), []byte(value))
		return nil
	})
}

// Close closes the store.
func (d *Dir) Close() error { return errors.Join(d.Store.Close(), d.unlock()) }

// isThere says whether the directory is a registry's.
func (d *Dir) isThere() bool {
	for _, name := range []string{StoreFile, ProcessFile} {
		if there, err := d.has(name); there || err != nil { // what cannot be looked at says so when it is opened
			return true
		}
	}
	return false
}

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
