package registry

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/storage"
)

// "It was not pulled" is a claim about a span of time, and only as good as the counting in it. So the store says since when every
// pull is counted. A server that stops in order writes what it counted, and notes at which moment of the registry's clock:
// the next one goes on counting. After a kill, a run of a version that does not count, or a restore, that note is missing or
// another moment's, and counting begins anew. What was counted before stays: those pulls did happen.

// pulls is what a Registry holds of the pulls that it counts.
type pulls struct {
	buffer
	ignored  atomic.Pointer[[]access.Subject]
	counting atomic.Bool
	many     chan struct{} // told when the buffer is filling
	forgot   chan struct{} // told when rows are to be erased
	writing  sync.Mutex    // held by the one who writes pulls, or forgets them

	unwritten atomic.Uint64 // how often writing failed
}

func newPulls() *pulls {
	return &pulls{many: make(chan struct{}, 1), forgot: make(chan struct{}, 1)}
}

// pullState says what the rows of pulls are worth.
type pullState struct {
	// Began is since when every pull is counted, in microseconds since 1970.
	Began uint64 `json:"began"`
	// Stopped is what the registry's clock showed when counting stopped in order; 0 while it goes on, and after a kill.
	Stopped uint64 `json:"stopped,omitempty"`
	// Latest is the latest last pull of all rows. No later pull has an earlier time, also where the machine's clock is set back
	// or wrong: that something was not pulled for long is claimed too late rather than too early.
	Latest uint64 `json:"latest,omitempty"`
	// Forgets is how often pulls were forgotten. Rows have the number that was in force when they were written.
	Forgets uint64 `json:"forgets,omitempty"`
	// Forgotten is the number before which all rows are forgotten.
	Forgotten uint64 `json:"forgotten,omitempty"`

	unread bool // a row that it comes from cannot be read; not stored
}

// forgotten is the same of one repository, whose pulls were forgotten by themselves.
type forgotten struct {
	Began     uint64 `json:"began"`
	Forgotten uint64 `json:"forgotten"`
}

var pullStateKey = []byte("state")

// errIgnored is about a subject that is not an account.
func errIgnored(text string) error {
	return fault.Newf(fault.Invalid, "%.60q is no account: write user:NAME, robot:NAME or ci:ISSUER:CLAIM=GLOB,…", text)
}

func micros(t time.Time) uint64 { return uint64(max(t.UnixMicro(), 0)) }

// now is the machine's time, and no earlier than any pull.
func (s pullState) now() uint64 { return max(micros(time.Now()), s.Latest) }

// readPullState reads the state: the zero value where pulls were never counted. Where it cannot be read, nobody knows which pulls were
// to be forgotten, so all are; counting begins now, under a number that is higher than that of any row.
func readPullState(tx storage.Reader) (s pullState, err error) {
	err = readStateRow(tx, pullStateKey, &s)
	if errors.Is(err, storage.ErrCorrupt) {
		now := micros(time.Now())
		return pullState{Began: now, Latest: now, Forgets: now, Forgotten: now, unread: true}, nil
	}
	return s, err
}

func (g *Registry) pullStateNow(ctx context.Context) (s pullState, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		s, err = readPullState(tx)
		return err
	})
	return s, err
}

// readStateRow reads a row of pullStateTable. It leaves row as it is where there is none.
func readStateRow(tx storage.Reader, key []byte, row any) error {
	value, err := getOrNil(tx, pullStateTable, key)
	if err != nil || value == nil {
		return err
	}
	if err := json.Unmarshal(value, row); err != nil {
		return damaged("the row %q of %s cannot be read: %w", key, pullStateTable, err)
	}
	return nil
}

func putStateRow(tx storage.Tx, key []byte, row any) error {
	value, err := json.Marshal(row)
	if err == nil {
		tx.Put(pullStateTable, key, value)
	}
	return err
}

// of is the state as it is for a repository. Where its own row cannot be read, its pulls are forgotten, and counting begins now.
func (s pullState) of(tx storage.Reader, repo string) (pullState, error) {
	var own forgotten
	err := readStateRow(tx, repoKey(repo), &own)
	if errors.Is(err, storage.ErrCorrupt) {
		s.Began, s.Forgotten, s.unread = s.now(), math.MaxUint64, true
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Began, s.Forgotten = max(s.Began, own.Began), max(s.Forgotten, own.Forgotten)
	return s, nil
}

// changePullState runs fn on the state in a transaction, and keeps what it makes of it.
func changePullState(ctx context.Context, store storage.Store, fn func(tx storage.Tx, s *pullState) error) error {
	return store.Update(ctx, func(tx storage.Tx) error {
		s, err := readPullState(tx)
		if err != nil {
			return err
		}
		if err := fn(tx, &s); err != nil {
			return err
		}
		return putStateRow(tx, pullStateKey, s)
	})
}

// CountPulls begins to count pulls, which a server does before it answers anyone. Where counting stopped in order, it goes on. After an
// error pulls are counted all the same, and the next flush says that it begins anew.
func (g *Registry) CountPulls(ctx context.Context) error {
	err := changePullState(ctx, g.store, func(_ storage.Tx, s *pullState) error {
		if s.Began == 0 || s.Stopped != g.clock.found {
			s.Began = s.now()
		}
		s.Stopped = 0 // if we are killed from here on, the next start begins anew
		return nil
	})
	if err != nil {
		g.pulls.lose()
	}
	g.pulls.counting.Store(true)
	return err
}

// StopPulls writes the pulls that were counted, and notes that none is missing. It is called when nobody is answered any more, and
// nothing else keeps the time.
func (g *Registry) StopPulls(ctx context.Context) error {
	if !g.pulls.counting.Swap(false) {
		return nil
	}
	if err := g.flushNoted(ctx); err != nil {
		return err // which the next start sees
	}
	if g.moves.several { // others go on counting, and what they miss when they are killed is not known here
		return nil
	}
	return changePullState(ctx, g.store, func(tx storage.Tx, s *pullState) error {
		s.Stopped = g.clock.now()
		g.clock.put(tx, s.Stopped)
		return nil
	})
}

// RestartPulls has counting begin anew, now and at the next start: the store is a copy, and others may have pulled from the
// original since.
func RestartPulls(ctx context.Context, store storage.Store) error {
	return changePullState(ctx, store, func(_ storage.Tx, s *pullState) error {
		s.Began, s.Stopped = s.now(), 0
		return nil
	})
}

// ForgetPulls forgets all pulls of a repository, or of all where repo is "": from now on nobody is told of them. Their rows are erased
// in the background, by the next start at the latest.
func (g *Registry) ForgetPulls(ctx context.Context, repo string) error {
	if repo != "" && !validName(repo) {
		return errNameUnknown(repo)
	}
	g.pulls.writing.Lock()
	defer g.pulls.writing.Unlock()
	err := changePullState(ctx, g.store, func(tx storage.Tx, s *pullState) error {
		s.Forgets++
		if repo != "" {
			return putStateRow(tx, repoKey(repo), forgotten{s.now(), s.Forgets})
		}
		s.Latest = 0
		s.Began, s.Forgotten = s.now(), s.Forgets
		return nil
	})
	if err == nil {
		g.pulls.drop(repo)
		wake(g.pulls.forgot)
	}
	return err
}
