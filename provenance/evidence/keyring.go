package evidence

import (
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// A keyring is what a reader relies on, with the receipt keys that proved records put in force.
type keyring struct {
	trust receipt.Trust
	heard map[string]*uint64 // the records that put keys in force, by hint
}

func newKeyring(trust receipt.Trust) *keyring {
	trust.Keys = slices.Clone(trust.Keys)
	return &keyring{trust, map[string]*uint64{}}
}

// follow trusts the key that a proved record puts in force, from the next record on: the log's key and the former receipt key
// vouch for it. known are keys whose hints name them. The first record of a new log does so by itself, and is not followed: who
// has stolen keys can begin any log.
func (k *keyring) follow(r *provenance.Record, known []receipt.KeyEntry) error {
	if r.Key == nil || r.Continues != nil || slices.ContainsFunc(k.trust.Keys, func(e receipt.KeyEntry) bool { return e.Hint == r.Key.Hint }) {
		return nil
	}
	i := slices.IndexFunc(known, func(e receipt.KeyEntry) bool { return e.Hint == r.Key.Hint })
	if i < 0 {
		return fmt.Errorf("%w: it puts the key %.12s… in force, which is not", ErrRefused, r.Key.Hint)
	}
	next := r.Index + 1
	for j, e := range k.trust.Keys {
		if e.Hint == r.Key.Previous {
			k.trust.Keys[j].Ranges = endAt(e.Ranges, next)
		}
	}
	k.trust.Keys = append(k.trust.Keys, receipt.KeyEntry{Hint: r.Key.Hint, PEM: known[i].PEM, Ranges: []receipt.Range{{From: next}}})
	k.heard[r.Key.Hint] = &r.Index
	return nil
}

// endAt ends ranges that go on.
func endAt(ranges []receipt.Range, end uint64) (ended []receipt.Range) {
	for _, r := range ranges {
		if r.To == nil && r.From < end {
			r.To = &end
		}
		ended = append(ended, r)
	}
	return ended
}
