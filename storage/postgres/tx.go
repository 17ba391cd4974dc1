package postgres

import (
	"maps"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
)

// changes are what closures set and delete: nil is deleted. A nil *changes has none.
type changes struct {
	rows map[place][]byte
	// tables are the keys by table, for scans. They are sorted when one asks.
	tables map[storage.Table][]string
}

func newChanges() *changes {
	return &changes{rows: map[place][]byte{}, tables: map[storage.Table][]string{}}
}

func (c *changes) get(p place) (value []byte, ok bool) {
	if c == nil {
		return nil, false
	}
	value, ok = c.rows[p]
	return value, ok
}

func (c *changes) has(p place) bool {
	_, ok := c.get(p)
	return ok
}

func (c *changes) set(p place, value []byte) {
	if !c.has(p) {
		c.tables[p.table] = append(c.tables[p.table], p.key)
	}
	c.rows[p] = value
}

// add adds the changes of a closure that came to its end.
func (c *changes) add(more *changes) {
	for p, value := range more.rows {
		c.set(p, value)
	}
}

// within returns the changes in a span, in its order.
func (c *changes) within(s span) (items []storage.Item) {
	if c == nil {
		return nil
	}
	for _, key := range c.tables[s.table] {
		if key >= string(s.from) && (s.to == nil || key < string(s.to)) {
			items = append(items, storage.Item{Key: []byte(key), Value: c.rows[place{s.table, key}]})
		}
	}
	slices.SortFunc(items, func(a, b storage.Item) int {
		if s.before(a.Key, b.Key) {
			return -1
		}
		return 1
	})
	return items
}

const (
	putRows    = `INSERT INTO hallmark_rows (t, k, v) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[]) ON CONFLICT (t, k) DO UPDATE SET v = excluded.v`
	deleteRows = `DELETE FROM hallmark_rows AS r USING unnest($1::text[], $2::bytea[]) AS w(t, k) WHERE r.t = w.t AND r.k = w.k`
)

// statements make the changes, each key once. They are in the order of the keys, so that two runs send the same.
func (c *changes) statements() (all []statement) {
	var putTables, putKeys, deletedTables, deletedKeys []string
	var values [][]byte
	for _, table := range slices.Sorted(maps.Keys(c.tables)) {
		slices.Sort(c.tables[table])
		for _, key := range c.tables[table] {
			if value := c.rows[place{table, key}]; value != nil {
				putTables, putKeys, values = append(putTables, string(table)), append(putKeys, key), append(values, value)
			} else {
				deletedTables, deletedKeys = append(deletedTables, string(table)), append(deletedKeys, key)
			}
		}
	}
	if len(putKeys) > 0 {
		all = append(all, statement{
			sql:    putRows,
			types:  []uint32{oidTextArray, oidByteaArray, oidByteaArray},
			values: [][]byte{array(oidText, putTables), array(oidBytea, putKeys), array(oidBytea, values)},
		})
	}
	if len(deletedKeys) > 0 {
		all = append(all, statement{
			sql:    deleteRows,
			types:  []uint32{oidTextArray, oidByteaArray},
			values: [][]byte{array(oidText, deletedTables), array(oidBytea, deletedKeys)},
		})
	}
	return all
}

// tx is a reader with its changes kept aside. Undoing a closure is dropping its tx.
type tx struct {
	*reader
	own *changes
	err error // the first refusal; Update returns it
}

// Put implements storage.Tx.
func (t *tx) Put(table storage.Table, key, value []byte) {
	t.change(table, key, append(make([]byte, 0, len(value)), value...))
}

// Delete implements storage.Tx.
func (t *tx) Delete(table storage.Table, key []byte) { t.change(table, key, nil) }

func (t *tx) change(table storage.Table, key, value []byte) {
	if len(key) == 0 || len(key) > storage.MaxKey {
		t.err = storage.ErrKeySize
		return
	}
	t.own.set(place{table, string(key)}, value)
}

// Get implements storage.Reader over what the closure itself changed.
func (t *tx) Get(table storage.Table, key []byte) ([]byte, error) {
	value, ok := t.own.get(place{table, string(key)})
	switch {
	case !ok:
		return t.reader.Get(table, key)
	case value == nil:
		return nil, storage.ErrNotFound
	}
	return value, nil
}

// GetMany implements storage.Reader over what the closure itself changed.
func (t *tx) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	values, err := t.reader.GetMany(table, keys)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if value, ok := t.own.get(place{table, string(key)}); ok {
			values[i] = value
		}
	}
	return values, nil
}
