package provenance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// A record is found by a dozen rows, in as many places of the store. They are made a moment after the record, for
// some records at once: a push then writes a third of the pages, and all together half as many. The records that
// have no rows yet are the tail of the book. Anyone who looks for records sees the rows that it will have
// (withTail), so no answer tells a difference.
//
// If we stop before the rows of a record are made, it is in the tail that the next start finds.

const (
	indexStep  = 16                    // records that get their rows in one transaction
	indexPause = 50 * time.Millisecond // in which records come together
	// maxTail is how many records the tail has at most: an append beyond it makes rows itself, so that answers
	// stay fast whatever keeps KeepIndexed.
	maxTail = 256
)

// indexed is up to where the records have their rows.
type indexed struct {
	next   uint64 // the first record of the tail
	latest Time   // the latest time of any record before it
	// filled is the first record that Fill has not come to. It is next, but in a store of an older version.
	filled uint64
	// spelled is the first record whose rows may lack spellings of its sources. It is next, but in a store of an older version.
	spelled uint64
}

var (
	indexedKey = []byte("indexed")
	filledKey  = []byte("filled")
	spelledKey = []byte("spelled")
)

func readIndexed(r storage.Reader) (x indexed, err error) {
	rows, err := r.GetMany(headTable, [][]byte{indexedKey, filledKey, spelledKey})
	if err != nil {
		return x, err
	}
	x.latest = At(time.Unix(0, 0))
	if value := rows[0]; len(value) == 16 {
		x.next = binary.BigEndian.Uint64(value)
		x.latest = At(time.UnixMicro(int64(binary.BigEndian.Uint64(value[8:]))))
	} else if value != nil {
		return x, fmt.Errorf("%w: the mark of the indexed records has %d bytes", storage.ErrCorrupt, len(value))
	}
	if len(rows[2]) == 16 && binary.BigEndian.Uint64(rows[2]) == spellings {
		x.spelled = lastIndex(rows[2])
	}
	if rows[1] != nil {
		x.filled, err = indexIn(rows[1])
	}
	return x, err
}

func (x indexed) write(tx storage.Tx) {
	tx.Put(headTable, indexedKey, slices.Concat(indexKey(x.next), micros(x.latest.Time)))
	tx.Put(headTable, filledKey, indexKey(x.filled))
	tx.Put(headTable, spelledKey, slices.Concat(indexKey(spellings), indexKey(x.spelled)))
}

// index makes the rows of at most so many records, up to end, and moves the mark behind them.
func (b *Book) index(tx storage.Tx, x indexed, end, most uint64) error {
	for end = min(end, x.next+most); x.next < end; {
		whole := x.filled == x.next && b.follower != nil
		r, err := x.step(tx)
		if err == nil && whole {
			err = b.fillOne(tx, &x, r)
		}
		if err != nil {
			return err
		}
	}
	x.write(tx)
	return nil
}

// rows takes the rows that records are found by.
type rows interface {
	storage.Reader
	Put(table storage.Table, key, value []byte)
}

// step puts the rows of the first record of the tail, but for those that Fill puts, and returns it. One that is lost or
// damaged has none, and is nil; fsck says so.
func (x *indexed) step(to rows) (*Record, error) {
	r, err := readKept(to, x.next)
	if x.spelled == x.next {
		x.spelled++
	}
	x.next++
	if err != nil || r == nil {
		return nil, err
	}
	if r.Time.After(x.latest.Time) {
		x.latest = r.Time
	}
	to.Put(timeTable, timeKey(x.latest, r.Index), nil)
	return r, putRows(to, r)
}

// readKept reads a record, or nil where it is lost or damaged.
func readKept(from storage.Reader, index uint64) (*Record, error) {
	r, err := ReadRecord(from, index)
	switch {
	case errors.Is(err, ErrNoRecord), errors.Is(err, storage.ErrCorrupt), err == nil && r.Index != index:
		return nil, nil
	}
	return r, err
}

// putRows puts the rows of a record but for that of its time.
func putRows(to rows, r *Record) error {
	for t := range termsOf(r) {
		to.Put(indexTable, t.key(r.Index), nil)
	}
	return putImages(to, r)
}

// boundTail is called when the book has grown to end.
func (b *Book) boundTail(tx storage.Tx, end uint64) error {
	select {
	case b.grew <- struct{}{}: // KeepIndexed comes behind this transaction, since only one is run at a time
	default:
	}
	x, err := readIndexed(tx)
	if err != nil || end-x.next <= maxTail {
		return err
	}
	return b.index(tx, x, end, indexStep)
}

// KeepIndexed makes the rows of new records until ctx ends. What went wrong is told to failed, and tried again
// when the next record comes.
func (b *Book) KeepIndexed(ctx context.Context, failed func(error)) {
	for {
		behind, err := b.catchUpSome(ctx)
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
		if !behind {
			select {
			case <-ctx.Done():
				return
			case <-b.grew:
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(indexPause):
		}
	}
}

// catchUpSome makes the rows of new records, and some that older ones lack. It says whether there are more to make at once: not
// where something went wrong.
func (b *Book) catchUpSome(ctx context.Context) (behind bool, err error) {
	if err = b.Index(ctx); err == nil {
		behind, err = b.fillSome(ctx, fillStep)
	}
	if err == nil && !behind {
		behind, err = b.spellSome(ctx, fillStep)
	}
	return behind && err == nil, err
}

// Index makes rows until there is no tail.
func (b *Book) Index(ctx context.Context) error {
	for more := true; more; {
		var err error
		if more, err = b.indexSome(ctx, indexStep); err != nil {
			return err
		}
	}
	return nil
}

// indexSome makes the rows of at most so many records, and says whether there are more in the tail.
func (b *Book) indexSome(ctx context.Context, most uint64) (more bool, err error) {
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		more = false
		x, end, err := unindexed(tx)
		if err != nil || x.next >= end {
			return err
		}
		more = x.next+most < end
		return b.index(tx, x, end, most)
	})
	return more, err
}

// MarkIndexed notes that all records have their rows, as a store needs that is of a version which made them at
// once.
func MarkIndexed(ctx context.Context, store storage.Store) error {
	return store.Update(ctx, func(tx storage.Tx) error {
		h, err := readHead(tx)
		if err == nil {
			indexed{next: h.next, latest: h.latest}.write(tx)
		}
		return err
	})
}

// unstored are rows beside what a Reader reads.
type unstored struct {
	storage.Reader
	rows map[storage.Table][]storage.Item
}

// Put implements rows.
func (u unstored) Put(table storage.Table, key, value []byte) {
	u.rows[table] = append(u.rows[table], storage.Item{Key: key, Value: append([]byte{}, value...)})
}

// tail is a Reader that reads unstored rows too, which are in the order of their keys.
type tail struct{ unstored }

// unindexed returns the mark, and up to where there are records that have no rows yet.
func unindexed(tx storage.Reader) (x indexed, end uint64, err error) {
	storage.Expect(tx, headReads)
	h, err := readHead(tx)
	if err != nil {
		return x, 0, err
	}
	if x, err = readIndexed(tx); err != nil {
		return x, 0, err
	}
	end, err = h.kept(tx, x.next)
	return x, end, err
}

// withTail returns what tx reads, with the rows of all records, and those that others make of them.
func withTail(tx storage.Reader, others ...func(rows, *Record) error) (storage.Reader, error) {
	x, end, err := unindexed(tx)
	if err != nil || x.next >= end {
		return tx, err
	}
	u := unstored{tx, make(map[storage.Table][]storage.Item)}
	for x.next < end {
		r, err := x.step(u)
		for _, put := range others {
			if err == nil && r != nil {
				err = put(u, r)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for table, rows := range u.rows {
		// Of rows with one key the first stays, as where they are stored.
		slices.SortStableFunc(rows, func(a, b storage.Item) int { return bytes.Compare(a.Key, b.Key) })
		u.rows[table] = slices.CompactFunc(rows, func(a, b storage.Item) bool { return bytes.Equal(a.Key, b.Key) })
	}
	return tail{u}, nil
}

// view calls fn with what finds all records.
func (b *Book) view(ctx context.Context, fn func(storage.Reader) error) error {
	return b.viewWith(ctx, func() []storage.Read { return nil }, fn)
}

// viewWith is view that declares what fn reads.
func (b *Book) viewWith(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error {
	return b.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return append(headReads(), reads()...) })
		all, err := withTail(tx)
		if err != nil {
			return err
		}
		return fn(all)
	})
}

// at returns where in the rows of a table a key is or would be.
func (t tail) at(table storage.Table, key []byte) (int, bool) {
	return slices.BinarySearchFunc(t.rows[table], key, func(row storage.Item, key []byte) int { return bytes.Compare(row.Key, key) })
}

// between returns the rows of a table in [from, to).
func (t tail) between(table storage.Table, from, to []byte) []storage.Item {
	begin, _ := t.at(table, from)
	end := len(t.rows[table])
	if to != nil {
		end, _ = t.at(table, to)
	}
	return t.rows[table][begin:max(begin, end)]
}

// Expect implements storage.Expecter.
func (u unstored) Expect(reads []storage.Read) {
	storage.Expect(u.Reader, func() []storage.Read { return reads })
}

// Get implements storage.Reader.
func (t tail) Get(table storage.Table, key []byte) ([]byte, error) {
	if at, ok := t.at(table, key); ok {
		return t.rows[table][at].Value, nil
	}
	return t.Reader.Get(table, key)
}

// GetMany implements storage.Reader.
func (t tail) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	values, err := t.Reader.GetMany(table, keys)
	for i := range values {
		if at, ok := t.at(table, keys[i]); ok {
			values[i] = t.rows[table][at].Value
		}
	}
	return values, err
}

// Scan implements storage.Reader.
func (t tail) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return merge(t.Reader.Scan(table, from, to), t.between(table, from, to), bytes.Compare)
}

// ScanReverse implements storage.Reader.
func (t tail) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	rows := slices.Clone(t.between(table, from, to))
	slices.Reverse(rows)
	return merge(t.Reader.ScanReverse(table, from, to), rows, func(a, b []byte) int { return bytes.Compare(b, a) })
}

// merge yields what is stored and what is not, in one order. No key is in both.
func merge(stored iter.Seq2[storage.Item, error], rows []storage.Item, compare func(a, b []byte) int) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		i := 0
		for item, err := range stored {
			for ; err == nil && i < len(rows) && compare(rows[i].Key, item.Key) < 0; i++ {
				if !yield(rows[i], nil) {
					return
				}
			}
			if !yield(item, err) || err != nil {
				return
			}
		}
		for ; i < len(rows); i++ {
			if !yield(rows[i], nil) {
				return
			}
		}
	}
}
