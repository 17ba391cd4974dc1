// Package oidc checks the ID tokens of CI jobs: who issued them, for whom, and which job they are about.
//
// It asks an issuer for its keys when the first of its tokens comes, and again when a token has an unknown
// key: at most once a second, whatever strangers send, and each address gets only its share of that.
// A valid token gives a [Job] with only those claims that may be in a record for ever: nothing that identifies a person.
package oidc

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
)

// The errors of Verify.
var (
	// ErrToken: the ID token is malformed, forged, for others, or not of this time. What wraps it says which.
	ErrToken = errors.New("this ID token is not accepted")
	// ErrIssuer: the issuer could not be asked for its keys.
	ErrIssuer = errors.New("the issuer of this ID token cannot be asked for its keys")
)

const (
	maxToken = 16 << 10        // bytes of an ID token
	maxValue = 1 << 10         // bytes of a claim
	skew     = 1 * time.Minute // that clocks may differ
)

// A Job is a CI job as its issuer vouches for it.
type Job struct {
	Issuer string
	Handle string // what people call it: a repository, a project, or the subject
	// Account is an id that the issuer never reuses, with the issuer.
	Account string
	Claims  map[string]string
	// Cut are the claims from whose values something was cut: a grant that names one is of no job, because two that differ in
	// what was cut look the same.
	Cut []string
	// Session is how long the job may go on after its token was exchanged.
	Session time.Duration
}

// Verifier checks ID tokens of some issuers. It is safe for concurrent use.
type Verifier struct {
	issuers map[string]*issuer
	now     func() time.Time
}

// New returns a verifier. The issuers are not asked anything yet. Errors: what is wrong with the
// configuration.
func New(issuers []Issuer, now func() time.Time) (*Verifier, error) {
	v := &Verifier{issuers: map[string]*issuer{}, now: now}
	for _, c := range issuers {
		i, err := newIssuer(c, now)
		if err != nil {
			return nil, fmt.Errorf("oidc issuer %q: %w", c.URL, err)
		}
		if v.issuers[c.URL] != nil {
			return nil, fmt.Errorf("oidc issuer %q is there twice", c.URL)
		}
		v.issuers[c.URL] = i
	}
	return v, nil
}

// IDs are the claims of an issuer that it never gives to another, or none for an issuer that is not configured.
func (v *Verifier) IDs(issuer string) []string {
	if i := v.issuers[issuer]; i != nil {
		return i.ids
	}
	return nil
}

// LooksLike says that a password could be an ID token: three parts in base64, the first of a JSON object.
func LooksLike(password string) bool {
	return strings.HasPrefix(password, "eyJ") && strings.Count(password, ".") == 2
}

// Verify checks an ID token that came from an address. Errors: ErrToken, ErrIssuer, and that of ctx.
func (v *Verifier) Verify(ctx context.Context, raw, address string) (Job, error) {
	i, err := v.issuerOf(raw)
	if err != nil {
		return Job{}, err
	}
	token, err := i.verify(ctx, raw, address)
	if err != nil {
		return Job{}, err
	}
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Job{}, fmt.Errorf("%w: its claims: %w", ErrToken, err)
	}
	if err := v.inTime(claims); err != nil {
		return Job{}, err
	}
	return i.job(claims)
}

// issuerOf finds the issuer that a token names, before anything of it is believed: only those that are
// configured are ever asked for keys.
func (v *Verifier) issuerOf(raw string) (*issuer, error) {
	if len(raw) > maxToken {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrToken, maxToken)
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%w: it has not three parts", ErrToken)
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = strictjson.Unmarshal(payload, &claims)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it cannot be read", ErrToken)
	}
	i := v.issuers[claims.Issuer]
	if i == nil {
		return nil, fmt.Errorf("%w: its issuer %.100q is not among those in the registry's configuration", ErrToken, claims.Issuer)
	}
	return i, nil
}

// inTime checks when the token was made and how long it counts. An issuer that says neither is not believed.
func (v *Verifier) inTime(claims map[string]any) error {
	now := v.now()
	at := func(name string) (time.Time, bool) {
		n, ok := claims[name].(float64)
		return time.Unix(int64(n), 0), ok
	}
	expires, ok := at("exp")
	switch issued, ok2 := at("iat"); {
	case !ok || !ok2:
		return fmt.Errorf("%w: it does not say when it was issued and when it expires", ErrToken)
	case now.Add(-skew).After(expires):
		return fmt.Errorf("%w: it expired at %s; ask for a new one", ErrToken, expires.UTC().Format(time.RFC3339))
	case now.Add(skew).Before(issued):
		return fmt.Errorf("%w: it is from the future: set the clocks", ErrToken)
	}
	if begins, ok := at("nbf"); ok && now.Add(skew).Before(begins) {
		return fmt.Errorf("%w: it is not valid yet", ErrToken)
	}
	return nil
}

// mail is the look of an address of a person.
var mail = regexp.MustCompile(`^[^\s/:@]+@[^\s/:@]+\.[^\s/:@]+$`)

// job keeps the claims that are allowed, and names the job after them.
func (i *issuer) job(claims map[string]any) (Job, error) {
	kept, cut, err := i.kept(claims)
	if err != nil {
		return Job{}, err
	}
	j := Job{Issuer: i.URL, Claims: kept, Cut: cut, Session: i.session}
	for _, name := range i.needed {
		if j.Claims[name] == "" {
			return Job{}, fmt.Errorf("%w: it has no claim %s, which those of kind %s have", ErrToken, name, i.Kind)
		}
	}
	if event := j.Claims["event_name"]; event == pullRequestTarget && !slices.Contains(i.AllowEvents, event) {
		return Job{}, fmt.Errorf("%w: a job of %s runs for a stranger's code with the rights of the repository's own; "+
			"the registry's configuration would have to name it in allowEvents", ErrToken, event)
	}
	j.Handle = j.Claims[i.handle]
	j.Account = i.URL + "#" + i.ids[0] + "=" + j.Claims[i.ids[0]]
	if i.handle == "sub" && mail.MatchString(j.Handle) {
		return Job{}, fmt.Errorf("%w: its subject is an e-mail address, which must not stand in records", ErrToken)
	}
	return j, nil
}
