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
		err := store.View(ctx, func(tx Reader) error {
			next = nil
			n := 0
			for item, err := range tx.Scan(table, from, nil) {
				if err != nil {
					return err
				}
				if n++; n > stepRows {
					next = bytes.Clone(item.Key)
					return nil
				}
				if err := fn(tx, item); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		from, more = next, next != nil
	}
	return nil
}
