package bolt_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"go.etcd.io/bbolt"
)

// scattered fills a table so that deletes leave free pages in pieces: what a store looks like after some years.
func scattered(t *testing.T, s *bolt.Store, rows int) {
	t.Helper()
	for from := 0; from < rows; from += 100 {
		err := s.Update(background, func(tx storage.Tx) error {
			for i := from; i < from+100; i++ {
				tx.Put(table, scatteredKey(i), make([]byte, 1500))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err := s.Update(background, func(tx storage.Tx) error {
		for i := range rows {
			if i%20 < 11 {
				tx.Delete(table, scatteredKey(i))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func scatteredKey(i int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(i)) }

// TestCheckBesideUpdates checks a store again and again while others write. Pages are freed and used again
// meanwhile: that is no damage, and the check may not look at what the writer alone owns.
func TestCheckBesideUpdates(t *testing.T) {
	t.Parallel()
	const rows, checks = 3000, 10
	s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	scattered(t, s, rows)
	var done atomic.Bool
	var group sync.WaitGroup
	defer group.Wait()
	defer done.Store(true)
	group.Go(func() {
		for i := 0; !done.Load(); i++ {
			err := s.Update(background, func(tx storage.Tx) error {
				tx.Put(table, scatteredKey(i%rows), make([]byte, 1500))
				tx.Delete(table, scatteredKey(i*7919%rows))
				return nil
			})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range checks {
		if err := s.Check(background, func(err error) { t.Errorf("a false alarm: %v", err) }); err != nil {
			t.Error(err)
		}
	}
}

// TestCheckHangsUp ends a check in its middle.
func TestCheckHangsUp(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "store.db"), bolt.Config{})
	scattered(t, s, 1000)
	ctx, cancel := context.WithCancel(background)
	cancel()
	if err := s.Check(ctx, func(err error) { t.Error(err) }); !errors.Is(err, context.Canceled) {
		t.Errorf("the check of a client that left: %v", err)
	}
}

// A page as bbolt writes it: its head, then its elements of 16 bytes.
const head, element = 16, 16

type image struct {
	t     *testing.T
	bytes []byte
	size  int // of a page
}

// imageOf returns the file of a store with pages of each kind.
func imageOf(t *testing.T, rows int) *image {
	t.Helper()
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, bolt.Config{})
	scattered(t, s, rows)
	if err := s.Update(background, func(tx storage.Tx) error {
		tx.Put("long", []byte("long"), make([]byte, 20<<10))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &image{t, content, os.Getpagesize()}
}

// used returns a page that the table needs: with the flags of a branch 1, of a leaf 2.
func (m *image) used(flags uint16) []byte {
	m.t.Helper()
	free := m.freePages()
	for n := 2; (n+1)*m.size <= len(m.bytes); n++ {
		p := m.page(n)
		if binary.NativeEndian.Uint64(p) == uint64(n) && binary.NativeEndian.Uint16(p[8:]) == flags &&
			binary.NativeEndian.Uint16(p[10:]) > 3 && !free[uint64(n)] {
			return p
		}
	}
	m.t.Fatalf("there is no page with flags %d", flags)
	return nil
}

func (m *image) page(n int) []byte { return m.bytes[n*m.size : (n+1)*m.size] }

// list is the list of free pages: those of it.
func (m *image) list() []byte {
	meta := m.page(0)
	if one := m.page(1); binary.NativeEndian.Uint64(one[head+48:]) > binary.NativeEndian.Uint64(meta[head+48:]) {
		meta = one
	}
	p := m.page(int(binary.NativeEndian.Uint64(meta[head+32:])))
	return p[head : head+8*int(binary.NativeEndian.Uint16(p[10:]))]
}

func (m *image) freePages() map[uint64]bool {
	free := map[uint64]bool{}
	for list := m.list(); len(list) > 0; list = list[8:] {
		free[binary.NativeEndian.Uint64(list)] = true
	}
	return free
}

// check opens the image as a store, and returns what a check finds.
func (m *image) check() (found []string) {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "store.db")
	if err := os.WriteFile(path, m.bytes, 0o600); err != nil {
		m.t.Fatal(err)
	}
	s, err := bolt.Open(path, bolt.Config{})
	if err != nil {
		return []string{err.Error()}
	}
	defer s.Close()
	err = s.Check(background, func(err error) {
		if !errors.Is(err, storage.ErrCorrupt) {
			m.t.Errorf("not a damage: %v", err)
		}
		found = append(found, err.Error())
	})
	if err != nil {
		m.t.Error(err)
	}
	return found
}

// TestCheckFindsDamage changes one thing in a store's file, each a way for rows to be lost.
func TestCheckFindsDamage(t *testing.T) {
	t.Parallel()
	put64 := binary.NativeEndian.PutUint64
	for name, c := range map[string]struct {
		damage func(*image)
		want   string
	}{
		"nothing":                     {func(*image) {}, ""},
		"a page calls itself another": {func(m *image) { put64(m.used(2), 3) }, "says that it is page 3"},
		"a page of no kind":           {func(m *image) { m.used(2)[8] = 0x20 }, "has the kind 0x20"},
		"two keys change places": {func(m *image) {
			p := m.used(2)
			var one [element]byte
			copy(one[:], p[head:])
			at := func(p []byte, by int) { // where a key begins is told from its own element
				pos := binary.NativeEndian.Uint32(p[4:])
				binary.NativeEndian.PutUint32(p[4:], uint32(int(pos)+by))
			}
			copy(p[head:head+element], p[head+element:])
			copy(p[head+element:], one[:])
			at(p[head:], element)
			at(p[head+element:], -element)
		}, "not in their order"},
		"a row ends outside its page": {func(m *image) { binary.NativeEndian.PutUint32(m.used(2)[head+12:], 1<<20) }, "ends outside"},
		"a branch names one page twice": {func(m *image) {
			p := m.used(1)
			put64(p[head+element+8:], binary.NativeEndian.Uint64(p[head+8:]))
		}, "is used twice"},
		"a branch names a page behind the end": {func(m *image) { put64(m.used(1)[head+8:], 1<<40) }, "there are"},
		"a used page is listed as free": {func(m *image) {
			put64(m.list(), binary.NativeEndian.Uint64(m.used(2)))
		}, "is used, and listed as free"},
		"a free page is not listed": {func(m *image) { put64(m.list(), binary.NativeEndian.Uint64(m.list()[8:])) }, "neither used nor listed as free"},
		"the list of free pages is another page": {func(m *image) {
			for n := range 2 { // bbolt reads the list when it opens: so its kind stays
				put64(m.page(n)[head+32:], binary.NativeEndian.Uint64(m.used(2)))
			}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := imageOf(t, 1000)
			c.damage(m)
			found := strings.Join(m.check(), "\n")
			if !strings.Contains(found, c.want) || (found == "") != (name == "nothing") {
				t.Errorf("the check finds %q, and should find %q", found, c.want)
			}
		})
	}
}

// TestCheckOfNoise changes bytes of pages at random. Whatever is there, the check comes to its end.
func TestCheckOfNoise(t *testing.T) {
	t.Parallel()
	whole := imageOf(t, 200)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := &image{t, append([]byte(nil), whole.bytes...), whole.size}
		for range 1 + r.IntN(4) {
			p := m.page(2 + r.IntN(len(m.bytes)/m.size-2))
			p[r.IntN(300)] ^= 1 << r.IntN(8)
		}
		m.check()
	}
}

// TestCheckAgrees wants bbolt to find nothing in a store at rest either.
func TestCheckAgrees(t *testing.T) {
	t.Parallel()
	m := imageOf(t, 1000)
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, m.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bbolt.Tx) error {
		for problem := range tx.Check() {
			t.Error(problem)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if found := m.check(); len(found) > 0 {
		t.Error(found)
	}
}
