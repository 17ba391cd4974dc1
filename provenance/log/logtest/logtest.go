// Package logtest holds what every store has to do under a log, and test vectors for those who write a
// verifier: vectors.json.
//
// The suite compares the log with RFC 6962 as it stands in the standard: recursive, slow, and short enough
// to be read.
package logtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// Key is the private key of the vectors' log: the seed is 32 bytes of 7.
var Key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

// Origin is the name of the vectors' log.
const Origin = "8ae6b0b7b5d0a3f1.registry.example"

var background = context.Background()

// Log runs the suite on an empty store.
func Log(t *testing.T, open func(*testing.T) storage.Store) {
	t.Run("Vectors", func(t *testing.T) { testVectors(t, open(t)) })
	t.Run("Standard", func(t *testing.T) { testStandard(t, open(t)) })
	t.Run("Rollback", func(t *testing.T) { testRollback(t, open(t)) })
	t.Run("Sequence", func(t *testing.T) { testSequence(t, open(t)) })
	t.Run("Cosignatures", func(t *testing.T) { testCosignatures(t, open(t)) })
	t.Run("Tamper", func(t *testing.T) { testTamper(t, open(t)) })
}

// Leaf is the n-th leaf of the suite's logs.
func Leaf(n uint64) []byte { return fmt.Appendf(nil, `{"leaf":%d}`, n) }

// Begin begins the suite's log, with entries from first on.
func Begin(t *testing.T, s storage.Store, origin string, key ed25519.PrivateKey, first uint64) {
	t.Helper()
	err := s.Update(background, func(tx storage.Tx) error {
		_, err := log.Begin(tx, origin, key, first, time.Unix(1_800_000_000, 0))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Append adds leaves, each in a transaction of its own.
func Append(t *testing.T, s storage.Store, leaves ...[]byte) {
	t.Helper()
	for _, leaf := range leaves {
		if err := s.Update(background, func(tx storage.Tx) error { return appendTo(tx, leaf) }); err != nil {
			t.Fatal(err)
		}
	}
}

func appendTo(tx storage.Tx, leaf []byte) error {
	h, err := log.ReadHead(tx)
	if err != nil {
		return err
	}
	return h.Append(tx, leaf, Key)
}

// View calls fn with a log's tree.
func View(t *testing.T, s storage.Store, origin string, fn func(*log.Tree) error) {
	t.Helper()
	err := s.View(background, func(tx storage.Reader) error {
		tree, err := log.Open(tx, origin)
		if err != nil {
			return err
		}
		return fn(tree)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Root is MTH(D[n]) of RFC 6962, section 2.1.
func Root(leaves [][]byte) tlog.Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1 << (bits.Len(uint(n-1)) - 1)
		left, right := Root(leaves[:k]), Root(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}

// Vectors are the contents of vectors.json. Byte strings are base64.
type Vectors struct {
	Origin      string   `json:"origin"`
	VKey        string   `json:"vkey"`
	Leaves      [][]byte `json:"leaves"`
	Checkpoints []string `json:"checkpoints"` // of every size from 0 on
	Inclusion   []struct {
		Leaf  uint64      `json:"leaf"`
		Size  uint64      `json:"size"`
		Proof []tlog.Hash `json:"proof"`
	} `json:"inclusion"`
	Consistency []struct {
		Old   uint64      `json:"old"`
		New   uint64      `json:"new"`
		Proof []tlog.Hash `json:"proof"`
	} `json:"consistency"`
	Tiles map[string][]byte `json:"tiles"`
}

//go:embed vectors.json
var vectors []byte

// ReadVectors returns the test vectors.
func ReadVectors() (v Vectors, err error) {
	err = json.Unmarshal(vectors, &v)
	return v, err
}

// testVectors makes the log of the vectors again, byte for byte.
func testVectors(t *testing.T, s storage.Store) {
	want, err := ReadVectors()
	if err != nil {
		t.Fatal(err)
	}
	got := Make(t, s, want)
	a, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(a, '\n'), vectors) {
		t.Errorf("the vectors are not made again; the log makes\n%s", a)
	}
}

// Make fills an empty store with the vectors' leaves, and answers all their questions anew.
func Make(t *testing.T, s storage.Store, v Vectors) Vectors {
	t.Helper()
	Begin(t, s, v.Origin, Key, 0)
	v.VKey, _ = checkpoint.VerifierKey(v.Origin, Key.Public().(ed25519.PublicKey))
	v.Checkpoints = []string{checkpointOf(t, s)}
	for _, leaf := range v.Leaves {
		Append(t, s, leaf)
		v.Checkpoints = append(v.Checkpoints, checkpointOf(t, s))
	}
	View(t, s, "", func(tree *log.Tree) (err error) {
		for i, q := range v.Inclusion {
			if v.Inclusion[i].Proof, err = tree.Inclusion(q.Leaf, q.Size); err != nil {
				return err
			}
		}
		for i, q := range v.Consistency {
			if v.Consistency[i].Proof, err = tree.Consistency(q.Old, q.New); err != nil {
				return err
			}
		}
		for path := range v.Tiles {
			if v.Tiles[path], err = tileAt(tree, path, v.Leaves); err != nil {
				return err
			}
		}
		return nil
	})
	return v
}

func tileAt(tree *log.Tree, path string, leaves [][]byte) ([]byte, error) {
	tile, err := log.ParseTile(path)
	if err != nil {
		return nil, err
	}
	if tile.L != log.Entries {
		return tree.Tile(tile)
	}
	return tree.Bundle(tile, func(entry uint64) ([]byte, error) { return leaves[entry-tree.First], nil })
}

func checkpointOf(t *testing.T, s storage.Store) (signed string) {
	t.Helper()
	View(t, s, "", func(tree *log.Tree) (err error) { signed, err = tree.Checkpoint(); return err })
	return signed
}

// testStandard compares every root with the standard's, and every proof with its root.
func testStandard(t *testing.T, s storage.Store) {
	Begin(t, s, Origin, Key, 0)
	var leaves [][]byte
	for n := range uint64(70) {
		leaves = append(leaves, Leaf(n))
		Append(t, s, leaves[n])
		c, err := checkpoint.Parse(checkpointOf(t, s))
		if err != nil || c.Size != n+1 || c.Root != Root(leaves) {
			t.Fatalf("checkpoint of %d leaves: %+v, %v", n+1, c, err)
		}
	}
	View(t, s, "", func(tree *log.Tree) error {
		for size := range uint64(len(leaves)) + 1 {
			if err := checkSize(tree, size, leaves); err != nil {
				return fmt.Errorf("size %d: %w", size, err)
			}
		}
		return nil
	})
}

func checkSize(tree *log.Tree, size uint64, leaves [][]byte) error {
	c, err := tree.CheckpointAt(size)
	if err != nil || c.Root != Root(leaves[:size]) {
		return fmt.Errorf("%+v, %w", c, err)
	}
	for n := range size {
		p, err := tree.Inclusion(n, size)
		if err == nil {
			err = tlog.CheckRecord(p, int64(size), c.Root, int64(n), tlog.RecordHash(leaves[n]))
		}
		if err != nil {
			return fmt.Errorf("inclusion of %d: %w", n, err)
		}
		consistency, err := tree.Consistency(n+1, size)
		if err == nil {
			err = tlog.CheckTree(consistency, int64(size), c.Root, int64(n+1), Root(leaves[:n+1]))
		}
		if err != nil {
			return fmt.Errorf("consistency with %d: %w", n+1, err)
		}
	}
	return nil
}

// testRollback undoes appends, and appends twice in one transaction.
func testRollback(t *testing.T, s storage.Store) {
	Begin(t, s, Origin, Key, 0)
	Append(t, s, Leaf(0))
	before := checkpointOf(t, s)
	no := errors.New("no")
	err := s.Update(background, func(tx storage.Tx) error { return errors.Join(appendTo(tx, Leaf(9)), no) })
	if !errors.Is(err, no) || checkpointOf(t, s) != before {
		t.Errorf("%v; the checkpoint is %q and was %q", err, checkpointOf(t, s), before)
	}
	err = s.Update(background, func(tx storage.Tx) error {
		return errors.Join(appendTo(tx, Leaf(1)), appendTo(tx, Leaf(2)))
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Parse(checkpointOf(t, s))
	if err != nil || c.Root != Root([][]byte{Leaf(0), Leaf(1), Leaf(2)}) {
		t.Errorf("%+v, %v", c, err)
	}
	wrong := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	err = s.Update(background, func(tx storage.Tx) error {
		h, err := log.ReadHead(tx)
		return errors.Join(err, h.Append(tx, Leaf(3), wrong))
	})
	if !errors.Is(err, log.ErrKey) {
		t.Errorf("another key: %v", err)
	}
}

// testSequence closes a log and goes on in another.
func testSequence(t *testing.T, s storage.Store) {
	Begin(t, s, "a."+Origin, Key, 0)
	Append(t, s, Leaf(0), Leaf(1), Leaf(2))
	err := s.Update(background, func(tx storage.Tx) error {
		_, err := log.Begin(tx, "b."+Origin, Key, 3, time.Now())
		return err
	})
	if err == nil {
		t.Error("a second log began beside one that is open")
	}
	last := checkpointOf(t, s)
	err = s.Update(background, func(tx storage.Tx) error {
		h, err := log.ReadHead(tx)
		if err != nil {
			return err
		}
		if err := h.Close(tx, log.End{Time: time.Now(), Reason: "test", Checkpoint: last}); err != nil {
			return err
		}
		_, err = log.Begin(tx, "b."+Origin, Key, h.Next(), time.Now())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	Append(t, s, Leaf(3))
	View(t, s, "a."+Origin, func(tree *log.Tree) error {
		if signed, err := tree.Checkpoint(); err != nil || signed != last || tree.Size != 3 || tree.Closed == nil || tree.Closed.Checkpoint != last {
			t.Errorf("the closed log: %+v, %v", tree.Log, err)
		}
		return checkSize(tree, 3, [][]byte{Leaf(0), Leaf(1), Leaf(2)})
	})
	wantEntries(t, s)
}

// wantEntries looks for the log of each of four entries, of which the last is in a log of its own.
func wantEntries(t *testing.T, s storage.Store) {
	t.Helper()
	err := s.View(background, func(tx storage.Reader) error {
		for entry, origin := range []string{"a.", "a.", "a.", "b.", ""} {
			tree, err := log.OpenEntry(tx, uint64(entry))
			if (origin == "") != errors.Is(err, log.ErrSize) || err == nil && tree.Origin != origin+Origin {
				t.Errorf("entry %d: %v", entry, err)
			}
		}
		if _, err := log.Open(tx, "c."+Origin); !errors.Is(err, log.ErrNoLog) {
			t.Errorf("a log that is not there: %v", err)
		}
		logs, err := log.Logs(tx)
		if len(logs) != 2 || logs[1].First != 3 || logs[1].Number != 1 {
			t.Errorf("logs %+v", logs)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func testCosignatures(t *testing.T, s storage.Store) {
	Begin(t, s, Origin, Key, 0)
	Append(t, s, Leaf(0), Leaf(1))
	second := checkpointOf(t, s)
	Append(t, s, Leaf(2))
	for _, line := range []string{"— b.example AAAA\n", "— a.example old", "— a.example AAAA"} {
		err := s.Update(background, func(tx storage.Tx) error {
			tree, err := log.Open(tx, "")
			if err == nil {
				tree.PutCosignature(tx, 2, second, strings.Fields(line)[1], line)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	View(t, s, "", func(tree *log.Tree) error {
		signed, err := tree.SignedCheckpoint(2)
		if signed != second+"— a.example AAAA\n— b.example AAAA\n" || err != nil {
			t.Errorf("%q, %v", signed, err)
		}
		if signed, err := tree.SignedCheckpoint(3); signed != checkpointOf(t, s) || err != nil {
			t.Errorf("%q, %v", signed, err)
		}
		if _, err := tree.SignedCheckpoint(1); !errors.Is(err, log.ErrSize) {
			t.Errorf("a checkpoint that is not kept: %v", err)
		}
		for atMost, want := range []bool{false, false, true, true} {
			size, ok, err := tree.Cosigned(uint64(atMost))
			if ok != want || err != nil || ok && size != 2 {
				t.Errorf("up to %d: %d, %v, %v", atMost, size, ok, err)
			}
		}
		return nil
	})
}

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
