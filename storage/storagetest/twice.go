package storagetest

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// Twice returns a Store over s that is as hard on closures as the contract allows. It runs every closure of an Update
// twice, the first time for nothing, as an engine behind a network may: one that goes on from what its first run left behind is
// found. And when a closure has returned, it overwrites what it had lent it: one that keeps a slice without
// copying it is found.
func Twice(s storage.Store) storage.Store { return twice{s} }

type twice struct{ storage.Store }

var errAgain = errors.New("run again")

// View implements storage.Store.
func (t twice) View(ctx context.Context, fn func(storage.Reader) error) error {
	return t.Store.View(ctx, func(r storage.Reader) error {
		lent := lender{Reader: r}
		defer lent.takeBack()
		return fn(&lent)
	})
}

// Update implements storage.Store.
func (t twice) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return t.UpdateReading(ctx, nil, fn)
}

// UpdateReading implements storage.Declarer.
func (t twice) UpdateReading(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	err := t.once(ctx, reads, func(tx storage.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		return errAgain
	})
	if !errors.Is(err, errAgain) {
		return err
	}
	return t.once(ctx, reads, fn)
}

func (t twice) once(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	declared := func() []storage.Read { return reads }
	return storage.UpdateReading(ctx, t.Store, declared, func(tx storage.Tx) error {
		lent := lender{Reader: tx}
		defer lent.takeBack()
		return fn(lendingTx{tx, &lent})
	})
}

// lender lends copies of what it reads, until they are taken back.
type lender struct {
	storage.Reader
	lent [][]byte
}

func (l *lender) lend(b []byte) []byte {
	b = bytes.Clone(b)
	l.lent = append(l.lent, b)
	return b
}

// takeBack overwrites what was lent.
func (l *lender) takeBack() {
	for _, b := range l.lent {
		for i := range b {
			b[i] = 0xdb
		}
	}
}

// Expect implements storage.Expecter.
func (l *lender) Expect(reads []storage.Read) {
	storage.Expect(l.Reader, func() []storage.Read { return reads })
}

// Now implements storage.Timekeeper.
func (l *lender) Now() (time.Time, error) { return storage.Now(l.Reader) }

// Get implements storage.Reader.
func (l *lender) Get(table storage.Table, key []byte) ([]byte, error) {
	value, err := l.Reader.Get(table, key)
	return l.lend(value), err
}

// GetMany implements storage.Reader.
func (l *lender) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	values, err := l.Reader.GetMany(table, keys)
	for i, value := range values {
		values[i] = l.lend(value)
	}
	return values, err
}

// Scan implements storage.Reader.
func (l *lender) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return l.each(l.Reader.Scan(table, from, to))
}

// ScanReverse implements storage.Reader.
func (l *lender) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return l.each(l.Reader.ScanReverse(table, from, to))
}

func (l *lender) each(items iter.Seq2[storage.Item, error]) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		for item, err := range items {
			if !yield(storage.Item{Key: l.lend(item.Key), Value: l.lend(item.Value)}, err) {
				return
			}
		}
	}
}

// lendingTx is a Tx that lends what it reads.
type lendingTx struct {
	storage.Tx
	lent *lender
}

// Expect implements storage.Expecter.
func (t lendingTx) Expect(reads []storage.Read) { t.lent.Expect(reads) }

// Now implements storage.Timekeeper.
func (t lendingTx) Now() (time.Time, error) { return t.lent.Now() }

// Get implements storage.Reader.
func (t lendingTx) Get(table storage.Table, key []byte) ([]byte, error) {
	return t.lent.Get(table, key)
}

// GetMany implements storage.Reader.
func (t lendingTx) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	return t.lent.GetMany(table, keys)
}

// Scan implements storage.Reader.
func (t lendingTx) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return t.lent.Scan(table, from, to)
}

// ScanReverse implements storage.Reader.
func (t lendingTx) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return t.lent.ScanReverse(table, from, to)
}
