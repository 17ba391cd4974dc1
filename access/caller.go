package access

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Caller is who makes a request. Whether a token that was good lately still is says a row or two, which an engine behind a network reads
// together with those of the request: so that is left to the request's first [Caller.View]. Nothing may be told or done before it, or
// before [Caller.Settle].
type Caller struct {
	Who provenance.Identity

	a       *Access
	by      *rules // by which the request was let in
	address string
	pass    *pass // what has to be good still; nil once it is
	refused error // why it is not
}

// Begin says who makes a request, as Identify does, and with its errors, which View and Settle have too.
func (a *Access) Begin(r *http.Request) (*Caller, error) {
	by := a.rules.Load()
	if p := a.lately(r); p != nil {
		return &Caller{Who: p.who, a: a, by: by, address: peer.Address(r), pass: p}, nil
	}
	who, err := a.Identify(r)
	return &Caller{Who: who, a: a, by: a.rules.Load()}, err
}

// Moved says that other rules are in force than when the request began: whoever let it in by May has to ask again.
func (c *Caller) Moved() bool { return c.a.rules.Load() != c.by }

// lately returns the pass of a request's bearer token, where it was good lately and has not expired. Where several processes work on the
// store that may be one of a stranger, of whom it has to be seen what they are granted now.
func (a *Access) lately(r *http.Request) *pass {
	ctx := r.Context()
	if ctx.Value(identityKey{}) != nil || ctx.Value(operatorKey{}) != nil {
		return nil
	}
	if a.several && ctx.Value(webSessionKey{}) == nil && hasNoLogin(r) && len(a.rules.Load().anonymous) > 0 {
		return &pass{who: stranger}
	}
	scheme, signed, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	p, known := a.bearer.Load().good.Get(signed)
	if !known || p.hasExpired(a.now()) || p.who.Actor.Kind == provenance.Anonymous && !a.several {
		return nil
	}
	return p
}

// View is a View of the store that declares what fn is going to read, and has fn run only where the caller's login is good still.
func (c *Caller) View(ctx context.Context, reads func() []storage.Read, fn func(storage.Reader) error) error {
	p := c.pass
	if p == nil {
		return c.a.store.View(ctx, func(tx storage.Reader) error {
			storage.Expect(tx, func() []storage.Read { return append(c.a.freshReads(), reads()...) })
			if err := c.a.freshen(tx); err != nil {
				return err
			}
			return fn(tx)
		})
	}
	now := c.a.now()
	err := c.a.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return slices.Concat(p.reads(), c.a.freshReads(), reads()) })
		if err := c.a.freshen(tx); err != nil {
			return err
		}
		if c.refused = c.settle(tx, p, now); c.refused != nil {
			return c.refused
		}
		return fn(tx)
	})
	if c.pass == nil {
		c.a.noteUse(p, c.address, now)
	}
	return err
}

// settle looks whether a pass is good still, within the limits of who has it.
func (c *Caller) settle(tx storage.Reader, p *pass, now time.Time) error {
	who := c.Who
	err := c.a.refusals.note(byBearer, c.a.checkIn(tx, p, now))
	if err != nil {
		who = provenance.Identity{}
	}
	if limited := c.a.limits.take(who, c.address, now); limited != nil {
		return limited
	}
	if err == nil {
		c.pass = nil
	}
	return err
}

// Settle looks whether the caller's login is good still, where that is not known yet.
func (c *Caller) Settle(ctx context.Context) error {
	if c.pass == nil || c.refused != nil {
		return c.refused
	}
	none := func() []storage.Read { return nil }
	return c.View(ctx, none, func(storage.Reader) error { return nil })
}

// reads are the rows that a pass rests on.
func (p *pass) reads() (reads []storage.Read) {
	if p.session != "" {
		reads = append(reads, storage.Row(sessionTable, []byte(p.session)))
	}
	switch name := []byte(p.who.Actor.Handle); p.who.Actor.Kind {
	case provenance.User:
		reads = append(reads, storage.Row(userTable, name))
	case provenance.Robot:
		reads = append(reads, storage.Row(robotTable, name))
	}
	return reads
}

// DecidesBy are the rows by which MayIn decides about an identity, for an Update to declare.
func DecidesBy(who provenance.Identity) []storage.Read {
	version := storage.Row(documentTable, versionKey)
	if who.Login == nil {
		return []storage.Read{version}
	}
	p := pass{who: who}
	if sessionKind(who.Login.Credential) != "" {
		p.session = who.Login.Credential
	}
	return append(p.reads(), version)
}

// noteUse notes the use of a pass's session, from time to time.
func (a *Access) noteUse(p *pass, address string, now time.Time) {
	if p.session == "" || now.Unix()-p.touched.Load() < int64(touchEvery/time.Second) {
		return
	}
	p.touched.Store(now.Unix())
	a.uses.noteSession(p.session, address, now)
}
