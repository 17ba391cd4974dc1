// Package follow watches a registry's log from outside. It remembers the checkpoints that it saw, and
// requires each new one to continue them. A registry that rewrites, truncates or replaces its history contradicts
// a checkpoint that it signed, and the two together are the proof.
//
// A registry that was restored from a backup says so: it closes the old log at the last checkpoint that it
// knows and begins a new one. The package tells that apart from a rewrite, and lists the records that were lost.
//
// The package fetches through a Source and keeps a State for its caller. It has no network of its own.
package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/tlog"
)

// An Outcome says how what is served relates to what was seen.
type Outcome string

// The outcomes. From Truncated on they are proof of, or reason for, the worst suspicion.
const (
	New        Outcome = "new"        // nothing of this registry was remembered
	Consistent Outcome = "consistent" // all that was seen is still there
	Restored   Outcome = "restored"   // the registry says that it closed a log; perhaps with a loss
	Truncated  Outcome = "truncated"  // records that were seen are gone, and the registry does not say so
	Rewritten  Outcome = "rewritten"  // records that were seen are others now
	Replaced   Outcome = "replaced"   // a log that was seen is not served, or under another key
)

// Bad says whether an outcome is against the registry.
func (o Outcome) Bad() bool { return o == Truncated || o == Rewritten || o == Replaced }

// A Report is what a check found.
type Report struct {
	Outcome Outcome `json:"verdict"`
	Says    string  `json:"says"`           // the outcome, as a sentence
	Origin  string  `json:"origin"`         // of the log in question
	VKey    string  `json:"vkey,omitempty"` // its key, NAME+HASH+KEY
	// Then and Now are the checkpoints that were compared, both signed by the log.
	Then *Sighting `json:"then,omitempty"`
	Now  *Sighting `json:"now,omitempty"`
	// Same is the number of leaves of which it is proved that they are as they were.
	Same uint64 `json:"same"`
	// Other is the root hash that the tree of Now has at the size of Then, and Proof shows that (RFC 6962,
	// consistency). In a rewritten log it is not the root hash of Then.
	Other *tlog.Hash     `json:"other,omitempty"`
	Proof tlog.TreeProof `json:"proof,omitempty"`
	// Included are proofs of a leaf each, of Then and of Now: where these are no two states of one tree, they may show it too.
	Included []checkpoint.Inclusion `json:"included,omitempty"`
	// More are sentences about what else was checked, or could not be.
	More []string `json:"more,omitempty"`
	// Cosigned is what the witnesses that were demanded have cosigned.
	Cosigned []Cosignature `json:"cosigned,omitempty"`
	// Failed says what else is wrong, where the outcome alone is not against the registry.
	Failed string `json:"failed,omitempty"`
	// Closings are logs that were closed since the last check.
	Closings []Closing `json:"closings,omitempty"`
}

// A Closing is the end of a log, as the registry declares it.
type Closing struct {
	Origin string `json:"origin"`
	Reason string `json:"reason"`
	Size   uint64 `json:"size"` // leaves of its last checkpoint that the registry knows
	Kept   uint64 `json:"kept"` // leaves that the registry still has: after a restored backup fewer, perhaps
	Next   string `json:"next"` // the log that goes on
	// Lost are the records that were seen in the log and are not kept.
	Lost *receipt.Range `json:"lost,omitempty"`
}

// ErrState says that what was seen before cannot be read.
var ErrState = errors.New("the file of what was seen is damaged: move it away to begin anew")

// Check compares what a registry serves with what was seen, and unless the outcome is bad it remembers what
// is new in state. An error says that nothing was learned, for want of an answer or ErrBroken.
func Check(ctx context.Context, src Source, state *State, now time.Time) (*Report, error) {
	if err := state.Check(); err != nil {
		return nil, err
	}
	data, err := src(ctx, "/keys/logs.json")
	if err != nil {
		return nil, err
	}
	served, err := parseSequence(data)
	if err != nil {
		return nil, fmt.Errorf("/keys/logs.json: %w", err)
	}
	c := &check{ctx: ctx, src: src, now: now, served: served, next: State{}}
	if err := c.run(state); err != nil {
		return nil, err
	}
	if !c.report.Outcome.Bad() {
		*state = c.next
	}
	c.report.VKey = c.vkey(state)
	return &c.report, nil
}

// vkey returns the key of the log in question, as it was seen before or is served.
func (c *check) vkey(seen *State) string {
	for _, l := range seen.Logs {
		if l.Origin == c.report.Origin {
			return l.VKey
		}
	}
	return ""
}

// parseSequence reads the logs of a registry, of which the last one alone goes on.
func parseSequence(data []byte) ([]receipt.LogEntry, error) {
	logs, err := receipt.ParseLogs(data)
	for i, l := range logs {
		if (l.Closed == nil) != (i == len(logs)-1) {
			return nil, fmt.Errorf("the log %s, number %d of %d, has to be closed, or else to be the last one", l.Origin, i+1, len(logs))
		}
		if l.First == nil {
			return nil, fmt.Errorf("it does not say with which record the log %s begins", l.Origin)
		}
	}
	return logs, err
}

// check is one comparison on its way.
type check struct {
	ctx    context.Context
	src    Source
	now    time.Time
	served []receipt.LogEntry
	next   State
	report Report
}

// run goes through the logs in order, the remembered ones first.
func (c *check) run(state *State) error {
	c.report = Report{Outcome: New, Says: "nothing of this registry was seen before: this is the beginning"}
	for i, entry := range c.served {
		remote, err := NewRemote(c.src, entry.VKey)
		if err != nil {
			return err
		}
		var seen *Seen
		if i < len(state.Logs) {
			seen = &state.Logs[i]
			if seen.Origin != entry.Origin || seen.VKey != entry.VKey {
				c.replaced(seen, entry)
				return nil
			}
		}
		if err := c.log(remote, entry, seen); err != nil || c.report.Outcome.Bad() {
			return err
		}
	}
	if n := len(c.served); n < len(state.Logs) {
		c.gone(&state.Logs[n])
	}
	return nil
}

// log compares one log with what was seen of it, which may be nothing.
func (c *check) log(remote *Remote, entry receipt.LogEntry, seen *Seen) error {
	signed, cp, err := remote.Checkpoint(c.ctx)
	if err != nil {
		return err
	}
	now := Sighting{Time: c.now, Checkpoint: signed}
	next := Seen{Origin: entry.Origin, VKey: entry.VKey, First: *entry.First, Closed: entry.Closed != nil}
	if seen != nil {
		if next.First != seen.First {
			c.replaced(seen, entry)
			return nil
		}
		next.Sightings, next.Named, next.Said = append(next.Sightings, seen.Sightings...), seen.Named, seen.Said
		if err := c.compare(remote, seen, now, cp); err != nil || c.report.Outcome.Bad() {
			return err
		}
	}
	if entry.Closed != nil && (seen == nil || !seen.Closed) {
		if err := c.closed(remote, entry, seen, cp, &next); err != nil || c.report.Outcome.Bad() {
			return err
		}
	}
	next.add(now)
	c.next.Logs = append(c.next.Logs, next)
	return nil
}

// compare wants a checkpoint to continue every one that was seen.
func (c *check) compare(remote *Remote, seen *Seen, now Sighting, cp checkpoint.Checkpoint) error {
	then := seen.last()
	c.report = Report{Outcome: Consistent, Origin: seen.Origin, Then: &then, Now: &now}
	differs, err := c.firstOther(remote, seen, cp)
	if err != nil {
		return err
	}
	switch {
	case differs != nil:
		return c.rewritten(remote, cp, differs)
	case seen.Closed && cp.Size != then.Size():
		c.report.Outcome = Replaced
		c.report.Says = fmt.Sprintf("the log %s was closed at %d leaves, and the registry says now that it was at %d", seen.Origin, then.Size(), cp.Size)
	case cp.Size >= then.Size():
		c.report.Says = fmt.Sprintf("the log %s goes on from %d to %d leaves, and all that was seen is still there", seen.Origin, then.Size(), cp.Size)
	case !seen.Closed && c.after(seen.Origin) != nil:
		// A declared loss: closed says which records.
	default:
		c.report.Outcome = Truncated
		c.report.Says = fmt.Sprintf("the log %s has %d leaves, and had %d on %s: records %d to %d are gone, and the registry does not say so",
			seen.Origin, cp.Size, then.Size(), then.Time.Format(time.DateTime), seen.First+cp.Size, seen.First+then.Size()-1)
	}
	return nil
}

// firstOther returns the smallest sighting that the tree of a checkpoint contradicts, or nil. It leaves in
// the report how many leaves are proved to be as they were.
func (c *check) firstOther(remote *Remote, seen *Seen, cp checkpoint.Checkpoint) (*Sighting, error) {
	var within []Sighting
	for _, s := range seen.Sightings {
		if s.Size() <= cp.Size {
			within = append(within, s)
		}
	}
	// Each sighting continued the one before it. So the last one stands for all, if it is still there.
	if n := len(within); n > 0 {
		if same, err := c.same(remote, within[n-1], cp); same || err != nil {
			return nil, err
		}
	}
	for i := range within {
		if same, err := c.same(remote, within[i], cp); !same || err != nil {
			return &within[i], err
		}
	}
	return nil, nil
}

// same says whether the tree of a checkpoint continues a sighting.
func (c *check) same(remote *Remote, s Sighting, cp checkpoint.Checkpoint) (bool, error) {
	root, err := remote.RootAt(c.ctx, cp, s.Size())
	if err != nil || root != s.root() {
		return false, err
	}
	c.report.Same = s.Size()
	return true, nil
}

// rewritten reports two checkpoints that contradict each other, and what shows it to others.
func (c *check) rewritten(remote *Remote, cp checkpoint.Checkpoint, then *Sighting) (err error) {
	r := &c.report
	r.Outcome, r.Then = Rewritten, then
	root, err := remote.RootAt(c.ctx, cp, then.Size())
	if err != nil {
		return err
	}
	r.Other = &root
	if r.Proof, err = remote.Consistency(c.ctx, cp, then.Size()); err != nil {
		return err
	}
	r.Says = fmt.Sprintf("the log %s was rewritten: its first %d leaves are not those that it signed for on %s. The first %d are as they were; the change is behind them",
		remote.Origin, then.Size(), then.Time.Format(time.DateTime), r.Same)
	return nil
}

// closed reports the declared end of a log, of which the registry has the leaves of the checkpoint kept.
func (c *check) closed(remote *Remote, entry receipt.LogEntry, seen *Seen, kept checkpoint.Checkpoint, next *Seen) error {
	end, err := remote.Open(entry.Closed.Checkpoint)
	if err != nil {
		return fmt.Errorf("the end of the log %s: %w", entry.Origin, err)
	}
	following := c.after(entry.Origin)
	if end.Size < kept.Size || *following.First != *entry.First+kept.Size || end.Size == kept.Size && end.Root != kept.Root {
		return fmt.Errorf("the log %s: %w: its declared end has %d leaves, %d are served, and the next log begins with record %d",
			entry.Origin, ErrBroken, end.Size, kept.Size, *following.First)
	}
	if seen == nil {
		return nil // it had ended before anything was seen
	}
	last := seen.last()
	if last.Size() == end.Size && last.root() != end.Root {
		now := Sighting{Time: c.now, Checkpoint: entry.Closed.Checkpoint}
		c.report.Outcome, c.report.Then, c.report.Now, c.report.Other = Rewritten, &last, &now, &end.Root
		c.report.Says = fmt.Sprintf("the log %s was closed with other leaves than the %d that it signed for on %s", entry.Origin, end.Size, last.Time.Format(time.DateTime))
		return nil
	}
	closing := Closing{Origin: entry.Origin, Reason: entry.Closed.Reason, Size: end.Size, Kept: kept.Size, Next: following.Origin}
	if last.Size() > kept.Size {
		to := seen.First + last.Size()
		closing.Lost = &receipt.Range{From: seen.First + kept.Size, To: &to}
		for len(next.Sightings) > 0 && next.last().Size() > kept.Size {
			next.Sightings = next.Sightings[:len(next.Sightings)-1]
		}
	}
	c.report.Outcome = Restored
	c.report.Closings = append(c.report.Closings, closing)
	c.report.Says = closing.says()
	return nil
}

func (c Closing) says() string {
	s := fmt.Sprintf("the registry closed the log %s at %d leaves (%s) and goes on in the log %s", c.Origin, c.Size, c.Reason, c.Next)
	if c.Kept < c.Size {
		s += fmt.Sprintf("; it has %d of them", c.Kept)
	}
	if c.Lost == nil {
		return s + "; no record that was seen is lost"
	}
	return s + fmt.Sprintf("; records %d to %d, which were seen, are lost", c.Lost.From, *c.Lost.To-1)
}

// after returns the log that follows another one, or nil.
func (c *check) after(origin string) *receipt.LogEntry {
	for i, e := range c.served[:len(c.served)-1] {
		if e.Origin == origin {
			return &c.served[i+1]
		}
	}
	return nil
}

func (c *check) replaced(seen *Seen, entry receipt.LogEntry) {
	then := seen.last()
	c.report = Report{Outcome: Replaced, Origin: seen.Origin, Then: &then}
	c.report.Says = fmt.Sprintf("where the log %s was, of %d leaves on %s, the registry names the log %s with another key or beginning",
		seen.Origin, then.Size(), then.Time.Format(time.DateTime), entry.Origin)
}

func (c *check) gone(seen *Seen) {
	then := seen.last()
	c.report = Report{Outcome: Replaced, Origin: seen.Origin, Then: &then}
	c.report.Says = fmt.Sprintf("the log %s, of %d leaves on %s, is gone: the registry names it no more", seen.Origin, then.Size(), then.Time.Format(time.DateTime))
}
