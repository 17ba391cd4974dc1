package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
)

// startRounds is how often each store is started.
const startRounds = 9

// runStarts fills a store with 1,000 records and another with so many, and compares a start over each, in turn: how many
// rows it reads before the rooms are open, and after how long the server is ready.
func runStarts(ctx context.Context, program, dir string, records int) error {
	all := []million{{program, filepath.Join(dir, "small", "hallmark"), 1000}, {program, filepath.Join(dir, "large", "hallmark"), records}}
	read, took := make([]int, len(all)), make([][]float64, len(all))
	for i, m := range all {
		var err error
		if read[i], err = m.prepareStarts(ctx); err != nil {
			return err
		}
	}
	for range startRounds {
		for i, m := range all {
			seconds, err := m.coldStart(ctx)
			if err != nil {
				return err
			}
			took[i] = append(took[i], seconds*1e3)
		}
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprint(t, "| records\t| rows read by a start\t| ready after, median\t|\n| --:\t| --:\t| --:\t|\n")
	for i, m := range all {
		fmt.Fprintf(t, "| %d\t| %d\t| %.0f ms\t|\n", m.records, read[i], median(took[i]))
	}
	return t.Flush()
}

// prepareStarts makes a store with its records, and counts the rows that a start reads of it.
func (m million) prepareStarts(ctx context.Context) (read int, err error) {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return 0, err
	}
	s, err := startHallmark(ctx, m.program, m.dir) // makes the keys
	if err != nil {
		return 0, err
	}
	s.stop()
	err = m.withShelf(ctx, m.file(), func(s *shelf) error {
		return errors.Join(s.appendUpTo(ctx, m.records), s.book.Index(ctx))
	})
	if err != nil {
		return 0, err
	}
	if s, err = startHallmark(ctx, m.program, m.dir); err != nil { // what is done at the first start over them is done
		return 0, err
	}
	time.Sleep(time.Second) // in the background
	s.stop()
	return m.countStart(ctx)
}

// coldStart starts the server when the system has forgotten the store, and says after how many seconds it was ready.
func (m million) coldStart(ctx context.Context) (seconds float64, err error) {
	if err := forget(m.file()); err != nil {
		return 0, err
	}
	begun := time.Now()
	s, err := startHallmark(ctx, m.program, m.dir)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	return time.Since(begun).Seconds(), nil
}

// countStart opens the rooms over a store as a start does, and counts the rows that they read of it until they are open.
func (m million) countStart(ctx context.Context) (read int, err error) {
	store, err := datadir.OpenStore(m.file(), datadir.ToChange, datadir.Options{})
	if err != nil {
		return 0, err
	}
	counted := &rowCounter{Store: store}
	err = errors.Join(m.openRooms(ctx, counted), store.Close())
	return counted.read, err
}

func (m million) openRooms(ctx context.Context, store storage.Store) error {
	book, err := provenance.NewBook(store, "https://registry.example")
	if err != nil {
		return err
	}
	seen, err := os.ReadFile(filepath.Join(m.dir, "keys", "log.checkpoint"))
	if err != nil {
		return err
	}
	book.Recall(string(seen))
	keys, err := m.keys()
	if err == nil {
		err = book.Begin(ctx, keys)
	}
	if err != nil {
		return err
	}
	gate, err := access.New(ctx, store, access.Config{URL: "https://registry.example", Book: book})
	if err != nil {
		return err
	}
	blobs, err := files.Open(filepath.Join(filepath.Dir(m.dir), "no-blobs"), "")
	if err != nil {
		return err
	}
	_, err = registry.New(ctx, store, blobs, book, gate, slog.New(slog.DiscardHandler), registry.Config{})
	return err
}

// rowCounter counts the rows that are read of a store.
type rowCounter struct {
	storage.Store
	read int // by one goroutine
}

// View implements storage.Store.
func (c *rowCounter) View(ctx context.Context, fn func(storage.Reader) error) error {
	return c.Store.View(ctx, func(tx storage.Reader) error { return fn(countedRows{tx, c}) })
}

// Update implements storage.Store.
func (c *rowCounter) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return c.Store.Update(ctx, func(tx storage.Tx) error { return fn(countedTx{tx, countedRows{tx, c}}) })
}

type countedTx struct {
	storage.Tx
	rows countedRows
}

func (t countedTx) Get(table storage.Table, key []byte) ([]byte, error) {
	return t.rows.Get(table, key)
}

func (t countedTx) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	return t.rows.GetMany(table, keys)
}

func (t countedTx) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return t.rows.Scan(table, from, to)
}

func (t countedTx) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return t.rows.ScanReverse(table, from, to)
}

type countedRows struct {
	storage.Reader
	of *rowCounter
}

func (r countedRows) Get(table storage.Table, key []byte) ([]byte, error) {
	r.of.read++
	return r.Reader.Get(table, key)
}

func (r countedRows) GetMany(table storage.Table, keys [][]byte) ([][]byte, error) {
	r.of.read += len(keys)
	return r.Reader.GetMany(table, keys)
}

func (r countedRows) Scan(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.of.each(r.Reader.Scan(table, from, to))
}

func (r countedRows) ScanReverse(table storage.Table, from, to []byte) iter.Seq2[storage.Item, error] {
	return r.of.each(r.Reader.ScanReverse(table, from, to))
}

func (c *rowCounter) each(items iter.Seq2[storage.Item, error]) iter.Seq2[storage.Item, error] {
	return func(yield func(storage.Item, error) bool) {
		for item, err := range items {
			c.read++
			if !yield(item, err) {
				return
			}
		}
	}
}
