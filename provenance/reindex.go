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
	for from, more := uint64(0), true; more; from += reindexStep {
		err := store.Update(ctx, func(tx storage.Tx) (err error) {
			more, err = reindex(tx, from)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// reindex puts the rows of some records, and says whether there are more.
func reindex(tx storage.Tx, from uint64) (more bool, err error) {
	h, err := readHead(tx)
	if err != nil {
		return false, err
	}
	for index := from; index < min(from+reindexStep, h.next); index++ {
		r, err := ReadRecord(tx, index)
		if errors.Is(err, ErrNoRecord) {
			continue // it was lost before; fsck says so
		}
		if err != nil {
			return false, err
		}
		for t := range termsOf(r) {
			tx.Put(indexTable, t.key(index), nil)
		}
		if err := putImages(tx, r); err != nil {
			return false, err
		}
	}
	return from+reindexStep < h.next, nil
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
