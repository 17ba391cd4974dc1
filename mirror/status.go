package mirror

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Status is how a mirror is.
type Status struct {
	Name         string           `json:"name"`
	Upstream     string           `json:"upstream"`
	Repositories []string         `json:"repositories"`
	Tags         []string         `json:"tags,omitempty"` // absent: all
	Into         string           `json:"into"`
	Every        string           `json:"every"`
	Deleted      Deletion         `json:"deleted"`
	Hold         string           `json:"hold,omitempty"`       // in words
	Platforms    []string         `json:"platforms,omitempty"`  // absent: all
	Waiting      []Waiting        `json:"waiting,omitempty"`    // at most 1,000
	WaitingCut   bool             `json:"waitingCut,omitempty"` // more waits
	Running      *Counts          `json:"running,omitempty"`    // how far the run is that goes on
	Began        *provenance.Time `json:"began,omitempty"`      // the last run
	Ended        *provenance.Time `json:"ended,omitempty"`
	By           string           `json:"by,omitempty"` // who asked for it; absent where the schedule did
	Succeeded    *provenance.Time `json:"succeeded,omitempty"`
	Next         *provenance.Time `json:"next,omitempty"`
	Failures     int              `json:"failures"` // in a row
	Why          string           `json:"why,omitempty"`
	Last         *Followed        `json:"last,omitempty"` // of the last run that ended
}

// interrupted is what is said of a run that a crash has cut off.
const interrupted = "the last run was cut off: the server ended in the middle of it"

// Statuses returns how each mirror is, in the order of the rules.
func (m *Mirrors) Statuses(ctx context.Context) (list []Status, err error) {
	list = []Status{}
	for _, r := range m.Rules().all() {
		one, err := m.status(ctx, r)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// Succeeded returns when each mirror was last brought up to date; the zero time before the first.
func (m *Mirrors) Succeeded(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := m.c.Store.View(ctx, func(tx storage.Reader) error {
		for _, r := range m.Rules().all() {
			s, err := readState(tx, r)
			if err != nil {
				return err
			}
			all[r.Name] = s.Succeeded
		}
		return nil
	})
	return all, err
}

// Status returns how a mirror is. Error: ErrNoMirror.
func (m *Mirrors) Status(ctx context.Context, name string) (Status, error) {
	r := m.Rules().Rule(name)
	if r == nil {
		return Status{}, ErrNoMirror
	}
	return m.status(ctx, r)
}

func (m *Mirrors) status(ctx context.Context, r *Rule) (Status, error) {
	s, err := m.stateOf(ctx, r)
	if err != nil {
		return Status{}, err
	}
	x := Status{
		Name: r.Name, Upstream: r.Upstream, Repositories: texts(r.Repositories), Tags: texts(r.Tags), Platforms: texts(r.Platforms), Into: r.Into, Every: units.Duration(r.Every).String(),
		Deleted: r.Deleted, Hold: r.Hold.String(), Running: m.progress(r), Began: timeOf(s.Began), Ended: timeOf(s.Ended), By: s.By, Succeeded: timeOf(s.Succeeded),
		Next: timeOf(s.Next), Failures: s.Failures, Why: s.Why, Last: s.Last,
	}
	if x.Waiting, x.WaitingCut, err = m.waitingOf(ctx, r); err != nil {
		return x, err
	}
	if x.Last != nil && !x.WaitingCut { // since the run, people may have let some through
		x.Last.Held = int64(len(x.Waiting))
	}
	if x.Running == nil && x.Began != nil && x.Ended == nil {
		x.Why = cmp.Or(x.Why, interrupted)
	}
	if x.Running != nil && x.Failures > 0 {
		x.Failures-- // it counts as failed only if it does not end
	}
	return x, nil
}

// progress is how far the run of a rule is, or nil where none goes on.
func (m *Mirrors) progress(r *Rule) *Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	run := m.running[r.Name]
	if run == nil {
		return nil
	}
	var n Counts
	if run.job != nil {
		n = run.job.Counts()
	}
	return &n
}

func texts[T fmt.Stringer](all []T) (words []string) {
	for _, one := range all {
		words = append(words, one.String())
	}
	return words
}
