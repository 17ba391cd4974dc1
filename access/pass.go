package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A refusedError is an ErrBadLogin that knows more.
type refusedError struct{ error }

// Is makes it an ErrBadLogin.
func (e refusedError) Is(target error) bool { return target == ErrBadLogin }

// Class is that of ErrBadLogin.
func (e refusedError) Class() fault.Class { return ErrBadLogin.Class() }

// Unwrap returns the reason.
func (e refusedError) Unwrap() error { return e.error }

func refused(reason string) error { return refusedError{errors.New(reason)} }

// pass is a login by a token that was found good once, and what has to be the case for it to be good still.
// That is looked up at each request: so the end of a session, of an account or of a password is the end of
// every token made of it, at once. Passes are kept in bounded caches; losing one loses time alone.
type pass struct {
	who     provenance.Identity
	expires time.Time // of a token; zero where only the session's own end counts
	session string    // its id, or ""

	seen    atomic.Pointer[rows] // as they were when they were found good
	touched atomic.Int64         // when the use of the session was last noted, in seconds since 1970
}

// rows are what a pass rests on.
type rows struct {
	session, owner []byte
	ends           time.Time // the session's, or a robot's secret's; zero is never
}

// same says that rows are those that were found good before.
func (r *rows) same(other *rows) bool {
	return other != nil && bytes.Equal(r.session, other.session) && bytes.Equal(r.owner, other.owner)
}

var errEnded = refused("this login has ended, or was ended; sign in again")

// check wants that a pass is good still. Errors: ErrBadLogin, and those of the store.
func (a *Access) check(ctx context.Context, p *pass, address string) error {
	now := a.now()
	if p.hasExpired(now) {
		return refused("this token has expired; ask for a new one")
	}
	if p.who.Actor.Kind == provenance.Anonymous {
		return nil
	}
	err := a.look(ctx, p.reads(), func(tx storage.Reader) error { return a.checkIn(tx, p, now) })
	if err == nil {
		a.noteUse(p, address, now)
	}
	return err
}

func (p *pass) hasExpired(now time.Time) bool { return !p.expires.IsZero() && !now.Before(p.expires) }

func (a *Access) checkIn(tx storage.Reader, p *pass, now time.Time) error {
	if p.who.Actor.Kind == provenance.Anonymous {
		return nil
	}
	found, err := rowsOf(tx, p)
	if err != nil {
		return err
	}
	last := p.seen.Load()
	if !found.same(last) {
		if last, err = a.recheck(p, found); err != nil {
			return err
		}
		p.seen.Store(last)
	}
	if !last.ends.IsZero() && !now.Before(last.ends) {
		return a.goesOnByUse(p, found, now)
	}
	if a.isWithdrawn(p.who) {
		return errEnded
	}
	return nil
}

// isWithdrawn says that nobody vouches for a CI job any more: its issuer is not among those in force.
func (a *Access) isWithdrawn(who provenance.Identity) bool {
	return who.Actor.Kind == provenance.CI && a.issuers.Load().IDs(who.Login.Issuer) == nil
}

// goesOnByUse wants that a session, which has expired, was used in time: that is not written where the store takes no changes.
func (a *Access) goesOnByUse(p *pass, found rows, now time.Time) error {
	use, ok := a.uses.noted(p.session)
	if p.session == "" || !ok {
		return errEnded
	}
	s, err := decodeSession(p.session, found.session)
	if err != nil {
		return err
	}
	if s.extend(use.Time.Time); !s.goesOn(now) {
		return errEnded
	}
	return nil
}

// rowsOf reads the rows that a pass rests on.
func rowsOf(tx storage.Reader, p *pass) (found rows, err error) {
	if p.session != "" {
		if found.session, err = tx.Get(sessionTable, []byte(p.session)); err != nil {
			return found, orEnded(err)
		}
	}
	switch name := []byte(p.who.Actor.Handle); p.who.Actor.Kind {
	case provenance.User:
		found.owner, err = tx.Get(userTable, name)
	case provenance.Robot:
		found.owner, err = tx.Get(robotTable, name)
	}
	return found, orEnded(err)
}

func orEnded(err error) error {
	if errors.Is(err, storage.ErrNotFound) || errors.Is(err, ErrUnknownSession) || errors.Is(err, ErrUnknownUser) {
		return errEnded
	}
	return err
}

// recheck reads rows that are not those that were found good, and copies them when they are good too.
func (a *Access) recheck(p *pass, found rows) (*rows, error) {
	good := &rows{session: bytes.Clone(found.session), owner: bytes.Clone(found.owner)}
	credential := p.who.Login.Credential // a password's, unless there is a session
	if p.session != "" {
		s, err := decodeSession(p.session, found.session)
		if err != nil {
			return nil, err
		}
		if s.Ended || s.Owner.Account != p.who.Actor.Account {
			return nil, errEnded
		}
		good.ends, credential = s.Expires.Time, s.Credential
	}
	switch p.who.Actor.Kind {
	case provenance.User:
		return good, recheckUser(p.who.Actor, credential, found.owner)
	case provenance.Robot:
		ends, err := recheckRobot(p.who.Actor, credential, found.owner)
		good.ends = ends
		return good, err
	}
	return good, nil
}

// recheckUser wants an account to be the one that it was, and its password too, where there is a credential.
func recheckUser(who provenance.Actor, credential string, row []byte) error {
	u, err := decodeUser(who.Handle, row)
	if err != nil {
		return err
	}
	if u.Account != who.Account || credential != "" && u.Credential != credential {
		return errEnded
	}
	return nil
}

// recheckRobot wants a robot and its secret to be those that they were, and says when the secret expires.
func recheckRobot(who provenance.Actor, credential string, row []byte) (ends time.Time, err error) {
	r, err := decodeRobot(who.Handle, row)
	if err != nil {
		return ends, err
	}
	if r.Account != who.Account || r.Credential != credential {
		return ends, errEnded
	}
	if r.Expires != nil {
		ends = r.Expires.Time
	}
	return ends, nil
}

// wasNotEnded wants that the login of an identity was not ended since it was good. Errors: ErrBadLogin, and
// those of the store.
func (a *Access) wasNotEnded(tx storage.Reader, who provenance.Identity) error {
	if who.Login == nil {
		return nil // a stranger, or the operator
	}
	if a.isWithdrawn(who) {
		return errEnded
	}
	p := &pass{who: who}
	if sessionKind(who.Login.Credential) != "" {
		p.session = who.Login.Credential
	}
	found, err := rowsOf(tx, p)
	if err == nil {
		_, err = a.recheck(p, found)
	}
	return err
}

// use notes that a session was used. A login, and that of a browser, lasts from its last use on.
func (s *session) use(tx storage.Tx, use Use) error {
	if !s.notes(use) {
		return nil
	}
	s.noteUse(use)
	return s.write(tx)
}

func (s *session) noteUse(use Use) {
	s.Used, s.UsedFrom = &use.Time, use.Address
	s.extend(use.Time.Time)
}

// notes says whether a use is worth noting.
func (s *session) notes(use Use) bool {
	return s.Used == nil || use.Time.Sub(s.Used.Time) >= touchEvery
}

// passOf makes the pass of a session. Its owner goes by the name that they have now.
func (a *Access) passOf(tx storage.Reader, s *session) (*pass, error) {
	if s.Kind == JobSession {
		return passOfJob(s), nil
	}
	p := &pass{session: s.ID, who: provenance.Identity{Actor: s.Owner}}
	name, err := readAccount(tx, s.Owner.Account)
	if err != nil {
		return nil, orEnded(err)
	}
	p.who.Actor.Handle = strings.TrimPrefix(name, "user:")
	p.who.Login = a.loginBy(s, p.who.Actor.Handle)
	if s.Kind == TokenSession {
		p.who.Ceiling = s.Scopes
	}
	return p, nil
}

// passOfJob makes the pass of a CI job's session.
func passOfJob(s *session) *pass {
	return &pass{session: s.ID, who: provenance.Identity{Actor: s.Owner, Login: &provenance.Login{
		Method: "oidc", Issuer: s.Issuer, Identity: s.Owner.Handle, Credential: s.ID, Claims: s.Claims, Cut: s.Cut,
	}}}
}

var errUnknownSecret = refused("this secret has ended, or is not one of this registry's; sign in again")

// bySecret signs in with a secret that is shown in place of a password, or as a refresh token.
func (a *Access) bySecret(ctx context.Context, kind SessionKind, name, secret, address string) (provenance.Identity, error) {
	sum := secretHash(secret)
	if p, ok := a.secrets.Get(sum); ok {
		who, err := a.use(ctx, p, kind, name, address)
		if !errors.Is(err, errEnded) {
			return who, err
		}
		a.secrets.Remove(sum) // it may be that its owner has another name now
	}
	p, err := a.passOfSecret(ctx, sum)
	if err != nil {
		return provenance.Identity{}, err
	}
	who, err := a.use(ctx, p, kind, name, address)
	if err == nil {
		a.secrets.Add(sum, p)
	}
	return who, err
}

// use signs in with the pass of a secret, if it is of a kind and its owner has a name.
func (a *Access) use(ctx context.Context, p *pass, kind SessionKind, name, address string) (provenance.Identity, error) {
	if sessionKind(p.session) != kind {
		return provenance.Identity{}, ErrBadLogin
	}
	if err := a.check(ctx, p, address); err != nil {
		return provenance.Identity{}, err
	}
	if name != "" && name != p.who.Actor.Handle {
		return provenance.Identity{}, ErrBadLogin
	}
	return p.who, nil
}

func (a *Access) passOfSecret(ctx context.Context, sum [sha256.Size]byte) (p *pass, err error) {
	err = a.store.View(ctx, func(tx storage.Reader) error {
		id, err := tx.Get(sessionSecret, sum[:])
		if errors.Is(err, storage.ErrNotFound) {
			return errUnknownSecret
		}
		if err != nil {
			return err
		}
		s, err := readSession(tx, string(id))
		if err == nil && !isItsOwn(s.ID, s.Owner.Account, sum[:]) {
			err = ErrUnknownSession // nobody is on record to have made a token of this secret
		}
		if err != nil {
			return orEnded(err)
		}
		p, err = a.passOf(tx, s)
		return err
	})
	return p, err
}
