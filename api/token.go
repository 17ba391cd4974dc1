package api

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
)

// /token is docker's token flow (https://distribution.github.io/distribution/spec/auth/token/): GET with a
// login in the header, and POST of a form as OAuth 2 has it
// (https://distribution.github.io/distribution/spec/auth/oauth/), which takes an ID token of a CI job too
// (RFC 8693).

// Logins make tokens. Errors: those of [Gate]; access.ErrService and ErrScopes.
type Logins interface {
	// SignIn checks a name and a password, or another secret.
	SignIn(r *http.Request, name, password string) (provenance.Identity, error)
	// Refresh checks a refresh token.
	Refresh(r *http.Request, secret string) (provenance.Identity, error)
	// Issue makes a token.
	Issue(ctx context.Context, who provenance.Identity, ask access.TokenAsk) (access.Tokens, error)
}

// maxForm bounds a form, in bytes: an ID token is the longest thing in it.
const maxForm = 32 << 10

// tokenAnswer is what clients want to know. Both names of the token are in use.
type tokenAnswer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	IssuedAt     string `json:"issued_at"`
	RefreshToken string `json:"refresh_token,omitempty"`
	// IssuedTokenType is for RFC 8693.
	IssuedTokenType string `json:"issued_token_type,omitempty"`
}

// tokenError is a refusal in both shapes that clients read: OAuth's (RFC 6749, 5.2) and OCI's.
type tokenError struct {
	Error       string          `json:"error"`
	Description string          `json:"error_description"`
	Errors      []tokenErrorOCI `json:"errors"`
}

type tokenErrorOCI struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// tokenRequest is a parsed request for a token.
type tokenRequest struct {
	access.TokenAsk
	identify func() (provenance.Identity, error)
	exchange bool // by RFC 8693
}

// ServeToken serves /token.
func (a *API) ServeToken(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "token")
	answer, err := a.token(w, r)
	if err != nil {
		a.failToken(w, r, err)
		return
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, "application/json", answer)
}

func (a *API) token(w http.ResponseWriter, r *http.Request) (*tokenAnswer, error) {
	ask, err := a.parseToken(w, r)
	if err != nil {
		return nil, err
	}
	who, err := ask.identify()
	if err != nil {
		return nil, err
	}
	obs.SetUser(r.Context(), who.Actor.Handle)
	issued, err := a.Logins.Issue(r.Context(), who, ask.TokenAsk)
	if err != nil {
		return nil, err
	}
	answer := &tokenAnswer{
		Token: issued.Token, AccessToken: issued.Token, TokenType: "Bearer", ExpiresIn: int(issued.Lasts / time.Second),
		IssuedAt: issued.Issued.UTC().Format(time.RFC3339), RefreshToken: issued.Refresh,
	}
	if ask.exchange {
		answer.IssuedTokenType = "urn:ietf:params:oauth:token-type:access_token"
	}
	return answer, nil
}

func (a *API) parseToken(w http.ResponseWriter, r *http.Request) (*tokenRequest, error) {
	switch r.Method {
	case http.MethodGet:
		q, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			return nil, problemf(http.StatusBadRequest, "the query string is malformed")
		}
		ask := askOf(q, q["scope"], q.Get("offline_token") == "true")
		ask.identify = func() (provenance.Identity, error) { return a.identifyForToken(r) }
		return ask, nil
	case http.MethodPost:
		return a.parseForm(w, r)
	default:
		p := problemf(http.StatusMethodNotAllowed, "/token takes GET and POST")
		p.header = http.Header{"Allow": {"GET, POST"}}
		return nil, p
	}
}

func askOf(v url.Values, scopes []string, offline bool) *tokenRequest {
	return &tokenRequest{TokenAsk: access.TokenAsk{
		Service: v.Get("service"), Scopes: scopes, Offline: offline, Client: v.Get("client_id"),
	}}
}

// identifyForToken wants a login that is not itself a token of /token: one could be made out of the other
// for ever.
func (a *API) identifyForToken(r *http.Request) (provenance.Identity, error) {
	if _, _, ok := r.BasicAuth(); !ok && r.Header.Get("Authorization") != "" {
		return provenance.Identity{}, problemf(http.StatusBadRequest, "sign in with a name and a password, or another secret, to get a token")
	}
	return a.Gate.Identify(r)
}

const (
	exchangeGrant = "urn:ietf:params:oauth:grant-type:token-exchange"
	idTokenType   = "urn:ietf:params:oauth:token-type:id_token"
	jwtType       = "urn:ietf:params:oauth:token-type:jwt"
)

func (a *API) parseForm(w http.ResponseWriter, r *http.Request) (*tokenRequest, error) {
	form, err := readForm(w, r)
	if err != nil {
		return nil, err
	}
	ask := askOf(form, form["scope"], form.Get("access_type") == "offline")
	switch grant := form.Get("grant_type"); grant {
	case "password":
		ask.identify = func() (provenance.Identity, error) {
			return a.Logins.SignIn(r, form.Get("username"), form.Get("password"))
		}
	case "refresh_token":
		ask.identify = func() (provenance.Identity, error) { return a.Logins.Refresh(r, form.Get("refresh_token")) }
	case exchangeGrant:
		kind, raw := form.Get("subject_token_type"), form.Get("subject_token")
		if kind != idTokenType && kind != jwtType || !oidc.LooksLike(raw) {
			return nil, problemf(http.StatusBadRequest, "what is exchanged is an ID token: subject_token, with a subject_token_type of %s", idTokenType)
		}
		ask.exchange = true
		ask.identify = func() (provenance.Identity, error) { return a.Logins.SignIn(r, "oidc", raw) }
	default:
		return nil, problemf(http.StatusBadRequest, "grant_type is %.60q, and should be password, refresh_token or %s", grant, exchangeGrant)
	}
	return ask, nil
}

// readForm reads a form from the body, and nothing from the query: secrets do not belong into a URL.
func readForm(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, problemf(http.StatusUnsupportedMediaType, "send a form, as application/x-www-form-urlencoded")
	}
	if err := crossOrigin.Check(r); err != nil {
		return nil, problemf(http.StatusForbidden, "this request comes from a page of another site, which gets no token here")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
		return nil, problemf(http.StatusRequestEntityTooLarge, "the form may have %d bytes", maxForm)
	}
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the form did not arrive whole")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "the form is malformed")
	}
	return form, nil
}

// failToken answers with an error, in the shapes that clients read at /token.
func (a *API) failToken(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problemFor(r, err)
	if p == nil {
		return // the client is gone
	}
	code, oci := "invalid_request", "UNSUPPORTED"
	switch {
	case p.Status == http.StatusUnauthorized:
		code, oci = "invalid_grant", "UNAUTHORIZED"
	case p.Status == http.StatusForbidden:
		code, oci = "access_denied", "DENIED"
	case p.Status == http.StatusTooManyRequests:
		code, oci = "slow_down", "TOOMANYREQUESTS"
	case p.Status == http.StatusServiceUnavailable, p.Status == http.StatusInsufficientStorage:
		code, oci = "temporarily_unavailable", "UNAVAILABLE"
	case p.Status >= http.StatusInternalServerError:
		code, oci = "server_error", "UNKNOWN"
	}
	for name, values := range p.header {
		w.Header()[name] = values
	}
	writeJSON(w, p.Status, "application/json", tokenError{code, p.Detail, []tokenErrorOCI{{oci, p.Detail}}})
}
