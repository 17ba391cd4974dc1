package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/seed-260924e6/hallmark/storage"
)

const beginView = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

// view is a transaction that reads, on a connection of its own.
type view struct {
	*session
	conn   *pgxpool.Conn
	cancel context.CancelFunc
}

// View implements storage.Store. The transaction and its snapshot are asked for at once and not waited for: they come with the answer to
// the first read.
func (s *Store) View(ctx context.Context, fn func(storage.Reader) error) error {
	return s.view(ctx, viewWithin, fn)
}

// Snapshot is a View without a limit to its time, for a copy of everything. As long as it lasts, the database removes nothing that was dead
// when it began, as for pg_dump.
func (s *Store) Snapshot(ctx context.Context, fn func(storage.Reader) error) error {
	return s.view(ctx, 0, fn)
}

func (s *Store) view(ctx context.Context, within time.Duration, fn func(storage.Reader) error) error {
	if err := s.readable(ctx); err != nil {
		return err
	}
	v, err := s.beginView(ctx, within)
	if err != nil {
		return err
	}
	r := newReader(v.session, nil)
	if !s.config.ReadOnly {
		r.lease = &s.lease
	}
	r.again = func() (*session, error) {
		v.end()
		s.pool.Reset() // the others are from before the database was lost, too
		next, err := s.beginView(ctx, within)
		if err != nil {
			return nil, err
		}
		v = next
		return v.session, nil
	}
	defer func() { v.end() }()
	err = fn(r)
	if errors.Is(err, ErrTakenOver) {
		return s.fail(err)
	}
	return err
}

// beginView sends the beginning of a View. No caller that leaves ends what is being read: the connection would be lost with it, and
// making another costs more. One without a limit has nothing else that ends it.
func (s *Store) beginView(ctx context.Context, within time.Duration) (*view, error) {
	conn, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithCancel(ctx)
	if within > 0 {
		cancel()
		limited, cancel = context.WithTimeout(context.WithoutCancel(ctx), within)
	}
	v := &view{begin(limited, conn.Conn().PgConn()), conn, cancel}
	_ = v.send(plain(beginView), plain(holdsLease)) // what goes wrong is told to who reads
	return v, nil
}

// end ends a View. Nobody waits for that.
func (v *view) end() {
	go func() {
		defer v.cancel()
		defer v.conn.Release() // one that is not idle then is closed
		_ = v.session.end()
	}()
}

// readable says why nothing is read: after another process took over, what this one remembers may be out of date.
func (s *Store) readable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.Err()
	if errors.Is(err, storage.ErrClosed) || errors.Is(err, ErrTakenOver) || errors.Is(err, ErrRewound) {
		return err
	}
	return nil
}

// acquire waits for a connection to read on.
func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	within, cancel := context.WithTimeout(ctx, acquireWithin)
	defer cancel()
	conn, err := s.pool.Acquire(within)
	if err != nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && s.Err() != nil {
		return nil, s.Err()
	}
	return conn, away(err)
}
