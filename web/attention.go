package web

import (
	"cmp"
	"errors"
	"net/url"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// attention is what somebody should look at: what ends soon, and what rules refuse. Everybody is shown their own tokens, and
// administrators the secrets of robots, the certificates and the rules.
type attention struct {
	Expires     []expiry
	Refused     []refusedBy
	Administers bool // who asks administers the registry
}

// An expiry is something that ends, or has ended.
type expiry struct {
	What string
	At   provenance.Time
	Do   string // what to do about it
}

// refusedBy is how often a rule has refused something since the start.
type refusedBy struct {
	Rule  string
	Times int
}

// soon is how long before its end something is shown.
const soon = 30 * 24 * time.Hour

// optional asks the API what not everybody is told, and says whether they are.
func (pg *page) optional(path string, query url.Values, value any) (told bool, err error) {
	err = pg.ask(path, query, value)
	var refused *refusal
	if errors.Is(err, errSignIn) || errors.As(err, &refused) && (refused.status == 403 || refused.status == 404) {
		return false, nil
	}
	return err == nil, err
}

// attention finds what to look at.
func (pg *page) attention(now time.Time) (a attention, err error) {
	if pg.isStranger() {
		return a, nil
	}
	if err := pg.endingTokens(&a, now); err != nil {
		return a, err
	}
	var rules struct {
		Refused map[string]int `json:"refused"`
	}
	administers, err := pg.optional("/api/v1/policy", nil, &rules)
	if err != nil || !administers {
		return a, err
	}
	a.Administers = true
	for rule, times := range rules.Refused {
		a.Refused = append(a.Refused, refusedBy{rule, times})
	}
	slices.SortFunc(a.Refused, func(x, y refusedBy) int {
		return cmp.Or(cmp.Compare(y.Times, x.Times), cmp.Compare(x.Rule, y.Rule))
	})
	if err := errors.Join(pg.endingRobots(&a, now), pg.endingCertificates(&a, now)); err != nil {
		return a, err
	}
	slices.SortStableFunc(a.Expires, func(x, y expiry) int { return x.At.Compare(y.At.Time) })
	return a, nil
}

// add notes what ends soon.
func (a *attention) add(now time.Time, what string, at *provenance.Time, do string) {
	if at != nil && !at.IsZero() && at.Sub(now) < soon {
		a.Expires = append(a.Expires, expiry{what, *at, do})
	}
}

// endingTokens looks at the tokens of the one who asks. A CI job has no account, and so no tokens.
func (pg *page) endingTokens(a *attention, now time.Time) error {
	if pg.who.Actor.Account == "" {
		return nil
	}
	var tokens struct {
		Sessions []struct {
			Name    string          `json:"name"`
			Expires provenance.Time `json:"expires"`
		} `json:"sessions"`
	}
	if _, err := pg.optional("/api/v1/access/tokens", url.Values{"limit": {"100"}}, &tokens); err != nil {
		return err
	}
	for _, t := range tokens.Sessions {
		a.add(now, "your token "+t.Name, &t.Expires, "Make another with hallmark token add.")
	}
	return nil
}

// endingRobots looks at the secrets of the first robots: there are few.
func (pg *page) endingRobots(a *attention, now time.Time) error {
	var robots struct {
		Robots []struct {
			Name    string           `json:"name"`
			Expires *provenance.Time `json:"expires"`
		} `json:"robots"`
	}
	if _, err := pg.optional("/api/v1/access/robots", url.Values{"limit": {"1000"}}, &robots); err != nil {
		return err
	}
	for _, r := range robots.Robots {
		a.add(now, "the secret of the robot "+r.Name, r.Expires, "Renew it with hallmark robot rotate "+r.Name+".")
	}
	return nil
}

// certificates are those that the server shows.
type certificates struct {
	Server *certificate `json:"server"`
	CA     *certificate `json:"ca"`
}

type certificate struct {
	NotAfter    provenance.Time `json:"notAfter"`
	Fingerprint string          `json:"fingerprint"`
}

func (pg *page) endingCertificates(a *attention, now time.Time) error {
	var shown certificates
	if _, err := pg.optional("/api/v1/certificate", nil, &shown); err != nil {
		return err
	}
	if shown.Server != nil {
		a.add(now, "the server's certificate", &shown.Server.NotAfter, "Renew it with hallmark cert renew, or give it another one.")
	}
	if shown.CA != nil {
		a.add(now, "the certificate authority", &shown.CA.NotAfter, "Every client has to trust another one.")
	}
	return nil
}
