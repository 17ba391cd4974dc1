package checkpoint

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// tree is a log's hashes, by index as tlog stores them.
type tree struct {
	size   int64
	hashes []tlog.Hash
}

func (l *tree) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	for _, i := range indexes {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

func (l *tree) grow(t *testing.T, entry string) {
	t.Helper()
	more, err := tlog.StoredHashes(l.size, []byte(entry), l)
	if err != nil {
		t.Fatal(err)
	}
	l.hashes, l.size = append(l.hashes, more...), l.size+1
}

// history returns a log whose leaves from fork on are those of a name.
func history(t *testing.T, size, fork int64, name string) *tree {
	t.Helper()
	l := &tree{}
	for i := range size {
		entry := fmt.Sprint(i)
		if i >= fork {
			entry += name
		}
		l.grow(t, entry)
	}
	return l
}

// subtrees are those that the proof of a leaf at a size fixes.
func (l *tree) subtrees(t *testing.T, leaf, size int64) map[Subtree]tlog.Hash {
	t.Helper()
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := tlog.ProveRecord(size, leaf, l)
	if err != nil {
		t.Fatal(err)
	}
	entry := l.hashes[tlog.StoredHashIndex(0, leaf)]
	c := Checkpoint{Origin: "log.example", Size: uint64(size), Root: root}
	found, err := c.Subtrees(Inclusion{uint64(leaf), entry, proof})
	if err != nil {
		t.Fatal(err)
	}
	if len(proof) > 0 {
		proof[0][0] ^= 1
		if _, err := c.Subtrees(Inclusion{uint64(leaf), entry, proof}); !errors.Is(err, ErrInvalid) {
			t.Errorf("a proof of leaf %d at %d that was changed: %v", leaf, size, err)
		}
	}
	return found
}

// TestSubtrees compares every subtree that a proof fixes with the tree itself, for all leaves and sizes of a small log.
func TestSubtrees(t *testing.T) {
	l := history(t, 40, 40, "")
	for size := int64(1); size <= 40; size++ {
		for leaf := range size {
			fixed := l.subtrees(t, leaf, size)
			for s, h := range fixed {
				// So to hash what several proofs fix shows no more than to compare two of them.
				if _, above := fixed[Subtree{s.Level + 1, s.Index / 2}]; s.Index%2 == 1 && !above {
					t.Errorf("leaf %d at %d fixes %+v, and not the one above it", leaf, size, s)
				}
				if _, last := s.Leaves(); last >= uint64(size) {
					t.Errorf("leaf %d at %d fixes %+v", leaf, size, s)
				} else if h != l.hashes[tlog.StoredHashIndex(s.Level, int64(s.Index))] {
					t.Errorf("leaf %d at %d: the hash of %+v is another", leaf, size, s)
				}
			}
		}
	}
	if _, err := (Checkpoint{Size: 1}).Subtrees(Inclusion{Leaf: 1}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a leaf beyond the end: %v", err)
	}
}

// TestSubtreesOfForks compares the last leaves of two histories, at all sizes: they contradict each other where both fix a subtree
// with a leaf behind the fork, which is so for any two sizes above the same power of two that is itself behind it.
func TestSubtreesOfForks(t *testing.T) {
	const most = 34
	for fork := range int64(most) {
		one, two := history(t, most, fork, "a"), history(t, most, fork, "b")
		for n := int64(1); n <= most; n++ {
			for m := int64(1); m <= most; m++ {
				of, other := one.subtrees(t, n-1, n), two.subtrees(t, m-1, m)
				differs := false
				for s, h := range of {
					h2, both := other[s]
					_, last := s.Leaves()
					if both && (h != h2) != (int64(last) >= fork) {
						t.Errorf("forked at %d, %d and %d: %+v", fork, n, m, s)
					}
					differs = differs || both && h != h2
				}
				if power := powerBelow(max(n, m)); fork < power && min(n, m) >= power && !differs {
					t.Errorf("forked at %d, %d and %d do not show it", fork, n, m)
				}
			}
		}
	}
}

// powerBelow is the largest power of two that is at most n.
func powerBelow(n int64) (power int64) {
	for power = 1; power*2 <= n; power *= 2 {
		continue
	}
	return power
}
