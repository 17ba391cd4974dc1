package provenance

import (
	"context"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
)

// What is learned of the spellings of sources changes under which rows a record is found, and those of older records are there
// already. So a mark says how many times something was learned, and up to where the records have such rows; behind it they
// are made in the background, as other rows are that an older version lacks. Until then a record is found by the spelling
// that its row has. The row by the spelling of before stays, for an older version that is put back.
//
// If we stop within it, the next start goes on from the mark.

// spellings counts what was learned: raise it with each change of [NormalSource], and all records are gone through again.
const spellings = 2

// laterTerms are the terms of a record under which an older version does not find it.
func laterTerms(r *Record) termSet {
	terms := termSet{}
	for _, a := range r.Attested {
		terms.addLater(a.Fact, a.Value, nil)
	}
	for _, c := range r.Claimed {
		terms.addLater(c.Fact, c.Value, func() []term { return claimTerms(r, c) })
	}
	return terms
}

// addLater adds the terms of a source that has another spelling since, and others of it.
func (s termSet) addLater(fact, value string, others func() []term) {
	if fact != FactSource || len(indexedSources(value)) == 1 {
		return
	}
	s.add(bySource, NormalSource(value))
	if others != nil {
		s.addAll(others())
	}
}

// spellSome makes the rows of some records that an older version did not make, and says whether there are others.
func (b *Book) spellSome(ctx context.Context, most uint64) (behind bool, err error) {
	return b.catchUp(ctx, most, func(x *indexed) *uint64 { return &x.spelled }, spellOne)
}

// spellOne puts the rows of the next record that spellSome comes to. It is nil where it is lost or damaged.
func spellOne(tx storage.Tx, x *indexed, r *Record) error {
	x.spelled++
	if r == nil {
		return nil
	}
	later, all := laterTerms(r), termsOf(r)
	for t := range later {
		if all[t] { // not of an image and a revision alone
			tx.Put(indexTable, t.key(r.Index), nil)
		}
	}
	return putEarlier(tx, r, later)
}

// putEarlier adds the rows of images by some terms. A later record may have made them before this one, which was the first.
func putEarlier(tx storage.Tx, r *Record, terms termSet) error {
	keys := slices.DeleteFunc(imageKeys(r), func(key []byte) bool { return !terms[term(key[:len(term{})])] })
	found, err := tx.GetMany(imageTable, keys)
	if err != nil {
		return err
	}
	for i, row := range found {
		if row == nil || lastIndex(row) > r.Index {
			tx.Put(imageTable, keys[i], indexKey(r.Index))
		}
	}
	return nil
}
