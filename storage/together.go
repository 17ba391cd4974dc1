package storage

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Together runs fn with a context in which every View of a [Joining] store is the same one: what a request asks of several rooms is of
// one moment, and what they read is read ahead together, where that is worth anything. fn only reads; one goroutine reads at a
// time; and what fn starts in the background has Views of its own once fn has returned.
func Together(ctx context.Context, s Store, fn func(ctx context.Context) error) error {
	if _, joins := s.(joining); !joins {
		return fn(ctx)
	}
	return s.View(ctx, func(r Reader) error {
		one := &together{reader: r}
		if e, ok := r.(Expecter); ok {
			one.ahead = &aheadReader{Reader: r, expecter: e}
			one.reader = one.ahead
		}
		defer one.end()
		return fn(context.WithValue(ctx, togetherKey{}, one))
	})
}

// Ahead says what is going to be read within Together. It reads nothing by itself: what is said is read with the next that is asked for.
func Ahead(ctx context.Context, reads func() []Read) {
	if one, ok := ctx.Value(togetherKey{}).(*together); ok && one.ahead != nil {
		one.ahead.pending = append(one.ahead.pending, reads()...)
	}
}

type togetherKey struct{}

// together is a View that others join.
type together struct {
	mu     sync.Mutex // held while one of them reads
	ended  bool       // guarded by mu
	reader Reader
	ahead  *aheadReader // the reader, where reading ahead is worth anything, else nil
}

func (t *together) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// Joining returns a Store over s whose Views join that of [Together], where there is one.
func Joining(s Store) Store { return joining{s} }

type joining struct{ Store }

// View implements Store.
func (j joining) View(ctx context.Context, fn func(Reader) error) error {
	one, ok := ctx.Value(togetherKey{}).(*together)
	if !ok {
		return j.Store.View(ctx, fn)
	}
	one.mu.Lock()
	if one.ended {
		one.mu.Unlock()
		return j.Store.View(ctx, fn)
	}
	defer one.mu.Unlock()
	return fn(one.reader)
}

// UpdateReading implements Declarer.
func (j joining) UpdateReading(ctx context.Context, reads []Read, fn func(Tx) error) error {
	return UpdateReading(ctx, j.Store, func() []Read { return reads }, fn)
}

// aheadReader reads what is pending with the next that is asked for.
type aheadReader struct {
	Reader
	expecter Expecter
	pending  []Read
}

// Expect implements Expecter.
func (a *aheadReader) Expect(reads []Read) {
	all := append(a.pending, reads...)
	a.pending = nil
	a.expecter.Expect(all)
}

func (a *aheadReader) before(reads ...Read) {
	if len(a.pending) > 0 {
		a.Expect(reads)
	}
}

// Now implements Timekeeper.
func (a *aheadReader) Now() (time.Time, error) { return Now(a.Reader) }

// Get implements Reader.
func (a *aheadReader) Get(table Table, key []byte) ([]byte, error) {
	a.before(Row(table, key))
	return a.Reader.Get(table, key)
}

// GetMany implements Reader.
func (a *aheadReader) GetMany(table Table, keys [][]byte) ([][]byte, error) {
	if len(a.pending) > 0 {
		reads := make([]Read, len(keys))
		for i, key := range keys {
			reads[i] = Row(table, key)
		}
		a.Expect(reads)
	}
	return a.Reader.GetMany(table, keys)
}

// Scan implements Reader.
func (a *aheadReader) Scan(table Table, from, to []byte) iter.Seq2[Item, error] {
	a.before(Rows(table, from, to))
	return a.Reader.Scan(table, from, to)
}

// ScanReverse implements Reader.
func (a *aheadReader) ScanReverse(table Table, from, to []byte) iter.Seq2[Item, error] {
	a.before(RowsReverse(table, from, to))
	return a.Reader.ScanReverse(table, from, to)
}
