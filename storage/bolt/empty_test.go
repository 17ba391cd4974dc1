package bolt_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// TestEmptyPages lets closures that share a commit empty a table page by page, in several orders. Each sees the same rows forwards and
// backwards, and what the last one puts into the empty table is there.
func TestEmptyPages(t *testing.T) {
	const closures, rows = 20, 50
	for order := range 4 {
		s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
		fill := func(tx storage.Tx) error {
			for i := range closures * rows {
				tx.Put(table, fmt.Appendf(nil, "k%05d", i), make([]byte, 512))
			}
			return nil
		}
		if err := s.Update(background, fill); err != nil {
			t.Fatal(err)
		}
		together(s, closures, func(i int, tx storage.Tx) error {
			wantSameRows(t, tx)
			at := []int{i, closures - 1 - i, i * 7 % closures, i * 13 % closures}[order]
			for n := range rows {
				tx.Delete(table, fmt.Appendf(nil, "k%05d", at*rows+n))
			}
			tx.Put("marks", fmt.Append(nil, at), nil)
			return nil
		})
		together(s, 3, func(i int, tx storage.Tx) error {
			wantSameRows(t, tx)
			tx.Put(table, fmt.Append(nil, "z", i), nil)
			return nil
		})
		if err := s.View(background, func(r storage.Reader) error {
			if got := keysOf(r.ScanReverse(table, nil, nil)); !slices.Equal(got, []string{"z2", "z1", "z0"}) {
				t.Errorf("in order %d there is %q", order, got)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}

// together lets closures share a commit: they queue while the writer is held.
func together(s *bolt.Store, n int, fn func(int, storage.Tx) error) {
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_ = s.Update(background, func(storage.Tx) error {
			close(inside)
			<-leave
			return nil
		})
	})
	<-inside
	var started atomic.Int32
	for i := range n {
		group.Go(func() {
			started.Add(1)
			_ = s.Update(background, func(tx storage.Tx) error { return fn(i, tx) })
		})
	}
	for started.Load() < int32(n) {
		time.Sleep(time.Millisecond)
	}
	close(leave)
	group.Wait()
}

func keysOf(scan func(func(storage.Item, error) bool)) (keys []string) {
	for item, err := range scan {
		if err != nil {
			return append(keys, err.Error())
		}
		keys = append(keys, string(item.Key))
	}
	return keys
}

func wantSameRows(t *testing.T, r storage.Reader) {
	t.Helper()
	forwards, backwards := keysOf(r.Scan(table, nil, nil)), keysOf(r.ScanReverse(table, nil, nil))
	slices.Reverse(backwards)
	if !slices.Equal(forwards, backwards) {
		t.Errorf("%d rows forwards, and %d backwards", len(forwards), len(backwards))
	}
	to := []byte("k00500")
	forwards, backwards = keysOf(r.Scan(table, nil, to)), keysOf(r.ScanReverse(table, nil, to))
	slices.Reverse(backwards)
	if !slices.Equal(forwards, backwards) {
		t.Errorf("below %s %d rows forwards, and %d backwards", to, len(forwards), len(backwards))
	}
}
