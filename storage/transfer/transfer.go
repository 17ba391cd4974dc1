// Package transfer makes a store have the rows of another one, whatever engines keep the two.
//
// It compares both as it goes and writes what differs, so a transfer that broke off is gone on with by the next, also where rows have
// changed in between. No transaction and no View grows with the stores.
package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/internal/layout"
)

// Transfer is one from a store to another. Nobody else changes either.
type Transfer struct {
	From, To storage.Store
	// Leave names tables that are neither read nor changed, as that of the engines never is, which says what layout a store has. Default: none.
	Leave []storage.Table
	// Came is told how many rows of From were looked at, again and again. Default: nobody is told.
	Came func(rows int)
}

// How much of a table is compared at once: so many rows, and so many bytes with the last of them.
const (
	pieceRows  = 1000
	pieceBytes = 4 << 20
)

// Count returns how many rows From has.
func (t *Transfer) Count(ctx context.Context) (rows int, err error) {
	tables, err := t.tables(ctx)
	for _, table := range tables {
		if err == nil {
			err = storage.EachRow(ctx, t.From, table, func(storage.Reader, storage.Item) error {
				rows++
				return nil
			})
		}
	}
	return rows, err
}

// Run makes To have the rows of From, and no others. It returns how many it had to change. If we stop within it, To has some of them.
func (t *Transfer) Run(ctx context.Context) (changed int, err error) {
	err = t.each(ctx, func(table storage.Table, from, to []storage.Item) error {
		puts, deletes := differences(from, to)
		if len(puts)+len(deletes) == 0 {
			return nil
		}
		changed += len(puts) + len(deletes)
		return t.To.Update(ctx, func(tx storage.Tx) error {
			for _, item := range puts {
				tx.Put(table, item.Key, item.Value)
			}
			for _, key := range deletes {
				tx.Delete(table, []byte(key))
			}
			return nil
		})
	})
	return changed, err
}

// Compare wants both to have the same rows, and returns how many each table has. Error: storage.ErrCorrupt, where they differ.
func (t *Transfer) Compare(ctx context.Context) (rows map[storage.Table]int, err error) {
	rows = map[storage.Table]int{}
	err = t.each(ctx, func(table storage.Table, from, to []storage.Item) error {
		if puts, deletes := differences(from, to); len(puts)+len(deletes) > 0 {
			return fmt.Errorf("%w: %d rows of the table %s are not as they were", storage.ErrCorrupt, len(puts)+len(deletes), table)
		}
		rows[table] += len(from)
		return nil
	})
	return rows, err
}

// differences returns what makes rows of a range those of another.
func differences(from, to []storage.Item) (puts []storage.Item, deletes []string) {
	had := make(map[string][]byte, len(to))
	for _, item := range to {
		had[string(item.Key)] = item.Value
	}
	for _, item := range from {
		if value, ok := had[string(item.Key)]; !ok || !bytes.Equal(value, item.Value) {
			puts = append(puts, item)
		}
		delete(had, string(item.Key))
	}
	return puts, slices.Sorted(maps.Keys(had))
}

// each calls fn for each table and range of keys, with the rows that both have there.
func (t *Transfer) each(ctx context.Context, fn func(table storage.Table, from, to []storage.Item) error) error {
	tables, err := t.tables(ctx)
	if err != nil {
		return err
	}
	for _, table := range tables {
		for at, more := []byte(nil), true; more; {
			from, end, err := piece(ctx, t.From, table, at)
			if err != nil {
				return err
			}
			to, endTo, err := piece(ctx, t.To, table, at)
			if err != nil {
				return err
			}
			if end == nil || endTo != nil && bytes.Compare(endTo, end) < 0 {
				end = endTo
			}
			from, to = before(from, end), before(to, end)
			if err := fn(table, from, to); err != nil {
				return err
			}
			if t.Came != nil {
				t.Came(len(from))
			}
			at, more = end, end != nil
		}
	}
	return nil
}

// tables are those that either has, but for those that are left.
func (t *Transfer) tables(ctx context.Context) (all []storage.Table, err error) {
	for _, s := range []storage.Store{t.From, t.To} {
		var found []storage.Table
		err := s.View(ctx, func(tx storage.Reader) (err error) {
			found, err = TablesOf(tx)
			return err
		})
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return slices.DeleteFunc(all, func(table storage.Table) bool { return slices.Contains(t.Leave, table) }), nil
}

// TablesOf are the tables that have rows, but for the one of the engines.
func TablesOf(tx storage.Reader) ([]storage.Table, error) {
	l, ok := tx.(storage.Lister)
	if !ok {
		return nil, errors.New("this engine does not say which tables it has")
	}
	all, err := l.Tables()
	return slices.DeleteFunc(all, func(table storage.Table) bool { return table == layout.Table }), err
}

// piece reads some rows of a table from a key on, and the key of the row behind them, or nil where there is none.
func piece(ctx context.Context, s storage.Store, table storage.Table, at []byte) (items []storage.Item, end []byte, err error) {
	err = s.View(ctx, func(tx storage.Reader) error {
		items, end = nil, nil
		room := pieceBytes
		for item, err := range tx.Scan(table, at, nil) {
			if err != nil {
				return err
			}
			if len(items) == pieceRows || room <= 0 {
				end = bytes.Clone(item.Key)
				return nil
			}
			items = append(items, storage.Item{Key: bytes.Clone(item.Key), Value: bytes.Clone(item.Value)})
			room -= len(item.Key) + len(item.Value)
		}
		return nil
	})
	return items, end, err
}

// before are the rows whose keys are below end, or all where it is nil.
func before(items []storage.Item, end []byte) []storage.Item {
	if end == nil {
		return items
	}
	n, _ := slices.BinarySearchFunc(items, end, func(item storage.Item, end []byte) int { return bytes.Compare(item.Key, end) })
	return items[:n]
}
