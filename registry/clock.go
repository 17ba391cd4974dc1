package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// clock measures how long leases have lasted, and how long nobody has gone on with an upload. It counts microseconds
// while a registry runs, at its own pace, and is kept in the store: nobody loses a blob because the machine's clock was
// set, or was wrong at a start. What is kept for a day is so kept for the time that the registry did not run as well.
//
// If we stop, up to collectInterval of it is forgotten, and that much longer things are kept.
type clock struct {
	begun time.Time // when this process began; it has a monotonic reading
	base  uint64    // what it showed then
	first uint64    // what it showed when the store had its first clock; nothing is older
}

var clockKey = []byte("clock")

// openClock goes on with the store's clock. One that has none is new, or of an older version, whose leases began by
// the machine's clock, right or wrong: nobody knows how old they are, so all are taken to begin now.
func openClock(ctx context.Context, store storage.Store, machine time.Time) (*clock, error) {
	c := &clock{begun: time.Now()}
	err := store.View(ctx, func(tx storage.Reader) error {
		row, err := tx.Get(clockTable, clockKey)
		if err == nil && len(row) != 16 {
			return damaged("the registry's clock has %d bytes", len(row))
		}
		if err == nil {
			c.base, c.first = binary.BigEndian.Uint64(row), binary.BigEndian.Uint64(row[8:])
		}
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return c, c.start(ctx, store, machine)
	}
	return c, err
}

// start begins the clock behind every lease that there is.
func (c *clock) start(ctx context.Context, store storage.Store, machine time.Time) error {
	err := store.View(ctx, func(tx storage.Reader) error {
		c.base = uint64(max(machine.UnixMicro(), 0)) // as older versions count, for who goes back to one
		for item, err := range tx.ScanReverse(leaseTable, nil, nil) {
			if err != nil {
				return err
			}
			begin, _, _, err := cutLease(item.Key)
			c.base = max(c.base, begin)
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.first = c.base
	return c.save(ctx, store)
}

// now is what the clock shows.
func (c *clock) now() uint64 { return c.base + uint64(time.Since(c.begun).Microseconds()) }

// Clock is what the registry's clock shows, in microseconds. It counts while the registry runs, also over restarts;
// nobody who sets the machine's clock sets it.
func (g *Registry) Clock() uint64 { return g.now() }

// save keeps what the clock shows.
func (c *clock) save(ctx context.Context, store storage.Store) error {
	return store.Update(ctx, func(tx storage.Tx) error {
		c.put(tx, c.now())
		return nil
	})
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
