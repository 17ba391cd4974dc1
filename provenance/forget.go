package provenance

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// Addresses are erased by a clock that counts while the registry runs, not by the records' own times: those are what
// the machine's clock said, and it may have been wrong then, or be wrong now. So each call of Forget notes how many
// records there are: they were all made before that moment, and once it is long enough ago, they may be forgotten.

// forgetStep is how many rows one transaction removes, so that nobody waits long for it.
const forgetStep = 1000

// Forget erases the unsigned part of the records that an earlier call counted, at least keep ago, and returns how many it
// erased. clock tells microseconds from any beginning: it goes on where it was after a restart, may fall back, and never
// jumps ahead. What is made between two calls is kept that much longer.
//
// If we stop in the middle, the notes are still there, and the next call goes on.
func (b *Book) Forget(ctx context.Context, clock func() uint64, keep time.Duration) (erased int, err error) {
	now, err := b.noteCount(ctx, clock)
	if err != nil {
		return 0, err
	}
	length := uint64(max(keep, 0).Microseconds())
	if now < length {
		return 0, nil
	}
	after := indexKey(now - length + 1)
	end, err := b.countBefore(ctx, after)
	if err != nil {
		return 0, err
	}
	if erased, err = b.clear(ctx, unsignedTable, indexKey(end)); err != nil {
		return erased, err
	}
	_, err = b.clear(ctx, countTable, after)
	return erased, err
}

// noteCount notes how many records there are, and returns when. The clock is read after they are counted, so that
// none of them is younger. A registry to which nothing came writes nothing.
func (b *Book) noteCount(ctx context.Context, clock func() uint64) (now uint64, err error) {
	var count, last uint64
	err = b.store.View(ctx, func(tx storage.Reader) (err error) {
		if count, err = Count(tx); err != nil {
			return err
		}
		for item, err := range tx.ScanReverse(countTable, nil, nil) {
			if err == nil {
				last, err = noted(item)
			}
			return err
		}
		return nil
	})
	now = clock()
	if err != nil || count == last {
		return now, err
	}
	return now, b.store.Update(ctx, func(tx storage.Tx) error {
		tx.Put(countTable, indexKey(now), indexKey(count))
		return nil
	})
}

// countBefore returns the largest number that was noted before a moment. That need not be the last: a clock that fell
// back at a stop notes larger numbers under earlier times, and then all the same no record is younger than its note.
func (b *Book) countBefore(ctx context.Context, moment []byte) (count uint64, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		count = 0
		for item, err := range tx.Scan(countTable, nil, moment) {
			if err != nil {
				return err
			}
			n, err := noted(item)
			if err != nil {
				return err
			}
			count = max(count, n)
		}
		return nil
	})
	return count, err
}

func noted(item storage.Item) (count uint64, err error) {
	if len(item.Key) != 8 || len(item.Value) != 8 {
		return 0, fmt.Errorf("%w: a note of how many records there were", storage.ErrCorrupt)
	}
	return lastIndex(item.Value), nil
}

// clear removes the rows of a table before a key, and returns how many.
func (b *Book) clear(ctx context.Context, table storage.Table, before []byte) (cleared int, err error) {
	for {
		n := 0
		err := b.store.Update(ctx, func(tx storage.Tx) error {
			n = 0
			for item, err := range tx.Scan(table, nil, before) {
				if err != nil || n == forgetStep {
					return err
				}
				tx.Delete(table, item.Key)
				n++
			}
			return nil
		})
		if err != nil || n == 0 {
			return cleared, err
		}
		cleared += n
	}
}
