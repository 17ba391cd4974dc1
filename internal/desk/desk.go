// Package desk bounds the memory in which documents from outside are read: many small ones at a time, but only one large
// one, which reuses the buffer of the one before. So sending more documents takes no more memory.
package desk

import (
	"context"
	"weak"
)

// Large is the size in bytes above which a document is a large one.
const Large = 1 << 20

// A Desk is where one document lies while it is read: as it came, and what was packed in it. Anyone who has left it must
// not look at either any more. It is for one goroutine.
type Desk struct {
	ctx    context.Context //nolint:containedctx // a desk is for one call, and is waited for in the middle of it
	room   *room
	shared bool
}

// room is two stretches of memory that the next large document takes over.
type room struct{ whole, packed []byte }

// shared is the place of the large document, of which there is one in a process.
var shared = struct {
	taken chan struct{}
	// last is the room of the last large document, until a garbage collection finds it idle. Anyone who holds taken owns it.
	last weak.Pointer[room]
}{taken: make(chan struct{}, 1)}

// Sit returns a desk. Call Leave.
func Sit(ctx context.Context) *Desk { return &Desk{ctx: ctx, room: &room{}} }

// Leave gives the desk to the next one.
func (d *Desk) Leave() {
	if d.shared {
		shared.last = weak.Make(d.room)
		<-shared.taken
	}
	d.room, d.shared = &room{}, false
}

// Whole returns room for a document of n bytes, and ends the use of what it returned before. A large document waits for
// the one before, or for the end of the desk's context, which is the error.
func (d *Desk) Whole(n int) ([]byte, error) {
	if err := d.share(n); err != nil {
		return nil, err
	}
	return get(&d.room.whole, n), nil
}

// Packed is Whole for what is packed in the document.
func (d *Desk) Packed(n int) ([]byte, error) {
	if err := d.share(n); err != nil {
		return nil, err
	}
	return get(&d.room.packed, n), nil
}

// share takes the place of the large document where that is needed. What lies here already stays.
func (d *Desk) share(n int) error {
	if n <= Large || d.shared {
		return nil
	}
	select {
	case shared.taken <- struct{}{}:
	case <-d.ctx.Done():
		return d.ctx.Err()
	}
	d.shared = true
	if last := shared.last.Value(); last != nil {
		if len(d.room.whole) > 0 {
			last.whole = d.room.whole
		}
		d.room = last
	}
	return nil
}

func get(kept *[]byte, n int) []byte {
	if n > Large && cap(*kept) < n {
		*kept = nil // before the next is made: a collection in between takes it
	}
	if cap(*kept) < n {
		*kept = make([]byte, n)
	}
	return (*kept)[:n]
}
