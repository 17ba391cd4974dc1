package storagetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

func (e storeSuite) testCancelled(t *testing.T) {
	s := e.fresh(t)
	ctx, cancel := context.WithCancel(background)
	cancel()
	if err := s.View(ctx, func(storage.Reader) error { return errMine }); !errors.Is(err, context.Canceled) {
		t.Errorf("View: %v", err)
	}
	err := s.Update(ctx, func(tx storage.Tx) error { tx.Put(table, []byte("a"), nil); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Update: %v", err)
	}
	wantStored(t, s, "a", "absent")
}

// testCancelledWaiting cancels an Update that waits behind another.
func (e storeSuite) testCancelledWaiting(t *testing.T) {
	s := e.fresh(t)
	inside, leave := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		var once sync.Once
		first <- s.Update(background, func(tx storage.Tx) error {
			once.Do(func() { close(inside); <-leave })
			tx.Put(table, []byte("first"), nil)
			return nil
		})
	}()
	<-inside
	ctx, cancel := context.WithCancel(background)
	second := make(chan error, 1)
	go func() {
		second <- s.Update(ctx, func(tx storage.Tx) error { tx.Put(table, []byte("second"), nil); return nil })
	}()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting Update: %v", err)
	}
	close(leave)
	if err := <-first; err != nil {
		t.Errorf("the Update that it waited for: %v", err)
	}
	wantStored(t, s, "first", "")
	wantStored(t, s, "second", "absent")
}

func (e storeSuite) testClosed(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.View(background, func(storage.Reader) error { return nil }); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("View: %v", err)
	}
	if err := s.Update(background, func(storage.Tx) error { return nil }); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Update: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close again: %v", err)
	}
}

func (e storeSuite) testTwice(t *testing.T) {
	s := Twice(e.fresh(t))
	put(t, s, "n", "")
	for range 3 {
		runs := 0
		err := s.Update(background, func(tx storage.Tx) error {
			runs++
			tx.Put(table, []byte("n"), []byte(get(tx, "n")+"x"))
			return nil
		})
		if err != nil || runs != 2 {
			t.Errorf("%d runs, %v", runs, err)
		}
	}
	wantStored(t, s, "n", "xxx")
}

func (e storeSuite) testInUse(t *testing.T) {
	dir := t.TempDir()
	e.at(t, dir)
	if s, err := e.open(dir); !errors.Is(err, storage.ErrInUse) {
		t.Errorf("a second process opened it: %v, %v", s, err)
	}
}
