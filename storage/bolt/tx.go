package bolt

import (
	"bytes"
	"iter"

	"github.com/seed-260924e6/hallmark/storage"
	"go.etcd.io/bbolt"
)

// reader reads one bbolt transaction. Every call into bbolt is in a method of its own that turns a panic
// over a damaged page into ErrCorrupt.
type reader struct {
	tx      *bbolt.Tx
	buckets map[storage.Table]*bbolt.Bucket // made on first use; nil values are tables that are not there
}

func (r *reader) bucket(table storage.Table) *bbolt.Bucket {
	if b, ok := r.buckets[table]; ok {
		return b
	}
	if r.buckets == nil {
		r.buckets = make(map[storage.Table]*bbolt.Bucket, 4)
	}
	b := r.tx.Bucket([]byte(table))
	r.buckets[table] = b
	return b
}

// Tables implements storage.Lister.
func (r *reader) Tables() (tables []storage.Table, err error) {
	defer corrupt(&err)
	err = r.tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if first, _ := b.Cursor().First(); first != nil {
			tables = append(tables, storage.Table(name))
		}
		return nil
	})
	return tables, err
}

// Get implements storage.Reader.
func (r *reader) Get(table storage.Table, key []byte) (value []byte, err error) {
	defer corrupt(&err)
	if b := r.bucket(table); b != nil {
		value = b.Get(key)
	}
	if value == nil {
		return nil, storage.ErrNotFound
	}
	return value, nil
}

// GetMany implements storage.Reader.
func (r *reader) GetMany(table storage.Table, keys [][]byte) (values [][]byte, err error) {
	defer corrupt(&err)
	values = make([][]byte, len(keys))
	if b := r.bucket(table); b != nil {
		for i, key := range keys {
			values[i] = b.Get(key)
		}
	}
	return values, nil
}

// Scan implements storage.Reader.
func (r *reader) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		w := &walk{}
		item, ok, err := w.start(r, table, from)
		for err == nil && ok && (to == nil || bytes.Compare(item.Key, to) < 0) {
			if !yield(item, nil) {
				return
			}
			item, ok, err = w.next()
		}
		if err != nil {
			yield(storage.Item{}, err)
		}
	}
}

// ScanReverse implements storage.Reader.
func (r *reader) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		w := &walk{}
		item, ok, err := w.startBefore(r, table, to)
		for err == nil && ok && bytes.Compare(item.Key, from) >= 0 {
			if !yield(item, nil) {
				return
			}
			item, ok, err = w.back()
		}
		if err != nil {
			yield(storage.Item{}, err)
		}
	}
}

// walk is the position of one scan.
//
// In a transaction that deleted rows, pages may be empty until it commits. Backwards, bbolt's cursor stops at one as if the table began there, and
// never returns from Last where all are empty. So backwards we know the first key, and go on while there must be more.
type walk struct {
	cursor *bbolt.Cursor
	first  []byte // of the table, where pages may be empty; nil where they are not
	at     []byte // where the walk is; everything that is left is before it
}

// start goes to the first key that is not below from.
func (w *walk) start(r *reader, table storage.Table, from []byte) (item storage.Item, ok bool, err error) {
	defer corrupt(&err)
	b := r.bucket(table)
	if b == nil {
		return item, false, nil
	}
	w.cursor = b.Cursor()
	return asItem(w.cursor.Seek(from))
}

// startBefore goes to the last key below to, or to the very last when to is nil.
func (w *walk) startBefore(r *reader, table storage.Table, to []byte) (item storage.Item, ok bool, err error) {
	defer corrupt(&err)
	b := r.bucket(table)
	if b == nil {
		return item, false, nil
	}
	w.cursor = b.Cursor()
	if r.tx.Writable() {
		if w.first, _ = b.Cursor().First(); w.first == nil {
			return item, false, nil
		}
	}
	if to != nil {
		if key, _ := w.cursor.Seek(to); key != nil {
			w.at = to
			return w.asItem(w.prev())
		}
	}
	return w.asItem(w.cursor.Last())
}

// prev goes to the key before, over pages that are empty.
func (w *walk) prev() (key, value []byte) {
	key, value = w.cursor.Prev()
	for key == nil && w.first != nil && bytes.Compare(w.first, w.at) < 0 {
		key, value = w.cursor.Prev()
	}
	return key, value
}

func (w *walk) asItem(key, value []byte) (storage.Item, bool, error) {
	w.at = key
	return asItem(key, value)
}

func (w *walk) next() (item storage.Item, ok bool, err error) {
	defer corrupt(&err)
	return asItem(w.cursor.Next())
}

func (w *walk) back() (item storage.Item, ok bool, err error) {
	defer corrupt(&err)
	return w.asItem(w.prev())
}

func asItem(key, value []byte) (storage.Item, bool, error) {
	return storage.Item{Key: key, Value: value}, key != nil, nil
}

// tx is a reader with its changes kept aside. Undoing a closure is dropping its tx.
type tx struct {
	reader
	filled  map[storage.Table]bool // tables that fill has looked at in this bbolt transaction
	changes []change
	latest  map[place]int // where in changes the last change to a key stands
	err     error         // the first refusal; Update returns it
}

// place is a key in a table.
type place struct {
	table storage.Table
	key   string
}

// change sets a key, or deletes it when value is nil.
type change struct {
	place
	value []byte
}

// Put implements storage.Tx.
func (t *tx) Put(table storage.Table, key, value []byte) {
	// A set value is never nil, also when it is empty.
	t.change(table, key, append(make([]byte, 0, len(value)), value...))
}

// Delete implements storage.Tx.
func (t *tx) Delete(table storage.Table, key []byte) { t.change(table, key, nil) }

func (t *tx) change(table storage.Table, key, value []byte) {
	if len(key) == 0 || len(key) > storage.MaxKey {
		t.err = storage.ErrKeySize
		return
	}
	if t.latest == nil {
		t.latest = make(map[place]int)
	}
	at := place{table, string(key)}
	t.latest[at] = len(t.changes)
	t.changes = append(t.changes, change{at, value})
}

// Get implements storage.Reader over what the closure itself changed.
func (t *tx) Get(table storage.Table, key []byte) ([]byte, error) {
	if i, ok := t.latest[place{table, string(key)}]; ok {
		if t.changes[i].value == nil {
			return nil, storage.ErrNotFound
		}
		return t.changes[i].value, nil
	}
	return t.reader.Get(table, key)
}

// GetMany implements storage.Reader over what the closure itself changed.
func (t *tx) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	values, err := t.reader.GetMany(table, keys)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if at, ok := t.latest[place{table, string(key)}]; ok {
			values[i] = t.changes[at].value
		}
	}
	return values, nil
}

// apply hands the changes to bbolt, in their order. An error leaves the bbolt transaction unusable.
func (t *tx) apply() (err error) {
	defer corrupt(&err)
	for _, c := range t.changes {
		if err := t.applyOne(c); err != nil {
			return err
		}
	}
	return nil
}

// fill lets the pages of a table be filled to their end where its keys come in their order, as numbers do. Pages
// of other tables are split into halves, each with room for what comes between. The first key that a
// transaction puts tells for all.
func (t *tx) fill(table storage.Table, b *bbolt.Bucket, key string) {
	if t.filled[table] {
		return
	}
	t.filled[table] = true
	if first, _ := b.Cursor().First(); first == nil {
		return // nothing is left of it, and Last would not return
	}
	if last, _ := b.Cursor().Last(); string(last) < key {
		b.FillPercent = 1
	}
}

func (t *tx) applyOne(c change) error {
	b := t.bucket(c.table)
	if b != nil && c.value != nil {
		t.fill(c.table, b, c.key)
	}
	switch {
	case b != nil && c.value == nil:
		return b.Delete([]byte(c.key))
	case b != nil:
		return b.Put([]byte(c.key), c.value)
	case c.value == nil:
		return nil
	}
	b, err := t.tx.CreateBucketIfNotExists([]byte(c.table))
	if err != nil {
		return err
	}
	t.buckets[c.table] = b
	return b.Put([]byte(c.key), c.value)
}
