package provenance

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// Which of two images came to the registry first, and which record says so.

// first returns the record of the earliest arrival of a digest in the registry, or nil. known says whether it is known:
// nil is no arrival then.
func first(tx storage.Reader, d digest.Digest) (r *Record, known bool, err error) {
	found, known, err := firsts(tx, d, nil)
	if err != nil {
		return nil, false, err
	}
	for _, index := range found {
		r, err := ReadRecord(tx, index)
		if err != nil {
			return nil, false, err
		}
		if r.Arrives() && r.Digest == d {
			return r, true, nil
		}
	}
	return nil, known, nil
}

// firsts returns the records of the first arrivals of a digest in the repositories that are visible, in order. There is
// a row for each, and only their values are read. Where there are too many to look at all, none are known.
func firsts(tx storage.Reader, d digest.Digest, visible func(string) bool) (found []uint64, known bool, err error) {
	t := newTerm(byDigest, d.String())
	looks := 0
	for item, err := range tx.Scan(imageTable, t[:], storage.PrefixEnd(t[:])) {
		if err != nil {
			return nil, false, err
		}
		repository, err := cutImageKey(item.Key)
		if err != nil || len(item.Value) != 8 {
			return nil, false, fmt.Errorf("%w: a row of images names no record", storage.ErrCorrupt)
		}
		if looks++; looks > maxLook {
			return nil, false, nil // what was not looked at could be earlier
		}
		if visible == nil || visible(repository) {
			found = append(found, lastIndex(item.Value))
		}
	}
	slices.Sort(found)
	return found, true, nil
}

// An Order says which of two images came first, as far as somebody may see.
type Order struct {
	tx      storage.Reader
	visible func(repository string) bool
}

// NewOrder returns the order of arrivals in what tx reads.
func NewOrder(tx storage.Reader, visible func(repository string) bool) (Order, error) {
	all, err := withTail(tx)
	return Order{all, visible}, err
}

// After says that an image first came after another one. Where it is not known of one, it did not.
func (o Order) After(later, earlier digest.Digest) (bool, error) {
	a, _, err := firsts(o.tx, later, o.visible)
	if err != nil || len(a) == 0 {
		return false, err
	}
	b, _, err := firsts(o.tx, earlier, o.visible)
	return err == nil && len(b) > 0 && a[0] > b[0], err
}
