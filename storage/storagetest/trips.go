package storagetest

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/seed-260924e6/hallmark/storage"
)

// Trips counts how often an engine behind a network would be asked, and waited for, before somebody goes on. In a View each read is
// a trip, whose end the next one may depend on: GetMany is one, and so is a scan, however many rows it yields, and an Expect with the
// reads of its rows. An Update is those and two more: its beginning, and its commit with all writes.
type Trips struct {
	// Counts says whether what is done with a context is counted, so that the background's work is not.
	Counts func(ctx context.Context) bool

	mu      sync.Mutex
	reads   int // guarded by mu
	updates int // guarded by mu
}

// Take returns what was counted since it was taken the last time: reads, those within Updates included, and Updates.
func (t *Trips) Take() (reads, updates int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { t.reads, t.updates = 0, 0 }()
	return t.reads, t.updates
}

// Text writes what was taken: "3", or "12 + 2" with updates.
func Text(reads, updates int) string {
	if updates == 0 {
		return fmt.Sprint(reads)
	}
	return fmt.Sprintf("%d + %d", reads, updates)
}

func (t *Trips) read() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
}

func (t *Trips) update() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.updates++
}

// Over returns a Store over s that counts.
func (t *Trips) Over(s storage.Store) storage.Store { return tripStore{s, t} }

type tripStore struct {
	storage.Store
	trips *Trips
}

// View implements storage.Store.
func (s tripStore) View(ctx context.Context, fn func(storage.Reader) error) error {
	if !s.trips.Counts(ctx) {
		return s.Store.View(ctx, fn)
	}
	return s.Store.View(ctx, func(r storage.Reader) error { return fn(newTripReader(r, s.trips)) })
}

// Update implements storage.Store.
func (s tripStore) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if !s.trips.Counts(ctx) {
		return s.Store.Update(ctx, fn)
	}
	s.trips.update()
	return s.Store.Update(ctx, func(tx storage.Tx) error { return fn(tripTx{tx, newTripReader(tx, s.trips)}) })
}

// tripReader counts what is read.
type tripReader struct {
	r        storage.Reader
	trips    *Trips
	expected map[string]bool // rows that are here already: table, zero byte, key
}

func newTripReader(r storage.Reader, trips *Trips) tripReader {
	return tripReader{r, trips, map[string]bool{}}
}

func expectedKey(table storage.Table, key []byte) string { return string(table) + "\x00" + string(key) }

// Expect implements storage.Expecter.
func (r tripReader) Expect(rows []storage.Row) {
	r.trips.read()
	for _, row := range rows {
		r.expected[expectedKey(row.Table, row.Key)] = true
	}
}

// Get implements storage.Reader.
func (r tripReader) Get(table storage.Table, key []byte) ([]byte, error) {
	if !r.expected[expectedKey(table, key)] {
		r.trips.read()
	}
	return r.r.Get(table, key)
}

// GetMany implements storage.Reader.
func (r tripReader) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	if len(keys) > 0 {
		r.trips.read()
	}
	return r.r.GetMany(table, keys)
}

// Scan implements storage.Reader.
func (r tripReader) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	r.trips.read()
	return r.r.Scan(table, from, to)
}

// ScanReverse implements storage.Reader.
func (r tripReader) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	r.trips.read()
	return r.r.ScanReverse(table, from, to)
}

// tripTx is a Tx whose reads are counted.
type tripTx struct {
	storage.Tx
	read tripReader
}

// Expect implements storage.Expecter.
func (t tripTx) Expect(rows []storage.Row) { t.read.Expect(rows) }

// Get implements storage.Reader.
func (t tripTx) Get(table storage.Table, key []byte) ([]byte, error) { return t.read.Get(table, key) }

// GetMany implements storage.Reader.
func (t tripTx) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	return t.read.GetMany(table, keys)
}

// Scan implements storage.Reader.
func (t tripTx) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return t.read.Scan(table, from, to)
}

// ScanReverse implements storage.Reader.
func (t tripTx) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return t.read.ScanReverse(table, from, to)
}
