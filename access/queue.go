package access

import (
	"context"
	"slices"
	"sync"
)

const (
	atOnce     = 2    // passwords hashed at the same time: it keeps the processor for everyone else
	maxWaiting = 1000 // logins that wait for their turn
	maxLine    = 100  // of them from one address
	crowded    = 10   // so many waiting logins are an attack, or the beginning of a working day
)

// A queue lets a few passwords be hashed at a time, and decides whose is next. Addresses take turns, whatever
// each of them sends; within an address, the user goes first whose logins failed the least often. What is left
// equal goes by arrival: the first first, but in a crowd the last, because an attack fills the queue with its
// own, and who comes last waits for one hash and not for all of them.
type queue struct {
	mu      sync.Mutex
	free    int              // hashes that may begin now
	waiting int              // turns in all lines
	arrived uint64           // turns that ever came: the order of arrival
	now     uint64           // the tag of the line that was last served
	lines   map[string]*line // by address
}

// A line holds the turns of one address.
type line struct {
	tag     uint64 // the lowest is next: it grows with each turn, and an idle line catches up with the others
	busy    int    // hashes under way
	suspect bool   // so many logins failed from here that it gets one hash at a time
	turns   []*turn
}

// A turn is one login that waits.
type turn struct {
	address  string
	suspect  bool
	failures int // logins of this user from this address that failed lately
	arrived  uint64
	ready    chan error // gets nil when the turn has come, or ErrBusy; it holds one
}

func newQueue() *queue { return &queue{free: atOnce, lines: map[string]*line{}} }

// do calls fn when the turn has come. Errors: ErrBusy, and that of ctx; fn was not called then.
func (q *queue) do(ctx context.Context, t *turn, fn func()) error {
	t.ready = make(chan error, 1)
	q.enter(t)
	select {
	case err := <-t.ready:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		if !q.leave(t) && <-t.ready == nil {
			q.done(t) // the turn came at the same moment
		}
		return ctx.Err()
	}
	defer q.done(t)
	fn()
	return nil
}

// length is how many logins wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting
}

// enter puts a turn into its line, and another out where there are too many.
func (q *queue) enter(t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.address]
	if l == nil {
		l = &line{}
		q.lines[t.address] = l
	}
	if len(l.turns) == 0 {
		l.tag = max(l.tag, q.now)
	}
	q.arrived++
	t.arrived = q.arrived
	l.suspect = t.suspect
	l.turns = append(l.turns, t)
	q.waiting++
	switch {
	case len(l.turns) > maxLine:
		q.refuse(l)
	case q.waiting > maxWaiting:
		q.refuse(q.longest())
	}
	q.next()
}

// leave takes a turn out of its line. It is false where the turn was answered already.
func (q *queue) leave(t *turn) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	l := q.lines[t.address]
	if l == nil || !slices.Contains(l.turns, t) {
		return false
	}
	q.remove(l, t)
	q.forget()
	return true
}

// done gives the place of a turn to the next.
func (q *queue) done(t *turn) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	q.lines[t.address].busy--
	q.next()
	q.forget()
}

// next begins what may begin. The caller holds mu, here and below.
func (q *queue) next() {
	for q.free > 0 {
		l := q.best()
		if l == nil {
			return
		}
		t := slices.MinFunc(l.turns, q.order)
		q.remove(l, t)
		q.now = l.tag
		l.tag++
		l.busy++
		q.free--
		t.ready <- nil
	}
}

// best is the line whose turn it is, or nil.
func (q *queue) best() (best *line) {
	for _, l := range q.lines {
		if len(l.turns) == 0 || l.suspect && l.busy > 0 {
			continue
		}
		if best == nil || l.tag < best.tag || l.tag == best.tag && q.order(slices.MinFunc(l.turns, q.order), slices.MinFunc(best.turns, q.order)) < 0 {
			best = l
		}
	}
	return best
}

// order is negative where a goes before b.
func (q *queue) order(a, b *turn) int {
	if a.failures != b.failures {
		return a.failures - b.failures
	}
	if first := a.arrived < b.arrived; first == (q.waiting <= crowded) {
		return -1
	}
	return 1
}

// refuse refuses the one turn in a line that has waited for longest, among those whose user failed most often.
func (q *queue) refuse(l *line) {
	worst := slices.MinFunc(l.turns, func(a, b *turn) int {
		if a.failures != b.failures {
			return b.failures - a.failures
		}
		return int(int64(a.arrived) - int64(b.arrived))
	})
	q.remove(l, worst)
	worst.ready <- ErrBusy
}

func (q *queue) longest() (longest *line) {
	for _, l := range q.lines {
		if longest == nil || len(l.turns) > len(longest.turns) {
			longest = l
		}
	}
	return longest
}

func (q *queue) remove(l *line, t *turn) {
	l.turns = slices.DeleteFunc(l.turns, func(other *turn) bool { return other == t })
	q.waiting--
}

// forget drops lines that are as if they had never been.
func (q *queue) forget() {
	for address, l := range q.lines {
		if len(l.turns) == 0 && l.busy == 0 && (l.tag <= q.now || q.waiting == 0) {
			delete(q.lines, address)
		}
	}
}
