package provenance

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrNotGranted says that an access document is not the one that the newest record of a right or an account names.
var ErrNotGranted = fault.New(fault.Stopped, pastTheRegistry).Telling("the access document is not the one that the records name: " + pastTheRegistry)

const pastTheRegistry = "it was changed past the registry, and nothing is signed over it: `hallmark fsck` says more; restore a backup from before"

// RightsOnRecord wants an access document to be the one of the newest record of a right or an account: the next such record
// would sign what nobody is on record to have granted. Error: ErrNotGranted.
func (b *Book) RightsOnRecord(tx storage.Reader, version uint64, document digest.Digest) error {
	if !recording {
		return nil
	}
	newest, err := NewestRights(tx)
	switch {
	case err != nil:
		return err
	case newest == nil && version == 0, newest != nil && newest.Digest == document:
		return nil
	case newest == nil:
		return fmt.Errorf("no record says who granted anything, and version %d of the access document is in force: %w", version, ErrNotGranted)
	default:
		return fmt.Errorf("the access document is %s, and by record %d it is %s: %w", document, newest.Index, newest.Digest, ErrNotGranted)
	}
}

// NewestRights returns the newest record of a right or an account, or nil, in the caller's transaction.
func NewestRights(tx storage.Reader) (*Record, error) { return newestOfAction(tx, Grant, Revoke) }

// newestOfAction returns the newest record of any of these actions, or nil. It looks at the tail from its end: what asks
// has mostly just happened, and then one record is read.
func newestOfAction(tx storage.Reader, actions ...Action) (newest *Record, err error) {
	h, err := readHead(tx)
	if err != nil {
		return nil, err
	}
	x, err := readIndexed(tx)
	if err != nil {
		return nil, err
	}
	end, err := h.kept(tx, x.next)
	if err != nil {
		return nil, err
	}
	for next := end; next > x.next; next-- {
		r, err := ReadStated(tx, next-1)
		if err != nil {
			return nil, err
		}
		if slices.Contains(actions, r.Action) {
			return r, nil
		}
	}
	for _, action := range actions {
		s := seeker{tx: tx, terms: []term{newTerm(byAction, string(action))}, high: min(h.next, x.next), descending: true, looks: maxLook}
		index, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if !ok || newest != nil && index < newest.Index {
			continue
		}
		if newest, err = ReadStated(tx, index); err != nil {
			return nil, err
		}
	}
	return newest, nil
}
