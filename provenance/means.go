package provenance

import "strings"

// Means are what somebody signed in with. A login's method says how a secret travelled, which is a bearer token nearly
// always; its credential and the kind of account say what was shown for it.
type Means string

// The means of signing in.
const (
	ByPassword Means = "password" // also once, for what `docker login` keeps
	ByToken    Means = "token"    // a personal access token, narrower than its owner
	ByRobot    Means = "robot"    // a robot's secret
	ByCI       Means = "CI"       // the ID token of a job
)

// Means is what the one who did it signed in with, or "" where nobody did.
func (r *Record) Means() Means {
	if r.Authenticated == nil {
		return ""
	}
	return r.Authenticated.meansOf(r.Actor.Kind)
}

// meansOf is what an actor of a kind signed in with.
func (l *Login) meansOf(k Kind) Means {
	switch {
	case k == CI:
		return ByCI
	case k == Robot:
		return ByRobot
	case strings.HasPrefix(l.Credential, "token-"): // as access names personal tokens
		return ByToken
	}
	return ByPassword
}
