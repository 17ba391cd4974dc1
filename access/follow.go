package access

import (
	"context"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Follower brings into force what documents in the store say, by what the transaction of a login sees: another process may have put
// them there. So they are in force with the next request, wherever that is made.
type Follower interface {
	// Reads are the rows that Follow reads, where nothing has changed.
	Reads() []storage.Read
	// Follow fails where the store does, and not because of what a document says.
	Follow(tx storage.Reader) error
}

// SetFollower has each request follow, from the look at its login on. Call it before the first request.
func (a *Access) SetFollower(f Follower) { a.follower = f }

// Follow is for requests of those who have no login to look at: strangers, and the operator.
func (a *Access) Follow(ctx context.Context) error {
	if a.follower == nil {
		return nil
	}
	return a.store.View(ctx, a.follower.Follow)
}

// Following is a View that declares what fn reads, and follows before fn runs.
func (a *Access) Following(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error {
	return a.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return append(a.freshReads(), reads()...) })
		if err := a.freshen(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// UseIssuers lets CI jobs of these issuers sign in, and of no others, from now on: the logins of others end, and grants to them are worth
// what they are worth with an issuer that is not configured. Error: what is wrong with an issuer.
func (a *Access) UseIssuers(issuers []oidc.Issuer) error {
	v, err := oidc.New(issuers, a.now)
	if err != nil {
		return err
	}
	a.changing.Lock()
	defer a.changing.Unlock()
	a.issuers.Store(v)
	if now := a.rules.Load(); now != nil {
		a.rules.Store(compile(now.document, now.digest, a.bound)) // grants to jobs are read by what their issuer's ids are
	}
	return nil
}
