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

// An Order says which of two images came first, as far as somebody may see. It is for one goroutine.
type Order struct {
	tx      storage.Reader
	visible func(repository string) bool
	known   map[digest.Digest]arrival // asked for before: one image is compared with many
}

// arrival is the record of the first arrival of an image, if it is known.
type arrival struct {
	record uint64
	known  bool
}

// NewOrder returns the order of arrivals in what tx reads.
func NewOrder(tx storage.Reader, visible func(repository string) bool) (Order, error) {
	all, err := withTail(tx)
	return Order{all, visible, map[digest.Digest]arrival{}}, err
}

// After says that an image first came after another one. Where it is not known of one, it did not.
func (o Order) After(later, earlier digest.Digest) (bool, error) {
	a, err := o.first(later)
	if err != nil || !a.known {
		return false, err
	}
	b, err := o.first(earlier)
	return err == nil && b.known && a.record > b.record, err
}

func (o Order) first(d digest.Digest) (arrival, error) {
	if a, asked := o.known[d]; asked {
		return a, nil
	}
	found, _, err := firsts(o.tx, d, o.visible)
	if err != nil {
		return arrival{}, err
	}
	var a arrival
	if len(found) > 0 {
		a = arrival{found[0], true}
	}
	o.known[d] = a
	return a, nil
}
