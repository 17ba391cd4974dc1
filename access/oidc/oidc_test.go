package oidc_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
	"github.com/seed-260924e6/hallmark/internal/units"
)

const audience = "https://registry.example"

// world is an issuer, a verifier that trusts it, and its clock.
type world struct {
	*oidctest.Provider
	*oidc.Verifier
	clock time.Time
}

func newWorld(t *testing.T, change func(*oidc.Issuer)) *world {
	t.Helper()
	w := &world{Provider: oidctest.Start(t), clock: time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)}
	c := oidc.Issuer{URL: w.URL, Audience: audience, Kind: "github", CA: w.CA()}
	if change != nil {
		change(&c)
	}
	v, err := oidc.New([]oidc.Issuer{c}, func() time.Time { return w.clock })
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier = v
	return w
}

func (w *world) github(changes map[string]any) map[string]any {
	return w.GitHub(audience, w.clock, changes)
}

func (w *world) verify(raw string) (oidc.Job, error) { return w.verifyFrom(raw, "192.0.2.1") }

func (w *world) verifyFrom(raw, address string) (oidc.Job, error) {
	return w.Verify(context.Background(), raw, address)
}

func TestGitHub(t *testing.T) {
	w := newWorld(t, nil)
	j, err := w.verify(w.Token(w.github(nil)))
	if err != nil {
		t.Fatal(err)
	}
	if j.Issuer != w.URL || j.Handle != "octo/app" || j.Account != w.URL+"#repository_id=4711" || j.Session != time.Hour {
		t.Errorf("%+v", j)
	}
	if len(j.Claims) != 23 || j.Claims["environment"] != "prod" || j.Claims["ref_protected"] != "true" || j.Claims["repository_owner_id"] != "77" || j.Claims["run_id"] != "9001" {
		t.Errorf("claims %v", j.Claims)
	}
	for _, name := range []string{"actor", "actor_id", "sub", "jti", "repository_owner", "head_ref"} {
		if _, ok := j.Claims[name]; ok {
			t.Errorf("claim %s is kept", name)
		}
	}
}

// TestProperties wants what a GitHub organisation says of its repositories to be kept, within bounds and without persons.
func TestProperties(t *testing.T) {
	w := newWorld(t, nil)
	j, err := w.verify(w.Token(w.github(map[string]any{
		"repo_property_tier": "prod", "repo_property_Cost-Center": "c-7", "repo_property_audited": true, "repo_property_docs": "https://u:secret@wiki.example/app",
		"repo_property_owner": "mona@example.org", "repo_property_email": "x", "repo_property_long": strings.Repeat("x", 2000), "repo_property_a$b": "x",
		"repo_property_teams": []any{"a", "b"}, "repo_property_": "x", "repo_property_none": "",
	})))
	want := map[string]string{"repo_property_tier": "prod", "repo_property_Cost-Center": "c-7", "repo_property_audited": "true", "repo_property_docs": "https://wiki.example/app"}
	maps.DeleteFunc(j.Claims, func(name, _ string) bool { return !strings.HasPrefix(name, "repo_property_") })
	if err != nil || !maps.Equal(j.Claims, want) {
		t.Errorf("%v, %v; want %v", j.Claims, err, want)
	}
	many := map[string]any{}
	for i := range 40 {
		many[fmt.Sprintf("repo_property_p%02d", i)] = "x"
	}
	j, err = w.verify(w.Token(w.github(many)))
	if err != nil || len(j.Claims) != 23+16 || j.Claims["repo_property_p15"] != "x" || j.Claims["run_id"] != "9001" {
		t.Errorf("%d claims, %v", len(j.Claims), err)
	}
}

func TestGitLab(t *testing.T) {
	w := newWorld(t, func(c *oidc.Issuer) { c.Kind, c.Session = "gitlab", units.Duration(2*time.Hour) })
	claims := w.GitLab(audience, w.clock, map[string]any{"aud": []string{"other", audience}, "project_id": 42, "ref_protected": true})
	j, err := w.verify(w.Token(claims))
	if err != nil {
		t.Fatal(err)
	}
	if j.Handle != "octo/app" || j.Account != w.URL+"#project_id=42" || j.Claims["ref_protected"] != "true" || j.Session != 2*time.Hour ||
		len(j.Claims) != 27 || j.Claims["environment_protected"] != "true" || j.Claims["deployment_tier"] != "production" || j.Claims["runner_id"] != "1" {
		t.Errorf("%d claims, %+v", len(j.Claims), j)
	}
	for _, name := range []string{"user_id", "user_login", "user_access_level", "user_identities", "groups_direct", "sub"} {
		if _, ok := j.Claims[name]; ok {
			t.Errorf("claim %s is kept", name)
		}
	}
	for _, value := range j.Claims {
		if strings.Contains(value, "mona") {
			t.Errorf("a person is named: %v", j.Claims)
		}
	}
}

func TestGeneric(t *testing.T) {
	w := newWorld(t, func(c *oidc.Issuer) { c.Kind, c.Claims, c.IDs = "", []string{"pipeline"}, []string{"sub"} })
	claims := func(sub string) map[string]any {
		return map[string]any{
			"iss": w.URL, "aud": audience, "sub": sub, "iat": w.clock.Unix(), "exp": w.clock.Add(time.Minute).Unix(),
			"pipeline": "release", "email": "mona@example.org",
		}
	}
	j, err := w.verify(w.Token(claims("org:acme:pipeline:release")))
	if err != nil || j.Handle != "org:acme:pipeline:release" || j.Account != w.URL+"#sub=org:acme:pipeline:release" || len(j.Claims) != 2 {
		t.Errorf("%+v, %v", j, err)
	}
	for _, sub := range []string{"", "mona@example.org", strings.Repeat("x", 1025)} {
		if _, err := w.verify(w.Token(claims(sub))); !errors.Is(err, oidc.ErrToken) {
			t.Errorf("sub %.20q: %v", sub, err)
		}
	}
}

// TestOddClaims has claims within others, with odd names, and of kinds that nobody can compare.
func TestOddClaims(t *testing.T) {
	deep := map[string]any{}
	for i := range 40 {
		deep[fmt.Sprintf("k%02d", i)] = i
	}
	for name, c := range map[string]struct {
		ids, claims []string
		changes     map[string]any
		want        map[string]string // beside sub
	}{
		"all of Kubernetes": {[]string{"sub"}, []string{"kubernetes.io"}, nil, map[string]string{
			"kubernetes.io/namespace": "prod", "kubernetes.io/node/name": "node-1", "kubernetes.io/node/uid": "n-1", "kubernetes.io/pod/name": "build-7", "kubernetes.io/pod/uid": "p-1",
			"kubernetes.io/serviceaccount/name": "builder", "kubernetes.io/serviceaccount/uid": "a-1", "kubernetes.io/warnafter": "1795593660",
		}},
		"some of it":                {[]string{"kubernetes.io/serviceaccount/uid"}, []string{"kubernetes.io/namespace"}, nil, map[string]string{"kubernetes.io/namespace": "prod", "kubernetes.io/serviceaccount/uid": "a-1"}},
		"a slash in a name":         {[]string{"oidc.circleci.com/project-id"}, nil, map[string]any{"oidc.circleci.com/project-id": "c-1"}, map[string]string{"oidc.circleci.com/project-id": "c-1"}},
		"capitals":                  {[]string{"repositoryUuid"}, nil, map[string]any{"repositoryUuid": "{b-1}"}, map[string]string{"repositoryUuid": "{b-1}"}},
		"a list":                    {[]string{"sub"}, []string{"groups"}, map[string]any{"groups": []any{"a", "b"}}, nil},
		"none":                      {[]string{"sub"}, []string{"pipeline"}, map[string]any{"pipeline": nil}, nil},
		"unknown and nested":        {[]string{"sub"}, nil, map[string]any{"act": map[string]any{"sub": "x", "deep": map[string]any{"email": "mona@example.org"}}}, nil},
		"a person in it":            {[]string{"sub"}, []string{"ctx"}, map[string]any{"ctx": map[string]any{"email": "mona@example.org", "user": map[string]any{"user_login": "mona"}, "id": 7}}, map[string]string{"ctx/id": "7"}},
		"too long, in it":           {[]string{"sub"}, []string{"ctx"}, map[string]any{"ctx": map[string]any{"a": strings.Repeat("x", 2000), "b": true, "c d": "x"}}, map[string]string{"ctx/b": "true"}},
		"a URL with a token, in it": {[]string{"sub"}, []string{"ctx"}, map[string]any{"ctx": map[string]any{"url": "https://u:secret@git.example/app"}}, map[string]string{"ctx/url": "https://git.example/app"}},
		"a URL with a token":        {[]string{"sub"}, []string{"repo_url"}, map[string]any{"repo_url": "https://u:secret@git.example/app?private_token=secret"}, map[string]string{"repo_url": "https://git.example/app"}},
	} {
		w := newWorld(t, func(i *oidc.Issuer) { i.Kind, i.IDs, i.Claims = "generic", c.ids, c.claims })
		j, err := w.verify(w.Token(w.Kubernetes(audience, w.clock, c.changes)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		delete(j.Claims, "sub")
		if cut := strings.HasPrefix(name, "a URL with a token"); cut != slices.Equal(j.Cut, []string{map[bool]string{true: "ctx/url", false: "repo_url"}[strings.HasSuffix(name, "in it")]}) || !cut && j.Cut != nil {
			t.Errorf("%s: %q are said to be cut", name, j.Cut)
		}
		if !maps.Equal(j.Claims, c.want) {
			t.Errorf("%s: %v, want %v", name, j.Claims, c.want)
		}
		if id := c.ids[0]; id != "sub" && j.Account != w.URL+"#"+id+"="+c.want[id] {
			t.Errorf("%s: the account is %s", name, j.Account)
		}
	}
	w := newWorld(t, func(i *oidc.Issuer) { i.Kind, i.IDs, i.Claims = "generic", []string{"sub"}, []string{"ctx"} })
	if j, err := w.verify(w.Token(w.Kubernetes(audience, w.clock, map[string]any{"ctx": deep}))); err != nil || len(j.Claims) != 17 {
		t.Errorf("%d claims, %v", len(j.Claims), err)
	}
}

// TestIDsAreWhole has jobs whose ids differ only in what is never kept: they are refused, since they would be one account.
func TestIDsAreWhole(t *testing.T) {
	w := newWorld(t, func(i *oidc.Issuer) { i.Kind, i.IDs = "generic", []string{"project", "sub"} })
	for project, want := range map[string]string{
		"https://git.example/app":             "https://git.example/app",
		"https://git.example/app?id=7":        "https://git.example/app?id=7",
		"https://git.example/app?project=7":   "",
		"https://git.example/app?project=8":   "",
		"https://u:secret@git.example/app":    "",
		"https://git.example/app#token=other": "",
	} {
		for id, other := range map[string]string{"project": "sub", "sub": "project"} {
			j, err := w.verify(w.Token(w.Kubernetes(audience, w.clock, map[string]any{id: project, other: "x"})))
			if want == "" && (!errors.Is(err, oidc.ErrToken) || strings.Contains(err.Error(), "secret@")) || want != "" && (err != nil || j.Claims[id] != want) {
				t.Errorf("%s %s: %+v, %v", id, project, j, err)
			}
		}
	}
}

// TestKindOfURL wants GitHub and GitLab to be known by their issuers, also those of enterprises.
func TestKindOfURL(t *testing.T) {
	for url, want := range map[string]bool{
		"https://token.actions.githubusercontent.com":          true,
		"https://token.actions.githubusercontent.com/octo-inc": true,
		"https://token.actions.octo.ghe.com":                   true,
		"https://github.octo.example/_services/token":          true,
		"https://gitlab.com":                                   true,
		"https://gitlab.example":                               false,
		"https://token.actions.githubusercontent.com.evil":     false,
	} {
		_, err := oidc.New([]oidc.Issuer{{URL: url, Audience: audience}}, time.Now)
		if (err == nil) != want {
			t.Errorf("%s without a kind: %v", url, err)
		}
	}
}

// TestForged sends what attackers would.
func TestForged(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.verify(w.Token(w.github(nil))); err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(w.Public().Key)
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(w.Public())
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mineRSA, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(alg jose.SignatureAlgorithm, key any, id string, header map[jose.HeaderKey]any) string {
		return oidctest.Sign(t, jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, header, w.github(nil))
	}
	good := strings.Split(w.Token(w.github(nil)), ".")
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	other := strings.Split(w.Token(w.github(map[string]any{"repository_id": "1"})), ".")
	for name, raw := range map[string]string{
		"alg none":                    part(`{"alg":"none","kid":"rsa"}`) + "." + good[1] + ".",
		"alg none, signed":            part(`{"alg":"none","kid":"rsa"}`) + "." + good[1] + "." + good[2],
		"no signature":                good[0] + "." + good[1] + ".",
		"another one's signature":     good[0] + "." + good[1] + "." + other[2],
		"the public key as a secret":  sign(jose.HS256, public, "rsa", nil),
		"the public JWK as a secret":  sign(jose.HS256, jwk, "rsa", nil),
		"my key under its id":         sign(jose.RS256, mineRSA, "rsa", nil),
		"my key without an id":        sign(jose.ES256, mine, "", nil),
		"my key under a path":         sign(jose.ES256, mine, "../../../dev/null", nil),
		"my key under SQL":            sign(jose.ES256, mine, "x' OR '1'='1", nil),
		"my key in the header":        oidctest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: mine}, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: mine.Public()}}, w.github(nil)),
		"my key by a URL":             sign(jose.ES256, mine, "mine", map[jose.HeaderKey]any{"jku": "https://evil.example/keys", "x5u": "https://evil.example/cert"}),
		"critical headers":            part(`{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}`) + "." + good[1] + "." + good[2],
		"another audience":            w.Token(w.github(map[string]any{"aud": "https://other.example"})),
		"no audience":                 w.Token(w.github(map[string]any{"aud": nil})),
		"another issuer":              w.Token(w.github(map[string]any{"iss": "https://evil.example"})),
		"the issuer with a slash":     w.Token(w.github(map[string]any{"iss": w.URL + "/"})),
		"no issuer":                   w.Token(w.github(map[string]any{"iss": nil})),
		"expired":                     w.Token(w.github(map[string]any{"exp": w.clock.Add(-2 * time.Minute).Unix()})),
		"without an end":              w.Token(w.github(map[string]any{"exp": nil})),
		"without a beginning":         w.Token(w.github(map[string]any{"iat": nil})),
		"from the future":             w.Token(w.github(map[string]any{"iat": w.clock.Add(2 * time.Minute).Unix()})),
		"not yet":                     w.Token(w.github(map[string]any{"nbf": w.clock.Add(2 * time.Minute).Unix()})),
		"without an id":               w.Token(w.github(map[string]any{"repository_id": nil})),
		"an id that is a list":        w.Token(w.github(map[string]any{"repository_id": []string{"4711"}})),
		"a claim without end":         w.Token(w.github(map[string]any{"ref": strings.Repeat("x", 2000)})),
		"pull_request_target":         w.Token(w.github(map[string]any{"event_name": "pull_request_target"})),
		"a token without end":         w.Token(w.github(map[string]any{"more": strings.Repeat("x", 20<<10)})),
		"no token":                    "eyJ.x",
		"no payload":                  good[0] + "..",
		"a payload that is no object": good[0] + "." + part(`[]`) + "." + good[2],
	} {
		if j, err := w.verify(raw); !errors.Is(err, oidc.ErrToken) && !errors.Is(err, oidc.ErrIssuer) {
			t.Errorf("%s: %+v, %v", name, j, err)
		}
	}
	if n := w.Asked.Discovery.Load(); n != 1 {
		t.Errorf("the issuer was discovered %d times", n)
	}
	if n := w.Asked.Keys.Load(); n > 10 {
		t.Errorf("it was asked for its keys %d times", n)
	}
}

// stray is a token whose key the issuer does not know.
func (w *world) stray(t *testing.T, id string) string {
	t.Helper()
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return oidctest.Sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: mine, KeyID: id}}, nil, w.github(nil))
}

// TestStrangersWithKeys has a stranger send tokens with made-up keys without end. The issuer is not asked each time; a job
// elsewhere, whose issuer has just made a new key, signs in at once.
func TestStrangersWithKeys(t *testing.T) {
	w := newWorld(t, nil)
	stray := w.stray(t, "stray")
	for range 10 { // its share
		if _, err := w.verifyFrom(stray, "2001:db8::1"); !errors.Is(err, oidc.ErrToken) {
			t.Fatal(err)
		}
	}
	var strangers sync.WaitGroup
	ctx, hangUp := context.WithCancel(context.Background())
	for i := range 100 {
		strangers.Go(func() {
			_, err := w.Verify(ctx, stray, fmt.Sprintf("2001:db8::%d", i))
			if !errors.Is(err, oidc.ErrToken) && !errors.Is(err, context.Canceled) { // which one says who came when
				t.Error(err)
			}
		})
	}
	w.Rotate()
	if _, err := w.verifyFrom(w.Token(w.github(nil)), "192.0.2.1"); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	hangUp()
	strangers.Wait()
	if n := w.Asked.Keys.Load(); n > 50 {
		t.Errorf("it was asked for its keys %d times", n)
	}
}

// TestStrangersHangUp wants those who do not wait for an answer not to make us ask for more.
func TestStrangersHangUp(t *testing.T) {
	w := newWorld(t, nil)
	stray := w.stray(t, "stray")
	if _, err := w.verify(stray); !errors.Is(err, oidc.ErrToken) {
		t.Fatal(err)
	}
	for range 100 {
		ctx, hangUp := context.WithCancel(context.Background())
		hangUp()
		if _, err := w.Verify(ctx, stray, "192.0.2.1"); err == nil {
			t.Fatal(err)
		}
	}
	if _, err := w.verifyFrom(stray, "192.0.2.2"); !errors.Is(err, oidc.ErrToken) { // what was begun is over now
		t.Fatal(err)
	}
	if n := w.Asked.Keys.Load(); n > 50 {
		t.Errorf("it was asked for its keys %d times", n)
	}
}

// TestOddKeys wants a key that is of no kind that we know not to keep us from using those that are.
func TestOddKeys(t *testing.T) {
	w := newWorld(t, nil)
	public, err := json.Marshal(w.Public())
	if err != nil {
		t.Fatal(err)
	}
	w.Answer = func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			_, _ = rw.Write([]byte(`{"keys":[{"kty":"new","kid":"a"},{"kty":"EC","crv":"secp256k1","alg":"ES256K","kid":"b","x":"AA","y":"AA"},` + string(public) + `]}`))
			return
		}
		_, _ = rw.Write([]byte(`{"issuer":"` + w.URL + `","jwks_uri":"` + w.URL + `/keys"}`))
	}
	if _, err := w.verify(w.Token(w.github(nil))); err != nil {
		t.Error(err)
	}
}

func TestSkew(t *testing.T) {
	w := newWorld(t, nil)
	for name, changes := range map[string]map[string]any{
		"just expired":     {"exp": w.clock.Add(-50 * time.Second).Unix()},
		"issued in 50 s":   {"iat": w.clock.Add(50 * time.Second).Unix()},
		"beginning in 50s": {"nbf": w.clock.Add(50 * time.Second).Unix()},
	} {
		if _, err := w.verify(w.Token(w.github(changes))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPullRequestTargetNamed(t *testing.T) {
	w := newWorld(t, func(c *oidc.Issuer) { c.AllowEvents = []string{"pull_request_target"} })
	if _, err := w.verify(w.Token(w.github(map[string]any{"event_name": "pull_request_target"}))); err != nil {
		t.Error(err)
	}
}

// TestRotation wants a new key to be found, and an old one to end.
func TestRotation(t *testing.T) {
	w := newWorld(t, nil)
	old := w.Token(w.github(map[string]any{"exp": w.clock.Add(48 * time.Hour).Unix()}))
	if _, err := w.verify(old); err != nil {
		t.Fatal(err)
	}
	w.Rotate()
	if _, err := w.verify(w.Token(w.github(nil))); err != nil {
		t.Fatalf("with the new key: %v", err)
	}
	w.clock = w.clock.Add(2 * time.Hour)
	if _, err := w.verify(old); !errors.Is(err, oidc.ErrToken) {
		t.Errorf("with the key that the issuer withdrew: %v", err)
	}
}

// TestOneAsks wants many jobs at once to ask the issuer once.
func TestOneAsks(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.Token(w.github(nil))
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if _, err := w.verify(raw); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if d, k := w.Asked.Discovery.Load(), w.Asked.Keys.Load(); d != 1 || k != 1 {
		t.Errorf("discovered %d times, keys %d times", d, k)
	}
}

// TestBadIssuer has an issuer that fails, in several ways, and one that is well again.
func TestBadIssuer(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		},
		"without end": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3<<20)) },
		"another's": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"https://evil.example"}`))
		},
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"ambiguous": func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(`{"issuer":"https://` + r.Host + `","jwks_uri":"https://evil.example/keys","jwks_uri":"https://` + r.Host + `/keys"}`))
		},
		"keys over TCP": nil,
	} {
		w := newWorld(t, nil)
		if w.Answer = answer; answer == nil {
			w.Answer = func(rw http.ResponseWriter, _ *http.Request) {
				_, _ = rw.Write([]byte(`{"issuer":"` + w.URL + `","jwks_uri":"` + strings.Replace(w.URL, "https", "http", 1) + `/keys"}`))
			}
		}
		raw := w.Token(w.github(nil))
		if _, err := w.verify(raw); !errors.Is(err, oidc.ErrIssuer) {
			t.Errorf("%s: %v", name, err)
		}
		w.Answer = nil
		if _, err := w.verify(raw); answer != nil && !errors.Is(err, oidc.ErrIssuer) {
			t.Errorf("%s: it was asked again at once: %v", name, err)
		}
		w.clock = w.clock.Add(11 * time.Second)
		if _, err := w.verify(raw); answer != nil && err != nil {
			t.Errorf("%s: later: %v", name, err)
		}
	}
}

// TestIssuerAway wants keys to be used for a while when the issuer does not answer any more.
func TestIssuerAway(t *testing.T) {
	w := newWorld(t, nil)
	raw := w.Token(w.github(map[string]any{"exp": w.clock.Add(48 * time.Hour).Unix()}))
	if _, err := w.verify(raw); err != nil {
		t.Fatal(err)
	}
	w.Answer = func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) }
	w.clock = w.clock.Add(2 * time.Hour)
	if _, err := w.verify(raw); err != nil {
		t.Errorf("after two hours: %v", err)
	}
	w.clock = w.clock.Add(24 * time.Hour)
	if _, err := w.verify(raw); !errors.Is(err, oidc.ErrIssuer) {
		t.Errorf("after a day: %v", err)
	}
}

func TestConfig(t *testing.T) {
	good := oidc.Issuer{URL: "https://issuer.example", Audience: audience, IDs: []string{"sub"}}
	for _, c := range []struct {
		says   string
		change func(*oidc.Issuer)
	}{
		{"no https URL", func(c *oidc.Issuer) { c.URL = "http://issuer.example" }},
		{"no https URL", func(c *oidc.Issuer) { c.URL = "" }},
		{"no https URL", func(c *oidc.Issuer) { c.URL = "https:issuer" }},
		{"no https URL", func(c *oidc.Issuer) { c.URL = "https://u:p@issuer.example" }},
		{"no https URL", func(c *oidc.Issuer) { c.URL = "https://issuer.example?x" }},
		{"kind is", func(c *oidc.Issuer) { c.Kind = "gitea" }},
		{"audience is missing", func(c *oidc.Issuer) { c.Audience = "" }},
		{"for the kind generic", func(c *oidc.Issuer) { c.Kind, c.IDs, c.Claims = "github", nil, []string{"actor_id"} }},
		{"for the kind generic", func(c *oidc.Issuer) { c.Kind = "github" }},
		{"ids is missing", func(c *oidc.Issuer) { c.IDs = nil }},
		{"who a person is", func(c *oidc.Issuer) { c.Claims = []string{"email"} }},
		{"who a person is", func(c *oidc.Issuer) { c.IDs = []string{"email"} }},
		{"who a person is", func(c *oidc.Issuer) { c.Claims = []string{"act/email"} }},
		{"none that a grant can name", func(c *oidc.Issuer) { c.Claims = []string{"https://aws.example/tags"} }},
		{"none that a grant can name", func(c *oidc.Issuer) { c.IDs = []string{"a=b"} }},
		{"none that a grant can name", func(c *oidc.Issuer) { c.IDs = []string{""} }},
		{"longer than a day", func(c *oidc.Issuer) { c.Session = units.Duration(25 * time.Hour) }},
		{"refused otherwise", func(c *oidc.Issuer) { c.AllowEvents = []string{"push"} }},
		{"no such file", func(c *oidc.Issuer) { c.CA = "nowhere.pem" }},
		{"holds no PEM", func(c *oidc.Issuer) { c.CA = "oidc.go" }},
	} {
		issuer := good
		c.change(&issuer)
		if _, err := oidc.New([]oidc.Issuer{issuer}, time.Now); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.says, err)
		}
	}
	if _, err := oidc.New([]oidc.Issuer{good, good}, time.Now); err == nil {
		t.Error("an issuer twice")
	}
}

func FuzzVerify(f *testing.F) {
	v, err := oidc.New([]oidc.Issuer{{URL: "https://127.0.0.1:1", Audience: audience, IDs: []string{"sub"}}}, time.Now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9.")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, raw string) {
		if j, err := v.Verify(context.Background(), raw, "192.0.2.1"); err == nil {
			t.Errorf("%q is %+v", raw, j)
		}
	})
}
