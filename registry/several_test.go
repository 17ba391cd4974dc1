package registry

import (
	"context"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestDuePullsOfSeveral has another process add to the pulls of a manifest that are due while this one spreads them: none of them is lost.
func TestDuePullsOfSeveral(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	i := s.pushImage("app", "1", "an image")
	key := repoKey("app", digestKey(i.digest))
	put := func(pulls uint64) {
		t.Helper()
		err := s.store.Update(background, func(tx storage.Tx) error {
			states := newPullStates(tx)
			return putPulls(tx, states, duePullTable, map[string]pullsToAdd{string(key): {last: micros(s.machine()), direct: pulls}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	put(3)
	store := s.store
	s.store = betweenStore{store, func() { s.store = store; put(4) }}
	if err := s.spreadOne(background, key); err != nil {
		t.Fatal(err)
	}
	err := store.View(background, func(tx storage.Reader) error {
		row, err := getOrNil(tx, duePullTable, key)
		if row == nil {
			t.Error("pulls that another process has added while these were spread are lost")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// betweenStore does something behind its first View.
type betweenStore struct {
	storage.Store
	then func()
}

func (s betweenStore) View(ctx context.Context, fn func(storage.Reader) error) error {
	err := s.Store.View(ctx, fn)
	s.then()
	return err
}
