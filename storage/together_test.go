package storage_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// TestTogether wants Views within it to be of one moment and to make one trip of what is ahead, and those behind it to be their own.
func TestTogether(t *testing.T) {
	const table = storage.Table("t")
	store, err := bolt.Open(filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	trips := new(storagetest.Trips)
	joining := storage.Joining(trips.Over(store))
	put := func(value string) {
		t.Helper()
		err := joining.Update(t.Context(), func(tx storage.Tx) error {
			tx.Put(table, []byte("a"), []byte(value))
			tx.Put(table, []byte("b"), []byte(value))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func(ctx context.Context, key, want string) {
		t.Helper()
		err := joining.View(ctx, func(tx storage.Reader) error {
			if got, err := tx.Get(table, []byte(key)); err != nil || string(got) != want {
				t.Errorf("%s is %q, %v; want %q", key, got, err, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	put("before")
	trips.Take()
	var within context.Context
	err = storage.Together(t.Context(), joining, func(ctx context.Context) error {
		within = ctx
		storage.Ahead(ctx, func() []storage.Read { return []storage.Read{storage.Row(table, []byte("b"))} })
		get(ctx, "a", "before")
		put("after")
		get(ctx, "b", "before")
		get(t.Context(), "b", "after")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if views, _ := trips.Take(); views != 2 { // a with b, and the one that does not join
		t.Errorf("%d trips", views)
	}
	get(within, "a", "after")
	if err := storage.Together(t.Context(), store, func(ctx context.Context) error { get(ctx, "a", "after"); return nil }); err != nil {
		t.Error(err)
	}
}
