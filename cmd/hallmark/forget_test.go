package main

import (
	"encoding/binary"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestAddressesClockAhead starts while the machine's clock is a year ahead of the records: their addresses are kept.
// What was counted before is erased in the end.
func TestAddressesClockAhead(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	s.push("app", "1.0", "layer", nil)
	s.kill()
	e := &env{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	d, err := datadir.Open(t.Context(), dir, datadir.ToServe, e.dataOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := config.Load("", e.getenv)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := open(t.Context(), d, c, c.Listen, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := rooms.book.Index(t.Context()); err != nil { // a record without rows would tell its time itself
		t.Fatal(err)
	}
	yearAgo(t, d.Store)
	if n, err := rooms.forgetOld(t.Context(), time.Duration(c.Records.KeepAddresses)); n != 0 || err != nil {
		t.Errorf("the clock is a year ahead: erased %d addresses, %v", n, err)
	}
	if addresses(t, rooms.book) == 0 {
		t.Error("no record has an address")
	}
	if _, err := rooms.forgetOld(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := addresses(t, rooms.book); n != 0 {
		t.Errorf("%d records still have addresses", n)
	}
}

// yearAgo makes every record a year old.
func yearAgo(t *testing.T, store storage.Store) {
	t.Helper()
	year := uint64(365 * 24 * time.Hour / time.Microsecond)
	back := func(b []byte) []byte {
		b = append([]byte(nil), b...)
		binary.BigEndian.PutUint64(b, binary.BigEndian.Uint64(b)-year)
		return b
	}
	err := store.Update(t.Context(), func(tx storage.Tx) error {
		for item, err := range tx.Scan("provenance/time", nil, nil) {
			if err != nil {
				return err
			}
			tx.Delete("provenance/time", item.Key)
			tx.Put("provenance/time", back(item.Key), item.Value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// addresses is how many records have an address.
func addresses(t *testing.T, book *provenance.Book) (n int) {
	t.Helper()
	all, err := book.Len(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range all {
		r, err := book.Get(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if r.Unsigned != nil {
			n++
		}
	}
	return n
}
