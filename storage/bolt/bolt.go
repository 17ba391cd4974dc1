// Package bolt is the embedded engine of storage.Store: one bbolt file, owned by one process.
//
// bbolt makes one transaction durable at a time, at the cost of two disk flushes. This package lets
// all closures that wait at that moment share one such transaction; a closure that fails is undone alone
// (see commit.go). It is the only package that imports bbolt.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/group"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Config says how a store is opened. The zero value is right for production.
type Config struct {
	// MapBytes is the address space reserved for the file. A file that outgrows it is mapped anew, and
	// that waits for every View under way, so it is larger than the store will ever be: address space
	// is not memory. Default: 64 GiB, or 1 GiB where pointers have 32 bits.
	MapBytes int

	// Steps take an older store to the layout of this program: the first from layout 1 to 2, the next to 3,
	// and so on. A store with a layout beyond the last is refused. Default: there is layout 1 alone.
	Steps []storage.Step

	// ReadOnly opens a store that is there, and changes not a byte of it: Updates are refused, and a store of another
	// layout is. Others may have it open for reading at the same time. Default: for reading and writing.
	ReadOnly bool
	// Say is told, in sentences for people, of a change of the store's layout. Default: nobody is told.
	Say func(sentence string)

	// OnCommit is told of each commit: how many closures it carried, and how long it took. It runs on
	// the writer's goroutine and must be quick. Default: nobody is told.
	OnCommit func(closures int, took time.Duration, err error)
}

// layout is the layout that this program writes.
func (c Config) layout() uint32 { return uint32(len(c.Steps)) + 1 }

// Store is an open bbolt file. It implements storage.Store.
type Store struct {
	db       *bbolt.DB
	readOnly bool
	onCommit func(int, time.Duration, error)

	queue   *group.Queue  // closures that wait for the writer
	closing chan struct{} // closed by Close
	stopped chan struct{} // closed when the writer has returned
	close   sync.Once

	mu     sync.Mutex
	broken error // guarded by mu; why Updates are refused until the store is opened again
}

// Open opens the store in the file path, and makes it when it is not there. Errors: storage.ErrInUse,
// storage.ErrNewer, storage.ErrCorrupt, those of the file system, and storage.ErrOlder where it is only read.
func Open(path string, c Config) (*Store, error) {
	db, err := openFile(path, c)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	if err := guarded(func() error { return checkLayout(db, c.layout()) }); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), db.Close())
	}
	s := &Store{
		db: db, readOnly: c.ReadOnly, onCommit: c.OnCommit,
		closing: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.queue = group.NewQueue(s.closing)
	go s.writer()
	if err := s.migrate(c); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), s.Close())
	}
	return s, nil
}

// openFile opens the bbolt file. A damaged one makes bbolt fault or panic, also here: guarded turns that
// into ErrCorrupt, and the file stays locked by this process, which has no further use for it.
func openFile(path string, c Config) (db *bbolt.DB, err error) {
	if !c.ReadOnly {
		if err := create(path); err != nil {
			return nil, err
		}
	}
	err = guarded(func() error {
		db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:         200 * time.Millisecond, // long enough for a process that is just ending
			FreelistType:    bbolt.FreelistMapType,
			InitialMmapSize: mapBytes(c.MapBytes),
			NoStatistics:    true,
			ReadOnly:        c.ReadOnly,
		})
		return openError(err)
	})
	return db, err
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

// Stalled returns for how long no Update was answered of those that wait; 0 where none does.
func (s *Store) Stalled() time.Duration { return s.queue.Stalled() }

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

// Snapshot writes the store as it is at this moment, as a file that Open opens, and lets also read the same
// state, unless it is nil. Updates go on meanwhile, and the pages that they free are not used again before it
// ends, so w should be fast: a file, not a network.
func (s *Store) Snapshot(ctx context.Context, w io.Writer, also func(storage.Reader) error) error {
	tx, err := s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer tx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	if _, err := tx.WriteTo(&contextWriter{ctx, w}); err != nil || also == nil {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return also(&reader{tx: tx})
}

// contextWriter ends with its context.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w *contextWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
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
