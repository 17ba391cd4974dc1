package logtest

import (
	"bytes"
	"crypto/ed25519"
	_ "embed"
	"encoding/json"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

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
