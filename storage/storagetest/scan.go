package storagetest

import (
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// keys reads a whole scan as one line.
func keys(t *testing.T, scan iter.Seq2[storage.Item, error]) string {
	t.Helper()
	var found []string
	for item, err := range scan {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, string(item.Key))
	}
	return strings.Join(found, " ")
}

func (e storeSuite) testOrder(t *testing.T) {
	s := e.fresh(t)
	var want []string
	for _, k := range []string{"b", "a\xff", "a", "\x00", "ab", "a\x00", "\xff", "B", "a0", "ä"} {
		put(t, s, k, "v")
		want = append(want, k)
	}
	slices.Sort(want)
	err := s.View(background, func(r storage.Reader) error {
		if got := keys(t, r.Scan(table, nil, nil)); got != strings.Join(want, " ") {
			t.Errorf("ascending: %q", got)
		}
		slices.Reverse(want)
		if got := keys(t, r.ScanReverse(table, nil, nil)); got != strings.Join(want, " ") {
			t.Errorf("descending: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (e storeSuite) testScanBounds(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "b", "", "d", "", "f", "")
	for _, c := range []struct{ from, to, want, reverse string }{
		{"", "", "b d f", "f d b"},
		{"b", "f", "b d", "d b"},
		{"a", "g", "b d f", "f d b"},
		{"c", "e", "d", "d"},
		{"d", "", "d f", "f d"},
		{"", "d", "b", "b"},
		{"g", "", "", ""},
		{"", "a", "", ""},
		{"d", "d", "", ""},
		{"f", "b", "", ""},
	} {
		bound := func(s string) []byte {
			if s == "" {
				return nil
			}
			return []byte(s)
		}
		err := s.View(background, func(r storage.Reader) error {
			if got := keys(t, r.Scan(table, bound(c.from), bound(c.to))); got != c.want {
				t.Errorf("Scan(%q, %q): %q, want %q", c.from, c.to, got, c.want)
			}
			if got := keys(t, r.ScanReverse(table, bound(c.from), bound(c.to))); got != c.reverse {
				t.Errorf("ScanReverse(%q, %q): %q, want %q", c.from, c.to, got, c.reverse)
			}
			for item, err := range r.Scan(table, nil, nil) {
				if string(item.Key) != "b" || err != nil {
					t.Errorf("a scan that is left early went on to %q, %v", item.Key, err)
				}
				break
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (e storeSuite) testScanWhileWriting(t *testing.T) {
	s := e.fresh(t)
	put(t, s, "a", "", "b", "", "c", "")
	err := s.Update(background, func(tx storage.Tx) error {
		seen := ""
		for item, err := range tx.Scan(table, nil, nil) {
			if err != nil {
				return err
			}
			seen += string(item.Key)
			tx.Delete(table, item.Key)
			tx.Put(table, append([]byte("z"), item.Key...), nil)
		}
		if seen != "abc" {
			t.Errorf("a scan saw %q while its closure wrote, want abc", seen)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = s.View(background, func(r storage.Reader) error {
		if got := keys(t, r.Scan(table, nil, nil)); got != "za zb zc" {
			t.Errorf("afterwards the table holds %q", got)
		}
		return nil
	})
}

func (e storeSuite) testKeys(t *testing.T) {
	s := e.fresh(t)
	long := strings.Repeat("k", storage.MaxKey)
	put(t, s, long, strings.Repeat("v", 1<<20))
	wantStored(t, s, long, strings.Repeat("v", 1<<20))
	for _, key := range []string{"", long + "k"} {
		err := s.Update(background, func(tx storage.Tx) error {
			tx.Put(table, []byte("beside"), []byte("1"))
			tx.Put(table, []byte(key), []byte("1"))
			return nil
		})
		if !errors.Is(err, storage.ErrKeySize) {
			t.Errorf("a key of %d bytes: %v", len(key), err)
		}
	}
	wantStored(t, s, "beside", "absent")
}

// testTables wants the tables that have rows to be known, and no others.
func (e storeSuite) testTables(t *testing.T) {
	s := e.fresh(t)
	update := func(fn func(storage.Tx)) {
		t.Helper()
		if err := s.Update(background, func(tx storage.Tx) error { fn(tx); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx storage.Tx) {
		for _, table := range []storage.Table{"t/b", "t/a", "t/c"} {
			tx.Put(table, []byte("1"), nil)
			tx.Put(table, []byte("2"), []byte("v"))
		}
	})
	update(func(tx storage.Tx) {
		tx.Delete("t/b", []byte("1"))
		tx.Delete("t/b", []byte("2"))
	})
	err := s.View(background, func(r storage.Reader) error {
		all, err := r.(storage.Lister).Tables()
		ours := slices.DeleteFunc(all, func(table storage.Table) bool { return !strings.HasPrefix(string(table), "t/") })
		if !slices.Equal(ours, []storage.Table{"t/a", "t/c"}) {
			t.Errorf("the tables are %q", ours)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
