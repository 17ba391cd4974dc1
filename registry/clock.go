package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// clock measures how long leases have lasted, and how long nobody has gone on with an upload. It counts microseconds
// while a registry runs, at its own pace, and is kept in the store: nobody loses a blob because the machine's clock was
// set, or was wrong at a start. What is kept for a day is so kept for the time that the registry did not run as well.
//
// If we stop, up to collectInterval of it is forgotten, and that much longer things are kept.
//
// Where several processes work on one store each has such a clock, and one of them keeps what its own shows. All are set forward to what is
// kept, never back: one that was suspended, or started late, is behind for no longer than collectInterval.
type clock struct {
	begun time.Time     // when this process began; it has a monotonic reading
	base  atomic.Uint64 // found, and what it was set forward by since
	found uint64        // what it showed then
	first uint64        // what it showed when the store had its first clock; nothing is older

	reaching sync.Mutex // held while base is set forward
}

var clockKey = []byte("clock")

// openClock goes on with the store's clock. One that has none is new, or of an older version, whose leases began by
// the machine's clock, right or wrong: nobody knows how old they are, so all are taken to begin now.
func openClock(ctx context.Context, store storage.Store, machine time.Time) (*clock, error) {
	c := &clock{begun: time.Now()}
	err := store.View(ctx, func(tx storage.Reader) error {
		shown, first, err := keptClock(tx)
		c.base.Store(shown)
		c.found, c.first = shown, first
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return c, c.start(ctx, store, machine)
	}
	return c, err
}

// keptClock is what the store keeps. Error: storage.ErrNotFound.
func keptClock(tx storage.Reader) (shown, first uint64, err error) {
	row, err := tx.Get(clockTable, clockKey)
	if err == nil && len(row) != 16 {
		err = damaged("the registry's clock has %d bytes", len(row))
	}
	if err != nil {
		return 0, 0, err
	}
	return binary.BigEndian.Uint64(row), binary.BigEndian.Uint64(row[8:]), nil
}

// start begins the clock behind every lease that there is.
func (c *clock) start(ctx context.Context, store storage.Store, machine time.Time) error {
	err := store.View(ctx, func(tx storage.Reader) error {
		latest := uint64(max(machine.UnixMicro(), 0)) // as older versions count, for who goes back to one
		defer func() { c.base.Store(latest) }()
		for item, err := range tx.ScanReverse(leaseTable, nil, nil) {
			if err != nil {
				return err
			}
			begin, _, _, err := cutLease(item.Key)
			latest = max(latest, begin)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.found = c.base.Load()
	c.first = c.found
	return c.save(ctx, store)
}

// now is what the clock shows.
func (c *clock) now() uint64 { return c.base.Load() + uint64(time.Since(c.begun).Microseconds()) }

// reach sets the clock forward to what another process has kept.
func (c *clock) reach(shown uint64) {
	c.reaching.Lock()
	defer c.reaching.Unlock()
	if now := c.now(); now < shown {
		c.base.Add(shown - now)
	}
}

// follow reads what is kept.
func (c *clock) follow(ctx context.Context, store storage.Store) error {
	var shown uint64
	err := store.View(ctx, func(tx storage.Reader) (err error) {
		shown, _, err = keptClock(tx)
		return err
	})
	if err == nil {
		c.reach(shown)
	}
	return err
}

// FollowClock sets the clock of this process forward to what another has kept, again and again until ctx ends.
func (g *Registry) FollowClock(ctx context.Context) {
	tick := time.NewTicker(collectInterval)
	defer tick.Stop()
	for {
		if err := g.clock.follow(ctx, g.store); err != nil && ctx.Err() == nil {
			g.log.Warn("the clock that leases are measured by could not be read; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Clock is what the registry's clock shows, in microseconds. It counts while the registry runs, also over restarts;
// nobody who sets the machine's clock sets it.
func (g *Registry) Clock() uint64 { return g.now() }

// save keeps what the clock shows, unless another process has kept more.
func (c *clock) save(ctx context.Context, store storage.Store) error {
	var shown uint64
	err := store.Update(ctx, func(tx storage.Tx) (err error) {
		if shown, _, err = keptClock(tx); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		shown = max(shown, c.now())
		c.put(tx, shown)
		return nil
	})
	if err == nil {
		c.reach(shown)
	}
	return err
}

// put keeps that the clock shows now.
func (c *clock) put(tx storage.Tx, now uint64) {
	tx.Put(clockTable, clockKey, binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, now), c.first))
}

// before returns the time that is so long ago, or 0 where the clock has not gone on for so long: then nothing is older.
func (c *clock) before(now uint64, ago time.Duration) uint64 {
	length := uint64(ago.Microseconds())
	if now < c.first || now-c.first < length {
		return 0
	}
	return now - length
}
