package provenance

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
)

// Records keep the checkpoints of other registries' logs that words were proved by. Two that no tree can have both prove that the log
// has forked: two of one size with other roots, and two of any sizes whose proofs fix another hash for the same complete subtree.
// docs/design/travel.md says which forks cannot be seen so.

// Shows is the checkpoint that proves a word; ok is false where none does.
func (w *Word) Shows() (c checkpoint.Checkpoint, ok bool) {
	if w == nil || w.Checkpoint == "" {
		return c, false
	}
	c, err := checkpoint.Parse(w.Checkpoint)
	return c, err == nil
}

// Included is the proof that its record is in the log: an empty one, as of older records, shows nothing.
func (w *Word) Included() (in checkpoint.Inclusion) {
	leaf := w.Leaf
	if w.Said != nil {
		leaf = &w.Said.Log.Leaf
	}
	if w.Entry != nil && leaf != nil {
		in = checkpoint.Inclusion{Leaf: *leaf, Entry: *w.Entry, Proof: w.Proof}
	}
	return in
}

// Contradicts says how the checkpoints of two words contradict each other, whose log signed both; "" where they may be of one tree.
func (w *Word) Contradicts(other *Word) string {
	a, ok := w.Shows()
	b, both := other.Shows()
	if !ok || !both {
		return ""
	}
	return checkpoint.Contradiction(a, b, w.Included(), other.Included())
}

// terms are what the record of a word is found by: the checkpoint that it kept, what its proof fixes, and a fork that it proves.
func (w *Word) terms() (terms []term) {
	terms = w.kept()
	if len(terms) > 0 && w.Reason == LogForked {
		terms = append(terms, newTerm(byClass, string(LogForked)))
	}
	return terms
}

// kept are the terms of its checkpoint and of what its proof fixes.
func (w *Word) kept() (terms []term) {
	c, ok := w.Shows()
	if !ok {
		return nil
	}
	terms = append(terms, newTerm(byCheckpoint, c.Origin, strconv.FormatUint(c.Size, 10)))
	fixed, err := c.Subtrees(w.Included())
	if err != nil {
		return terms
	}
	for s := range fixed {
		terms = append(terms, newTerm(bySubtree, c.Origin, strconv.Itoa(s.Level), strconv.FormatUint(s.Index, 10)))
	}
	return terms
}

// Kept returns the records of words whose checkpoints a word may contradict: of each size and subtree that it shares with others the
// oldest and the newest. These two are enough: every other one was compared with the oldest as it came. At most some 250, oldest
// first.
func (b *Book) Kept(ctx context.Context, w *Word) (found []*Record, err error) {
	terms := w.kept()
	if len(terms) == 0 {
		return nil, nil
	}
	err = b.view(ctx, func(tx storage.Reader) error {
		found = nil
		indexes := map[uint64]bool{}
		for _, t := range terms {
			if err := ends(tx, t, indexes); err != nil {
				return err
			}
		}
		for _, index := range slices.Sorted(maps.Keys(indexes)) {
			r, err := ReadRecord(tx, index)
			if err != nil {
				return err
			}
			found = append(found, r)
		}
		return nil
	})
	return found, err
}

// ends adds the oldest and the newest record of a term.
func ends(tx storage.Reader, t term, to map[uint64]bool) error {
	end := storage.PrefixEnd(t[:])
	for _, rows := range []iter.Seq2[storage.Item, error]{tx.Scan(indexTable, t[:], end), tx.ScanReverse(indexTable, t[:], end)} {
		for item, err := range rows {
			if err != nil {
				return err
			}
			to[lastIndex(item.Key)] = true
			break
		}
	}
	return nil
}

// Forks returns the records of words that proved that a log has forked, oldest first, up to 1000.
func (b *Book) Forks(ctx context.Context) (found []*Record, err error) {
	t := newTerm(byClass, string(LogForked))
	err = b.view(ctx, func(tx storage.Reader) error {
		found = nil
		for item, err := range tx.Scan(indexTable, t[:], storage.PrefixEnd(t[:])) {
			if err != nil || len(found) == MaxPage {
				return err
			}
			r, err := ReadRecord(tx, lastIndex(item.Key))
			if err != nil {
				return err
			}
			if r.Word != nil && r.Word.Reason == LogForked {
				found = append(found, r)
			}
		}
		return nil
	})
	return found, err
}
