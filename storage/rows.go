package storage

import (
	"bytes"
	"context"
	"errors"
)

// GetOrPut returns the value of a row that is made once: first becomes its value where there is none. Where there is
// one, nothing is written.
func GetOrPut(ctx context.Context, store Store, table Table, key, first []byte) (value []byte, err error) {
	read := func(tx Reader) error {
		found, err := tx.Get(table, key)
		value = bytes.Clone(found)
		return err
	}
	if err := store.View(ctx, read); !errors.Is(err, ErrNotFound) {
		return value, err
	}
	err = store.Update(ctx, func(tx Tx) error {
		if err := read(tx); !errors.Is(err, ErrNotFound) {
			return err // another was first
		}
		value = bytes.Clone(first)
		tx.Put(table, key, first)
		return nil
	})
	return value, err
}

// stepRows is how many rows EachRow looks at in one View: a long one would make a store's file grow.
const stepRows = 1000

// EachRow calls fn for every row of a table, in the order of their keys, within Views of which none is long. What fn
// sees of other rows is of the same View as its own. An error ends it.
func EachRow(ctx context.Context, store Store, table Table, fn func(Reader, Item) error) error {
	for from, more := []byte(nil), true; more; {
		var next []byte
		err := store.View(ctx, func(tx Reader) (err error) {
			next, err = SomeRows(tx, table, from, nil, stepRows, func(item Item) error { return fn(tx, item) })
			return err
		})
		if err != nil {
			return err
		}
		from, more = next, next != nil
	}
	return nil
}

// SomeRows calls fn for the first n rows of a table in a range, as Scan has it, and returns the key of the row behind them, or
// nil where there is none. An error ends it.
func SomeRows(tx Reader, table Table, from, to []byte, n int, fn func(Item) error) (next []byte, err error) {
	for item, err := range tx.Scan(table, from, to) {
		if err != nil {
			return nil, err
		}
		if n--; n < 0 {
			return bytes.Clone(item.Key), nil
		}
		if err := fn(item); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// A Lister is a Reader that knows its tables. Those of every engine do; what is put between an engine and a room need not.
type Lister interface {
	// Tables returns the tables that have rows, in the order of their names.
	Tables() ([]Table, error)
}
