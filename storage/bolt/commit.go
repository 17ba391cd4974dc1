package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/group"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// Update implements storage.Store.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if s.readOnly {
		return storage.ErrReadOnly
	}
	return s.queue.Update(ctx, nil, fn)
}

// A commit costs the same for one closure as for many, and most of it is two waits for the disk. So where several
// clients write, the writer lingers for who comes next, for as long as the last commit took (PostgreSQL has this as
// commit_delay and commit_siblings). Who writes alone is never made to wait: nobody else came while a commit of theirs
// was under way.
const (
	maxLinger = 2 * time.Millisecond
	crowded   = 20 * time.Millisecond // how long there are several, after two were found in one commit
)

// writer is the one goroutine that writes. It takes all who wait, and commits them together.
func (s *Store) writer() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true)
	var shared time.Time   // when closures shared a commit the last time
	var took time.Duration // the last commit
	for first := s.queue.First(); first != nil; first = s.queue.First() {
		if time.Since(shared) < crowded {
			time.Sleep(min(took, maxLinger))
		}
		batch := s.queue.Rest(first)
		if len(batch) > 1 {
			shared = time.Now()
		}
		took = s.serve(batch)
	}
}

// serve runs a batch in one bbolt transaction and answers each request. It returns how long the transaction took.
func (s *Store) serve(batch []*group.Request) (took time.Duration) {
	start := time.Now()
	ran, err := s.commit(batch)
	took = time.Since(start)
	if len(ran) > 0 && s.onCommit != nil {
		s.onCommit(len(ran), took, err)
	}
	for _, r := range ran {
		r.Answer(err)
	}
	return took
}

// commit runs the closures and makes what they changed durable. It returns those that wait for its
// outcome; the others were answered before, and changed nothing.
func (s *Store) commit(batch []*group.Request) (waiting []*group.Request, err error) {
	if err := s.Err(); err != nil {
		return batch, err
	}
	btx, err := s.begin()
	if err != nil {
		return batch, err
	}
	shared := reader{tx: btx, buckets: make(map[storage.Table]*bbolt.Bucket)}
	filled := make(map[storage.Table]bool)
	changed := false
	for i, r := range batch {
		t := &tx{reader: shared, filled: filled}
		err := r.Run(t)
		if err == nil {
			err = t.err
		}
		if err != nil {
			r.Answer(err)
			continue
		}
		if err := t.apply(); err != nil {
			// bbolt refused what the contract allows, so nothing of this batch is kept.
			return append(waiting, batch[i:]...), errors.Join(err, rollback(btx))
		}
		changed = changed || len(t.changes) > 0
		waiting = append(waiting, r)
	}
	if !changed {
		return waiting, rollback(btx)
	}
	return waiting, s.finish(btx)
}

func (s *Store) begin() (btx *bbolt.Tx, err error) {
	defer corrupt(&err)
	return s.db.Begin(true)
}

// finish commits. If we stop inside it, the next start sees the whole batch or nothing of it, and no
// client of the batch has been told that it succeeded.
func (s *Store) finish(btx *bbolt.Tx) (err error) {
	id := btx.ID()
	if err = commitTx(btx); err == nil {
		return nil
	}
	if full(err) && s.latest() < id {
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	}
	err = fmt.Errorf("%w: %w", storage.ErrUnknownOutcome, err)
	s.mu.Lock()
	s.broken = err
	s.mu.Unlock()
	return err
}

func commitTx(btx *bbolt.Tx) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, rollback(btx)) // after a panic bbolt would keep its writer's lock
		}
	}()
	defer corrupt(&err)
	return btx.Commit()
}

// rollback ends a bbolt transaction, which may have ended already.
func rollback(btx *bbolt.Tx) (err error) {
	defer corrupt(&err)
	if err := btx.Rollback(); !errors.Is(err, berrors.ErrTxClosed) {
		return err
	}
	return nil
}

// full says that a write failed for want of room.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// latest is the number of the newest transaction whose head a reader would see. After a failed commit it
// tells whether the head was written: if it was not, nothing of the commit can come back.
func (s *Store) latest() int {
	btx, err := s.db.Begin(false)
	if err != nil {
		return int(^uint(0) >> 1)
	}
	defer btx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	return btx.ID()
}
