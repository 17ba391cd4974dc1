package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"github.com/seed-260924e6/hallmark/storage/transfer"
)

// failing is a store whose Updates fail from some moment on.
type failing struct {
	storage.Store
	good int
}

var errFailed = errors.New("it failed")

func (f *failing) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if f.good--; f.good < 0 {
		return errFailed
	}
	return f.Store.Update(ctx, fn)
}

func (f *failing) wanted(t *testing.T, fn func(storage.Tx)) {
	t.Helper()
	if err := f.Store.Update(t.Context(), func(tx storage.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// TestTransfer brings rows of all sizes from a store into another, which fails at each Update in turn, while rows change in between.
func TestTransfer(t *testing.T) {
	from, to := &failing{Store: open(t)}, &failing{Store: engines.New(t)}
	for i := range 5 {
		from.wanted(t, func(tx storage.Tx) {
			for j := range 1000 {
				tx.Put("many", fmt.Appendf(nil, "%d/%d", i, j), fmt.Append(nil, i, j))
			}
			tx.Put("large", []byte{byte(i + 1)}, bytes.Repeat([]byte{byte(i)}, 3<<20))
			tx.Put("empty", []byte{byte(i + 1)}, nil)
			tx.Put("left", []byte{byte(i + 1)}, []byte("here"))
		})
	}
	to.wanted(t, func(tx storage.Tx) {
		tx.Put("left", []byte("x"), []byte("there"))
		tx.Put("other", []byte("x"), []byte("nobody's"))
		tx.Put("many", []byte("0/0"), []byte("another"))
		tx.Put("many", []byte("zzz"), []byte("nobody's"))
	})
	trip := &transfer.Transfer{From: from, To: to, Leave: []storage.Table{"left"}}
	if _, err := trip.Compare(t.Context()); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("before it, they are the same: %v", err)
	}
	for failed := 0; ; failed++ {
		to.good = 2
		_, err := trip.Run(t.Context())
		if err == nil {
			if failed < 3 {
				t.Errorf("it failed %d times", failed)
			}
			break
		}
		if !errors.Is(err, errFailed) {
			t.Fatal(err)
		}
		from.wanted(t, func(tx storage.Tx) {
			tx.Delete("many", fmt.Appendf(nil, "%d/7", failed))
			tx.Put("late", fmt.Appendf(nil, "%d", failed), nil)
		})
	}
	rows, err := trip.Compare(t.Context())
	if err != nil || rows["large"] != 5 || rows["empty"] != 5 || rows["many"] < 4980 || rows["late"] < 3 || rows["left"] != 0 || rows["other"] != 0 {
		t.Errorf("%v, %v", rows, err)
	}
	if n, err := trip.Count(t.Context()); err != nil || n != rows["large"]+rows["empty"]+rows["many"]+rows["late"] {
		t.Errorf("%d rows, %v", n, err)
	}
	if changed, err := trip.Run(t.Context()); err != nil || changed != 0 {
		t.Errorf("again it changes %d rows, %v", changed, err)
	}
}

func open(t *testing.T) storage.Store {
	t.Helper()
	s, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}
