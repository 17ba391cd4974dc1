package provenance

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// ErrAdopted says that there is nothing to adopt: all records are in the log.
var ErrAdopted = errors.New("there is nothing to adopt: every record is in the log, or was adopted before")

// Found says what was there when the first log began: records that nobody is known to have seen happen. It is in the
// record of the action adopt, which is the first of that log.
type Found struct {
	Records uint64 `json:"records"` // from 0 on
	// Statements is the SHA-256 of the SHA-256 sums of all their statements, in their order: 32 bytes each.
	Statements digest.Digest `json:"statements"`
}

// Adopt begins the first log of a store whose records are from before there was one, with a record of what was found.
// The records before it are not signed and are no leaves: that record says that they were there, and no more. It is
// never done but by hand. Errors: ErrAdopted, ErrDisagree, ErrNoKey.
func (b *Book) Adopt(ctx context.Context, who Identity) (r *Record, err error) {
	if err := b.look(ctx); !errors.Is(err, ErrNotAdopted) {
		if err == nil {
			err = ErrAdopted
		}
		return nil, err
	}
	n, err := b.Len(ctx)
	if err != nil {
		return nil, err
	}
	found, err := sumFound(ctx, b.store, n)
	if err != nil {
		return nil, err
	}
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		if err := examine(tx, b.recalled()); err == nil {
			return ErrAdopted // by somebody else, meanwhile
		} else if !errors.Is(err, ErrNotAdopted) {
			return err
		}
		if err := b.beginLog(tx, *b.keys.Load(), found.Records); err != nil {
			return err
		}
		r, _, err = b.append(tx, Event{Action: Adopt, Who: who, Digest: found.Statements, Found: &found})
		return err
	})
	if err == nil {
		b.stopped.Store(nil)
	}
	return r, err
}

// sumFound makes the digest of the first statements, none of which may be of a log.
func sumFound(ctx context.Context, store storage.Store, n uint64) (f Found, err error) {
	all := sha256.New()
	for from := uint64(0); from < n && err == nil; from += checkStep {
		var sums []byte
		err = store.View(ctx, func(tx storage.Reader) error {
			sums = nil
			for next := from; next < min(from+checkStep, n); next++ {
				payload, err := foundStatement(tx, next)
				if err != nil {
					return err
				}
				sum := sha256.Sum256(payload)
				sums = append(sums, sum[:]...)
			}
			return nil
		})
		all.Write(sums)
	}
	return Found{Records: n, Statements: digest.NewDigest(digest.SHA256, all)}, err
}

// checkFound wants records before the first log to be those that its first record found.
func (b *Book) checkFound(ctx context.Context, first uint64, bad func(error)) error {
	if first == 0 {
		return nil
	}
	r, err := b.Get(ctx, first)
	switch {
	case errors.Is(err, ErrNoRecord), errors.Is(err, storage.ErrCorrupt):
		return nil // the check of the records says so
	case err != nil:
		return err
	case r.Action != Adopt || r.Found == nil || r.Found.Records != first:
		bad(fmt.Errorf("%w: the first log begins with record %d, which does not say what was found before it", storage.ErrCorrupt, first))
		return nil
	}
	found, err := sumFound(ctx, b.store, first)
	switch {
	case errors.Is(err, ErrDisagree):
		bad(fmt.Errorf("%w: %w", storage.ErrCorrupt, err))
		return nil
	case err == nil && found != *r.Found:
		bad(fmt.Errorf("%w: the records before record %d have the digest %s, and %s when they were adopted", storage.ErrCorrupt, first, found.Statements, r.Found.Statements))
	}
	return err
}

// isBeforeLog says that a record is from before the first log.
func isBeforeLog(tx storage.Reader, index uint64) (bool, error) {
	first, err := log.First(tx)
	if errors.Is(err, log.ErrNoLog) {
		return true, nil
	}
	return index < first, err
}
