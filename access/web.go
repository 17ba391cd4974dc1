package access

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A browser signs in once, with a form, and then shows the secret of a session in a cookie. A browser also sends cookies
// when another site's page makes it: so a cookie counts only where the caller of this package says so, with
// WithWebSession, and everywhere else a request with nothing but a cookie is a stranger's.

// How long the session of a browser lasts.
const (
	webIdle  = 12 * time.Hour     // after its last use
	webLasts = 7 * 24 * time.Hour // however much it is used
)

// maxWebSessions bounds the browsers that one account is signed in with. The next one ends the oldest.
const maxWebSessions = 20

type webSessionKey struct{}

// WithWebSession returns a context in which a request without a login of its own is made by whom a browser's cookie
// names. secret is the cookie's value; one that is wrong or has ended is ErrBadLogin.
func WithWebSession(ctx context.Context, secret string) context.Context {
	return context.WithValue(ctx, webSessionKey{}, secret)
}

// IsWeb says that the cookie of a browser counts in a request. A challenge would make the browser ask for a password in a
// window of its own.
func IsWeb(ctx context.Context) bool { return ctx.Value(webSessionKey{}) != nil }

type identityKey struct{}

// WithIdentity returns a context whose requests are made by somebody who was identified already: for questions that one
// room asks of another on behalf of the same request, which counts once towards its limits.
func WithIdentity(ctx context.Context, who provenance.Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, who)
}

// Stranger is who has not signed in.
func Stranger() provenance.Identity { return stranger }

// AnythingForStrangers says whether anything is granted to those who have not signed in.
func (a *Access) AnythingForStrangers() bool { return len(a.rules.Load().anonymous) > 0 }

// SignInBrowser checks the name and the password of a form and begins a session of a browser, which calls itself client.
// It returns the secret that the browser keeps, which is not kept here. At the limit of an account the session that began
// first ends. Errors: those of SignIn; ErrNotOwn for a token or a secret, which acts for its owner in repositories alone.
func (a *Access) SignInBrowser(r *http.Request, name, password, client string) (Session, string, error) {
	who, err := a.SignIn(r, name, password)
	if err != nil {
		return Session{}, "", err
	}
	if !OwnsAccount(who, name) {
		return Session{}, "", ErrNotOwn
	}
	now := a.now()
	s := session{
		Session: Session{
			ID: newSessionID(WebSession), Kind: WebSession, Name: cutName(client), Owner: who.Actor,
			Created: provenance.At(now), Expires: provenance.At(now.Add(webIdle)),
		},
		Credential: who.Login.Credential,
	}
	secret := s.drawSecret()
	err = a.store.Update(r.Context(), func(tx storage.Tx) error {
		if err := a.makeRoom(tx, who.Actor.Account); err != nil {
			return err
		}
		return s.begin(tx)
	})
	return s.Session, secret, err
}

// makeRoom ends the oldest browser sessions of an account, so that one more may begin.
func (a *Access) makeRoom(tx storage.Tx, account string) error {
	list, err := webSessionsOf(tx, account)
	if err != nil {
		return err
	}
	for ; len(list) >= maxWebSessions; list = without(list, oldest(list)) {
		list[oldest(list)].remove(tx)
	}
	return nil
}

func webSessionsOf(tx storage.Reader, account string) (list []*session, err error) {
	from := sessionOfKey(account, string(WebSession)+"-")
	for item, err := range tx.Scan(sessionOf, from, storage.PrefixEnd(from)) {
		if err != nil {
			return nil, err
		}
		s, err := readSession(tx, string(item.Key[len(account)+1:]))
		if err != nil {
			return nil, fmt.Errorf("a session of account %s: %w", account, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func oldest(list []*session) (at int) {
	for i, s := range list {
		if s.Created.Before(list[at].Created.Time) {
			at = i
		}
	}
	return at
}

func without(list []*session, at int) []*session { return append(list[:at:at], list[at+1:]...) }

// extend is when a session ends that is used now, if that moves its end.
func (s *session) extend(now time.Time) {
	switch s.Kind {
	case LoginSession:
		s.Expires = provenance.At(now.Add(loginLasts))
	case WebSession:
		ends := now.Add(webIdle)
		if last := s.Created.Add(webLasts); ends.After(last) {
			ends = last
		}
		s.Expires = provenance.At(ends)
	}
}

// byWebSession signs in with the secret of a browser's session.
func (a *Access) byWebSession(ctx context.Context, secret, address string) (provenance.Identity, error) {
	if !isSecret(secret) {
		return provenance.Identity{}, errUnknownSecret
	}
	return a.bySecret(ctx, WebSession, "", secret, address)
}

// EndWebSession ends the session of a browser that shows its secret. Errors: ErrBadLogin, ErrUnknownSession.
func (a *Access) EndWebSession(r *http.Request, secret string) error {
	who, err := a.Identify(r.WithContext(WithWebSession(r.Context(), secret)))
	if err != nil {
		return err
	}
	return a.EndSession(r.Context(), who, who.Login.Credential)
}
