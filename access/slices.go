package access

import (
	"context"
	"slices"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

const (
	// maxChanges bounds what one transaction changes: each change is a signed record, and a thousand take about a second, for which
	// every push waits.
	maxChanges = 1000
	// sliceChanges is how many rights a removal takes away in one transaction.
	sliceChanges = 100
)

// ErrManyChanges says that a request would change too much at once.
var ErrManyChanges = fault.Newf(fault.Invalid, "one request may give and take away %d rights and memberships: everybody waits meanwhile. Apply the difference in several steps", maxChanges)

// takeAway does most of what a removal takes away, in transactions of sliceChanges records each, and leaves the last of them to the caller.
// remove takes everything away that goes, and gives nothing. What must not happen at all is refused before anything changes. If we
// stop between, what is being removed is still there, with the rights that are left, and the caller does it again.
func (a *Access) takeAway(ctx context.Context, by provenance.Identity, remove func(storage.Tx, *Document) error) error {
	for more := true; more; {
		err := a.change(ctx, func(tx storage.Tx) error {
			more = false
			old, _, err := a.onRecord(tx)
			if err != nil {
				return err
			}
			next := old.clone()
			if err := remove(tx, next); err != nil {
				return err
			}
			list, err := a.compare(tx, old, next)
			if err != nil || len(list) <= sliceChanges {
				return err
			}
			more = true
			_, err = a.edit(tx, by, func(d *Document) error { d.toward(next, sliceChanges); return nil })
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// toward takes away up to n of the grants and memberships that another document does not have. Teams stay.
func (d *Document) toward(other *Document, n int) {
	stays := make(map[string]bool)
	for _, f := range other.facts().given {
		stays[f.key] = true
	}
	goes := func(key string) bool {
		if n == 0 || stays[key] {
			return false
		}
		n--
		return true
	}
	d.Grants = slices.DeleteFunc(d.Grants, func(g Grant) bool { return goes(g.factKey()) })
	for i, t := range d.Teams {
		d.Teams[i].Members = slices.DeleteFunc(t.Members, func(m string) bool { return goes(memberKey(t.Name, m)) })
	}
}
