package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"go.etcd.io/bbolt"
)

const table = storage.Table("test")

var background = context.Background()

func openIn(dir string) (storage.Store, error) {
	return bolt.Open(filepath.Join(dir, "store.db"), bolt.Config{})
}

func TestStore(t *testing.T) {
	storagetest.Store(t, openIn)
	storagetest.Embedded(t, openIn)
}

// TestDeclared has bolt ignore what is declared, and lets a store over it make use of it, as an engine behind a network does.
func TestDeclared(t *testing.T) {
	t.Run("Ignored", func(t *testing.T) { storagetest.Shared(t, openIn) })
	t.Run("Used", func(t *testing.T) {
		using := func(dir string) (storage.Store, error) {
			s, err := openIn(dir)
			if err != nil {
				return nil, err
			}
			return new(storagetest.Trips).Over(s), nil
		}
		storagetest.Store(t, using)
		storagetest.Shared(t, using)
	})
}

// TestOutgrowsMap writes a store larger than its map while others read it.
func TestOutgrowsMap(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{MapBytes: 32 << 10})
	var group sync.WaitGroup
	for writer := range 4 {
		group.Go(func() {
			for i := range 50 {
				key := []byte{byte(writer), byte(i)}
				if err := s.Update(background, func(tx storage.Tx) error {
					tx.Put(table, key, make([]byte, 8<<10))
					return nil
				}); err != nil {
					t.Error(err)
				}
				if err := s.View(background, func(r storage.Reader) error {
					_, err := r.Get(table, key)
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}

func open(t *testing.T, path string, c bolt.Config) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(path, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestGroupCommit holds the writer, lets others queue up, and wants them in one commit.
func TestGroupCommit(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{
		OnCommit: func(closures int, _ time.Duration, _ error) {
			mu.Lock()
			defer mu.Unlock()
			sizes = append(sizes, closures)
		},
	})
	inside, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_ = s.Update(background, func(tx storage.Tx) error {
			close(inside)
			<-leave
			tx.Put(table, []byte("k"), nil)
			return nil
		})
	})
	<-inside
	const waiting = 20
	var started atomic.Int32
	for range waiting {
		group.Go(func() {
			started.Add(1)
			_ = s.Update(background, func(tx storage.Tx) error { tx.Put(table, []byte("k"), nil); return nil })
		})
	}
	for started.Load() < waiting {
		time.Sleep(time.Millisecond) // until all have started; how they are grouped from there may vary
	}
	close(leave)
	group.Wait()
	mu.Lock()
	defer mu.Unlock()
	total := 0
	for _, n := range sizes {
		total += n
	}
	if total != waiting+1 || len(sizes) > waiting/2 {
		t.Errorf("%d updates in commits of %v", waiting+1, sizes)
	}
}

func TestNewerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	rawUpdate(t, path, func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("storage"))
		if err != nil {
			return err
		}
		return b.Put([]byte("version"), []byte{0, 0, 0, 99})
	})
	_, err := bolt.Open(path, bolt.Config{})
	if !errors.Is(err, storage.ErrNewer) || !strings.Contains(err.Error(), "99") {
		t.Errorf("open: %v", err)
	}
}

func rawUpdate(t *testing.T, path string, fn func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(fn), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestDamaged opens files that are not, or no longer, a store. None may end the process.
func TestDamaged(t *testing.T) {
	whole := filepath.Join(t.TempDir(), "store.db")
	s := open(t, whole, bolt.Config{})
	for i := range 50 {
		err := s.Update(background, func(tx storage.Tx) error {
			tx.Put(table, []byte{byte(i)}, make([]byte, 10<<10))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	noise := []byte(strings.Repeat("this is not a database ", 1000))
	for name, damaged := range map[string][]byte{
		"text":           noise,
		"short text":     []byte("hello"),
		"cut off":        content[:64<<10],
		"cut to a page":  content[:4096],
		"heads lost":     append(append([]byte{}, noise[:8192]...), content[8192:]...),
		"body lost":      append(append([]byte{}, content[:8192]...), make([]byte, len(content)-8192)...),
		"body overwrote": append(append([]byte{}, content[:8192]...), noise...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := bolt.Open(path, bolt.Config{})
			if err == nil {
				defer s.Close()
			}
			if !errors.Is(err, storage.ErrCorrupt) {
				t.Errorf("open: %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
		})
	}
	t.Run("another program's", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "store.db")
		rawUpdate(t, path, func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
		if _, err := bolt.Open(path, bolt.Config{}); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("open: %v", err)
		}
	})
}

// TestDamagedWhileOpen cuts the file under an open store: reads fail, the process goes on.
func TestDamagedWhileOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, bolt.Config{})
	for i := range 100 {
		err := s.Update(background, func(tx storage.Tx) error {
			tx.Put(table, []byte{byte(i)}, make([]byte, 10<<10))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	err := s.View(background, func(r storage.Reader) error {
		for _, err := range r.Scan(table, nil, nil) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("scan: %v", err)
	}
	err = s.Update(background, func(tx storage.Tx) error { tx.Put(table, []byte("k"), nil); return nil })
	if err == nil {
		t.Error("an Update of a damaged store succeeded")
	}
}

func TestWrongDisk(t *testing.T) {
	dir := t.TempDir()
	if _, err := bolt.Open(dir, bolt.Config{}); err == nil {
		t.Error("opened a directory")
	}
	if _, err := bolt.Open(filepath.Join(dir, "no", "such", "store.db"), bolt.Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a directory that is not there: %v", err)
	}
}

func TestCheck(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	err := s.Update(background, func(tx storage.Tx) error { tx.Put(table, []byte("k"), []byte("v")); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(background, func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// TestFreePages compares what is read from the file with what bbolt says of it.
func TestFreePages(t *testing.T) {
	t.Parallel()
	for _, rows := range []int{10, 1000} {
		path := filepath.Join(t.TempDir(), "store.db")
		s := open(t, path, bolt.Config{})
		for _, delete := range []bool{false, true} {
			err := s.Update(background, func(tx storage.Tx) error {
				for i := range rows {
					key := []byte(strconv.Itoa(i))
					if tx.Put(table, key, make([]byte, 3000)); delete {
						tx.Delete(table, key)
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		free, all, err := s.FreePages()
		if err := errors.Join(err, s.Close()); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := int64(db.Stats().FreePageN)
		if free != want || want < int64(rows) || all < free {
			t.Errorf("%d rows deleted: %d of %d pages are free, and bbolt counts %d", rows, free, all, want)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPagesAreFull puts rows in the order of their keys, a few in a transaction, and wants the pages that hold them to
// be full: numbered rows come like that, and nothing is ever put between them.
func TestPagesAreFull(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	const rows, size = 3000, 400
	before := usedPages(t, s)
	for i := 0; i < rows; i += 3 {
		err := s.Update(t.Context(), func(tx storage.Tx) error {
			for j := range 3 {
				tx.Put("numbered", fmt.Appendf(nil, "%08d", i+j), make([]byte, size))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	held := float64(rows*(size+8)) / float64((usedPages(t, s)-before)*int64(os.Getpagesize()))
	if held < 0.85 {
		t.Errorf("the rows are %.0f %% of the pages that hold them", 100*held)
	}
}

func usedPages(t *testing.T, s *bolt.Store) int64 {
	t.Helper()
	free, all, err := s.FreePages()
	if err != nil {
		t.Fatal(err)
	}
	return all - free
}
