package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/group"
)

// Update implements storage.Store.
func (s *Store) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.UpdateReading(ctx, nil, fn)
}

// UpdateReading implements storage.Declarer: what all closures of a group declare comes with the answer to its beginning.
func (s *Store) UpdateReading(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	if s.config.ReadOnly {
		return storage.ErrReadOnly
	}
	return s.queue.Update(ctx, reads, fn)
}

// write is the one goroutine that writes. It takes all who wait, and commits them together: while one group waits for the database, the
// next one gathers.
func (s *Store) write() {
	for first := s.queue.First(); first != nil; first = s.queue.First() {
		s.serve(s.queue.Rest(first))
	}
}

// serve runs a group in one transaction and answers each request.
func (s *Store) serve(batch []*group.Request) {
	start := time.Now()
	left, err := s.commit(batch)
	if len(left) > 0 && s.config.OnCommit != nil {
		s.config.OnCommit(len(left), time.Since(start), err)
	}
	for _, r := range left {
		r.Answer(err)
	}
}

// commit runs the closures and makes what they changed durable. A database that is lost before it was asked to COMMIT has changed
// nothing, so they are run again once it is back. It returns those that wait for the outcome; the others were answered.
func (s *Store) commit(batch []*group.Request) (left []*group.Request, err error) {
	left = batch
	for ended := time.Now().Add(retryWithin); ; time.Sleep(100 * time.Millisecond) {
		if err := s.Err(); err != nil {
			return left, err
		}
		var lost *lostError
		left, err = s.try(left)
		switch {
		case errors.As(err, &lost) && time.Now().Before(ended):
			continue
		case errors.Is(err, ErrRewound), errors.Is(err, ErrTakenOver), errors.Is(err, storage.ErrUnknownOutcome):
			return left, s.fail(err)
		}
		return left, err
	}
}

// A lostError says that the database was lost before it was asked to COMMIT: nothing happened.
type lostError struct{ err error }

func (e *lostError) Error() string { return e.err.Error() }
func (e *lostError) Unwrap() error { return e.err }

// try runs the closures once, in one transaction.
func (s *Store) try(batch []*group.Request) (left []*group.Request, err error) {
	w := s.writer
	if err := w.ready(); err != nil {
		return batch, unlessOver(err)
	}
	conn := w.conn
	t := begin(context.Background(), conn)
	defer func() {
		if ended := t.end(); ended != nil && w.conn == conn { // else another has taken its place
			w.lose()
		}
	}()
	made := newChanges()
	shared := newReader(t, made) // what one has read, the next need not read again: nobody else writes
	if err := s.enter(t, shared, batch); err != nil {
		return batch, err
	}
	left, err = runAll(shared, batch)
	if err != nil || len(made.rows) == 0 {
		return left, err
	}
	return left, w.commit(t, made)
}

// enter begins a transaction that writes, and reads what its closures declare.
func (s *Store) enter(t *session, r *reader, batch []*group.Request) error {
	var reads []storage.Read
	for _, one := range batch {
		reads = append(reads, one.Reads...)
	}
	w := r.wants(reads)
	first := []statement{plain(beginWrite), plain(durably), plain(lockWriter), plain(holdsLease)}
	answers, err := t.ask(append(first, w.statements()...)...)
	if err != nil {
		return &lostError{away(err)}
	}
	if err := s.lease.held(answers[len(first)-1]); err != nil {
		return err
	}
	r.at = timeIn(answers[len(first)-1])
	return r.keepAll(w, answers[len(first):])
}

// unlessOver makes of an error one after which the group is tried again, but for those after which nothing is.
func unlessOver(err error) error {
	if errors.Is(err, ErrRewound) || errors.Is(err, ErrTakenOver) {
		return err
	}
	return &lostError{err}
}

// runAll runs the closures one after another, each over what those before it have changed. One that fails is answered, and has changed
// nothing.
func runAll(shared *reader, batch []*group.Request) (left []*group.Request, err error) {
	for i, r := range batch {
		one := &tx{reader: shared, own: newChanges()}
		err := r.Run(one)
		if lost := shared.s.lost; lost != nil { // whatever the closure made of it
			return append(left, batch[i:]...), &lostError{away(lost)}
		}
		if err == nil {
			err = one.err
		}
		if err != nil {
			r.Answer(err)
			continue
		}
		shared.group.add(one.own)
		left = append(left, r)
	}
	return left, nil
}

// commit makes the changes of a group durable. There is no limit to how long it waits for that, and nothing that ends it early: a COMMIT
// that is cancelled answers as if it had succeeded, while no standby has it.
//
// If we stop before the COMMIT is sent, nothing happened. If we stop behind it, the next start finds what the database made of it.
func (w *writer) commit(t *session, made *changes) error {
	token := newToken()
	all := made.statements()
	all = append(all, statement{setToken, []uint32{oidBytea, oidBytea}, [][]byte{w.process(), token}}, plain("COMMIT"))
	w.warned.Store(false)
	answers, err := t.ask(all...)
	switch {
	case err == nil:
		err = committed(answers[len(answers)-1], &w.warned)
	case len(answers) < len(all)-1 && !w.conn.IsClosed(): // a statement before COMMIT was refused
		return away(err)
	}
	if err == nil {
		t.over, w.token = true, token
		return nil
	}
	return w.resolve(token, err)
}
