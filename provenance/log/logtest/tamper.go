package logtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// testTamper changes rows behind the log's back.
func testTamper(t *testing.T, s storage.Store) {
	Begin(t, s, Origin, Key, 0)
	for n := range uint64(5) {
		Append(t, s, Leaf(n))
	}
	if bad := check(t, s, nil); len(bad) != 0 {
		t.Errorf("an untouched log: %v", bad)
	}
	if bad := check(t, s, map[uint64][]byte{3: []byte("changed")}); len(bad) != 1 {
		t.Errorf("one changed leaf: %v", bad)
	}
	if bad := check(t, s, map[uint64][]byte{1: Leaf(2), 2: Leaf(1)}); len(bad) != 2 {
		t.Errorf("two leaves swapped: %v", bad)
	}
	for _, index := range []int64{0, 2, 7} {
		key := binary.BigEndian.AppendUint64(make([]byte, 4), uint64(index))
		flip(t, s, "log/hash", key)
		if bad := check(t, s, nil); len(bad) == 0 {
			t.Errorf("a changed hash %d is not found", index)
		}
		flip(t, s, "log/hash", key)
	}
	flip(t, s, "log/checkpoint", make([]byte, 4))
	if bad := check(t, s, nil); len(bad) != 1 {
		t.Errorf("a changed checkpoint: %v", bad)
	}
	flip(t, s, "log/checkpoint", make([]byte, 4))
	flip(t, s, "log/head", []byte("head"))
	if bad := check(t, s, nil); len(bad) != 1 {
		t.Errorf("a changed head: %v", bad)
	}
}

// flip changes the last byte of a row.
func flip(t *testing.T, s storage.Store, table storage.Table, key []byte) {
	t.Helper()
	err := s.Update(background, func(tx storage.Tx) error {
		value, err := tx.Get(table, key)
		if err != nil {
			return err
		}
		changed := bytes.Clone(value)
		changed[len(changed)-1] ^= 1
		tx.Put(table, key, changed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// check runs a checker over the five leaves of testTamper, some of them others.
func check(t *testing.T, s storage.Store, changed map[uint64][]byte) (bad []error) {
	t.Helper()
	err := s.View(background, func(tx storage.Reader) error {
		h, err := log.ReadHead(tx)
		if err != nil {
			return err
		}
		c := log.NewChecker(h.Log, func(err error) { bad = append(bad, err) })
		for n := c.Next(); n < 5; n = c.Next() {
			leaf := Leaf(n)
			if other := changed[n]; other != nil {
				leaf = other
			}
			if err := c.Leaf(tx, leaf); err != nil {
				return err
			}
		}
		tree, err := log.Open(tx, "")
		if err != nil {
			return err
		}
		signed, err := tree.Checkpoint()
		c.Head(h)
		return errors.Join(err, c.End(signed))
	})
	if err != nil {
		t.Fatal(err)
	}
	return bad
}
