// Package bolt is the embedded engine of storage.Store: one bbolt file, owned by one process.
//
// bbolt makes one transaction durable at a time, for the price of two disk flushes. This package lets
// all the closures that wait at that moment share one such transaction, each undone alone when it fails
// (see commit.go). It is the only package that imports bbolt.
package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Version is the layout of the store that this package writes. A store with a higher one is refused.
const Version = 1

// The engine's own table. Its one key holds Version as a big-endian uint32.
const (
	metaTable  = storage.Table("storage")
	versionKey = "version"
)

// Config says how a store is opened. The zero value is right for production.
type Config struct {
	// MapBytes is the address space reserved for the file. A file that outgrows it is mapped anew, and
	// that waits for every View under way, so it is larger than the store will ever be: address space
	// is not memory. Default: 64 GiB, or 1 GiB where pointers have 32 bits.
	MapBytes int

	// OnCommit is told of each commit: how many closures it carried, and how long it took. It runs on
	// the writer's goroutine and must be quick. Default: nobody is told.
	OnCommit func(closures int, took time.Duration, err error)
}

// Store is an open bbolt file. It implements storage.Store.
type Store struct {
	db       *bbolt.DB
	onCommit func(int, time.Duration, error)

	queue   chan *request // closures that wait for the writer; unbuffered, so each sender still owns its own
	closing chan struct{} // closed by Close
	stopped chan struct{} // closed when the writer has returned
	close   sync.Once

	mu     sync.Mutex
	broken error // guarded by mu; why Updates are refused until the store is opened again
}

// Open opens the store in the file path, and makes it when it is not there. Errors: storage.ErrInUse,
// storage.ErrNewer, storage.ErrCorrupt, and those of the file system.
func Open(path string, c Config) (*Store, error) {
	db, err := openFile(path, c)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if err := guarded(func() error { return checkVersion(db) }); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), db.Close())
	}
	s := &Store{
		db: db, onCommit: c.OnCommit,
		queue: make(chan *request), closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	go s.writer()
	return s, nil
}

// openFile opens the bbolt file. A damaged one makes bbolt fault or panic, also here: guarded turns that
// into ErrCorrupt, and the file stays locked by this process, which has no further use for it.
func openFile(path string, c Config) (db *bbolt.DB, err error) {
	if err := create(path); err != nil {
		return nil, err
	}
	err = guarded(func() error {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         200 * time.Millisecond, // long enough for a process that is just ending
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: mapBytes(c.MapBytes),
			NoStatistics:    true,
		})
		return openError(err)
	})
	return db, err
}

// create makes an empty store where there is none, under another name first: if we stop before the
// rename, the next start finds no store and makes it again.
func create(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() < 4096 {
		return fmt.Errorf("%w: it has only %d bytes", storage.ErrCorrupt, info.Size())
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	db, err := bbolt.Open(path+".new", 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

func mapBytes(n int) int {
	switch {
	case n > 0:
		return n
	case strconv.IntSize == 32:
		return 1 << 30
	default:
		return 64 << 30
	}
}

// openError says in the contract's words why bbolt would not open a file.
func openError(err error) error {
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return storage.ErrInUse
	case err == nil, errors.As(err, new(*fs.PathError)), errors.As(err, new(syscall.Errno)):
		return err
	default: // bbolt did not find what it had written
		return fmt.Errorf("%w: %w", storage.ErrCorrupt, err)
	}
}

// checkVersion reads the store's version, or writes it into a store that was just made.
func checkVersion(db *bbolt.DB) error {
	if err := checkLength(db); err != nil {
		return err
	}
	return db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte(metaTable))
		if meta == nil {
			return writeVersion(tx)
		}
		found := meta.Get([]byte(versionKey))
		if len(found) != 4 {
			return fmt.Errorf("%w: it has no version", storage.ErrCorrupt)
		}
		if v := binary.BigEndian.Uint32(found); v > Version {
			return fmt.Errorf("%w: its layout is %d, and this program knows up to %d; "+
				"run the version that wrote it, or restore a backup", storage.ErrNewer, v, Version)
		}
		return nil
	})
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

// writeVersion marks a store as ours. If we stop before it, the next start finds an empty file and writes it.
func writeVersion(tx *bbolt.Tx) error {
	if name, _ := tx.Cursor().First(); name != nil {
		return fmt.Errorf("%w: it is not a store of this program", storage.ErrCorrupt)
	}
	meta, err := tx.CreateBucket([]byte(metaTable))
	if err != nil {
		return err
	}
	return meta.Put([]byte(versionKey), binary.BigEndian.AppendUint32(nil, Version))
}

// View implements storage.Store.
func (s *Store) View(ctx context.Context, fn func(storage.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// A page that the disk cannot read is a fault in mapped memory: let it be a panic, which the
	// reader's methods turn into ErrCorrupt, instead of the end of the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	tx, err := s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer tx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	return fn(&reader{tx: tx})
}

func closedError(err error) error {
	if errors.Is(err, berrors.ErrDatabaseNotOpen) {
		return storage.ErrClosed
	}
	return err
}

// Err returns nil while the store takes Updates, and otherwise why it does not.
func (s *Store) Err() error {
	select {
	case <-s.closing:
		return storage.ErrClosed
	default:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Size returns the length of the store's file in bytes.
func (s *Store) Size() (int64, error) {
	info, err := os.Stat(s.db.Path())
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Check reads the whole file and reports each inconsistency of its pages to bad. It holds a snapshot
// while it runs, so the file cannot reuse pages until it ends.
func (s *Store) Check(ctx context.Context, bad func(error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer tx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	for problem := range tx.Check() {
		bad(fmt.Errorf("%w: %w", storage.ErrCorrupt, problem))
	}
	return ctx.Err()
}

// Close implements storage.Store.
func (s *Store) Close() (err error) {
	s.close.Do(func() {
		close(s.closing)
		<-s.stopped
		err = s.db.Close() // waits for the Views under way
	})
	return err
}

// guarded runs fn, and turns a panic of bbolt or a fault in its mapped file into ErrCorrupt.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer corrupt(&err)
	return fn()
}

// corrupt is deferred around calls into bbolt, never around a caller's closure.
func corrupt(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", storage.ErrCorrupt, p)
	}
}
