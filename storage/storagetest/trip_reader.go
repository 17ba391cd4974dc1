package storagetest

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// maxAhead is how many rows of a range are read before anybody asks for them.
const maxAhead = 1000

type rowKey struct {
	table storage.Table
	key   string
}

// rangeKey is a range that is scanned.
type rangeKey struct {
	rowKey
	to      string
	noTo    bool
	reverse bool
}

func keyOf(r storage.Read) rangeKey {
	return rangeKey{rowKey{r.Table, string(r.Key)}, string(r.To), r.To == nil, r.Reverse}
}

// aheadRange is what was read of a range: all of it, or the first rows.
type aheadRange struct {
	items []storage.Item
	whole bool
}

// tripReader counts what is read, and answers from what it has read already.
type tripReader struct {
	r      storage.Reader
	trips  *Trips
	count  *int
	rows   map[rowKey][]byte // nil where there is none
	ranges map[rangeKey]aheadRange
}

func newTripReader(r storage.Reader, trips *Trips, count *int) *tripReader {
	return &tripReader{r, trips, count, map[rowKey][]byte{}, map[rangeKey]aheadRange{}}
}

// Now implements storage.Timekeeper. It comes with another answer.
func (r *tripReader) Now() (time.Time, error) { return storage.Now(r.r) }

// Tables hands on what the engine knows: it is for moves and backups alone, whose trips nobody counts.
func (r *tripReader) Tables() ([]storage.Table, error) { return r.r.(storage.Lister).Tables() }

func (r *tripReader) trip(what string, table storage.Table) { r.trips.add(r.count, 1, what, table) }

// Expect implements storage.Expecter.
func (r *tripReader) Expect(reads []storage.Read) {
	if r.has(reads) {
		return
	}
	r.trip(fmt.Sprintf("expect%d", len(reads)), "")
	_ = r.take(reads) // what cannot be read now says so when it is asked for
}

// has says whether all of it was read before.
func (r *tripReader) has(reads []storage.Read) bool {
	for _, read := range reads {
		_, row := r.ahead(read.Table, read.Key)
		_, rows := r.ranges[keyOf(read)]
		if read.Range && !rows || !read.Range && !row {
			return false
		}
	}
	return true
}

// ahead is what was read of a row before, by itself or with all rows of a range.
func (r *tripReader) ahead(table storage.Table, key []byte) (value []byte, ok bool) {
	if value, ok = r.rows[rowKey{table, string(key)}]; ok {
		return value, true
	}
	for of, ahead := range r.ranges {
		if of.table != table || string(key) < of.key || !of.noTo && string(key) >= of.to {
			continue
		}
		at := slices.IndexFunc(ahead.items, func(item storage.Item) bool { return bytes.Equal(item.Key, key) })
		if at >= 0 {
			return ahead.items[at].Value, true
		}
		if ahead.reaches(of.reverse, key) {
			return nil, true
		}
	}
	return nil, false
}

// take reads what is expected.
func (r *tripReader) take(reads []storage.Read) error {
	for _, read := range reads {
		if !read.Range {
			value, err := r.r.GetMany(read.Table, [][]byte{read.Key})
			if err != nil {
				return err
			}
			r.rows[rowKey{read.Table, string(read.Key)}] = value[0]
			continue
		}
		ahead := aheadRange{whole: true}
		for item, err := range r.scan(read) {
			if err != nil {
				return err
			}
			if len(ahead.items) == min(cmp.Or(read.Most, maxAhead), maxAhead) {
				ahead.whole = false
				break
			}
			ahead.items = append(ahead.items, item)
		}
		r.ranges[keyOf(read)] = ahead
	}
	return nil
}

func (r *tripReader) scan(read storage.Read) iter.Seq2[storage.Item, error] {
	if read.Reverse {
		return r.r.ScanReverse(read.Table, read.Key, read.To)
	}
	return r.r.Scan(read.Table, read.Key, read.To)
}

// Get implements storage.Reader.
func (r *tripReader) Get(table storage.Table, key []byte) ([]byte, error) {
	at := rowKey{table, string(key)}
	value, ok := r.ahead(table, key)
	if !ok {
		r.trip("get", table)
		values, err := r.r.GetMany(table, [][]byte{key})
		if err != nil {
			return nil, err
		}
		value = values[0]
		r.rows[at] = value
	}
	if value == nil {
		return nil, storage.ErrNotFound
	}
	return value, nil
}

// GetMany implements storage.Reader.
func (r *tripReader) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	var reads []storage.Read
	for _, key := range keys {
		reads = append(reads, storage.Row(table, key))
	}
	if !r.has(reads) {
		r.trip(fmt.Sprintf("many%d", len(keys)), table)
		if err := r.take(reads); err != nil {
			return nil, err
		}
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i], _ = r.ahead(table, key)
	}
	return values, nil
}

// Scan implements storage.Reader.
func (r *tripReader) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.each(storage.Rows(table, from, to), "scan")
}

// ScanReverse implements storage.Reader.
func (r *tripReader) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.each(storage.RowsReverse(table, from, to), "reverse")
}

// each yields what was read ahead of a range, and then the rest.
func (r *tripReader) each(read storage.Read, what string) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		ahead, ok := r.rangeAhead(read)
		if !ok {
			r.trip(what, read.Table)
			r.scan(read)(yield)
			return
		}
		for _, item := range ahead.items {
			switch {
			case string(item.Key) < string(read.Key) || read.To != nil && string(item.Key) >= string(read.To):
				continue // before it, or behind its end
			case !yield(item, nil):
				return
			}
		}
		if rest, ok := ahead.rest(read); ok {
			r.trip(what+" on", read.Table)
			r.scan(rest)(yield)
		}
	}
}

// rangeAhead is what was read of a range that has all of another.
func (r *tripReader) rangeAhead(read storage.Read) (aheadRange, bool) {
	for of, ahead := range r.ranges {
		if of.table == read.Table && of.reverse == read.Reverse && of.key <= string(read.Key) &&
			(of.noTo || read.To != nil && string(read.To) <= of.to) {
			return ahead, true
		}
	}
	return aheadRange{}, false
}

// reaches says whether a key lies in what was read.
func (a aheadRange) reaches(reverse bool, key []byte) bool {
	if a.whole || len(a.items) == 0 {
		return a.whole
	}
	c := bytes.Compare(key, a.items[len(a.items)-1].Key)
	return c == 0 || (c > 0) == reverse
}

// rest is what was not read ahead of a range, if anything was not.
func (a aheadRange) rest(read storage.Read) (storage.Read, bool) {
	if a.whole || len(a.items) == 0 {
		return read, false
	}
	last := a.items[len(a.items)-1].Key
	switch {
	case read.Reverse && (read.To == nil || string(read.To) > string(last)):
		read.To = last
	case !read.Reverse && string(read.Key) <= string(last):
		read.Key = append(bytes.Clone(last), 0)
	}
	return read, read.To == nil || string(read.Key) < string(read.To)
}

// tripTx is a Tx whose reads are counted, but for those of what it put.
type tripTx struct {
	*tripReader
	tx  storage.Tx
	own map[rowKey]bool
}

// Put implements storage.Tx.
func (t *tripTx) Put(table storage.Table, key, value []byte) {
	t.own[rowKey{table, string(key)}] = true
	t.tx.Put(table, key, value)
}

// Delete implements storage.Tx.
func (t *tripTx) Delete(table storage.Table, key []byte) {
	t.own[rowKey{table, string(key)}] = true
	t.tx.Delete(table, key)
}

// Get implements storage.Reader.
func (t *tripTx) Get(table storage.Table, key []byte) ([]byte, error) {
	if t.own[rowKey{table, string(key)}] {
		return t.tx.Get(table, key)
	}
	return t.tripReader.Get(table, key)
}

// GetMany implements storage.Reader.
func (t *tripTx) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	var others [][]byte
	for _, key := range keys {
		if !t.own[rowKey{table, string(key)}] {
			others = append(others, key)
		}
	}
	if _, err := t.tripReader.GetMany(table, others); err != nil {
		return nil, err
	}
	return t.tx.GetMany(table, keys)
}
