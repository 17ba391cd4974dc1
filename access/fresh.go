package access

import (
	"context"
	"errors"
	"net/http"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Rights are asked of memory, where a change of this process puts them before it is answered. Where several processes work on one store
// (Config.Several), the change may be another's. So the first View of each request reads the version of the document with its own rows, and
// reads the document where that is a later one than this process has: what was revoked counts no more with the next request,
// whoever serves it. Requests that are let in before their first View are asked again in it (Caller.Moved).

// freshReads are the rows that freshen reads.
func (a *Access) freshReads() []storage.Read {
	var reads []storage.Read
	if a.several {
		reads = append(reads, storage.Row(documentTable, versionKey))
	}
	if a.follower != nil {
		reads = append(reads, a.follower.Reads()...)
	}
	return reads
}

// freshen puts the rules into force that a transaction sees, where they are later than those that are. A View that began before the
// last change sees older ones: they stay out of force. So it does with what the follower puts into force.
func (a *Access) freshen(tx storage.Reader) error {
	if a.follower != nil {
		if err := a.follower.Follow(tx); err != nil {
			return err
		}
	}
	if !a.several {
		return nil
	}
	next, err := a.rulesIn(tx)
	if err != nil {
		return err
	}
	for {
		now := a.rules.Load()
		if now.document.Version >= next.document.Version || a.rules.CompareAndSwap(now, next) {
			return nil
		}
	}
}

// look is a View that finds out who makes a request: after it, the rules in force are those of the store.
func (a *Access) look(ctx context.Context, reads []storage.Read, fn func(storage.Reader) error) error {
	return a.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return append(a.freshReads(), reads...) })
		if err := a.freshen(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// lookForStranger decides about who signed in as nobody by what the store says now: no View was needed to find out who that is.
func (a *Access) lookForStranger(r *http.Request, who provenance.Identity, refused error) (provenance.Identity, error) {
	nobody := who.Actor.Kind == provenance.Anonymous && refused == nil
	if !a.several || !nobody && !errors.Is(refused, ErrNoLogin) {
		return who, refused
	}
	if err := a.look(r.Context(), nil, func(storage.Reader) error { return nil }); err != nil {
		return provenance.Identity{}, err
	}
	if !hasNoLogin(r) { // a token that was made for nobody: what it is worth says May
		return who, refused
	}
	return a.identify(r, peer.Address(r))
}
