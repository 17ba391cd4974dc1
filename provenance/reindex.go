package provenance

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/storage"
)

// reindexStep is how many rows one transaction of Reindex changes: others wait for it.
const reindexStep = 500

// Reindex makes every row anew that records are found by, from the records alone, as a store needs whose
// rows an older version wrote. If we stop within it, it is run again, from its beginning.
func Reindex(ctx context.Context, store storage.Store) error {
	for _, table := range []storage.Table{indexTable, imageTable} {
		if err := empty(ctx, store, table); err != nil {
			return err
		}
	}
	return eachRecord(ctx, store, reindex)
}

// eachRecord calls fn for the index of every record, some in a transaction.
func eachRecord(ctx context.Context, store storage.Store, fn func(storage.Tx, uint64) error) error {
	for from, more := uint64(0), true; more; from += reindexStep {
		err := store.Update(ctx, func(tx storage.Tx) error {
			h, err := readHead(tx)
			if err != nil {
				return err
			}
			end, err := h.kept(tx, 0)
			if err != nil {
				return err
			}
			for index := from; index < min(from+reindexStep, end); index++ {
				if err := fn(tx, index); err != nil {
					return err
				}
			}
			more = from+reindexStep < end
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reindex puts the rows of a record.
func reindex(tx storage.Tx, index uint64) error {
	r, err := ReadRecord(tx, index)
	if errors.Is(err, ErrNoRecord) {
		return nil // it was lost before; fsck says so
	}
	if err != nil {
		return err
	}
	return putRows(tx, r)
}

// empty removes all rows of a table.
func empty(ctx context.Context, store storage.Store, table storage.Table) error {
	for n := reindexStep; n == reindexStep; {
		err := store.Update(ctx, func(tx storage.Tx) error {
			n = 0
			for item, err := range tx.Scan(table, nil, nil) {
				if err != nil || n == reindexStep {
					return err
				}
				tx.Delete(table, item.Key)
				n++
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
