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

// takeAway takes rights away in transactions of up to sliceChanges records each, the last of which also does what last does, and is the
// only one where there are few. remove takes everything away that goes, and gives nothing. What must not happen at all is refused before
// anything changes. If we stop between, what is being removed is still there, with the rights that are left, and the caller does it again.
// Others may write between two of the transactions: remove looks whether it is still the same that goes.
func (a *Access) takeAway(ctx context.Context, by provenance.Identity, remove func(storage.Tx, *Document) error, last func(storage.Tx) error) error {
	for more := true; more; {
		err := a.change(ctx, func(tx storage.Tx) (err error) {
			more, err = a.takeSlice(tx, by, remove)
			if err != nil || more {
				return err
			}
			return last(tx)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeSlice takes away what remove does, or sliceChanges of it, and says whether there is more.
func (a *Access) takeSlice(tx storage.Tx, by provenance.Identity, remove func(storage.Tx, *Document) error) (more bool, err error) {
	old, _, err := a.onRecord(tx)
	if err != nil {
		return false, err
	}
	next := old.clone()
	if err := remove(tx, next); err != nil {
		return false, err
	}
	list, err := a.compare(tx, old, next)
	if err != nil {
		return false, err
	}
	more = len(list) > sliceChanges
	_, err = a.edit(tx, by, func(d *Document) error {
		if more {
			d.toward(next, sliceChanges)
			return nil
		}
		return remove(tx, d)
	})
	return more, err
}

// removeAccount removes the account that a name has now, with all that was granted to it, and forget removes its rows. find returns
// whose the name is. Another account that has the name between two of the transactions is not touched: then find's error for a name
// that nobody has is returned, as gone.
func (a *Access) removeAccount(ctx context.Context, by provenance.Identity, subject string, gone error,
	find func(storage.Reader) (account string, err error), forget func(tx storage.Tx, account string),
) error {
	var account string
	if err := a.store.View(ctx, func(tx storage.Reader) (err error) { account, err = find(tx); return err }); err != nil {
		return err
	}
	remove := func(tx storage.Tx, d *Document) error {
		switch now, err := find(tx); {
		case err != nil:
			return err
		case now != account:
			return gone
		}
		d.removeAccount(account)
		return nil
	}
	return a.takeAway(ctx, by, remove, func(tx storage.Tx) error {
		forget(tx, account)
		return a.record(tx, by, provenance.RightsChange{Subject: subject, Account: account, Change: provenance.AccountRemoved})
	})
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
