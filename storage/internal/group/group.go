// Package group lets Updates that wait at the same moment share a transaction: each queues its closure, and the one goroutine of an engine that
// writes takes all that are there. How they are run and made durable is the engine's.
package group

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// most bounds how many closures share a transaction, and so how long the first of them waits.
const most = 256

// A Queue is where Updates wait for who writes. Make one with [NewQueue].
type Queue struct {
	waiting chan *Request // unbuffered, so each sender still owns its own
	closing <-chan struct{}

	mu     sync.Mutex
	inside int       // Updates that wait for their turn or their outcome; guarded by mu
	moved  time.Time // when one was last answered, or the first of them came; guarded by mu
}

func (q *Queue) enter() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inside++; q.inside == 1 {
		q.moved = time.Now()
	}
}

func (q *Queue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.inside--
	q.moved = time.Now()
}

// Stalled returns for how long no Update was answered of those that wait; 0 where none does.
func (q *Queue) Stalled() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.inside == 0 {
		return 0
	}
	return time.Since(q.moved)
}

// NewQueue returns a queue that lets nobody in any more once closing is closed.
func NewQueue(closing <-chan struct{}) *Queue {
	return &Queue{waiting: make(chan *Request), closing: closing}
}

// A Request is one Update on its way through who writes.
type Request struct {
	// Reads is what its closure is going to read, as far as it was declared.
	Reads []storage.Read

	ctx      context.Context
	fn       func(storage.Tx) error
	done     chan error // receives the outcome, once
	panicked any        // what fn panicked with; set before done is sent to, read after
}

// Update waits for its turn, and for the outcome. A panic of fn goes on here.
func (q *Queue) Update(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	r := &Request{Reads: reads, ctx: ctx, fn: fn, done: make(chan error, 1)}
	q.enter()
	defer q.leave()
	select {
	case q.waiting <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.closing:
		return storage.ErrClosed
	}
	// Run looks at ctx once more before it calls fn; after that the outcome is awaited.
	err := <-r.done
	if r.panicked != nil {
		panic(r.panicked)
	}
	return err
}

// First waits for the next request. It returns nil when the queue is closed.
func (q *Queue) First() *Request {
	select {
	case r := <-q.waiting:
		return r
	case <-q.closing:
		return nil
	}
}

// Rest returns first, and those that wait behind it now.
func (q *Queue) Rest(first *Request) []*Request {
	batch := []*Request{first}
	for len(batch) < most {
		select {
		case r := <-q.waiting:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// Run calls the closure, unless its caller has left. A panic in it is handed to the goroutine that called Update. It may be run again,
// where nothing is kept of the run before.
func (r *Request) Run(tx storage.Tx) (err error) {
	r.panicked = nil
	if err := r.ctx.Err(); err != nil {
		return err
	}
	defer func() {
		if p := recover(); p != nil {
			r.panicked = fmt.Sprintf("%v\n\nin an Update:\n%s", p, debug.Stack())
			err = errors.New("the closure panicked")
		}
	}()
	return r.fn(tx)
}

// Answer tells the caller the outcome, once.
func (r *Request) Answer(err error) { r.done <- err }
