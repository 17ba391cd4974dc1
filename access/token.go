package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A bearer token is BODY.MAC in base64 for URLs: a JSON object, and its HMAC-SHA256 under a key that is
// never in the store: anyone who can write there must not be able to sign in. Clients pass it on unread (the token specification calls it opaque). It says for whom it
// was made, by which credential, and what it may be used for at most; what that is worth is looked up at
// each request. It names no algorithm and no key, so nobody can choose either.

// tokenLasts is how long a bearer token counts. A client asks for the next one by itself.
const tokenLasts = 5 * time.Minute

// maxToken bounds a bearer token, in bytes: with it a request's header stays within what proxies take.
const maxToken = 6 << 10

// tokenKeyTable had the key of bearer tokens under "bearer" in older versions.
const tokenKeyTable = storage.Table("access/tokenKey")

var tokenKeyName = []byte("bearer")

// RemoveStoredKey removes the key of bearer tokens from the store of an older version: anyone who can read the store could sign
// tokens with it. What it signed counts no more.
func RemoveStoredKey(ctx context.Context, store storage.Store) error {
	return store.Update(ctx, func(tx storage.Tx) error {
		tx.Delete(tokenKeyTable, tokenKeyName)
		return nil
	})
}

// checkStoredKey wants no key to be in the store.
func checkStoredKey(_ storage.Reader, item storage.Item) error {
	return corruptf("%s has the row %q, and no key of bearer tokens is kept in the store: it is not used", tokenKeyTable, item.Key)
}

// bearerKey is the key of bearer tokens, and those of it that were good lately. It is replaced as a whole, so that none that another
// key signed is remembered.
type bearerKey struct {
	key  []byte
	good *lru.Cache[string, *pass]
}

// SignTokens signs bearer tokens with a key of 32 random bytes, which is not in the store, from now on. Without it, tokens end with
// the process. What any other key signed counts no more.
func (a *Access) SignTokens(key []byte) error {
	good, err := lru.New[string, *pass](maxPasses)
	if err == nil {
		a.bearer.Store(&bearerKey{key, good})
	}
	return err
}

// drawKey draws a key that counts in this process alone.
func drawKey() []byte {
	key := make([]byte, 32)
	rand.Read(key) // which never fails
	return key
}

// token is the body of a bearer token.
type token struct {
	Service    string          `json:"service"`
	Kind       provenance.Kind `json:"kind"`
	Handle     string          `json:"handle,omitempty"`
	Account    string          `json:"account,omitempty"`
	Credential string          `json:"credential,omitempty"` // a session's id, or that of a password
	Scopes     []string        `json:"scopes,omitempty"`
	Issued     int64           `json:"iat"` // seconds since 1970
	Expires    int64           `json:"exp"`
}

var urlEncoding = base64.RawURLEncoding.Strict() // each byte sequence in one spelling

func (b *bearerKey) mac(body string) []byte {
	m := hmac.New(sha256.New, b.key)
	m.Write([]byte("hallmark bearer token v1\x00"))
	m.Write([]byte(body))
	return m.Sum(nil)
}

func (a *Access) sign(t token) (string, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return "", err
	}
	body := urlEncoding.EncodeToString(text)
	return body + "." + urlEncoding.EncodeToString(a.bearer.Load().mac(body)), nil
}

var errNotOurs = refused("this is no token of this registry; sign in again")

// open reads a token that we signed with a key.
func (a *Access) open(by *bearerKey, signed string) (t token, err error) {
	body, mac, ok := strings.Cut(signed, ".")
	if !ok || len(signed) > maxToken {
		return t, errNotOurs
	}
	given, err := urlEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(given, by.mac(body)) {
		return t, errNotOurs
	}
	text, err := urlEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(text, &t) != nil {
		return t, errNotOurs // by another version of ourselves
	}
	if now := a.now().Unix(); t.Service != a.service || t.Issued > now+60 {
		return t, errNotOurs
	}
	return t, nil
}

// byToken signs in with a bearer token.
func (a *Access) byToken(ctx context.Context, signed, address string) (provenance.Identity, error) {
	by := a.bearer.Load()
	p, known := by.good.Get(signed)
	if !known {
		t, err := a.open(by, signed)
		if err != nil {
			return provenance.Identity{}, err
		}
		if p, err = a.passOfToken(ctx, t); err != nil {
			return provenance.Identity{}, err
		}
	}
	if err := a.check(ctx, p, address); err != nil {
		return provenance.Identity{}, err
	}
	if !known {
		by.good.Add(signed, p)
	}
	return p.who, nil
}

// passOfToken makes the pass of a token: that of its session, or of a password, within its scopes.
func (a *Access) passOfToken(ctx context.Context, t token) (*pass, error) {
	scopes, _, err := parseScopes(t.Scopes)
	if err != nil {
		return nil, errNotOurs
	}
	p := &pass{who: provenance.Identity{Actor: provenance.Actor{Kind: t.Kind, Handle: t.Handle, Account: t.Account}}}
	switch {
	case t.Kind == provenance.Anonymous:
		p.who = stranger
	case sessionKind(t.Credential) != "":
		err := a.store.View(ctx, func(tx storage.Reader) error {
			s, err := readSession(tx, t.Credential)
			if err != nil {
				return orEnded(err)
			}
			p, err = a.passOf(tx, s)
			return err
		})
		if err != nil {
			return nil, err
		}
	default:
		p.who.Login = &provenance.Login{Method: "token", Issuer: a.issuer, Identity: t.Handle, Credential: t.Credential}
	}
	p.expires = time.Unix(t.Expires, 0)
	if scopes.under = p.who.Ceiling; scopes.all {
		return p, nil
	}
	p.who.Ceiling = scopes
	return p, nil
}

// A TokenAsk is what a client asks for at /token.
type TokenAsk struct {
	Service string   // of the challenge; may be empty
	Scopes  []string // as clients write them; each may hold several, between spaces
	// Offline asks for a refresh token too. One is given for a user's password.
	Offline bool
	Client  string // how the client calls itself
}

// Tokens are what a client gets.
type Tokens struct {
	Token   string
	Lasts   time.Duration
	Issued  time.Time
	Refresh string // "" where none was asked for, or none is given
}

// The errors of Issue.
var (
	ErrService = fault.New(fault.Malformed, "the token is asked for another service than this registry")
	ErrScopes  = fault.New(fault.Malformed, "too much is asked of one token")
)

// Issue makes a bearer token for the one who signed in with a credential, or for a stranger. Its scopes are
// those that were asked for: they do not say whether anything is granted. Errors: ErrService, ErrScopes,
// ErrNoLogin for a stranger who may do nothing of it, and those of the store.
func (a *Access) Issue(ctx context.Context, who provenance.Identity, ask TokenAsk) (Tokens, error) {
	if ask.Service != "" && ask.Service != a.service {
		return Tokens{}, ErrService
	}
	scopes, kept, err := parseScopes(ask.Scopes)
	if err != nil {
		return Tokens{}, errors.Join(ErrScopes, err)
	}
	if who.Actor.Kind == provenance.Anonymous && !a.mayAnything(who, scopes) {
		return Tokens{}, ErrNoLogin
	}
	issued := Tokens{Lasts: tokenLasts, Issued: a.now().Truncate(time.Second)}
	if ask.Offline && isOwn(who) && who.Login.Method == "basic" {
		if who, issued.Refresh, err = a.beginLogin(ctx, who, ask.Client); err != nil {
			return Tokens{}, err
		}
	}
	t := token{
		Service: a.service, Kind: who.Actor.Kind, Handle: who.Actor.Handle, Account: who.Actor.Account, Scopes: kept,
		Issued: issued.Issued.Unix(), Expires: issued.Issued.Add(tokenLasts).Unix(),
	}
	if who.Login != nil {
		t.Credential = who.Login.Credential
	}
	if issued.Token, err = a.sign(t); err == nil && len(issued.Token) > maxToken {
		err = ErrScopes
	}
	return issued, err
}

// mayAnything says whether a stranger may pull anything that a token is asked for.
func (a *Access) mayAnything(who provenance.Identity, s *tokenScopes) bool {
	for _, r := range s.repositories {
		if a.May(who, Pull, r.name) {
			return true
		}
	}
	return len(s.repositories) == 0
}

// beginLogin begins a session for a password, and returns who has it, and its refresh token.
func (a *Access) beginLogin(ctx context.Context, who provenance.Identity, client string) (provenance.Identity, string, error) {
	now := a.now()
	s := session{
		Session: Session{
			ID: newSessionID(LoginSession), Kind: LoginSession, Name: cutName(client), Owner: who.Actor,
			Created: provenance.At(now), Expires: provenance.At(now.Add(loginLasts)),
		},
		Credential: who.Login.Credential,
	}
	secret := s.drawSecret()
	err := a.store.Update(ctx, s.begin)
	who.Login = a.loginBy(&s, who.Actor.Handle)
	return who, secret, err
}

// loginBy is the login of somebody's request by their session.
func (a *Access) loginBy(s *session, handle string) *provenance.Login {
	return &provenance.Login{Method: "token", Issuer: a.issuer, Identity: handle, Credential: s.ID, RestsOn: s.Credential}
}

// cutName bounds what a client calls itself.
func cutName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
	return s[:min(len(s), 64)]
}

// Refresh returns who a refresh token was given to. Errors: ErrBadLogin, and those of the store.
func (a *Access) Refresh(r *http.Request, secret string) (provenance.Identity, error) {
	return a.limited(r, func(address string) (provenance.Identity, error) {
		if !isSecret(secret) {
			return provenance.Identity{}, a.refusals.note(byBearer, refused("this is no refresh token; sign in again"))
		}
		who, err := a.bySecret(r.Context(), LoginSession, "", secret, address)
		return who, a.refusals.note(byBearer, err)
	})
}

// SignIn returns who a name and a password are, as Identify does for those in a header.
func (a *Access) SignIn(r *http.Request, name, password string) (provenance.Identity, error) {
	return a.limited(r, func(address string) (provenance.Identity, error) {
		return a.signIn(r.Context(), name, password, address)
	})
}

// Challenge is the value of WWW-Authenticate that tells a client where to get a token: at the host that it
// asked, where that is one of ours, so that it needs to trust and resolve no other. scope may be empty.
func (a *Access) Challenge(r *http.Request, scope string, why error) string {
	c := `Bearer realm="` + a.realm(r) + `",service="` + a.service + `"`
	if scope != "" {
		c += `,scope="` + scope + `"`
	}
	switch {
	case errors.Is(why, ErrScope):
		c += `,error="insufficient_scope"`
	case errors.Is(why, ErrBadLogin) && r.Header.Get("Authorization") != "":
		c += `,error="invalid_token"`
	}
	return c
}

// realm is the URL of /token for the one who made a request.
func (a *Access) realm(r *http.Request) string {
	scheme := "http://"
	if peer.Secure(r) || strings.HasPrefix(a.issuer, "https:") {
		scheme = "https://"
	}
	host := peer.Host(r)
	u, err := url.Parse(scheme + host)
	if err != nil || u.Host != host || strings.HasSuffix(host, ":") || u.User != nil || !a.names(u.Hostname()) || !a.reached(r, u) {
		return a.issuer + "/token"
	}
	return scheme + host + "/token"
}

// reached says whether clients reach the registry at the port of a host that a request names, which is one of
// ours. A proxy may have taken the port away, or put its own there: many set Host to a bare name.
func (a *Access) reached(r *http.Request, asked *url.URL) bool {
	public, err := url.Parse(a.issuer)
	if err != nil {
		return false
	}
	port := portOf(asked)
	switch {
	case port == portOf(public) || slices.Contains(a.ports, port):
		return true
	case peer.Forwarded(r): // by a proxy of the operator's, which may have a name of its own
		return asked.Port() != "" || asked.Hostname() != public.Hostname()
	default:
		return a.ports == nil && port != "443" && port != "80"
	}
}

// portOf is the port of a URL, also where it goes without saying.
func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
