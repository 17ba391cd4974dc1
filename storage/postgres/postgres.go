// Package postgres is the engine of storage.Store that keeps its tables in a PostgreSQL database, version 15 or later.
//
// All rows are in one table of the database. A View is a transaction that is REPEATABLE READ; an Update shares one transaction
// with all others that wait at that moment, as in the embedded engine (see commit.go). Reads whose rows are named ahead cost one round trip
// together, and one that nobody named costs one of its own.
//
// One process at a time works on a store. It holds a lease that the database's clock measures (see lease.go); each transaction, also one
// that only reads, looks at it, so that a process that was thought dead neither writes nor answers from what it remembers.
//
// It is the only package that imports pgx.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/group"
)

// The errors of this engine.
var (
	// ErrAway: the database does not answer, or refuses to. Nothing happened, and the same call may succeed later.
	ErrAway = fault.New(fault.Away, "the database does not do what it is asked").
		Telling("the registry's database does not answer: try again in a moment")
	// ErrRewound: the database does not have what it said it had made durable. An older copy was put back, or another server took over
	// that had not got everything.
	ErrRewound = fault.New(fault.Stopped, "the database has lost what it had said it kept: it is an older copy, or another server took over that had not got everything").
			Telling("the registry's database is an older copy of itself, so the registry takes no changes until its operator acts")
	// ErrTakenOver: another process took the store over.
	ErrTakenOver = fault.New(fault.Closing, "another process has taken the store over").
			Telling("another process has taken the registry over: ask again")
)

// Config says which database a store is in.
type Config struct {
	// URL is that of the database, postgres://user@host:port/database, with the parameters that libpq knows. A password may be in it; in
	// PGPASSWORD or a file that `passfile` names it is seen by fewer.
	URL string

	// Process names this process over its restarts: one of the same name takes over at once from the one before it, which
	// cannot run any more. Another waits until the lease has ended.
	Process string

	// Steps take an older store to the layout of this program, as in storage.Step. A store with a layout beyond the last is refused.
	Steps []storage.Step

	// ReadOnly opens a store that is there, beside a process that writes, and changes nothing of it.
	ReadOnly bool

	// Admit looks at the rows before any of them is changed, and its error refuses the store. Default: every store is admitted.
	Admit func(storage.Reader) error

	// Connections is how many Views run at a time; the others wait. Default: 16.
	Connections int

	// Say is told, in sentences for people, of what should be set otherwise, and of a change of the layout. Default: nobody is told.
	Say func(sentence string)
	// OnCommit is told of each commit: how many closures it carried, and how long it took. Default: nobody is told.
	OnCommit func(closures int, took time.Duration, err error)
	// Log is told when the database is lost and found again. Default: nobody is told.
	Log *slog.Logger
}

// How long one waits for the database.
const (
	acquireWithin = 5 * time.Second  // for a connection to read on
	viewWithin    = 60 * time.Second // for all reads of a View: a longer one keeps the database from removing what is dead
	connectWithin = 5 * time.Second
	closeWithin   = 10 * time.Second // for a COMMIT, by who closes the store
	retryWithin   = 15 * time.Second // for a database that is lost to come back, before callers are told
)

func (c Config) say(format string, args ...any) {
	if c.Say != nil {
		c.Say(fmt.Sprintf(format, args...))
	}
}

// Store is an open database. It implements storage.Store.
type Store struct {
	config Config
	log    *slog.Logger
	pool   *pgxpool.Pool
	writer *writer
	lease  lease

	queue   *group.Queue  // closures that wait for the writer
	closing chan struct{} // closed by Close
	stopped sync.WaitGroup
	close   sync.Once
	gaveUp  atomic.Bool                   // nobody waits for the database any more
	writing atomic.Pointer[pgconn.PgConn] // the writer's connection

	mu     sync.Mutex
	broken error // guarded by mu; why nothing is done until the store is opened again
}

// Open opens the store in a database, and makes its tables where there are none. Errors: storage.ErrInUse, storage.ErrNewer,
// storage.ErrOlder where it is only read, ErrAway, and sentences about a database that is not fit for it.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{config: c, log: c.Log, closing: make(chan struct{})}
	s.queue = group.NewQueue(s.closing)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open store %s: %w", Shown(c.URL), err)
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.pool, err = openPool(ctx, s.config); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.config.ReadOnly {
		return s.checkReadable(ctx)
	}
	if s.writer, err = s.openWriter(ctx); err != nil {
		return err
	}
	s.stopped.Go(s.write)
	s.stopped.Go(s.renew)
	if err := s.admit(ctx); err != nil {
		return err
	}
	return s.migrate(ctx)
}

// Stalled returns for how long no Update was answered of those that wait; 0 where none does.
func (s *Store) Stalled() time.Duration { return s.queue.Stalled() }

func (s *Store) admit(ctx context.Context) error {
	if s.config.Admit == nil {
		return nil
	}
	return s.View(ctx, s.config.Admit)
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

// fail ends the use of the store: nothing is read or written until it is opened again.
func (s *Store) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = err
		s.log.Error("the store in the database is not used any more: restart the registry", "err", err)
	}
	return s.broken
}

// Close implements storage.Store. It gives the lease back, so that the next process need not wait for its end. A COMMIT that waits for a
// standby which is not there is given up after a while: its caller is told that nobody knows.
func (s *Store) Close() error {
	s.close.Do(func() {
		close(s.closing)
		given := time.AfterFunc(closeWithin, s.giveUp)
		s.stopped.Wait()
		given.Stop()
		if s.writer != nil {
			s.writer.release(&s.lease)
		}
		s.pool.Close() // waits for the Views under way
	})
	return nil
}

// giveUp ends the wait for the database.
func (s *Store) giveUp() {
	s.gaveUp.Store(true)
	if conn := s.writing.Load(); conn != nil {
		_ = conn.Conn().Close() // what waits for it fails
	}
}

// Size returns how many bytes the store takes in the database, with its indexes.
func (s *Store) Size() (size int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), connectWithin)
	defer cancel()
	err = s.pool.QueryRow(ctx, "SELECT pg_total_relation_size('hallmark_rows')").Scan(&size)
	return size, away(err)
}
