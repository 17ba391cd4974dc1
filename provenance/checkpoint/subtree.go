package checkpoint

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A Subtree is a complete subtree of a log's tree (RFC 6962): the leaves from Index·2^Level up to (Index+1)·2^Level. Once the log
// has these leaves, its hash is the same in every tree of a later size.
type Subtree struct {
	Level int
	Index uint64
}

// Leaves returns its first leaf, and its last.
func (s Subtree) Leaves() (first, last uint64) {
	return s.Index << s.Level, (s.Index+1)<<s.Level - 1
}

// An Inclusion is a proof that a leaf with this hash is in the tree of a checkpoint (RFC 6962).
type Inclusion struct {
	Leaf  uint64      `json:"leaf"`
	Entry tlog.Hash   `json:"entry"`
	Proof []tlog.Hash `json:"proof,omitempty"`
}

// Subtrees returns the hashes of all complete subtrees that an inclusion fixes: those on the way from the leaf to the root, and those
// beside it. So two proofs may contradict each other, though they are of different sizes. Error: ErrInvalid, where the proof does not
// lead to the root.
func (c Checkpoint) Subtrees(in Inclusion) (map[Subtree]tlog.Hash, error) {
	if in.Leaf >= c.Size || tlog.CheckRecord(in.Proof, int64(c.Size), c.Root, int64(in.Leaf), in.Entry) != nil {
		return nil, fmt.Errorf("%w: the proof does not show this entry at leaf %d of %d", ErrInvalid, in.Leaf, c.Size)
	}
	p := path{leaf: in.Leaf, entry: in.Entry, fixes: map[Subtree]tlog.Hash{}}
	p.walk(in.Proof, 0, c.Size)
	return p.fixes, nil
}

// Contradiction says how two checkpoints of one log contradict each other, by themselves or by what is proved to be in their trees;
// "" where one tree can have both, as far as that shows it. What does not lead to the root shows nothing.
func Contradiction(a, b Checkpoint, inA, inB Inclusion) string {
	if a.Origin != b.Origin {
		return ""
	}
	if a.Size == b.Size && a.Root != b.Root {
		return fmt.Sprintf("two checkpoints of %d leaves that contradict each other", a.Size)
	}
	ofA, errA := a.Subtrees(inA)
	ofB, errB := b.Subtrees(inB)
	s, differs := firstOther(ofA, ofB)
	if errA != nil || errB != nil || !differs {
		return ""
	}
	first, last := s.Leaves()
	what := fmt.Sprintf("leaves %d to %d are others", first, last)
	if first == last {
		what = fmt.Sprintf("leaf %d is another", first)
	}
	return fmt.Sprintf("two checkpoints, of %d and of %d leaves, that contradict each other: %s in one than in the other", a.Size, b.Size, what)
}

// firstOther is the smallest subtree whose hash is another in a than in b.
func firstOther(a, b map[Subtree]tlog.Hash) (s Subtree, differs bool) {
	for _, s := range InOrder(a) {
		if h, both := b[s]; both && h != a[s] {
			return s, true
		}
	}
	return s, false
}

// InOrder returns subtrees, the smallest first.
func InOrder(of map[Subtree]tlog.Hash) []Subtree {
	return slices.SortedFunc(maps.Keys(of), func(x, y Subtree) int { return cmp.Or(x.Level-y.Level, cmp.Compare(x.Index, y.Index)) })
}

// path is an inclusion proof that was checked.
type path struct {
	leaf  uint64
	entry tlog.Hash
	fixes map[Subtree]tlog.Hash
}

// walk returns the hash of the leaves from lo up to hi, among which is the path's leaf. proof has the hashes beside the path below,
// the topmost last.
func (p *path) walk(proof []tlog.Hash, lo, hi uint64) tlog.Hash {
	h := p.entry
	if hi-lo > 1 {
		middle := lo + 1<<(bits.Len64(hi-lo-1)-1)
		beside, below := proof[len(proof)-1], proof[:len(proof)-1]
		if p.leaf < middle {
			p.fix(middle, hi, beside)
			h = tlog.NodeHash(p.walk(below, lo, middle), beside)
		} else {
			p.fix(lo, middle, beside)
			h = tlog.NodeHash(beside, p.walk(below, middle, hi))
		}
	}
	p.fix(lo, hi, h)
	return h
}

// fix notes a hash that stays as it is: one of a power of two leaves. One of fewer grows with the log.
func (p *path) fix(lo, hi uint64, h tlog.Hash) {
	if n := hi - lo; n&(n-1) == 0 {
		level := bits.TrailingZeros64(n)
		p.fixes[Subtree{level, lo >> level}] = h
	}
}
