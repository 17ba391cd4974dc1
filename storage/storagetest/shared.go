package storagetest

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// Shared runs the suite of engines that several processes share, beside that of every engine: what they do with declared reads. An
// engine that ignores them passes it too.
func Shared(t *testing.T, open func(dir string) (storage.Store, error)) {
	e := storeSuite{open}
	t.Run("DeclaredRows", e.testDeclaredRows)
	t.Run("DeclaredRanges", e.testDeclaredRanges)
	t.Run("DeclaredAfterOthers", e.testDeclaredAfterOthers)
	t.Run("DeclaredTwice", e.testDeclaredTwice)
	t.Run("ExpectedInSnapshot", e.testExpectedInSnapshot)
	t.Run("Time", e.testTime)
}

func declare(reads ...storage.Read) func() []storage.Read {
	return func() []storage.Read { return reads }
}

func row(key string) storage.Read { return storage.Row(table, []byte(key)) }

func wantGet(t *testing.T, r storage.Reader, key, want string) {
	t.Helper()
	if got := get(r, key); got != want {
		t.Errorf("Get of %q is %q, want %q", key, got, want)
	}
	many, err := r.GetMany(table, [][]byte{[]byte(key)})
	if err != nil || len(many) != 1 || (many[0] == nil) != (want == "absent") || many[0] != nil && string(many[0]) != want {
		t.Errorf("GetMany of %q is %q, %v, want %q", key, many, err, want)
	}
}

// testDeclaredRows names rows that are there and not, one twice and one that nobody asks for, asks for one that was not named, and
// changes one of each.
func (e storeSuite) testDeclaredRows(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1", "b", "2", "c", "3", "empty", "", "undeclared", "4")
	reads := declare(row("a"), row("a"), row("b"), row("c"), row("empty"), row("new"), row("none"))
	err := storage.UpdateReading(background, s, reads, func(tx storage.Tx) error {
		for key, want := range map[string]string{"a": "1", "b": "2", "empty": "", "new": "absent", "none": "absent", "undeclared": "4"} {
			wantGet(t, tx, key, want)
		}
		tx.Put(table, []byte("a"), []byte("mine"))
		tx.Put(table, []byte("new"), nil)
		tx.Put(table, []byte("undeclared"), []byte("mine"))
		tx.Delete(table, []byte("b"))
		for key, want := range map[string]string{"a": "mine", "b": "absent", "empty": "", "new": "", "none": "absent", "undeclared": "mine"} {
			wantGet(t, tx, key, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for key, want := range map[string]string{"a": "mine", "b": "absent", "c": "3", "new": "", "none": "absent"} {
		wantStored(t, s, key, want)
	}
}

// testDeclaredRanges names ranges, also one without rows, and one of which many rows are there; a scan of them does not see what the
// closure puts, as no scan does.
func (e storeSuite) testDeclaredRanges(t *testing.T) {
	s := e.fresh(t)
	var many []string
	for i := range 2*maxAhead + 1 {
		many = append(many, fmt.Sprintf("m%05d", i), "")
	}
	put(t, s, append(many, "a1", "", "a2", "", "b", "")...)
	prefix := []byte("a")
	reads := declare(
		storage.Under(table, prefix), storage.RowsReverse(table, nil, []byte("b")), storage.Under(table, []byte("none")),
		storage.Under(table, []byte("m")).First(3), storage.RowsReverse(table, []byte("m"), []byte("n")),
	)
	err := storage.UpdateReading(background, s, reads, func(tx storage.Tx) error {
		for key, want := range map[string]string{"a1": "", "a": "absent", "m00000": "", "m00003": "", "m00001x": "absent", "m02000x": "absent", many[len(many)-2]: "", "n": "absent"} {
			wantGet(t, tx, key, want)
		}
		tx.Put(table, []byte("a3"), nil)
		tx.Delete(table, []byte("a1"))
		got := keys(t, tx.Scan(table, prefix, storage.PrefixEnd(prefix))) + "|" + keys(t, tx.ScanReverse(table, nil, []byte("b"))) +
			"|" + keys(t, tx.Scan(table, []byte("none"), []byte("nonf"))) + "|" + keys(t, tx.Scan(table, []byte("b"), []byte("c")))
		want := "a1 a2|a2 a1||b"
		if strings.Join(strings.Fields(got), " ") != want {
			t.Errorf("scanned %q, want %q", got, want)
		}
		part := keys(t, tx.Scan(table, []byte("m00001"), []byte("m00006"))) + "|" + keys(t, tx.Scan(table, []byte("a2"), []byte("a9"))) +
			"|" + keys(t, tx.ScanReverse(table, []byte("m00998"), []byte("m01004"))) + "|" + keys(t, tx.ScanReverse(table, []byte("m"), []byte("m00002")))
		if want := "m00001 m00002 m00003 m00004 m00005|a2|m01003 m01002 m01001 m01000 m00999 m00998|m00001 m00000"; strings.Join(strings.Fields(part), " ") != want {
			t.Errorf("scanned parts %q, want %q", part, want)
		}
		up := strings.Fields(keys(t, tx.Scan(table, []byte("m"), []byte("n"))))
		down := strings.Fields(keys(t, tx.ScanReverse(table, []byte("m"), []byte("n"))))
		if len(up) != len(many)/2 || len(down) != len(up) || up[0] != many[0] || down[0] != many[len(many)-2] || up[len(up)-1] != down[0] {
			t.Errorf("%d rows up and %d down, want %d", len(up), len(down), len(many)/2)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// testDeclaredAfterOthers wants what is declared to be read when nobody else can change it any more.
func (e storeSuite) testDeclaredAfterOthers(t *testing.T) {
	s := e.fresh(t)
	const n = 100
	var group sync.WaitGroup
	for range n {
		group.Go(func() {
			err := storage.UpdateReading(background, s, declare(row("n"), storage.Under(table, []byte("n"))), func(tx storage.Tx) error {
				value, err := tx.GetMany(table, [][]byte{[]byte("n")})
				if err != nil {
					return err
				}
				for item, err := range tx.Scan(table, []byte("n"), nil) {
					if err != nil || !bytes.Equal(item.Value, value[0]) {
						t.Errorf("the row is %q, and the range has %q, %v", value[0], item.Value, err)
					}
				}
				tx.Put(table, []byte("n"), append(bytes.Clone(value[0]), 'x'))
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	wantStored(t, s, "n", strings.Repeat("x", n))
}

// testDeclaredTwice runs a closure again, which then reads what it declared as it was before its first run.
func (e storeSuite) testDeclaredTwice(t *testing.T) {
	s := Twice(e.fresh(t))
	for range 3 {
		err := storage.UpdateReading(background, s, declare(row("n")), func(tx storage.Tx) error {
			n := strings.TrimPrefix(get(tx, "n"), "absent")
			tx.Put(table, []byte("n"), []byte(n+"x"))
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	wantStored(t, s, "n", "xxx")
}

// testExpectedInSnapshot changes rows after a View has begun: it sees what was expected, and what was not, as it was.
func (e storeSuite) testExpectedInSnapshot(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1", "b", "1")
	err := s.View(background, func(r storage.Reader) error {
		storage.Expect(r, declare(row("a"), row("none"), storage.Under(table, nil)))
		put(t, s, "a", "2", "b", "2", "none", "2")
		wantGet(t, r, "a", "1")
		wantGet(t, r, "none", "absent")
		wantGet(t, r, "b", "1")
		if got := strings.Join(strings.Fields(keys(t, r.Scan(table, nil, nil))), " "); got != "a b" {
			t.Errorf("scanned %q", got)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// testTime wants the store's clock, whichever it is, to be asked of any transaction, before it reads and after, and to go on.
func (e storeSuite) testTime(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "1")
	var before time.Time
	next := func(r storage.Reader) error {
		now, err := storage.Now(r)
		if err == nil && now.Before(before) {
			t.Errorf("the store's clock shows %s after %s", now, before)
		}
		if err == nil && now.Year() < 2020 {
			t.Errorf("the store's clock shows %s", now)
		}
		before = now
		return err
	}
	for range 3 {
		err := s.View(background, func(r storage.Reader) error {
			if err := next(r); err != nil {
				return err
			}
			wantGet(t, r, "a", "1")
			return next(r)
		})
		if err == nil {
			err = s.Update(background, func(tx storage.Tx) error { return next(tx) })
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
