package provenance

import (
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// A Keyring is what a reader relies on, with the receipt keys that proved records have put in force since that was kept.
type Keyring struct {
	Trust receipt.Trust
	heard map[string]*uint64 // the records that put keys in force, by hint
}

// NewKeyring returns one of what is trusted, which it does not change.
func NewKeyring(trust receipt.Trust) *Keyring {
	trust.Keys = slices.Clone(trust.Keys)
	return &Keyring{trust, map[string]*uint64{}}
}

// By is the record that put a key in force, where that is how it is known, or nil.
func (k *Keyring) By(hint string) *uint64 { return k.heard[hint] }

// Follow trusts the key that a proved record puts in force, from the next record on: the log's key and the receipt key that signed
// the record, whose hint is signer, vouch for it. known are keys whose hints name them. The first record of a new log puts keys in force
// by itself, and is not followed: who has stolen keys can begin any log. Error: receipt.ErrRefused, where the key is not among the known.
func (k *Keyring) Follow(r *Record, signer string, known []receipt.KeyEntry) error {
	if r.Key == nil || r.Continues != nil || slices.ContainsFunc(k.Trust.Keys, func(e receipt.KeyEntry) bool { return e.Hint == r.Key.Hint }) {
		return nil
	}
	i := slices.IndexFunc(known, func(e receipt.KeyEntry) bool { return e.Hint == r.Key.Hint })
	if i < 0 {
		return fmt.Errorf("%w: it puts the key %.12s… in force, which is not", receipt.ErrRefused, r.Key.Hint)
	}
	next := r.Index + 1
	for j, e := range k.Trust.Keys {
		if e.Hint == signer {
			k.Trust.Keys[j].Ranges = endAt(e.Ranges, next)
		}
	}
	k.Trust.Keys = append(k.Trust.Keys, receipt.KeyEntry{Hint: r.Key.Hint, PEM: known[i].PEM, Ranges: []receipt.Range{{From: next}}})
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

// Steps follows the changes of keys that come with a receipt, which is the first. Each key is in what it has signed. They may come in any
// order: where there were many, registries give the newest first. A step that is not proved is passed over: it is from before what the
// reader kept, or nothing. Error: receipt.ErrRefused.
func (k *Keyring) Steps(receipts [][]byte) error {
	var known []receipt.KeyEntry
	for _, bundle := range receipts {
		if key := receipt.KeyIn(bundle); key != nil {
			known = append(known, receipt.KeyEntry{Hint: key.Hint(), PEM: string(key.PEM())})
		}
	}
	for left := receipts[1:]; len(left) > 0; {
		var unproved [][]byte
		for _, bundle := range left {
			v, err := receipt.Verify(bundle, k.Trust)
			if err != nil {
				unproved = append(unproved, bundle)
			} else if err := k.step(v, known); err != nil {
				return err
			}
		}
		if len(unproved) == len(left) {
			return nil // and the receipt is refused, unless its key is known anyway
		}
		left = unproved
	}
	return nil
}

// step follows one change of keys.
func (k *Keyring) step(v *receipt.Verified, known []receipt.KeyEntry) error {
	r, err := ParseStatement(v.Statement)
	if err != nil {
		return fmt.Errorf("%w: %w", receipt.ErrRefused, err)
	}
	if err := k.Follow(r, v.Key.Hint(), known); err != nil {
		return fmt.Errorf("%w among those that it carries", err)
	}
	return nil
}
