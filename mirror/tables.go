package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// The tables of this room. REPO is a repository's name followed by a zero byte.
const (
	// the name of a rule → JSON, a state.
	stateTable = storage.Table("mirror/state")
	// "name" → 16 bytes that were drawn: through.go.
	selfTable = storage.Table("mirror/self")
	// REPO without the zero byte → names, with spaces between. Through which registries a mirror's repository comes.
	throughTable = storage.Table("mirror/through")
	// REPO tag → JSON, a waiting. What a tag means upstream that does not mean it here yet.
	waitingTable = storage.Table("mirror/waiting")
)

// state is what must survive about a rule: when it ran, and how that ended.
//
// If we stop in the middle of a run, its row says that it began, and counts it as failed: the next start waits as after a failure, so
// that a run which ends the process does not do so again at once.
type state struct {
	// Of is the mirror that the rest is about, by its upstream and prefix.
	Of digest.Digest `json:"of"`
	// Took says that the prefix was looked at and nothing of others was below it: from then on the mirror has it.
	Took bool `json:"took,omitempty"`

	Began     time.Time `json:"began,omitzero"`
	Ended     time.Time `json:"ended,omitzero"` // zero while one runs, and where it was cut off
	Succeeded time.Time `json:"succeeded,omitzero"`
	Next      time.Time `json:"next,omitzero"`
	Failures  int       `json:"failures,omitempty"` // in a row
	By        string    `json:"by,omitempty"`       // the handle of who asked for the last run, or "" of a schedule
	Why       string    `json:"why,omitempty"`      // it ended before its end, in words
	Last      *Followed `json:"last,omitempty"`     // of the last run that ended
	// Platforms are those that all images have come for that are here, as the rule had them.
	Platforms string `json:"platforms,omitempty"`
}

// maxKept bounds each list of a report that is kept.
const maxKept = 50

// readState reads what is known of a rule. What is of another mirror that had its name counts for nothing.
func readState(tx storage.Reader, r *Rule) (s state, err error) {
	value, err := tx.Get(stateTable, []byte(r.Name))
	if errors.Is(err, storage.ErrNotFound) {
		return state{Of: r.ownDigest()}, nil
	}
	if err != nil {
		return s, err
	}
	if json.Unmarshal(value, &s) != nil || s.Of != r.ownDigest() {
		s = state{Of: r.ownDigest()}
	}
	return s, nil
}

func (s state) put(tx storage.Tx, r *Rule) error {
	if s.Last != nil {
		kept := *s.Last
		kept.Refused, kept.Left, kept.Lacking, kept.Unproved = first(kept.Refused), first(kept.Left), first(kept.Lacking), first(kept.Unproved)
		s.Last = &kept
	}
	value, err := json.Marshal(s)
	if err == nil {
		tx.Put(stateTable, []byte(r.Name), value)
	}
	return err
}

func first(all []Remark) []Remark { return all[:min(len(all), maxKept)] }

// changeState changes what is known of a rule.
func (m *Mirrors) changeState(ctx context.Context, r *Rule, change func(*state)) error {
	return m.c.Store.Update(ctx, func(tx storage.Tx) error {
		s, err := readState(tx, r)
		if err != nil {
			return err
		}
		change(&s)
		return s.put(tx, r)
	})
}

func (m *Mirrors) stateOf(ctx context.Context, r *Rule) (s state, err error) {
	err = m.c.Store.View(ctx, func(tx storage.Reader) error {
		s, err = readState(tx, r)
		return err
	})
	return s, err
}

// timeOf is a time as the API has it, or nil.
func timeOf(t time.Time) *provenance.Time {
	if t.IsZero() {
		return nil
	}
	at := provenance.At(t)
	return &at
}
