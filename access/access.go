// Package access decides who may do what: it keeps the accounts, checks logins, and says which rights
// an identity has.
//
// It makes the provenance.Identity that everything else works with, and it never shows or logs a secret.
// Whoever is signed in may pull, push and delete images; administrators may also manage accounts, and so
// may the operator, who comes through the socket in the data directory.
package access

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Right is something that one may be allowed to do in a repository.
type Right string

// The rights in a repository.
const (
	Pull   Right = "pull"
	Push   Right = "push"
	Delete Right = "delete"
)

// The errors of Identify.
var (
	// ErrNoLogin: the request carries no login.
	ErrNoLogin = errors.New("sign in first: this registry shows nothing to strangers")
	// ErrBadLogin: there is no such user, or the password is another.
	ErrBadLogin = errors.New("the user name or the password is wrong")
	// ErrBusy: too many logins wait to be checked.
	ErrBusy = errors.New("too many logins are being checked; try again in a moment")
)

// A SlowDownError refuses a login for a while, after several that were wrong.
type SlowDownError struct{ Wait time.Duration }

func (e *SlowDownError) Error() string {
	return "too many wrong logins for this user from this address; try again in " + e.Wait.Round(time.Second).String()
}

// Config is how Access is set up.
type Config struct {
	// URL is the registry's public name, https://host[:port]: the issuer of its own logins.
	URL string
	// BcryptCost is the work that checking a password takes, as an exponent of 2. Default and least: 12,
	// except in tests.
	BcryptCost int
}

// Access keeps the accounts in a store and checks requests against them. It is safe for concurrent use.
type Access struct {
	store  storage.Store
	issuer string
	cost   int
	logins *logins
	now    func() time.Time
}

// New returns the access room of a store.
func New(store storage.Store, c Config) *Access {
	if c.BcryptCost == 0 {
		c.BcryptCost = 12
	}
	return &Access{store: store, issuer: c.URL, cost: c.BcryptCost, logins: newLogins(c.BcryptCost), now: time.Now}
}

// operatorKey marks the context of requests that came through the socket.
type operatorKey struct{}

// WithOperator returns a context whose requests act as the operator: whoever can open the socket in the
// data directory can also read and write its files.
func WithOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// Identify returns who makes a request. Errors: ErrNoLogin, ErrBadLogin, ErrBusy, SlowDownError, and
// those of the store.
func (a *Access) Identify(r *http.Request) (provenance.Identity, error) {
	if r.Context().Value(operatorKey{}) != nil {
		return provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "operator"}}, nil
	}
	if r.Header.Get("Authorization") == "" {
		return provenance.Identity{}, ErrNoLogin
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return provenance.Identity{}, ErrBadLogin
	}
	return a.logIn(r.Context(), name, password, host(r.RemoteAddr))
}

// host cuts the port from an address.
func host(address string) string {
	h, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return strings.TrimSuffix(h, ".")
}

// May says whether an identity has a right in a repository.
func (a *Access) May(who provenance.Identity, _ Right, _ string) bool {
	return who.Actor.Kind == provenance.System || who.Login != nil
}

// Administers says whether an identity may manage accounts.
func (a *Access) Administers(ctx context.Context, who provenance.Identity) (bool, error) {
	if who.Actor.Kind == provenance.System {
		return true, nil
	}
	u, err := a.user(ctx, who.Actor.Handle)
	if errors.Is(err, ErrUnknownUser) {
		return false, nil
	}
	return err == nil && u.Admin && u.Account == who.Actor.Account, err
}
