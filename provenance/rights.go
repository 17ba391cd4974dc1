package provenance

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrNotGranted says that an access document is not the one that the newest record of a right or an account names.
var ErrNotGranted = errors.New("it was changed past the registry, and nothing is signed over it: `hallmark fsck` says more; restore a backup from before")

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

// newestOfAction returns the newest record of any of these actions, or nil.
func newestOfAction(tx storage.Reader, actions ...Action) (newest *Record, err error) {
	all, err := withTail(tx)
	if err != nil {
		return nil, err
	}
	for _, action := range actions {
		q := Query{Action: action, Descending: true}
		s, err := q.seeker(all)
		if err != nil {
			return nil, err
		}
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
