// Package storagetest has the test suites that every storage engine passes, and the simulated disks to run them on.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

const table = storage.Table("storagetest/a")

// Store runs the suite of every engine: [Embedded] and [Shared] have more. open opens the store kept in dir, and makes it where there is none.
func Store(t *testing.T, open func(dir string) (storage.Store, error)) {
	e := storeSuite{open}
	t.Run("Empty", e.testEmpty)
	t.Run("Durable", e.testDurable)
	t.Run("Rollback", e.testRollback)
	t.Run("RollbackAlone", e.testRollbackAlone)
	t.Run("Panic", e.testPanic)
	t.Run("OwnWrites", e.testOwnWrites)
	t.Run("Isolation", e.testIsolation)
	t.Run("Serial", e.testSerial)
	t.Run("Order", e.testOrder)
	t.Run("ScanBounds", e.testScanBounds)
	t.Run("ScanWhileWriting", e.testScanWhileWriting)
	t.Run("Keys", e.testKeys)
	t.Run("Cancelled", e.testCancelled)
	t.Run("CancelledWaiting", e.testCancelledWaiting)
	t.Run("Closed", e.testClosed)
	t.Run("Twice", e.testTwice)
	t.Run("Tables", e.testTables)
}

// Embedded runs the suite of engines that keep their data on a disk of this machine, for one process alone, beside that of every
// engine.
func Embedded(t *testing.T, open func(dir string) (storage.Store, error)) {
	e := storeSuite{open}
	t.Run("InUse", e.testInUse)
	t.Run("FullDisk", e.testFullDisk)
}

type storeSuite struct {
	open func(dir string) (storage.Store, error)
}

var background = context.Background()

// fresh opens a new store that is closed with the test.
func (e storeSuite) fresh(t *testing.T) storage.Store {
	t.Helper()
	return e.at(t, t.TempDir())
}

func (e storeSuite) at(t *testing.T, dir string) storage.Store {
	t.Helper()
	s, err := e.open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func put(t *testing.T, s storage.Store, pairs ...string) {
	t.Helper()
	err := s.Update(background, func(tx storage.Tx) error {
		for i := 0; i < len(pairs); i += 2 {
			tx.Put(table, []byte(pairs[i]), []byte(pairs[i+1]))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("put %q: %v", pairs, err)
	}
}

// get returns a value, or "absent".
func get(r storage.Reader, key string) string {
	v, err := r.Get(table, []byte(key))
	if errors.Is(err, storage.ErrNotFound) {
		return "absent"
	}
	if err != nil {
		return err.Error()
	}
	return string(v)
}

func wantStored(t *testing.T, s storage.Store, key, want string) {
	t.Helper()
	err := s.View(background, func(r storage.Reader) error {
		if got := get(r, key); got != want {
			t.Errorf("key %q is %q, want %q", key, got, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (e storeSuite) testEmpty(t *testing.T) {
	s := e.fresh(t)
	err := s.View(background, func(r storage.Reader) error {
		if got := get(r, "k"); got != "absent" {
			t.Errorf("got %q from an empty store", got)
		}
		if got := keys(t, r.Scan(table, nil, nil)) + keys(t, r.ScanReverse(table, nil, nil)); got != "" {
			t.Errorf("scanned %q in an empty store", got)
		}
		many, err := r.GetMany(table, [][]byte{[]byte("k"), []byte("l")})
		if err != nil || len(many) != 2 || many[0] != nil || many[1] != nil {
			t.Errorf("GetMany of an empty store: %q, %v", many, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = s.Update(background, func(tx storage.Tx) error { tx.Delete(table, []byte("k")); return nil })
	if err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
}

func (e storeSuite) testDurable(t *testing.T) {
	dir := t.TempDir()
	s := e.at(t, dir)
	put(t, s, "a", "1", "b", "", "c", "3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = e.at(t, dir)
	wantStored(t, s, "a", "1")
	wantStored(t, s, "b", "")
	wantStored(t, s, "c", "3")
}

var errMine = errors.New("my own error")

func (e storeSuite) testRollback(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1", "b", "2")
	err := s.Update(background, func(tx storage.Tx) error {
		tx.Put(table, []byte("a"), []byte("changed"))
		tx.Delete(table, []byte("b"))
		tx.Put("storagetest/other", []byte("x"), []byte("y"))
		return errMine
	})
	if err != errMine { //nolint:errorlint // the contract is that it comes back as it is
		t.Errorf("Update returned %v, want the closure's own error", err)
	}
	wantStored(t, s, "a", "1")
	wantStored(t, s, "b", "2")
}

// testRollbackAlone lets closures that fail share commits with closures that do not.
func (e storeSuite) testRollbackAlone(t *testing.T) {
	s := e.fresh(t)
	const n = 200
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			err := s.Update(background, func(tx storage.Tx) error {
				tx.Put(table, fmt.Appendf(nil, "k%03d", i), []byte("v"))
				if i%3 == 0 {
					return errMine
				}
				return nil
			})
			if want := i%3 == 0; errors.Is(err, errMine) != want || (!want && err != nil) {
				t.Errorf("closure %d: %v", i, err)
			}
		})
	}
	group.Wait()
	for i := range n {
		want := "v"
		if i%3 == 0 {
			want = "absent"
		}
		wantStored(t, s, fmt.Sprintf("k%03d", i), want)
	}
}

func (e storeSuite) testPanic(t *testing.T) {
	s := e.fresh(t)
	func() {
		defer func() {
			if p := recover(); p == nil || !strings.Contains(fmt.Sprint(p), "my own panic") {
				t.Errorf("recovered %v, want the closure's panic", p)
			}
		}()
		_ = s.Update(background, func(tx storage.Tx) error {
			tx.Put(table, []byte("a"), []byte("1"))
			panic("my own panic")
		})
	}()
	wantStored(t, s, "a", "absent")
	put(t, s, "a", "2")
}

func (e storeSuite) testOwnWrites(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1", "b", "2")
	err := s.Update(background, func(tx storage.Tx) error {
		key, value := []byte("a"), []byte("3")
		tx.Put(table, key, value)
		key[0], value[0] = 'z', 'z' // Put has copied
		tx.Delete(table, []byte("b"))
		tx.Put(table, []byte("c"), nil)
		if got := get(tx, "a") + get(tx, "b") + get(tx, "c"); got != "3absent" {
			t.Errorf("a closure reads its writes as %q", got)
		}
		many, err := tx.GetMany(table, [][]byte{[]byte("c"), []byte("b"), []byte("a")})
		if err != nil || many[0] == nil || many[1] != nil || string(many[2]) != "3" {
			t.Errorf("GetMany reads own writes as %q, %v", many, err)
		}
		tx.Put(table, []byte("b"), []byte("4"))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, "a", "3")
	wantStored(t, s, "b", "4")
	wantStored(t, s, "c", "")
}

// testIsolation reads across an Update that happens meanwhile, after the first read.
func (e storeSuite) testIsolation(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1")
	err := s.View(background, func(r storage.Reader) error {
		if got := get(r, "a"); got != "1" {
			t.Errorf("before the Update a View sees %q", got)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			put(t, s, "a", "2", "b", "2")
		}()
		<-done
		if got := get(r, "a") + get(r, "b") + keys(t, r.Scan(table, nil, nil)); got != "1absenta" {
			t.Errorf("a View saw a later Update: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, "b", "2")
}

// testSerial increments one counter from many goroutines.
func (e storeSuite) testSerial(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "n", "")
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 25 {
				err := s.Update(background, func(tx storage.Tx) error {
					tx.Put(table, []byte("n"), []byte(get(tx, "n")+"x"))
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantStored(t, s, "n", strings.Repeat("x", 16*25))
}

// testFullDisk fills the disk, and wants every Update to have happened or not, and reads to go on.
func (e storeSuite) testFullDisk(t *testing.T) {
	dir := SmallDisk(t, 4<<20)
	s := e.at(t, dir)
	put(t, s, "before", "1")
	value := make([]byte, 64<<10)
	stored := 0
	var err error
	for err == nil && stored < 1000 {
		err = s.Update(background, func(tx storage.Tx) error {
			tx.Put(table, fmt.Appendf(nil, "fill%04d", stored), value)
			return nil
		})
		if err == nil {
			stored++
		}
	}
	if !errors.Is(err, storage.ErrFull) {
		t.Fatalf("a full disk is told as: %v", err)
	}
	wantStored(t, s, "before", "1")
	wantStored(t, s, fmt.Sprintf("fill%04d", stored), "absent")
	err = s.Update(background, func(tx storage.Tx) error { tx.Delete(table, []byte("fill0000")); return nil })
	if err != nil && !errors.Is(err, storage.ErrFull) {
		t.Errorf("delete on a full disk: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = e.at(t, dir)
	wantStored(t, s, "before", "1")
	wantStored(t, s, fmt.Sprintf("fill%04d", stored-1), string(value))
}
