// Package beside replays a store's records in parallel with a check of its tables, while others keep changing both.
package beside

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/replay"
	"github.com/seed-260924e6/hallmark/storage"
)

// step is how many records are replayed in one View: a long one would make the store's file grow.
const step = 1000

// A Follower knows what follows from the records at the moment of the View that it was shown last. It is not safe for
// concurrent use.
type Follower struct {
	State *replay.State
	// Blind says that a record cannot be read, which was reported: from it on nothing is known.
	Blind bool
	// Newer is the first record that is of a version which puts accounts on record and states effects; the end where none is.
	Newer uint64

	newer   bool // it was found
	unknown string
	bad     func(error)
}

// New replays all records that a store has. What in them does not fit is reported to bad, and so is a record that cannot be
// read, with what is unknown by it, as a clause.
func New(ctx context.Context, store storage.Store, o replay.Options, unknown string, bad func(error)) (*Follower, error) {
	f := &Follower{State: replay.New(o), unknown: unknown, bad: bad}
	for more := true; more; {
		err := store.View(ctx, func(tx storage.Reader) (err error) {
			more, err = f.follow(tx, step)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Follow brings the state to the moment of a View. Where no rows are compared but those of the same View, a difference is a
// difference, no matter who changes things meanwhile.
func (f *Follower) Follow(tx storage.Reader) error {
	_, err := f.follow(tx, -1)
	return err
}

// follow replays at most so many records, and says whether there are more.
func (f *Follower) follow(tx storage.Reader, most int) (more bool, err error) {
	end, err := provenance.Count(tx)
	for n := 0; err == nil && f.State.Next < end && !f.Blind; n++ {
		if n == most {
			return true, nil
		}
		err = f.next(tx)
	}
	return false, err
}

func (f *Follower) next(tx storage.Reader) error {
	r, err := provenance.ReadStated(tx, f.State.Next)
	if errors.Is(err, provenance.ErrNoRecord) || errors.Is(err, storage.ErrCorrupt) {
		f.Blind = true
		f.bad(fmt.Errorf("record %d cannot be read, so %s", f.State.Next, f.unknown))
		return nil
	}
	if err != nil {
		return err
	}
	f.newer = f.newer || r.StatesEffects() || r.Grant != nil && replay.IsOnRecord(r.Grant.Credential)
	f.State.Apply(r, f.bad)
	if !f.newer {
		f.Newer = f.State.Next
	}
	return nil
}
