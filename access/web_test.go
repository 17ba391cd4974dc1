package access

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestWebSession follows the session of a browser to each of its ends.
func TestWebSession(t *testing.T) {
	a, now := testAccess(t)
	signIn := func() (Session, string) {
		t.Helper()
		s, secret, err := a.SignInBrowser(httptest.NewRequest("POST", "/-/sign-in", nil), "alice", "correct horse", "Firefox")
		if err != nil {
			t.Fatal(err)
		}
		return s, secret
	}
	who := func(secret string) (provenance.Identity, error) {
		r := httptest.NewRequest("GET", "/", nil)
		return a.Identify(r.WithContext(WithWebSession(r.Context(), secret)))
	}
	s, secret := signIn()
	if got, err := who(secret); err != nil || got.Actor.Handle != "alice" || got.Login.Credential != s.ID {
		t.Fatalf("%+v, %v", got, err)
	}
	// The secret is nothing where it is not in a cookie that counts.
	r := httptest.NewRequest("GET", "/v2/", nil)
	r.SetBasicAuth("alice", secret)
	if _, err := a.Identify(r); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a browser's secret is a password, too: %v", err)
	}
	if _, err := a.Refresh(httptest.NewRequest("POST", "/token", nil), secret); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a browser's secret is a refresh token, too: %v", err)
	}
	// It lasts from its last use on, and no longer than seven days.
	for used := time.Duration(0); used+11*time.Hour < webLasts; used += 11 * time.Hour {
		*now = s.Created.Add(used + 11*time.Hour)
		if _, err := who(secret); err != nil {
			t.Fatalf("after %s of use: %v", used+11*time.Hour, err)
		}
	}
	*now = s.Created.Add(webLasts + time.Minute)
	if _, err := who(secret); !errors.Is(err, ErrBadLogin) {
		t.Errorf("after seven days: %v", err)
	}
	_, idle := signIn()
	*now = now.Add(webIdle + time.Minute)
	if _, err := who(idle); !errors.Is(err, ErrBadLogin) {
		t.Errorf("after twelve hours without use: %v", err)
	}
	// The next one ends the oldest.
	_, first := signIn()
	for range maxWebSessions {
		*now = now.Add(time.Second)
		signIn()
	}
	if _, err := who(first); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the oldest of too many: %v", err)
	}
	// Signing out, and another password, end it.
	_, out := signIn()
	if err := a.EndWebSession(httptest.NewRequest("POST", "/", nil), out); err != nil {
		t.Fatal(err)
	}
	if _, err := who(out); !errors.Is(err, ErrBadLogin) {
		t.Errorf("after signing out: %v", err)
	}
	_, other := signIn()
	if err := a.SetPassword(background, Operator, "alice", "wonderland-2"); err != nil {
		t.Fatal(err)
	}
	if _, err := who(other); !errors.Is(err, ErrBadLogin) {
		t.Errorf("after another password: %v", err)
	}
}
