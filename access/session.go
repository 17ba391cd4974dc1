package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// The tables of sessions. An id begins with the session's kind and is never used again.
const (
	sessionTable  = storage.Table("access/session")       // id → JSON of session
	sessionSecret = storage.Table("access/sessionSecret") // SHA-256 of its secret → id
	sessionOf     = storage.Table("access/sessionOf")     // account, zero byte, id → nothing
)

// A SessionKind says how a session came to be.
type SessionKind string

// The kinds of sessions.
const (
	LoginSession SessionKind = "login" // a refresh token, given for a password: what `docker login` keeps
	TokenSession SessionKind = "token" // a personal access token, narrower than its owner
	JobSession   SessionKind = "job"   // a CI job, whose ID token was exchanged
	WebSession   SessionKind = "web"   // a browser, signed in with a password: it shows the secret in a cookie
)

// How long sessions last.
const (
	loginLasts = 30 * 24 * time.Hour // after its last use
	// TokenLasts is how long a personal access token lasts unless its owner says otherwise, and MaxTokenLasts
	// is the longest.
	TokenLasts    = units.Duration(90 * 24 * time.Hour)
	MaxTokenLasts = units.Duration(366 * 24 * time.Hour)

	touchEvery = 10 * time.Minute // its last use is known no better than that: each note is a commit
)

const (
	// maxSessions bounds the sessions of one kind that one account has and that go on.
	maxSessions = 1000
	// maxKept bounds those of which there are rows, which stay for days after a session expired. Jobs of one repository have this bound
	// alone: each has a session, and to look at all of them for each would take long.
	maxKept = 20 * maxSessions
)

// The errors of sessions.
var (
	ErrUnknownSession = fault.New(fault.Missing, "there is no such token or session; it may have ended")
	ErrSessionName    = fault.New(fault.Invalid, "a token has a name of 1 to 64 printable characters, which says what it is for")
	ErrSessionLasts   = fault.Newf(fault.Invalid, "a token lasts longer than nothing, and at most %s", MaxTokenLasts)
	ErrNoScope        = fault.New(fault.Invalid, "a token has at least one scope, and at most 64: a pattern of repositories, and what it may do there")
	ErrTooManyTokens  = fault.Newf(fault.Conflict, "one account has at most %d of them: end some", maxSessions)
	// ErrNotOwn: a token acts for its owner in repositories, not on the owner's account.
	ErrNotOwn = fault.New(fault.Denied, "this needs a user's own login, with the password: a token or a machine may not do it")
)

// A Session is a login that goes on after its proof was shown once, until it expires or is ended.
type Session struct {
	ID      string           `json:"id"`
	Kind    SessionKind      `json:"kind"`
	Name    string           `json:"name,omitempty"` // of a token, as its owner calls it; of a login or a browser, the client's
	Owner   provenance.Actor `json:"owner"`
	Scopes  Scopes           `json:"scopes,omitempty"` // of a token: all that it may do
	Created provenance.Time  `json:"created"`
	Expires provenance.Time  `json:"expires"`
	// Used is when it was last used, give or take ten minutes, and UsedFrom the address.
	Used     *provenance.Time `json:"used,omitempty"`
	UsedFrom string           `json:"usedFrom,omitempty"`
}

// session is a Session as it is stored.
type session struct {
	Session
	Credential string            `json:"credential,omitempty"` // of a login or a browser: the password that it came from
	Secret     []byte            `json:"secret,omitempty"`     // SHA-256
	Issuer     string            `json:"issuer,omitempty"`     // of a job
	Claims     map[string]string `json:"claims,omitempty"`     // of a job
	Cut        []string          `json:"cut,omitempty"`        // the claims from whose values something was cut
	// Ended is set on a job's session that was ended: its row stays for as long as its ID token could be
	// exchanged again.
	Ended bool `json:"ended,omitempty"`
	// SeenExpired is what the registry's clock showed when the session was first found to be expired, in microseconds; 0 where it was not.
	SeenExpired uint64 `json:"seenExpired,omitempty"`
}

// sessionKind is the kind that an id says, or "" for the id of anything else.
func sessionKind(id string) SessionKind {
	kind, _, _ := strings.Cut(id, "-")
	switch k := SessionKind(kind); k {
	case LoginSession, TokenSession, JobSession, WebSession:
		return k
	}
	return ""
}

func newSessionID(kind SessionKind) string { return string(kind) + "-" + newID() }

func sessionOfKey(account, id string) []byte { return []byte(account + "\x00" + id) }

func readSession(tx storage.Reader, id string) (*session, error) {
	value, err := tx.Get(sessionTable, []byte(id))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, ErrUnknownSession
	}
	if err != nil {
		return nil, err
	}
	return decodeSession(id, value)
}

func decodeSession(id string, value []byte) (*session, error) {
	s := new(session)
	if err := json.Unmarshal(value, s); err != nil {
		return nil, fmt.Errorf("session %s: %w: %w", id, storage.ErrCorrupt, err)
	}
	return s, nil
}

func (s *session) write(tx storage.Tx) error {
	value, err := json.Marshal(s)
	if err != nil {
		return err
	}
	tx.Put(sessionTable, []byte(s.ID), value)
	return nil
}

// begin writes a new session with its indexes. Error: ErrTooManyTokens.
func (s *session) begin(tx storage.Tx) error {
	if err := s.oneMore(tx); err != nil {
		return err
	}
	if len(s.Secret) > 0 {
		tx.Put(sessionSecret, s.Secret, []byte(s.ID))
	}
	tx.Put(sessionOf, sessionOfKey(s.Owner.Account, s.ID), nil)
	return s.write(tx)
}

// oneMore says whether its owner may have one more session of its kind. Error: ErrTooManyTokens.
func (s *session) oneMore(tx storage.Reader) error {
	var ids []string
	from := sessionOfKey(s.Owner.Account, string(s.Kind)+"-")
	for item, err := range tx.Scan(sessionOf, from, storage.PrefixEnd(from)) {
		if err != nil {
			return err
		}
		ids = append(ids, string(item.Key[len(s.Owner.Account)+1:]))
	}
	if len(ids) >= maxKept {
		return ErrTooManyTokens
	}
	for over := len(ids) - maxSessions; over >= 0 && s.Kind != JobSession; {
		if len(ids) == 0 {
			return ErrTooManyTokens
		}
		other, err := readSession(tx, ids[0])
		if err != nil {
			return err
		}
		if ids = ids[1:]; !other.goesOn(s.Created.Time) {
			over--
		}
	}
	return nil
}

// remove removes a session and its indexes.
func (s *session) remove(tx storage.Tx) {
	if len(s.Secret) > 0 {
		tx.Delete(sessionSecret, s.Secret)
	}
	tx.Delete(sessionOf, sessionOfKey(s.Owner.Account, s.ID))
	tx.Delete(sessionTable, []byte(s.ID))
}

// goesOn says that a session has neither ended nor expired.
func (s *session) goesOn(now time.Time) bool { return !s.Ended && now.Before(s.Expires.Time) }

// isOwn says that somebody acts for their own account, without a token that narrows them.
func isOwn(who provenance.Identity) bool {
	return who.Actor.Kind == provenance.User && who.Login != nil && who.Ceiling == nil
}

// OwnsAccount says that somebody signed in to an account with its password, and so may set another.
func OwnsAccount(who provenance.Identity, name string) bool {
	return isOwn(who) && who.Login.Method == "basic" && who.Actor.Handle == name
}

// A NewToken is what a personal access token is to be.
type NewToken struct {
	Name   string         `json:"name"`
	Scopes Scopes         `json:"scopes"`
	Lasts  units.Duration `json:"lasts"` // default: TokenLasts
}

func (n *NewToken) check() error {
	if n.Lasts == 0 {
		n.Lasts = TokenLasts
	}
	unprintable := func(r rune) bool { return r < ' ' || r > '~' }
	switch {
	case n.Name == "" || len(n.Name) > 64 || strings.ContainsFunc(n.Name, unprintable):
		return ErrSessionName
	case n.Lasts < 0 || n.Lasts > MaxTokenLasts:
		return ErrSessionLasts
	case len(n.Scopes) == 0 || len(n.Scopes) > 64:
		return ErrNoScope
	}
	for _, s := range n.Scopes {
		if s.Pattern == (Pattern{}) || len(s.Rights) == 0 || len(s.Rights) > int(Admin) {
			return ErrNoScope
		}
	}
	return nil
}

// AddToken makes a personal access token of the one who asks, and returns its secret, which is not kept.
// Errors: ErrNotOwn, ErrSessionName, ErrSessionLasts, ErrNoScope, ErrTooManyTokens.
func (a *Access) AddToken(ctx context.Context, who provenance.Identity, want NewToken) (Session, string, error) {
	if !isOwn(who) {
		return Session{}, "", ErrNotOwn
	}
	if err := want.check(); err != nil {
		return Session{}, "", err
	}
	now := a.now()
	s := session{Session: Session{
		Kind: TokenSession, Name: want.Name, Owner: who.Actor, Scopes: want.Scopes,
		Created: provenance.At(now), Expires: provenance.At(now.Add(time.Duration(want.Lasts))),
	}}
	secret := s.drawSecret()
	s.ID = string(TokenSession) + "-" + credentialOf(s.Owner.Account, s.Secret)
	err := a.store.Update(ctx, func(tx storage.Tx) error {
		if err := s.begin(tx); err != nil {
			return err
		}
		return a.record(tx, who, s.change(provenance.TokenAdded))
	})
	return s.Session, secret, err
}

// drawSecret gives a session the secret that it is shown by.
func (s *session) drawSecret() (secret string) {
	secret = newSecret()
	sum := secretHash(secret)
	s.Secret = sum[:]
	return secret
}

// change is what a record says of a token.
func (s *session) change(what provenance.AccountChange) provenance.RightsChange {
	c := provenance.RightsChange{Subject: string(s.Owner.Kind) + ":" + s.Owner.Handle, Account: s.Owner.Account, Change: what, Credential: s.ID}
	if what == provenance.TokenAdded {
		c.Scopes, c.Expires = s.Scopes.onRecord(), &s.Expires
	}
	return c
}

// onRecord are scopes as records state them.
func (s Scopes) onRecord() (stated []provenance.TokenScope) {
	for _, scope := range s {
		one := provenance.TokenScope{Pattern: scope.Pattern.String()}
		for _, right := range scope.Rights {
			one.Rights = append(one.Rights, right.String())
		}
		stated = append(stated, one)
	}
	return stated
}

// Sessions returns up to limit sessions of an account, in the order of their ids, from the one behind
// after; of one kind, or of all.
func (a *Access) Sessions(ctx context.Context, account string, kind SessionKind, after string, limit int) (list []Session, err error) {
	all := sessionOfKey(account, "")
	if kind != "" {
		all = sessionOfKey(account, string(kind)+"-")
	}
	from := append(sessionOfKey(account, after), 0)
	if after == "" {
		from = all
	}
	err = a.store.View(ctx, func(tx storage.Reader) error {
		list = nil
		for item, err := range tx.Scan(sessionOf, from, storage.PrefixEnd(all)) {
			if err != nil || len(list) == limit {
				return err
			}
			s, err := readSession(tx, string(item.Key[len(account)+1:]))
			if err != nil {
				return err
			}
			if use, ok := a.uses.noted(s.ID); ok && s.notes(use) {
				s.noteUse(use)
			}
			if s.goesOn(a.now()) {
				list = append(list, s.Session)
			}
		}
		return nil
	})
	return list, err
}

// EndSession ends a session, everywhere and at once. Administrators may end everybody's, others their own.
// Error: ErrUnknownSession, also for those of others.
func (a *Access) EndSession(ctx context.Context, who provenance.Identity, id string) error {
	return a.store.Update(ctx, func(tx storage.Tx) error {
		s, err := readSession(tx, id)
		if err != nil {
			return err
		}
		now, err := a.rulesIn(tx)
		if err != nil {
			return err
		}
		admin := now.administers(who, Everything)
		own := who.Actor.Account != "" && s.Owner.Kind == who.Actor.Kind && s.Owner.Account == who.Actor.Account && (who.Ceiling == nil || who.Login.Credential == id)
		if !own && !admin || s.Ended {
			return ErrUnknownSession
		}
		switch s.Kind {
		case TokenSession:
			s.remove(tx)
			return unlessUnrecorded(a.record(tx, who, s.change(provenance.TokenEnded)))
		case LoginSession, WebSession:
			s.remove(tx)
			return nil
		}
		s.Ended = true
		return s.write(tx)
	})
}

// unlessUnrecorded passes over that nothing can be recorded now: a token that leaked is ended all the same. That no record
// says so does no harm: a token that is on record may have expired.
func unlessUnrecorded(err error) error {
	for _, why := range []error{provenance.ErrNoKey, provenance.ErrDisagree, provenance.ErrNotAdopted, provenance.ErrNotGranted} {
		if errors.Is(err, why) {
			return nil
		}
	}
	return err
}

// AccountOf returns the account that a user has now. Error: ErrUnknownUser.
func (a *Access) AccountOf(ctx context.Context, name string) (string, error) {
	u, err := a.user(ctx, name)
	return u.Account, err
}

// ForgetSessions removes sessions that expired, every so often, until ctx ends. clock counts microseconds while the registry runs, and
// goes on where it was after a restart.
func (a *Access) ForgetSessions(ctx context.Context, every time.Duration, clock func() uint64) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = a.removeExpired(ctx, clock) // what is left is refused all the same, and tried again
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

const (
	// keepExpired is for how long the registry has to run before the row of an expired session goes: longer than any ID token that
	// could be exchanged again lasts.
	keepExpired = 48 * time.Hour
	// keepExpiredSecrets is the same for sessions whose secrets people keep, and would have to make again.
	keepExpiredSecrets = 7 * 24 * time.Hour

	forgetStep = 500 // sessions looked at in one transaction
)

// removeExpired removes sessions that have been expired for long. The machine's clock says which are expired, and it may be wrong: it
// refuses them at once, and a session that it finds expired is only marked with what the registry's clock shows. If it is
// set right before the session has to go, the mark goes, and the session is as it was.
func (a *Access) removeExpired(ctx context.Context, clock func() uint64) error {
	for from, next := []byte(nil), []byte(nil); ; from = next {
		err := a.store.Update(ctx, func(tx storage.Tx) error {
			var some []*session
			next = nil
			for item, err := range tx.Scan(sessionTable, from, nil) {
				if err != nil {
					return err
				}
				if len(some) == forgetStep {
					next = append([]byte(nil), item.Key...)
					break
				}
				s, err := decodeSession(string(item.Key), item.Value)
				if err != nil {
					return err
				}
				some = append(some, s)
			}
			for _, s := range some {
				if err := s.age(tx, a.now(), clock()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || next == nil {
			return err
		}
	}
}

// age marks a session that is expired, takes the mark from one that is not, and removes one that was marked for long enough.
func (s *session) age(tx storage.Tx, now time.Time, clock uint64) error {
	keep := keepExpired
	if s.Kind == TokenSession || s.Kind == LoginSession {
		keep = keepExpiredSecrets
	}
	switch expired := s.Expires.Before(now); {
	case expired && s.SeenExpired != 0 && clock >= s.SeenExpired+uint64(keep.Microseconds()):
		s.remove(tx)
		return nil
	case expired && s.SeenExpired == 0:
		s.SeenExpired = max(clock, 1)
	case !expired && s.SeenExpired != 0:
		s.SeenExpired = 0
	default:
		return nil
	}
	return s.write(tx)
}
