// Package lease says which of several processes over one store does what one alone may do at a time: collect, apply retention, ask
// witnesses.
//
// A process that works on a store beside others is a [Replica]: a row that it renews. A lease is a row that names a replica, and has a
// number which grows each time that the lease is taken. Work under a lease has it in its context; every transaction of a
// [Replica.Store] with that context looks first whether the number is still the one that its worker took. So a
// process that was paused beyond the end of its row, and does not know it yet, changes nothing any more: [ErrLost].
//
// The store's clock alone says when a row has ended (storage.Now), so the clocks of machines may be as far apart as they like.
//
// Where one process owns its store, as one does that holds the lock of an embedded store's file, none of this is needed: there is no row,
// nothing is renewed, looked at or waited for, and everything runs at once. The lock proves that every former process is
// gone, so what such a process left is removed at the start (Config.Alone).
package lease

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/storage"
)

const (
	replicaTable = storage.Table("lease/replica") // id → JSON of replicaRow
	leaseTable   = storage.Table("lease/lease")   // name → JSON of leaseRow. Never removed: its number must not begin anew.
)

// ErrLost says that another process does this work by now. Nothing happened.
var ErrLost = fault.New(fault.Closing, "another process does this work by now")

// leaseRow says who does some work.
type leaseRow struct {
	Number uint64 `json:"number"`           // how often it was taken
	Holder string `json:"holder,omitempty"` // a replica's id; "" where it was given back
}

// A held lease is one that this process took.
type held struct {
	name   string
	number uint64
}

func (h *held) read() storage.Read { return storage.Row(leaseTable, []byte(h.name)) }

// check is ErrLost where somebody took the lease after us.
func (h *held) check(tx storage.Reader) error {
	value, err := tx.Get(leaseTable, []byte(h.name))
	if errors.Is(err, storage.ErrNotFound) {
		return fmt.Errorf("%s: %w", h.name, ErrLost)
	}
	if err != nil {
		return err
	}
	row, err := decode[leaseRow](h.name, value)
	if err == nil && row.Number != h.number {
		err = fmt.Errorf("%s: %w", h.name, ErrLost)
	}
	return err
}

func decode[Row any](key string, value []byte) (row Row, err error) {
	if err := json.Unmarshal(value, &row); err != nil {
		return row, fmt.Errorf("%w: the row of %q in %s: %w", storage.ErrCorrupt, key, leaseTable, err)
	}
	return row, nil
}

func put(tx storage.Tx, table storage.Table, key string, row any) error {
	value, err := json.Marshal(row)
	if err == nil {
		tx.Put(table, []byte(key), value)
	}
	return err
}

type heldKey struct{}

// heldBy is the lease that a context's work is done under, or nil.
func heldBy(ctx context.Context) *held {
	h, _ := ctx.Value(heldKey{}).(*held)
	return h
}

// Check wants the lease that ctx's work is done under to be this process's still, as a transaction sees it. It is nil for all other work.
// Error: ErrLost.
func Check(ctx context.Context, tx storage.Reader) error {
	h := heldBy(ctx)
	if h == nil {
		return nil
	}
	return h.check(tx)
}

// fenced is a Store that does nothing for work under a lease that was lost.
type fenced struct{ storage.Store }

// Update implements storage.Store.
func (s fenced) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.UpdateReading(ctx, nil, fn)
}

// UpdateReading implements storage.Declarer.
func (s fenced) UpdateReading(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	h := heldBy(ctx)
	if h == nil {
		return storage.UpdateReading(ctx, s.Store, func() []storage.Read { return reads }, fn)
	}
	declared := func() []storage.Read { return append([]storage.Read{h.read()}, reads...) }
	return storage.UpdateReading(ctx, s.Store, declared, func(tx storage.Tx) error {
		if err := h.check(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// Holders are who has the leases that were ever taken: a replica's id by the name of each, "" where nobody has it.
func Holders(tx storage.Reader) (map[string]string, error) {
	rows, err := readTable[leaseRow](tx, leaseTable)
	holders := map[string]string{}
	for name, row := range rows {
		holders[name] = row.Holder
	}
	return holders, err
}
