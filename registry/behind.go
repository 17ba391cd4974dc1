package registry

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// No GET and no HEAD waits for a commit: what one of them leaves to be remembered is committed behind its answer, by one writer. So
// pulls go on while the disk or the database takes no changes.
//
// If we are killed, what is not committed yet is forgotten, and may only be what harms nobody then: that a blob was asked for, whose
// lease has time left (lease.go), and a report, which is made again. A stop in order commits it.

// The bounds of what waits to be committed.
const (
	maxBehind  = 4 << 20          // bytes, about
	behindStep = 100              // of it that share a transaction: all who push wait for it
	behindWait = time.Second      // until it is tried again
	behindStop = 10 * time.Second // for which a stop waits until the store begins to take it
)

// A note is what is to be remembered. put reads before it puts anything, and may find that it is not worth remembering any more. Its
// error says that a row is damaged, or that the store fails.
type note struct {
	size int // bytes, about
	put  func(storage.Tx) error
}

// behind are the notes that wait, each under a key.
type behind struct {
	mu    sync.Mutex
	notes map[string]note // guarded by mu
	order []string        // their keys, the oldest first; guarded by mu
	size  int             // of all; guarded by mu
	lost  int             // of them, for want of room; guarded by mu
	some  chan struct{}   // holds one where there may be notes

	writing sync.Mutex // held by who commits, so that nobody thinks that what another has taken is committed
}

func newBehind() *behind { return &behind{notes: map[string]note{}, some: make(chan struct{}, 1)} }

// add has a note committed, and drops an older one of that key. It says whether there is room: if not, the note is forgotten.
func (b *behind) add(key string, n note) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, there := b.notes[key]
	if b.size-before.size+n.size > maxBehind {
		b.lost++
		return false
	}
	if !there {
		b.order = append(b.order, key)
	}
	b.notes[key] = n
	b.size += n.size - before.size
	wake(b.some)
	return true
}

// take takes the oldest notes.
func (b *behind) take() (keys []string, notes []note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.order), behindStep)
	keys, b.order = b.order[:n:n], b.order[n:]
	for _, key := range keys {
		notes = append(notes, b.notes[key])
		b.size -= b.notes[key].size
		delete(b.notes, key)
	}
	return keys, notes
}

// giveBack returns what could not be committed, unless it was noted anew meanwhile.
func (b *behind) giveBack(keys []string, notes []note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, key := range keys {
		if _, newer := b.notes[key]; !newer {
			b.notes[key] = notes[i]
			b.order = append(b.order, key)
			b.size += notes[i].size
		}
	}
}

// counts are how many notes wait, and how many were forgotten for want of room.
func (b *behind) counts() (waiting, lost int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.notes), b.lost
}

// NotesWaiting returns how much is to be remembered and not committed yet, and how much was forgotten for want of room since the start.
func (g *Registry) NotesWaiting() (waiting, lost int) { return g.behind.counts() }

// KeepNotes commits what requests leave to be remembered, until ctx ends; and then the rest, unless the store takes nothing.
func (g *Registry) KeepNotes(ctx context.Context) {
	for failing := false; ctx.Err() == nil; {
		select {
		case <-ctx.Done():
			continue
		case <-g.behind.some:
		}
		err := g.FlushNotes(ctx)
		if err == nil || ctx.Err() != nil {
			failing = false
			continue
		}
		if !failing {
			g.log.Error("what was to be remembered of requests is not committed yet; it is tried again", "err", err)
		}
		failing = true
		wake(g.behind.some)
		sleep(ctx, behindWait)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), behindStop)
	defer cancel()
	if err := g.FlushNotes(ctx); err != nil {
		g.log.Error("what was to be remembered of the last requests is forgotten", "err", err)
	}
}

// FlushNotes commits what requests have left to be remembered until now.
func (g *Registry) FlushNotes(ctx context.Context) error {
	g.behind.writing.Lock()
	defer g.behind.writing.Unlock()
	for {
		keys, notes := g.behind.take()
		if len(notes) == 0 {
			return nil
		}
		if err := g.putNotes(ctx, notes); err != nil {
			g.behind.giveBack(keys, notes)
			return err
		}
	}
}

// putNotes commits notes. One that finds a damaged row is dropped, so that it keeps no others waiting.
func (g *Registry) putNotes(ctx context.Context, notes []note) error {
	var damage error
	err := g.store.Update(ctx, func(tx storage.Tx) error {
		damage = nil
		for _, n := range notes {
			err := n.put(tx)
			if err != nil && !errors.Is(err, storage.ErrCorrupt) {
				return err
			}
			damage = errors.Join(damage, err)
		}
		return nil
	})
	if err == nil && damage != nil {
		g.log.Error("what was to be remembered of a request is not: a row is damaged; hallmark fsck says more", "err", damage)
	}
	return err
}

// noteLease has the lease of a link begin at a time, unless it begins later by then.
func (g *Registry) noteLease(repo string, d digest.Digest, at uint64) (kept bool) {
	key := repoKey(repo, digestKey(d))
	return g.behind.add("lease "+string(key), note{3 * len(key), func(tx storage.Tx) error {
		value, err := getOrNil(tx, linkTable, key)
		if err != nil || value == nil { // it was deleted
			return err
		}
		row, err := decodeLinkRow(value)
		if err == nil && row.lease < at {
			row.lease = at
			putLease(tx, repo, digestKey(d), row)
		}
		return err
	}})
}
