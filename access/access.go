// Package access decides who may do what: it keeps the accounts, checks logins, and says which rights
// an identity has.
//
// It makes the provenance.Identity that everything else works with, and it never shows or logs a secret.
// Everything that is not granted is denied. All grants, teams and rules for tags are one [Document];
// each change of it is a record, committed with the change. An identity with the role admin on ** is an
// administrator of the registry, and so is the operator, who comes through the socket in the data
// directory.
package access

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// The errors of Identify.
var (
	// ErrNoLogin: the request carries no login.
	ErrNoLogin = fault.New(fault.Login, "sign in first: strangers may not do this")
	// ErrBadLogin: there is no such user, or the password is another.
	ErrBadLogin = fault.New(fault.Login, "the user name or the password is wrong")
	// ErrScope: the token is for something else, and another one can be asked for.
	ErrScope = fault.New(fault.Login, "this token is not for what the request asks; ask for one that is")
	// ErrBusy: too many logins wait to be checked.
	ErrBusy = fault.New(fault.Throttled, "too many logins are being checked; try again in a moment")
)

// A SlowDownError refuses a request for a while: after several wrong logins, or too many requests.
type SlowDownError struct {
	Why  string
	Wait time.Duration
}

func (e *SlowDownError) Error() string {
	return e.Why + "; try again in " + max(e.Wait.Round(time.Second), time.Second).String()
}

// Class is that of what is too much at once.
func (e *SlowDownError) Class() fault.Class { return fault.Throttled }

// Config is how Access is set up.
type Config struct {
	// URL is the registry's public name, https://host[:port]: the issuer of its own logins.
	URL string
	// Book takes the records of what is granted and revoked. provenance.Book is one.
	Book Recorder
	// BcryptCost is the work that checking a password takes, as an exponent of 2. Default and least: 12,
	// except in tests.
	BcryptCost int
	// Issuers are those whose CI jobs may sign in.
	Issuers []oidc.Issuer
	// Names says whether a host is the registry's own name or address. Default: that of URL alone.
	Names func(host string) bool
	// Ports are those, besides that of URL, at which clients reach the registry. Default: any that a client names,
	// as where a container's port is published at another.
	Ports []string
	// Several says that other processes work on the store too.
	Several bool
	// Now is the time that decides what has expired, which is the same for all processes. Default: time.Now.
	Now func() time.Time
	// Limits bound the requests of each identity and address.
	Limits Limits
}

// A Recorder appends the record of an event in the caller's transaction, and knows the newest of a right.
type Recorder interface {
	Append(tx storage.Tx, e provenance.Event) (*provenance.Record, error)
	// RightsOnRecord wants the access document to be the one of the newest record. Error: provenance.ErrNotGranted.
	RightsOnRecord(tx storage.Reader, version uint64, document digest.Digest) error
}

// Access keeps the accounts and what is granted to them in a store, and checks requests against them. It
// is safe for concurrent use.
type Access struct {
	store  storage.Store
	book   Recorder
	issuer string
	cost   int
	logins *logins
	limits limiter

	several bool   // does not change
	service string // in challenges and tokens
	names   func(host string) bool
	ports   []string
	bearer  atomic.Pointer[bearerKey]
	issuers atomic.Pointer[oidc.Verifier]
	secrets *lru.Cache[[sha256.Size]byte, *pass] // by hashes of other tokens
	now     func() time.Time

	uses     *uses
	refusals refusals
	rules    atomic.Pointer[rules] // in force
	changing sync.Mutex            // held from a change of the document until it is in force
	follower Follower              // nil where nobody follows; set before the first request
}

// New returns the access room of a store.
func New(ctx context.Context, store storage.Store, c Config) (*Access, error) {
	if c.BcryptCost == 0 {
		c.BcryptCost = 12
	}
	a := &Access{
		store: store, book: c.Book, issuer: c.URL, cost: c.BcryptCost, logins: newLogins(c.BcryptCost), limits: newLimiter(c.Limits), uses: newUses(),
		several: c.Several, now: c.Now, names: c.Names, ports: c.Ports,
	}
	if a.now == nil {
		a.now = time.Now
	}
	if err := a.openTokens(c); err != nil {
		return nil, err
	}
	return a, a.reload(ctx) // nobody else has this Access yet
}

// maxPasses bounds the tokens that are remembered as good: of each kind, as many.
const maxPasses = 4096

// openTokens opens what tokens of all kinds need.
func (a *Access) openTokens(c Config) (err error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return err
	}
	a.service = u.Host
	if a.names == nil {
		a.names = func(host string) bool { return host == u.Hostname() }
	}
	now := func() time.Time { return a.now() } // which tests replace
	issuers, err := oidc.New(c.Issuers, now)
	if err != nil {
		return err
	}
	a.issuers.Store(issuers)
	if err := a.SignTokens(drawKey()); err != nil {
		return err
	}
	a.secrets, err = lru.New[[sha256.Size]byte, *pass](maxPasses)
	return err
}

// operatorKey marks the context of requests that came through the socket.
type operatorKey struct{}

// WithOperator returns a context whose requests act as the operator: anyone who can open the socket in the
// data directory can also read and write its files.
func WithOperator(ctx context.Context) context.Context {
	return context.WithValue(ctx, operatorKey{}, true)
}

// Operator is who comes through the socket, or works on the files.
var Operator = provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "operator"}}

// stranger is who has not signed in.
var stranger = provenance.Identity{Actor: provenance.Actor{Kind: provenance.Anonymous, Handle: "anonymous"}}

// Identify returns who makes a request: without a login nobody, where anything is granted to anonymous.
// Errors: ErrNoLogin, ErrBadLogin, ErrBusy, SlowDownError, and
// those of the store.
func (a *Access) Identify(r *http.Request) (provenance.Identity, error) {
	if who, ok := r.Context().Value(identityKey{}).(provenance.Identity); ok {
		return who, nil
	}
	return a.limited(r, func(address string) (provenance.Identity, error) {
		who, err := a.identify(r, address)
		return a.lookForStranger(r, who, err)
	})
}

// limited finds out who makes a request, within the limits that they have.
func (a *Access) limited(r *http.Request, identify func(address string) (provenance.Identity, error)) (provenance.Identity, error) {
	address := peer.Address(r)
	who, err := identify(address)
	if limited := a.limits.take(who, address, a.now()); limited != nil {
		return provenance.Identity{}, limited
	}
	return who, err
}

func (a *Access) identify(r *http.Request, address string) (provenance.Identity, error) {
	if r.Context().Value(operatorKey{}) != nil {
		return Operator, nil
	}
	if secret, ok := r.Context().Value(webSessionKey{}).(string); ok && r.Header.Get("Authorization") == "" {
		who, err := a.byWebSession(r.Context(), secret, address)
		return who, a.refusals.note(bySession, err)
	}
	if hasNoLogin(r) {
		if len(a.rules.Load().anonymous) > 0 {
			return stranger, nil
		}
		return provenance.Identity{}, ErrNoLogin
	}
	if scheme, signed, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
		who, err := a.byToken(r.Context(), signed, address)
		return who, a.refusals.note(byBearer, err)
	}
	name, password, ok := r.BasicAuth()
	if !ok {
		return provenance.Identity{}, ErrBadLogin
	}
	return a.signIn(r.Context(), name, password, address)
}

// signIn signs in with a name and what clients know as a password: that of a user, the secret of a token or
// of a robot, or a CI job's ID token.
func (a *Access) signIn(ctx context.Context, name, password, address string) (who provenance.Identity, err error) {
	kind := kindOf(password)
	switch kind {
	case bySecretOf:
		who, err = a.bySecret(ctx, TokenSession, name, password, address)
		if errors.Is(err, errUnknownSecret) {
			who, err = a.robotLogin(ctx, name, password, address)
		}
	case byJob:
		who, err = a.byIDToken(ctx, password, address)
	default:
		who, err = a.logIn(ctx, name, password, address)
	}
	return who, a.refusals.note(kind, err)
}

// hasNoLogin says that a request carries no login, or an empty one: podman and skopeo answer a challenge
// with that where they have none.
func hasNoLogin(r *http.Request) bool {
	header := r.Header.Get("Authorization")
	name, password, ok := r.BasicAuth()
	return header == "" || ok && name == "" && password == ""
}

// SaysStranger says that a stranger who makes a request has been asked for a login: they carry a token that was made
// for nobody, or an empty login. Others may have one and wait to be asked for it, as most clients do; the one who shows
// a stranger less than the rest asks first.
func SaysStranger(r *http.Request) bool { return r.Header.Get("Authorization") != "" }

// Fixed returns a sentence about the rule that keeps a tag as it is once it is set, as a transaction sees
// it, or "".
func (a *Access) Fixed(tx storage.Reader, repository, tag string) (string, error) {
	r, err := a.rulesIn(tx)
	if err != nil {
		return "", err
	}
	f := r.fixed(repository, tag)
	if f == nil {
		return "", nil
	}
	return fmt.Sprintf("tags %s in %s stay as they are", f.Tags, f.Repositories), nil
}

// FixedRules tells what Fixed goes by, as a transaction sees it, from any other such rules. Grants and teams do not count:
// however fast they change, nobody who looks at many tags has to begin again.
func (a *Access) FixedRules(tx storage.Reader) (digest.Digest, error) {
	r, err := a.rulesIn(tx)
	if err != nil {
		return "", err
	}
	return r.fixedDigest, nil
}

// May says whether an identity has a right in a repository, now.
func (a *Access) May(who provenance.Identity, right Right, repository string) bool {
	return a.rules.Load().may(who, right, repository)
}

// MayIn says whether an identity has a right in a repository, as a transaction sees it, for what a request
// commits some time after May let it in. Errors: ErrBadLogin where its login was ended since, and those of
// the store. That the login expired since does not matter: a long push may outlive it.
func (a *Access) MayIn(tx storage.Reader, who provenance.Identity, right Right, repository string) (bool, error) {
	if err := a.wasNotEnded(tx, who); err != nil {
		return false, err
	}
	r, err := a.rulesIn(tx)
	return err == nil && r.may(who, right, repository), err
}

// Administers says whether an identity may manage accounts, teams and the registry itself.
func (a *Access) Administers(who provenance.Identity) bool {
	return a.rules.Load().administers(who, Everything)
}

// AdministersAll says whether an identity may grant rights under a pattern, and know who has them; the
// empty pattern is everything.
func (a *Access) AdministersAll(who provenance.Identity, pattern string) bool {
	p, err := ParsePattern(pattern)
	if err != nil {
		p = Everything
	}
	return a.rules.Load().administers(who, p)
}

// Prefixes returns what the names of all repositories begin with that an identity may pull from: in order,
// none of them the beginning of another. A list of repositories need not look at others.
func (a *Access) Prefixes(who provenance.Identity) []string {
	return a.rules.Load().prefixes(who)
}
