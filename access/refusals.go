package access

import (
	"errors"
	"sync/atomic"

	"github.com/seed-260924e6/hallmark/access/oidc"
)

// Kind of login that is refused, as the metrics name it.
type loginKind int

const (
	byPassword loginKind = iota // a user's password
	bySecretOf                  // the secret of a personal token or of a robot
	byJob                       // the ID token of a CI job
	byBearer                    // a token of this registry, or the refresh token that gets one
	bySession                   // the cookie of a browser
	loginKinds
)

var loginNames = [loginKinds]string{"password", "secret", "id_token", "bearer", "session"}

// refusals count logins that were refused, by what they came with. Those that were not looked at are counted elsewhere.
type refusals [loginKinds]atomic.Uint64

// note counts err if it says that a login is wrong, or ended, and returns it.
func (r *refusals) note(kind loginKind, err error) error {
	if errors.Is(err, ErrBadLogin) || errors.Is(err, ErrExpired) {
		r[kind].Add(1)
	}
	return err
}

// Refused counts the logins that were refused since the start, by what they came with: password, secret, id_token, bearer,
// session.
func (a *Access) Refused() map[string]uint64 {
	all := map[string]uint64{}
	for kind, name := range loginNames {
		all[name] = a.refusals[kind].Load()
	}
	return all
}

// kindOf says what it is that somebody gave as a password.
func kindOf(password string) loginKind {
	switch {
	case isSecret(password):
		return bySecretOf
	case oidc.LooksLike(password):
		return byJob
	}
	return byPassword
}
