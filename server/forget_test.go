package server_test

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// TestAddressesClockAhead starts while the machine's clock is a year ahead of the records: their addresses are kept.
// What was counted before is erased in the end.
func TestAddressesClockAhead(t *testing.T) {
	engines.OnFile(t) // it opens the directory with configurations of its own
	t.Parallel()
	s := servertest.Start(t)
	s.Push("app", "1.0", "layer")
	s.Stop()
	o := servertest.Options()
	later, err := server.Open(t.Context(), s.Dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer later.Close()
	if err := later.Book().Index(t.Context()); err != nil { // a record without rows would tell its time itself
		t.Fatal(err)
	}
	yearAgo(t, later.Store())
	if n, err := later.ForgetOld(t.Context(), time.Duration(o.Config.Records.KeepAddresses)); n != 0 || err != nil {
		t.Errorf("the clock is a year ahead: erased %d addresses, %v", n, err)
	}
	if addresses(t, later.Book()) == 0 {
		t.Error("no record has an address")
	}
	if _, err := later.ForgetOld(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if n := addresses(t, later.Book()); n != 0 {
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
