package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

func bearer(signed string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.RemoteAddr = "192.0.2.1:1"
	r.Header.Set("Authorization", "Bearer "+signed)
	return r
}

// issue signs in as alice and gets a token for scopes.
func issue(t testing.TB, a *Access, ask TokenAsk) Tokens {
	t.Helper()
	who, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(background, who, ask)
	if err != nil {
		t.Fatal(err)
	}
	return issued
}

// TestBearer wants a token to be its owner, no longer than it counts, and for its scopes alone.
func TestBearer(t *testing.T) {
	a, clock := testAccess(t)
	grant(t, a, "user:alice team/** delete")
	signed := issue(t, a, TokenAsk{Service: "registry.example", Scopes: []string{"repository:team/app:pull,push repository:team/web:pull", "repository(plugin):team/plugin:*"}}).Token
	who, err := a.Identify(bearer(signed))
	if err != nil {
		t.Fatal(err)
	}
	u, _ := a.user(background, "alice")
	if who.Actor != (provenance.Actor{Kind: provenance.User, Handle: "alice", Account: u.Account}) || who.Login.Method != "token" || who.Login.Credential != u.Credential {
		t.Errorf("%+v, %+v", who, who.Login)
	}
	for what, want := range map[string]bool{
		"team/app pull": true, "team/app push": true, "team/app delete": false, "team/web pull": true, "team/web push": false,
		"team/other pull": false, "team/plugin delete": true, "team pull": false,
	} {
		repo, role, _ := strings.Cut(what, " ")
		right, _ := ParseRight(role)
		if got := a.May(who, right, repo); got != want {
			t.Errorf("%s: %v", what, got)
		}
		if NeedsScope(who, right, repo) == want {
			t.Errorf("%s needs another scope: %v", what, !want)
		}
	}
	if a.Administers(who) {
		t.Error("it administers")
	}
	if _, err := a.Issue(background, who, TokenAsk{Service: "other.example"}); !errors.Is(err, ErrService) {
		t.Errorf("for another service: %v", err)
	}
	*clock = clock.Add(tokenLasts - time.Second)
	if _, err := a.Identify(bearer(signed)); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	*clock = clock.Add(time.Second)
	if _, err := a.Identify(bearer(signed)); !errors.Is(err, ErrBadLogin) {
		t.Errorf("at its end: %v", err)
	}
}

// TestBearerFollowsRights wants rights to be read at each request, whatever the token was asked for.
func TestBearerFollowsRights(t *testing.T) {
	a, _ := testAccess(t)
	who, err := a.Identify(bearer(issue(t, a, TokenAsk{Scopes: []string{"repository:team/app:pull,push"}}).Token))
	if err != nil {
		t.Fatal(err)
	}
	if a.May(who, Pull, "team/app") {
		t.Error("a scope was taken for a right")
	}
	grant(t, a, "user:alice team/** push")
	if !a.May(who, Push, "team/app") {
		t.Error("a new right does not count")
	}
	if err := a.Revoke(background, Operator, testGrant(t, "user:alice team/** push")); err != nil {
		t.Fatal(err)
	}
	if a.May(who, Pull, "team/app") {
		t.Error("a right that was taken away counts")
	}
}

// TestBearerForged sends what attackers would.
func TestBearerForged(t *testing.T) {
	a, _ := testAccess(t)
	other, _ := testAccess(t)
	good := issue(t, a, TokenAsk{Scopes: []string{"repository:team/app:pull"}}).Token
	body, mac, _ := strings.Cut(good, ".")
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil {
		t.Fatal(err)
	}
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	with := func(change func(*token)) string {
		var tok token
		if err := json.Unmarshal(text, &tok); err != nil {
			t.Fatal(err)
		}
		change(&tok)
		signed, err := a.sign(tok)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	if _, err := a.Identify(bearer(with(func(*token) {}))); err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]string{
		"nothing":                "",
		"alg none":               part(`{"alg":"none","typ":"JWT"}`) + "." + body + ".",
		"HS256 under the MAC":    part(`{"alg":"HS256","typ":"JWT"}`) + "." + body + "." + mac,
		"a kid":                  part(`{"alg":"HS256","kid":"../../../../dev/null"}`) + "." + body + "." + mac,
		"no MAC":                 body + ".",
		"no body":                "." + mac,
		"half a MAC":             body + "." + mac[:len(mac)/2],
		"another spelling":       body + "." + mac + "=",
		"more behind it":         good + ".x",
		"another body":           part(strings.Replace(string(text), "team/app", "team/web", 1)) + "." + mac,
		"a longer life":          part(strings.Replace(string(text), `"exp":1`, `"exp":9`, 1)) + "." + mac,
		"of another registry":    issue(t, other, TokenAsk{}).Token,
		"for another audience":   with(func(t *token) { t.Service = "other.example" }),
		"from the future":        with(func(t *token) { t.Issued += 3600 }),
		"expired":                with(func(t *token) { t.Expires = t.Issued - 1 }),
		"of another account":     with(func(t *token) { t.Account = "another" }),
		"of another credential":  with(func(t *token) { t.Credential = "another" }),
		"of an unknown session":  with(func(t *token) { t.Credential = "login-unknown" }),
		"of nobody's account":    with(func(t *token) { t.Handle = "nobody" }),
		"too long":               with(func(t *token) { t.Scopes = []string{strings.Repeat("x", 10_000)} }),
		"the operator, unsigned": part(`{"kind":"system","handle":"operator"}`) + "." + mac,
	} {
		if who, err := a.Identify(bearer(forged)); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
}

// TestBearerEnds replays a token after each of the ways in which its right to be is taken away.
func TestBearerEnds(t *testing.T) {
	for name, end := range map[string]func(*Access) error{
		"the password is another": func(a *Access) error { return a.SetPassword(background, Operator, "alice", "battery staple") },
		"the account is gone":     func(a *Access) error { return a.RemoveUser(background, Operator, "alice") },
		"it is another account of that name": func(a *Access) error {
			if err := a.RemoveUser(background, Operator, "alice"); err != nil {
				return err
			}
			_, err := a.AddUser(background, Operator, "alice", "correct horse", false)
			return err
		},
	} {
		a, _ := testAccess(t)
		signed := issue(t, a, TokenAsk{}).Token
		refresh := issue(t, a, TokenAsk{Offline: true, Client: "docker"}).Refresh
		if _, err := a.Identify(bearer(signed)); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Refresh(bearer(""), refresh); err != nil {
			t.Fatal(err)
		}
		if err := end(a); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Identify(bearer(signed)); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s, and the token counts: %v", name, err)
		}
		if _, err := a.Refresh(bearer(""), refresh); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s, and the refresh token counts: %v", name, err)
		}
	}
}

func TestRefresh(t *testing.T) {
	a, clock := testAccess(t)
	issued := issue(t, a, TokenAsk{Offline: true, Client: "docker\x00" + strings.Repeat("x", 100)})
	if !isSecret(issued.Refresh) {
		t.Fatalf("refresh token %q", issued.Refresh)
	}
	who, err := a.Refresh(bearer(""), issued.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	again, err := a.Issue(background, who, TokenAsk{Scopes: []string{accountScope}, Offline: true})
	if err != nil || again.Refresh != "" {
		t.Errorf("a refresh token for a refresh token: %v, %v", again.Refresh, err)
	}
	u, _ := a.user(background, "alice")
	list, err := a.Sessions(background, u.Account, LoginSession, "", 10)
	if err != nil || len(list) != 1 || len(list[0].Name) != 64 || list[0].UsedFrom != "192.0.2.1" {
		t.Fatalf("sessions %+v, %v", list, err)
	}
	if _, err := a.Identify(request("alice", issued.Refresh, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("it is a password: %v", err)
	}
	for range 3 { // it lasts from its last use on
		*clock = clock.Add(loginLasts - time.Hour)
		if _, err := a.Refresh(bearer(""), issued.Refresh); err != nil {
			t.Fatal(err)
		}
	}
	next, err := a.Issue(background, who, TokenAsk{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(bearer(next.Token)); err != nil {
		t.Fatal(err)
	}
	if err := a.EndSession(background, provenance.Identity{Actor: provenance.Actor{Kind: provenance.User, Handle: "bob", Account: "x"}}, list[0].ID); !errors.Is(err, ErrUnknownSession) {
		t.Errorf("bob ended alice's session: %v", err)
	}
	if err := a.EndSession(background, who, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(bearer(next.Token)); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a token of a session that was ended: %v", err)
	}
	if _, err := a.Refresh(bearer(""), issued.Refresh); !errors.Is(err, ErrBadLogin) {
		t.Errorf("a session that was ended: %v", err)
	}
	for _, secret := range []string{"", "x", newSecret(), issued.Token} {
		if _, err := a.Refresh(bearer(""), secret); !errors.Is(err, ErrBadLogin) {
			t.Errorf("refresh with %q: %v", secret, err)
		}
	}
}

func TestLoginExpires(t *testing.T) {
	a, clock := testAccess(t)
	refresh := issue(t, a, TokenAsk{Offline: true}).Refresh
	*clock = clock.Add(loginLasts)
	if _, err := a.Refresh(bearer(""), refresh); !errors.Is(err, ErrBadLogin) {
		t.Errorf("after its end: %v", err)
	}
	runs := uint64(0)
	for range 2 {
		if err := a.removeExpired(background, func() uint64 { return runs }); err != nil {
			t.Fatal(err)
		}
		runs += uint64((keepExpiredSecrets + time.Hour).Microseconds())
	}
	u, _ := a.user(background, "alice")
	if _, err := a.Refresh(bearer(""), refresh); !errors.Is(err, ErrBadLogin) {
		t.Errorf("after it was removed: %v", err)
	}
	if list, err := a.Sessions(background, u.Account, "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("sessions %+v, %v", list, err)
	}
}

// TestManyExpire has more sessions expire than one transaction looks at.
func TestManyExpire(t *testing.T) {
	a, clock := testAccess(t)
	const sessions = 2*forgetStep + 200
	err := a.store.Update(background, func(tx storage.Tx) error {
		for i := range sessions {
			s := session{Session: Session{ID: fmt.Sprintf("job-%04d", i), Kind: JobSession, Expires: provenance.At(*clock)}}
			if err := s.write(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	*clock = clock.Add(time.Minute)
	for _, runs := range []uint64{1, 1 + uint64(keepExpired.Microseconds())} {
		if err := a.removeExpired(background, func() uint64 { return runs }); err != nil {
			t.Fatal(err)
		}
	}
	err = a.store.View(background, func(tx storage.Reader) error {
		for item, err := range tx.Scan(sessionTable, nil, nil) {
			t.Errorf("%s is still there, %v", item.Key, err)
			break
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestClockAhead starts with the machine's clock years ahead: a login is refused, and works again once the clock is right.
func TestClockAhead(t *testing.T) {
	a, clock := testAccess(t)
	right := *clock
	refresh := issue(t, a, TokenAsk{Offline: true}).Refresh
	runs := uint64(time.Hour.Microseconds())
	forget := func() {
		t.Helper()
		if err := a.removeExpired(background, func() uint64 { return runs }); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 { // the registry runs for long in all, and never for long while the clock is wrong
		*clock = right.AddDate(5, 0, 0)
		forget()
		runs += uint64((keepExpiredSecrets - time.Hour).Microseconds())
		forget()
		if _, err := a.Refresh(bearer(""), refresh); !errors.Is(err, ErrBadLogin) {
			t.Errorf("years after its end: %v", err)
		}
		*clock = right
		forget()
		if _, err := a.Refresh(bearer(""), refresh); err != nil {
			t.Errorf("the clock is right again: %v", err)
		}
	}
}

// TestPersonalToken wants a token to be narrower than its owner, in the registry and everywhere else.
func TestPersonalToken(t *testing.T) {
	a, clock := testAccess(t)
	grant(t, a, "user:alice ** admin")
	owner, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	pattern, _ := ParsePattern("team/**")
	s, secret, err := a.AddToken(background, owner, NewToken{Name: "laptop", Scopes: Scopes{UpTo(pattern, Push)}})
	if err != nil {
		t.Fatal(err)
	}
	if !isSecret(secret) || !s.Expires.Equal(clock.Add(90*24*time.Hour)) {
		t.Errorf("%q, %+v", secret, s)
	}
	who, err := a.Identify(request("alice", secret, "192.0.2.7:1"))
	if err != nil {
		t.Fatal(err)
	}
	if who.Login.Credential != s.ID || !a.May(who, Push, "team/app") || a.May(who, Delete, "team/app") || a.May(who, Pull, "other/app") || a.Administers(who) {
		t.Errorf("%+v", who)
	}
	issued, err := a.Issue(background, who, TokenAsk{Scopes: []string{"repository:team/app:*", "repository:other/app:pull"}, Offline: true})
	if err != nil || issued.Refresh != "" {
		t.Fatalf("a refresh token for a token: %q, %v", issued.Refresh, err)
	}
	by, err := a.Identify(bearer(issued.Token))
	if err != nil || !a.May(by, Push, "team/app") || a.May(by, Delete, "team/app") || a.May(by, Pull, "other/app") || NeedsScope(by, Delete, "team/app") {
		t.Errorf("a bearer token of it: %+v, %v", by, err)
	}
	all, err := a.Issue(background, who, TokenAsk{Scopes: []string{accountScope}})
	if err != nil {
		t.Fatal(err)
	}
	if by, err = a.Identify(bearer(all.Token)); err != nil || a.Administers(by) || a.May(by, Pull, "other/app") {
		t.Errorf("one for all of the account: %+v, %v", by, err)
	}
	if _, _, err := a.AddToken(background, who, NewToken{Name: "more", Scopes: Scopes{UpTo(Everything, Admin)}}); !errors.Is(err, ErrNotOwn) {
		t.Errorf("a token makes tokens: %v", err)
	}
	if _, err := a.Identify(request("bob", secret, "192.0.2.7:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("under another name: %v", err)
	}
	list, err := a.Sessions(background, s.Owner.Account, TokenSession, "", 10)
	if err != nil || len(list) != 1 || list[0].UsedFrom != "192.0.2.7" || list[0].Used == nil {
		t.Errorf("%+v, %v", list, err)
	}
	if err := a.EndSession(background, owner, s.ID); err != nil {
		t.Fatal(err)
	}
	for _, r := range []*http.Request{request("alice", secret, "192.0.2.7:1"), bearer(issued.Token), bearer(all.Token)} {
		if _, err := a.Identify(r); !errors.Is(err, ErrBadLogin) {
			t.Errorf("after its end: %v", err)
		}
	}
}

func TestNewTokenBounds(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	a, clock := testAccess(t)
	owner, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	scopes := Scopes{UpTo(Everything, Pull)}
	for want, n := range map[error]NewToken{
		ErrSessionName:  {Name: "a\nb", Scopes: scopes},
		ErrSessionLasts: {Name: "x", Scopes: scopes, Lasts: MaxTokenLasts + 1},
		ErrNoScope:      {Name: "x"},
	} {
		if _, _, err := a.AddToken(background, owner, n); !errors.Is(err, want) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	for range maxSessions {
		if _, _, err := a.AddToken(background, owner, NewToken{Name: "x", Scopes: scopes}); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := a.AddToken(background, owner, NewToken{Name: "x", Scopes: scopes}); !errors.Is(err, ErrTooManyTokens) {
		t.Errorf("one more: %v", err)
	}
	if list, err := a.Sessions(background, owner.Actor.Account, "", "", 10); err != nil || len(list) != 10 {
		t.Errorf("%d, %v", len(list), err)
	}
	*clock = clock.Add(time.Duration(TokenLasts) + time.Second)
	if _, _, err := a.AddToken(background, owner, NewToken{Name: "x", Scopes: scopes}); err != nil {
		t.Errorf("one more, after all others expired: %v", err)
	}
}

func TestAnonymousToken(t *testing.T) {
	a, _ := testAccess(t)
	grant(t, a, "anonymous public/** pull")
	nobody := request("", "", "192.0.2.1:1")
	nobody.Header.Del("Authorization")
	who, err := a.Identify(nobody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(background, who, TokenAsk{Scopes: []string{"repository:team/app:pull"}}); !errors.Is(err, ErrNoLogin) {
		t.Errorf("for what strangers may not pull: %v", err)
	}
	issued, err := a.Issue(background, who, TokenAsk{Scopes: []string{"repository:public/app:pull,push"}, Offline: true})
	if err != nil || issued.Refresh != "" {
		t.Fatal(issued, err)
	}
	who, err = a.Identify(bearer(issued.Token))
	if err != nil || who.Login != nil || !a.May(who, Pull, "public/app") || a.May(who, Push, "public/app") || a.May(who, Pull, "public/other") {
		t.Errorf("%+v, %v", who, err)
	}
}

// TestScopes reads scopes as clients, and those who mean harm, write them.
func TestScopes(t *testing.T) {
	for in, want := range map[string]string{
		"repository:a:pull":               "[{a [pull]}]",
		"repository:host:5000/a:pull":     "[]",
		"repository:a:pull,push,pull":     "[{a [pull push pull]}]",
		"repository:a:*":                  "[{a [pull push delete]}]",
		"repository(plugin):a/b:pull":     "[{a/b [pull]}]",
		"repository:**:pull":              "[]",
		"repository:a/*:pull":             "[]",
		"repository::pull":                "[]",
		"repository:a:":                   "[]",
		"repository:a:admin":              "[]",
		"repository:a":                    "[]",
		"registry:catalog:*":              "[]",
		"nonsense:a:pull repository":      "[]",
		"repository:a:pull \trepository:": "[{a [pull]}]",
		"repository:../a:pull":            "[{../a [pull]}]", // which is no repository's name, so there are no rights in it
	} {
		s, _, err := parseScopes([]string{in})
		if err != nil || fmt.Sprint(s.repositories) != want {
			t.Errorf("%q is %v, %v", in, s.repositories, err)
		}
	}
	if _, _, err := parseScopes([]string{strings.Repeat("repository:a:pull ", 65)}); err == nil {
		t.Error("65 scopes are taken")
	}
	if _, _, err := parseScopes([]string{"repository:" + strings.Repeat("a", 600) + ":pull"}); err == nil {
		t.Error("a long scope is taken")
	}
}

func TestCatalogScope(t *testing.T) {
	a, _ := testAccess(t)
	grant(t, a, "user:alice team/** pull")
	who, err := a.Identify(bearer(issue(t, a, TokenAsk{Scopes: []string{"registry:catalog:*"}}).Token))
	if err != nil || a.May(who, Pull, "team/app") || !a.May(Lister(who), Pull, "team/app") {
		t.Errorf("%+v, %v", who, err)
	}
	if who, err = a.Identify(bearer(issue(t, a, TokenAsk{}).Token)); err != nil || a.May(Lister(who), Pull, "team/app") {
		t.Errorf("a token without scopes lists: %v", err)
	}
}

func TestChallenge(t *testing.T) {
	a, _ := testAccess(t)
	a.names = func(host string) bool { return host == "registry.example" || host == "inner.example" || host == "::1" }
	a.ports = []string{"8443", "5443"}
	for host, want := range map[string]string{
		"registry.example:443":   "https://registry.example:443/token",
		"registry.example:5443":  "https://registry.example:5443/token",
		"registry.example:9000":  "https://registry.example/token",
		"registry.example:":      "https://registry.example/token",
		"inner.example":          "https://inner.example/token",
		"registry.example":       "https://registry.example/token",
		"inner.example:8443":     "https://inner.example:8443/token",
		"[::1]:5443":             "https://[::1]:5443/token",
		"evil.example":           "https://registry.example/token",
		"evil.example/x?":        "https://registry.example/token",
		`registry.example" x="`:  "https://registry.example/token",
		"u@registry.example":     "https://registry.example/token",
		"registry.example:443/x": "https://registry.example/token",
		"":                       "https://registry.example/token",
	} {
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		r.Host = host
		if got := a.Challenge(r, "", nil); got != `Bearer realm="`+want+`",service="registry.example"` {
			t.Errorf("asked as %q: %s", host, got)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
	r.Host = "registry.example"
	if got := a.Challenge(r, "repository:a:pull", ErrScope); !strings.HasSuffix(got, `,scope="repository:a:pull",error="insufficient_scope"`) {
		t.Error(got)
	}
}

// TestRealmWithPort wants a realm that a client reaches: what a proxy makes of Host may have no port, or its own.
func TestRealmWithPort(t *testing.T) {
	proxies, err := peer.ParseProxies([]string{"192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	const known = "https://registry.example:8443/token"
	for _, c := range []struct {
		host, forwarded string
		ports           []string // nil where nobody has said how the registry is reached
		want            string
	}{
		{"registry.example:8443", "", []string{"5443"}, known},
		{"registry.example:5443", "", []string{"5443"}, "https://registry.example:5443/token"},
		{"inner.example:5443", "", []string{"5443"}, "https://inner.example:5443/token"},
		{"registry.example", "", []string{"5443"}, known},
		{"inner.example", "", []string{"5443"}, known},
		{"registry.example:443", "", []string{"5443"}, known},
		{"registry.example:80", "", nil, known},
		{"registry.example", "", nil, known},
		{"registry.example:9000", "", []string{"5443"}, known},
		{"registry.example:9000", "", nil, "https://registry.example:9000/token"}, // a port that a container is published at
		{"backend", "registry.example", []string{"5443"}, known},
		{"backend", "registry.example:8443", []string{"5443"}, known},
		{"backend", "inner.example", []string{"5443"}, "https://inner.example/token"}, // a name that the proxy has for itself
		{"backend", "inner.example:9000", []string{"5443"}, "https://inner.example:9000/token"},
		{"backend", "evil.example:8443", []string{"5443"}, known},
	} {
		a, _ := testAccess(t)
		a.issuer, a.ports = "https://registry.example:8443", c.ports
		a.names = func(host string) bool { return host == "registry.example" || host == "inner.example" }
		r := httptest.NewRequest(http.MethodGet, "/v2/", nil)
		r.Host = c.host
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", "192.0.2.7")
			r.Header.Set("X-Forwarded-Host", c.forwarded)
		}
		proxies.Believe(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got := a.realm(r); got != c.want {
				t.Errorf("Host %q, forwarded %q, ports %q: %s, want %s", c.host, c.forwarded, c.ports, got, c.want)
			}
		})).ServeHTTP(nil, r)
	}
}

// jobs is an access room with an issuer of ID tokens.
func jobs(t *testing.T) (*Access, *oidctest.Provider, *time.Time) {
	t.Helper()
	p := oidctest.Start(t)
	store := testStore(t)
	book, err := provenance.NewBook(store, "https://registry.example")
	if err != nil {
		t.Fatal(err)
	}
	if err := book.Begin(background, testKeys()); err != nil {
		t.Fatal(err)
	}
	issuer := oidc.Issuer{URL: p.URL, Audience: "https://registry.example", Kind: "github", CA: p.CA()}
	a, err := New(background, store, Config{URL: "https://registry.example", Book: book, Issuers: []oidc.Issuer{issuer}})
	if err != nil {
		t.Fatal(err)
	}
	clock := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	a.now = func() time.Time { return clock }
	return a, p, &clock
}

// TestJob wants an ID token to be exchanged once, for a session that outlives it, and rights to follow claims.
func TestJob(t *testing.T) {
	a, p, clock := jobs(t)
	grant(t, a, "ci:"+p.URL+":repository_id=4711,ref=refs/heads/* team/** push")
	raw := p.Token(p.GitHub("https://registry.example", *clock, nil))
	who, err := a.Identify(request("oidc", raw, "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	if who.Actor != (provenance.Actor{Kind: provenance.CI, Handle: "octo/app", Account: p.URL + "#repository_id=4711"}) ||
		who.Login.Method != "oidc" || who.Login.Issuer != p.URL || who.Login.Claims["run_id"] != "9001" || !a.May(who, Push, "team/app") || a.May(who, Pull, "other") {
		t.Errorf("%+v, %+v", who, who.Login)
	}
	issued, err := a.Issue(background, who, TokenAsk{Scopes: []string{"repository:team/app:pull,push"}, Offline: true})
	if err != nil || issued.Refresh != "" {
		t.Fatal(issued.Refresh, err)
	}
	*clock = clock.Add(30 * time.Minute) // the ID token has expired, the session has not
	for range 2 {
		if again, err := a.Identify(request("oidc", raw, "192.0.2.1:1")); err != nil || again.Login.Credential != who.Login.Credential {
			t.Errorf("the same ID token later: %+v, %v", again, err)
		}
	}
	again, err := a.Issue(background, who, TokenAsk{Scopes: []string{"repository:team/app:pull,push"}})
	if err != nil {
		t.Fatal(err)
	}
	if by, err := a.Identify(bearer(again.Token)); err != nil || by.Login.Claims["sha"] == "" || !a.May(by, Push, "team/app") || by.Login.Method != "oidc" {
		t.Errorf("%+v, %v", by, err)
	}
	late := p.Token(p.GitHub("https://registry.example", clock.Add(-30*time.Minute), map[string]any{"run_id": "9002"}))
	if _, err := a.Identify(request("oidc", late, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("an expired ID token that was not exchanged: %v", err)
	}
	*clock = clock.Add(30 * time.Minute)
	for _, r := range []*http.Request{request("oidc", raw, "192.0.2.1:1"), bearer(again.Token)} {
		if _, err := a.Identify(r); !errors.Is(err, ErrBadLogin) {
			t.Errorf("when the session is over: %v", err)
		}
	}
}

// TestGrantsThatNeverMatch refuses grants that no job can match when they are made, and takes those that one can.
func TestGrantsThatNeverMatch(t *testing.T) {
	a, p, clock := jobs(t)
	const elsewhere = "https://token.actions.githubusercontent.com/octo-inc"
	for subject, refused := range map[string]bool{
		p.URL + ":repository_id=4711,environment=prod":                   false,
		p.URL + ":repository_id=4711,runner_environment=github-hosted":   false,
		p.URL + ":repository_id=4711,ref_protected=true,ref_type=branch": false,
		p.URL + ":repository_id=4711,ref_protected=yes":                  true,
		p.URL + ":repository_id=4711,ref_type=heads":                     true,
		p.URL + ":repository_id=4711,ref=main":                           true,
		p.URL + ":repository_id=4711,ref=refs/tags/*":                    false,
		p.URL + ":repository_owner_id=77,enterprise_id=55":               false,
		p.URL + ":repository_id=4711,repo_property_tier=prod":            false,
		p.URL + ":repository_id=4711,repo_property_email=x":              true,
		p.URL + ":repository_id=4711,repo_property_=x":                   true,
		p.URL + ":repository_id=4711,no_such_claim=x":                    true,
		p.URL + ":repository_id=4711,sub=**":                             true,
		p.URL + ":repository_id=4711,actor=mona":                         true,
		p.URL + ":repository_id=4711,project_path=octo/app":              true,
		p.URL + ":repository_id=octo/app":                                true,
		p.URL + ":repository_id=4711,event_name=pull_request_target":     true,
		elsewhere + ":repository_id=4711,environment=prod":               false,
		elsewhere + ":repository_id=4711,no_such_claim=x":                true,
		"https://gitlab.example:project_id=7,environment_protected=true": false,
		"https://gitlab.example:project_id=7,deployment_tier=production": false,
		"https://gitlab.example:project_id=7,ref_path=refs/heads/main":   false,
		"https://gitlab.example:project_id=7,ref_path=main":              true,
		"https://gitlab.example:project_id=7,ref=main":                   false,
		"https://gitlab.example:project_id=7,environment_protected=1":    true,
		"https://gitlab.example:project_id=7,repo_property_tier=prod":    true,
		"https://gitlab.example:project_id=7,no_such_claim=x":            true,
		"https://gitlab.example:project_id=7,user_login=mona":            true,
	} {
		g := Grant{Subject: mustSubject(t, "ci:"+subject), Pattern: mustPattern(t, "team/app"), Role: Push}
		_, err := a.Grant(background, Operator, g)
		if errors.Is(err, oidc.ErrNeverMatches) != refused || err != nil && !refused {
			t.Errorf("%s: %v", subject, err)
		}
	}
	who, err := a.Identify(request("oidc", p.Token(p.GitHub("https://registry.example", *clock, nil)), "192.0.2.1:1"))
	if err != nil || !a.May(who, Push, "team/app") {
		t.Errorf("a job that the grants are for: %+v, %v", who, err)
	}
	other, err := a.Identify(request("oidc", p.Token(p.GitHub("https://registry.example", *clock, map[string]any{
		"environment": "test", "runner_environment": "self-hosted", "ref_protected": "false", "enterprise_id": "1",
	})), "192.0.2.1:1"))
	if err != nil || a.May(other, Push, "team/app") {
		t.Errorf("another job: %+v, %v", other, err)
	}
}

// TestWrongTokensSlowNobody has a job show tokens for others, as one that is not set up yet does, and then the right one.
func TestWrongTokensSlowNobody(t *testing.T) {
	a, p, clock := jobs(t)
	for i := range 12 {
		wrong := p.Token(p.GitHub("https://registry.example", *clock, map[string]any{"aud": "https://github.com/octo", "run_id": fmt.Sprint(i)}))
		if _, err := a.Identify(request("oidc", wrong, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
			t.Fatalf("a token for somebody else: %v", err)
		}
	}
	if _, err := a.Identify(request("oidc", p.Token(p.GitHub("https://registry.example", *clock, nil)), "192.0.2.1:1")); err != nil {
		t.Errorf("then the right one: %v", err)
	}
}

// TestJobBesideStrangers has strangers at one address send tokens with made-up keys, and hang up, while the issuer makes a
// new key: a job elsewhere signs in with it.
func TestJobBesideStrangers(t *testing.T) {
	a, p, clock := jobs(t)
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: mine, KeyID: "stray"}}
	stray := oidctest.Sign(t, key, nil, p.GitHub("https://registry.example", *clock, nil))
	ctx, hangUp := context.WithCancel(background)
	var strangers sync.WaitGroup
	for i := range 200 {
		ask := func() {
			if _, err := a.Identify(request("oidc", stray, "192.0.2.9:1").WithContext(ctx)); err == nil {
				t.Error("a token with a made-up key signs in")
			}
		}
		if i < 10 {
			ask()
		} else {
			strangers.Go(ask)
		}
	}
	p.Rotate()
	if _, err := a.Identify(request("oidc", p.Token(p.GitHub("https://registry.example", *clock, nil)), "192.0.2.1:1")); err != nil {
		t.Errorf("a job with the new key: %v", err)
	}
	hangUp()
	strangers.Wait()
}

// TestJobEnded wants an ID token not to be exchanged again when its session was ended.
func TestJobEnded(t *testing.T) {
	a, p, clock := jobs(t)
	raw := p.Token(p.GitHub("https://registry.example", *clock, nil))
	who, err := a.Identify(request("oidc", raw, "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := a.EndSession(background, Operator, who.Login.Credential); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := a.Identify(request("oidc", raw, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
			t.Errorf("an ID token whose session was ended: %v", err)
		}
		a.secrets.Purge()
	}
	if list, err := a.Sessions(background, who.Actor.Account, JobSession, "", 10); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestJobAtOnce shows one ID token in many requests at once, as clients do.
func TestJobAtOnce(t *testing.T) {
	a, p, clock := jobs(t)
	raw := p.Token(p.GitHub("https://registry.example", *clock, nil))
	seen := sync.Map{}
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			who, err := a.Identify(request("oidc", raw, "192.0.2.1:1"))
			if err != nil {
				t.Error(err)
				return
			}
			seen.Store(who.Login.Credential, true)
		})
	}
	group.Wait()
	n := 0
	seen.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("it was exchanged for %d sessions", n)
	}
}

// TestRefusedSecrets wants secrets that nobody can guess to be taken whatever was refused from that address before,
// and under that name.
func TestRefusedSecrets(t *testing.T) {
	a, p, clock := jobs(t)
	_, old, err := a.AddRobot(background, Operator, "builder", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := a.RotateRobot(background, Operator, "builder", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	bad := p.Token(p.GitHub("https://other.example", *clock, nil))
	for range 5 * manyFailures {
		if _, err := a.Identify(request("oidc", bad, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) || !strings.Contains(err.Error(), "audience") {
			t.Fatal(err)
		}
		if _, err := a.Identify(request("builder", old, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
			t.Fatal(err)
		}
	}
	if _, err := a.Identify(request("oidc", p.Token(p.GitHub("https://registry.example", *clock, nil)), "192.0.2.1:1")); err != nil {
		t.Errorf("a good ID token: %v", err)
	}
	if _, err := a.Identify(request("builder", secret, "192.0.2.1:1")); err != nil {
		t.Errorf("the robot's new secret: %v", err)
	}
}

func FuzzBearer(f *testing.F) {
	a, _ := testAccess(f)
	good := issue(f, a, TokenAsk{}).Token
	f.Add(good)
	f.Add("e30.e30")
	f.Fuzz(func(t *testing.T, signed string) {
		if who, err := a.Identify(bearer(signed)); err == nil && signed != good {
			t.Errorf("%q is %+v", signed, who)
		}
	})
}

func FuzzScopes(f *testing.F) {
	f.Add("repository:team/app:pull,push registry:catalog:*")
	f.Fuzz(func(t *testing.T, scope string) {
		s, kept, err := parseScopes([]string{scope})
		if err != nil {
			return
		}
		again, keptAgain, err := parseScopes(kept)
		if err != nil || fmt.Sprint(s, kept) != fmt.Sprint(again, keptAgain) {
			t.Errorf("%q is read as %v, then as %v: %v", scope, s, again, err)
		}
	})
}

// BenchmarkIdentify compares what the ways to sign in cost each request, once they were seen.
func BenchmarkIdentify(b *testing.B) {
	a, _ := testAccess(b)
	signed := issue(b, a, TokenAsk{Scopes: []string{"repository:team/app:pull"}}).Token
	for name, r := range map[string]*http.Request{"basic": request("alice", "correct horse", "192.0.2.1:1"), "bearer": bearer(signed)} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, err := a.Identify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestRobotToken wants a robot's tokens to end with its secret.
func TestRobotToken(t *testing.T) {
	for name, end := range map[string]func(*Access, *time.Time) error{
		"rotated": func(a *Access, _ *time.Time) error {
			_, _, err := a.RotateRobot(background, Operator, "builder", time.Time{})
			return err
		},
		"removed": func(a *Access, _ *time.Time) error { return a.RemoveRobot(background, Operator, "builder") },
		"expired": func(_ *Access, clock *time.Time) error { *clock = clock.Add(2 * time.Minute); return nil },
	} {
		a, clock := testAccess(t)
		_, secret, err := a.AddRobot(background, Operator, "builder", clock.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		grant(t, a, "robot:builder team/** push")
		who, err := a.Identify(request("builder", secret, "192.0.2.1:1"))
		if err != nil {
			t.Fatal(err)
		}
		issued, err := a.Issue(background, who, TokenAsk{Scopes: []string{"repository:team/app:pull,push"}, Offline: true})
		if err != nil || issued.Refresh != "" {
			t.Fatalf("a refresh token for a robot: %q, %v", issued.Refresh, err)
		}
		by, err := a.Identify(bearer(issued.Token))
		if err != nil || by.Actor.Kind != provenance.Robot || !a.May(by, Push, "team/app") {
			t.Fatalf("%+v, %v", by, err)
		}
		if _, _, err := a.AddToken(background, who, NewToken{Name: "x", Scopes: Scopes{UpTo(Everything, Pull)}}); !errors.Is(err, ErrNotOwn) {
			t.Errorf("a robot makes tokens: %v", err)
		}
		if err := end(a, clock); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Identify(bearer(issued.Token)); !errors.Is(err, ErrBadLogin) {
			t.Errorf("%s, and its token counts: %v", name, err)
		}
	}
}

// TestRenamed wants the tokens of somebody who has another name now to be theirs, and nobody else's.
func TestRenamed(t *testing.T) {
	a, _ := testAccess(t)
	owner, err := a.Identify(request("alice", "correct horse", "192.0.2.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	s, secret, err := a.AddToken(background, owner, NewToken{Name: "laptop", Scopes: Scopes{UpTo(Everything, Pull)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(request("alice", secret, "192.0.2.1:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := a.RenameUser(background, Operator, "alice", "alicia"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.AddUser(background, Operator, "alice", "correct horse", false); err != nil {
		t.Fatal(err)
	}
	if who, err := a.Identify(request("alice", secret, "192.0.2.1:1")); !errors.Is(err, ErrBadLogin) {
		t.Errorf("the token is the next alice's: %+v, %v", who, err)
	}
	who, err := a.Identify(request("alicia", secret, "192.0.2.1:1"))
	if err != nil || who.Actor.Handle != "alicia" || who.Actor.Account != s.Owner.Account || who.Login.Identity != "alicia" {
		t.Errorf("%+v, %v", who, err)
	}
}

// full is a store on a full disk.
type full struct{ storage.Store }

func (full) Update(context.Context, func(storage.Tx) error) error { return storage.ErrFull }

// TestTokenOnFullDisk wants tokens to go on where nothing can be written.
func TestTokenOnFullDisk(t *testing.T) {
	a, clock := testAccess(t)
	refresh := issue(t, a, TokenAsk{Offline: true}).Refresh
	a.store = full{a.store}
	*clock = clock.Add(time.Hour)
	who, err := a.Refresh(bearer(""), refresh)
	if err != nil {
		t.Fatal(err)
	}
	issued, err := a.Issue(background, who, TokenAsk{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Identify(bearer(issued.Token)); err != nil {
		t.Error(err)
	}
}

// keylessBook is a book of which the signing key is missing.
type keylessBook struct{ failingBook }

func (keylessBook) Append(storage.Tx, provenance.Event) (*provenance.Record, error) {
	return nil, fmt.Errorf("record 7: %w", provenance.ErrNoKey)
}

// TestEndedWithoutRecord ends a token while nothing can be recorded: anyone it leaked to is out all the same, and none is
// made.
func TestEndedWithoutRecord(t *testing.T) {
	a, _ := testAccess(t)
	bob := addUser(t, a, "bob", false)
	s, _, err := a.AddToken(background, bob, NewToken{Name: "x", Scopes: Scopes{UpTo(Everything, Pull)}})
	if err != nil {
		t.Fatal(err)
	}
	book := a.book
	a.book = keylessBook{}
	if _, _, err := a.AddToken(background, bob, NewToken{Name: "y", Scopes: Scopes{UpTo(Everything, Pull)}}); !errors.Is(err, provenance.ErrNoKey) {
		t.Errorf("made without a record: %v", err)
	}
	if err := a.EndSession(background, bob, s.ID); err != nil {
		t.Errorf("ended: %v", err)
	}
	a.book = book
	if list, err := a.Sessions(background, bob.Actor.Account, TokenSession, "", 10); err != nil || len(list) != 0 {
		t.Errorf("left are %v, %v", list, err)
	}
	if found, _ := problems(t, a); len(found) != 0 {
		t.Errorf("fsck says %q", found)
	}
}

// TestManyJobs begins more sessions for the jobs of one repository than a user may have tokens: their rows stay for days.
func TestManyJobs(t *testing.T) {
	a, clock := testAccess(t)
	begin := func(n int) error {
		return a.store.Update(background, func(tx storage.Tx) (err error) {
			for range n {
				s := session{Session: Session{
					ID: newSessionID(JobSession), Kind: JobSession, Owner: provenance.Actor{Kind: provenance.CI, Handle: "octo/app", Account: "1"},
					Created: provenance.At(*clock), Expires: provenance.At(clock.Add(time.Minute)),
				}}
				s.drawSecret()
				err = errors.Join(err, s.begin(tx))
			}
			return err
		})
	}
	if err := errors.Join(begin(maxSessions), begin(1)); err != nil { // a transaction does not see what it writes
		t.Error(err)
	}
}
