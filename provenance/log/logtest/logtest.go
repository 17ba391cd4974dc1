// Package logtest has the tests that every store has to pass under a log, and test vectors for authors of
// verifiers: vectors.json.
//
// The suite compares the log with RFC 6962 as the standard writes it: recursive, slow, and short enough
// to read.
package logtest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
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
	_, err = h.Append(tx, leaf, Key)
	return err
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
		if err == nil {
			_, err = h.Append(tx, Leaf(3), wrong)
		}
		return err
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
				err = tree.PutCosignature(tx, 2, second, strings.Fields(line)[1], line)
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
