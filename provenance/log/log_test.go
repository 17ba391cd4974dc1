package log_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	formats "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/log/logtest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

func TestLog(t *testing.T) {
	logtest.Log(t, func(t *testing.T) storage.Store { return storagetest.Twice(engines.New(t)) })
}

// TestIndependent has another implementation check the vectors: roots, proofs, checkpoints.
func TestIndependent(t *testing.T) {
	v, err := logtest.ReadVectors()
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(v.VKey)
	if err != nil {
		t.Fatal(err)
	}
	roots := make([][]byte, len(v.Checkpoints))
	for size, signed := range v.Checkpoints {
		c, _, _, err := formats.ParseCheckpoint([]byte(signed), v.Origin, verifier)
		if err != nil || c.Size != uint64(size) {
			t.Fatalf("checkpoint %d: %+v, %v", size, c, err)
		}
		roots[size] = c.Hash
	}
	for _, p := range v.Inclusion {
		leaf := rfc6962.DefaultHasher.HashLeaf(v.Leaves[p.Leaf])
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Leaf, p.Size, leaf, slices(p.Proof), roots[p.Size]); err != nil {
			t.Errorf("leaf %d in %d: %v", p.Leaf, p.Size, err)
		}
	}
	for _, p := range v.Consistency {
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, p.Old, p.New, slices(p.Proof), roots[p.Old], roots[p.New]); err != nil {
			t.Errorf("%d to %d: %v", p.Old, p.New, err)
		}
	}
	if len(v.Inclusion) < 5 || len(v.Consistency) < 5 || len(v.Leaves) < 8 {
		t.Error("there are too few vectors")
	}
}

func slices(hashes []tlog.Hash) (s [][]byte) {
	for _, h := range hashes {
		s = append(s, h[:])
	}
	return s
}

// TestTiles reads a log of 600 leaves through its tiles alone, as a client does.
func TestTiles(t *testing.T) {
	s := engines.New(t)
	logtest.Begin(t, s, logtest.Origin, logtest.Key, 1000)
	fill(t, s, 600)
	logtest.View(t, s, "", func(tree *log.Tree) error {
		c, err := tree.CheckpointAt(600)
		if err != nil {
			return err
		}
		reader := tlog.TileHashReader(tlog.Tree{N: 600, Hash: c.Root}, tiles{tree})
		for leaf := range int64(600) {
			p, err := tlog.ProveRecord(600, leaf, reader) // which checks every tile against the root
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(p, 600, c.Root, leaf, tlog.RecordHash(logtest.Leaf(uint64(leaf)))); err != nil {
				return err
			}
		}
		return bundles(tree)
	})
}

func fill(t *testing.T, s storage.Store, n uint64) {
	t.Helper()
	err := s.Update(t.Context(), func(tx storage.Tx) error {
		h, err := log.ReadHead(tx)
		for leaf := h.Size(); err == nil && leaf < n; leaf++ {
			_, err = h.Append(tx, logtest.Leaf(leaf), logtest.Key)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tiles is a tlog.TileReader.
type tiles struct{ tree *log.Tree }

func (r tiles) Height() int { return log.TileHeight }

func (r tiles) ReadTiles(want []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range want {
		again, err := log.ParseTile(log.TilePath(tile))
		if err != nil || again != tile {
			return nil, fmt.Errorf("%v is written as %s and read as %v: %w", tile, log.TilePath(tile), again, err)
		}
		hashes, err := r.tree.Tile(tile)
		if err != nil {
			return nil, err
		}
		data = append(data, hashes)
	}
	return data, nil
}

func (tiles) SaveTiles([]tlog.Tile, [][]byte) {}

// bundles reads all 600 entries out of their bundles.
func bundles(tree *log.Tree) error {
	next := uint64(0)
	for _, path := range []string{"tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"} {
		tile, err := log.ParseTile(path)
		if err != nil {
			return err
		}
		data, err := tree.Bundle(tile, func(entry uint64) ([]byte, error) { return logtest.Leaf(entry - 1000), nil })
		if err != nil {
			return err
		}
		for ; len(data) > 0; next++ {
			n := binary.BigEndian.Uint16(data)
			if got := data[2 : 2+n]; string(got) != string(logtest.Leaf(next)) {
				return fmt.Errorf("%s: entry %d is %q", path, next, got)
			}
			data = data[2+n:]
		}
	}
	if next != 600 {
		return fmt.Errorf("the bundles hold %d entries", next)
	}
	return nil
}

func TestTilePaths(t *testing.T) {
	for path, want := range map[string]tlog.Tile{
		"tile/0/000":                      {H: 8, L: 0, N: 0, W: 256},
		"tile/1/x001/x234/067":            {H: 8, L: 1, N: 1234067, W: 256},
		"tile/7/000.p/1":                  {H: 8, L: 7, N: 0, W: 1},
		"tile/entries/x001/234.p/255":     {H: 8, L: log.Entries, N: 1234, W: 255},
		"tile/entries/000":                {H: 8, L: log.Entries, N: 0, W: 256},
		"tile/0/x999/x999/x999/x999/x999": {}, "tile/8/000": {}, "tile/8/0/000": {}, "tile/-1/000": {}, "tile/data/000": {}, "tile/00/000": {},
		"tile/0/0": {}, "tile/0/000.p/0": {}, "tile/0/000.p/256": {}, "tile/0/000.p/01": {}, "tile/0/x000/001": {}, "": {}, "tile/": {},
		"tile/0/": {}, "tile/entries/": {}, "tile/0/x999/x999/x999/x999/x999/x999/x999/999": {}, "/tile/0/000": {}, "tile/entries/data/000": {},
	} {
		got, err := log.ParseTile(path)
		if (want == tlog.Tile{}) != errors.Is(err, log.ErrPath) || err == nil && got != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
		if err == nil && log.TilePath(got) != path {
			t.Errorf("%s is written as %s", path, log.TilePath(got))
		}
	}
}

// TestTooLarge asks for what the log has not.
func TestTooLarge(t *testing.T) {
	s := engines.New(t)
	logtest.Begin(t, s, logtest.Origin, logtest.Key, 0)
	fill(t, s, 300)
	logtest.View(t, s, "", func(tree *log.Tree) error {
		for path, there := range map[string]bool{
			"tile/0/000": true, "tile/0/000.p/7": true, "tile/0/001.p/44": true, "tile/0/001.p/45": false, "tile/0/001": false,
			"tile/0/002.p/1": false, "tile/1/000.p/1": true, "tile/1/000.p/2": false, "tile/7/000.p/1": false,
			"tile/0/x999/x999/x999/x999/x999/999": false, "tile/7/x999/x999/x999/x999/x999/999": false,
		} {
			tile, err := log.ParseTile(path)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			data, err := tree.Tile(tile)
			if there != (err == nil) || !there && !errors.Is(err, log.ErrSize) || there && len(data) != tile.W*tlog.HashSize {
				t.Errorf("%s: %d bytes, %v", path, len(data), err)
			}
		}
		_, err := tree.CheckpointAt(301)
		_, err2 := tree.Inclusion(300, 300)
		_, err3 := tree.Consistency(300, 301)
		_, err4 := tree.Consistency(0, 300)
		for _, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, log.ErrSize) {
				t.Error(err)
			}
		}
		return nil
	})
}

func FuzzParseTile(f *testing.F) {
	f.Add("tile/0/000")
	f.Add("tile/entries/x001/234.p/255")
	f.Fuzz(func(t *testing.T, path string) {
		if tile, err := log.ParseTile(path); err == nil && log.TilePath(tile) != path {
			t.Errorf("%q is read as %v", path, tile)
		}
	})
}

// BenchmarkAppend appends in one transaction to logs of two sizes: what the log costs without the disk.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []uint64{1_000, 1_000_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { benchmarkAppend(b, size) })
	}
}

func benchmarkAppend(b *testing.B, size uint64) {
	s, err := bolt.Open(filepath.Join(b.TempDir(), "store.db"), bolt.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	add := func(n uint64, key ed25519.PrivateKey) {
		err := s.Update(b.Context(), func(tx storage.Tx) error {
			h, err := log.ReadHead(tx)
			for range n {
				if err == nil {
					_, err = h.Append(tx, logtest.Leaf(h.Size()), key)
				}
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	begin(b, s)
	for n := uint64(0); n < size; n += min(5000, size) {
		add(min(5000, size), logtest.Key)
	}
	b.ResetTimer()
	for range b.N {
		add(1, logtest.Key)
	}
}

func begin(b *testing.B, s storage.Store) {
	b.Helper()
	err := s.Update(b.Context(), func(tx storage.Tx) error {
		_, err := log.Begin(tx, logtest.Origin, logtest.Key, 0, time.Unix(0, 0))
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}
