package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
)

// hallmark runs a command on the server's data directory.
func (s *testServer) hallmark(args ...string) string {
	s.t.Helper()
	cmd := verb(s.t, append(args, "--data", s.dir)...)
	cmd.Env = append(os.Environ(), ownConfig(s.dir))
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("hallmark %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// token asks /token, and returns what it says.
func (s *testServer) token(status int, method, query, login, form string) map[string]any {
	s.t.Helper()
	header := []string{}
	if form != "" {
		header = []string{"Content-Type", "application/x-www-form-urlencoded"}
	}
	got, _, body := s.do(method, "/token"+query, login, form, header...)
	if got != status {
		s.t.Errorf("%s /token%s: status %d, want %d\n%s", method, query, got, status, body)
	}
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		s.t.Fatalf("%v\n%s", err, body)
	}
	return answer
}

func form(pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v.Encode()
}

// TestToken follows docker's token flow by hand: the challenge, the token, the request, and what is refused.
func TestToken(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	s.push("team/app", "1.0", "one", nil)
	host := addressOf(s.url)
	_, header, _ := s.do("GET", "/v2/team/app/manifests/1.0", "none", "")
	want := fmt.Sprintf(`Bearer realm="https://%s/token",service="%s",scope="repository:team/app:pull"`, host, host)
	if got := header.Get("Www-Authenticate"); got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
	_, header, _ = s.do("POST", "/v2/team/app/blobs/uploads/?mount=sha256:x&from=team/web", "none", "")
	if got := header.Get("Www-Authenticate"); !strings.HasSuffix(got, `,scope="repository:team/app:pull,push repository:team/web:pull"`) {
		t.Errorf("challenge of a mount: %s", got)
	}
	password := form("grant_type", "password", "username", "admin", "password", adminPassword, "scope", "repository:team/app:pull", "access_type", "offline", "client_id", "test")
	refresh := s.token(200, "POST", "", "none", password)["refresh_token"].(string)
	for name, answer := range map[string]map[string]any{
		"GET":     s.token(200, "GET", "?service="+host+"&scope=repository:team/app:pull&account=admin", "", ""),
		"POST":    s.token(200, "POST", "", "none", password),
		"refresh": s.token(200, "POST", "", "none", form("grant_type", "refresh_token", "refresh_token", refresh, "scope", "repository:team/app:pull")),
	} {
		signed := answer["token"].(string)
		if signed != answer["access_token"] || answer["expires_in"] != 300. || answer["token_type"] != "Bearer" {
			t.Errorf("%s: %v", name, answer)
		}
		if _, err := time.Parse(time.RFC3339, answer["issued_at"].(string)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		authorization := []string{"Authorization", "Bearer " + signed}
		if status, _, body := s.do("GET", "/v2/team/app/manifests/1.0", "none", "", authorization...); status != 200 {
			t.Errorf("%s: pull with the token: %d %s", name, status, body)
		}
		status, header, _ := s.do("POST", "/v2/team/app/blobs/uploads/", "none", "", authorization...)
		if got := header.Get("Www-Authenticate"); status != 401 || !strings.HasSuffix(got, `scope="repository:team/app:pull,push",error="insufficient_scope"`) {
			t.Errorf("%s: push with a token for pull: %d %s", name, status, got)
		}
		status, header, _ = s.do("GET", "/v2/_catalog", "none", "", authorization...)
		if got := header.Get("Www-Authenticate"); status != 401 || !strings.HasSuffix(got, `scope="registry:catalog:*",error="insufficient_scope"`) {
			t.Errorf("%s: a list with a token for one repository: %d %s", name, status, got)
		}
		if status, _, _ := s.do("GET", "/api/v1/users", "none", "", authorization...); status != 403 {
			t.Errorf("%s: administration with a token for pull: %d", name, status)
		}
		if status, _, _ := s.do("GET", "/token", "none", "", authorization...); status != 400 {
			t.Errorf("%s: a token for a token: %d", name, status)
		}
	}
}

// TestTokenRefusals sends what /token does not take.
func TestTokenRefusals(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for _, c := range []struct {
		status              int
		code                string
		method, query, form string
		login               string
		says                string
	}{
		{401, "invalid_grant", "GET", "", "", "none", "sign in first"},
		{401, "invalid_grant", "GET", "", "", "admin:wrong-password", "is wrong"},
		{400, "invalid_request", "GET", "?service=other.example", "", "", "another service"},
		{400, "invalid_request", "GET", "?scope=" + strings.Repeat("repository:a:pull%20", 65), "", "", "too much"},
		{400, "invalid_request", "GET", "?a=%zz", "", "", "malformed"},
		{405, "invalid_request", "DELETE", "", "", "", "GET and POST"},
		{401, "invalid_grant", "POST", "", form("grant_type", "password", "username", "admin", "password", "wrong-password"), "none", "is wrong"},
		{401, "invalid_grant", "POST", "", form("grant_type", "refresh_token", "refresh_token", "hmrk_x"), "none", "no refresh token"},
		{400, "invalid_request", "POST", "", form("grant_type", "client_credentials"), "", "grant_type is"},
		{400, "invalid_request", "POST", "", "grant_type=%zz", "", "malformed"},
		{400, "invalid_request", "POST", "?grant_type=password&username=admin&password=" + url.QueryEscape(adminPassword), "x=1", "", "grant_type is"},
		{413, "invalid_request", "POST", "", "x=" + strings.Repeat("x", 40<<10), "", "bytes"},
		{400, "invalid_request", "POST", "", form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "x"), "", "ID token"},
		{401, "invalid_grant", "POST", "", form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange", "subject_token", "eyJhbGciOiJub25lIn0.e30.", "subject_token_type", "urn:ietf:params:oauth:token-type:jwt"), "none", "issuer"},
	} {
		answer := s.token(c.status, c.method, c.query, c.login, c.form)
		description, _ := answer["error_description"].(string)
		if answer["error"] != c.code || !strings.Contains(description, c.says) {
			t.Errorf("%s %.40s %.40s: %v", c.method, c.query, c.form, answer)
		}
		if errors, ok := answer["errors"].([]any); !ok || errors[0].(map[string]any)["message"] != description {
			t.Errorf("%s %.40s: it does not say it in OCI's shape: %v", c.method, c.query, answer)
		}
	}
	if status, _, _ := s.do("POST", "/token", "none", "grant_type=password", "Content-Type", "multipart/form-data; boundary=x"); status != 415 {
		t.Errorf("another kind of form: %d", status)
	}
	if status, _, _ := s.do("POST", "/token", "none", "grant_type=password", "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example"); status != 403 {
		t.Errorf("from another site: %d", status)
	}
}

// jobsOf is the configuration of a registry that trusts an issuer.
func jobsOf(issuer *oidctest.Provider) string {
	return fmt.Sprintf("oidc:\n  - issuer: %s\n    audience: hallmark\n    kind: github\n    ca: %s\n", issuer.URL, issuer.CA())
}

// TestJobPushes lets a CI job push with the ID token of a real issuer, and finds in the record where it ran.
func TestJobPushes(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	issuer := oidctest.Start(t)
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, jobsOf(issuer)))
	s.hallmark("grant", "ci:"+issuer.URL+":repository_id=4711,ref=refs/heads/main", "team/*", "push")
	push := func(repo string, changes map[string]any) error {
		raw := issuer.Token(issuer.GitHub("hallmark", time.Now(), changes))
		target, err := repository(s.client, addressOf(s.url), "oidc:"+raw, repo)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pushTo(context.Background(), target, "1.0", "one", nil)
		return err
	}
	if err := push("team/app", nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		repo    string
		changes map[string]any
	}{
		"elsewhere":           {"other/app", nil},
		"another branch":      {"team/app", map[string]any{"ref": "refs/heads/evil"}},
		"another repository":  {"team/app", map[string]any{"repository_id": "1"}},
		"pull_request_target": {"team/app", map[string]any{"event_name": "pull_request_target"}},
		"another audience":    {"team/app", map[string]any{"aud": "https://github.com/octo"}},
	} {
		if err := push(c.repo, c.changes); err == nil {
			t.Errorf("%s: it was pushed", name)
		}
	}
	var page struct {
		Records []struct {
			Actor         struct{ Kind, Handle, Account string }
			Authenticated struct {
				Method, Issuer string
				Claims         map[string]string
			}
		}
	}
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/api/v1/records?repo=team/app")), &page); err != nil {
		t.Fatal(err)
	}
	if len(page.Records) != 1 {
		t.Fatalf("%d records", len(page.Records))
	}
	r := page.Records[0]
	if r.Actor.Kind != "ci" || r.Actor.Handle != "octo/app" || r.Authenticated.Method != "oidc" || r.Authenticated.Issuer != issuer.URL ||
		r.Authenticated.Claims["sha"] != "0123456789abcdef0123456789abcdef01234567" || r.Authenticated.Claims["actor"] != "" {
		t.Errorf("%+v", r)
	}
	shown := s.hallmark("show", "team/app:1.0")
	for _, says := range []string{"octo/app", issuer.URL, "refs/heads/main", "0123456789abcdef0123456789abcdef01234567"} {
		if !strings.Contains(shown, says) {
			t.Errorf("show does not say %s:\n%s", says, shown)
		}
	}
	raw := issuer.Token(issuer.GitHub("hallmark", time.Now(), map[string]any{"run_id": "9002"}))
	answer := s.token(200, "POST", "", "none", form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange",
		"subject_token", raw, "subject_token_type", "urn:ietf:params:oauth:token-type:id_token", "scope", "repository:team/app:pull"))
	if answer["issued_token_type"] != "urn:ietf:params:oauth:token-type:access_token" {
		t.Errorf("%v", answer)
	}
	if status, _, _ := s.do("GET", "/v2/team/app/tags/list", "none", "", "Authorization", "Bearer "+answer["access_token"].(string)); status != 200 {
		t.Errorf("with the exchanged token: %d", status)
	}
	if list := s.hallmark("session", "list", "--account", r.Actor.Account); !strings.Contains(list, "9001") || !strings.Contains(list, "job-") {
		t.Errorf("sessions:\n%s", list)
	}
}

// TestBehindProxy wants records and the realm to be about the client, where the proxy is trusted.
func TestBehindProxy(t *testing.T) {
	t.Parallel()
	s := insecure(t, "--config", writeFile(t, "trustedProxies: [127.0.0.1]\nhosts: [public.example]\n"))
	_, header, _ := s.do("GET", "/v2/", "none", "", "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "public.example")
	if got := header.Get("Www-Authenticate"); !strings.HasPrefix(got, `Bearer realm="https://public.example/token",service="localhost:`) {
		t.Errorf("challenge %s", got)
	}
	_, header, _ = s.do("GET", "/v2/", "none", "", "X-Forwarded-For", "192.0.2.7", "X-Forwarded-Host", "evil.example")
	if got := header.Get("Www-Authenticate"); !strings.HasPrefix(got, `Bearer realm="`+s.url+`/token"`) {
		t.Errorf("challenge for another host: %s", got)
	}
	if !strings.Contains(s.log(), "from=192.0.2.7") {
		t.Errorf("the log does not say where it came from:\n%s", s.log())
	}
}

// TestLimits wants too many requests to be told when to come again.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "limits:\n  identity: 60/h\n  address: 60/h\n"))
	for _, c := range []struct{ login, path string }{{"none", "/v2/"}, {"", "/v2/"}, {"", "/api/v1/records"}} {
		var status int
		var header http.Header
		var body string
		for range 20 {
			if status, header, body = s.do("GET", c.path, c.login, ""); status == 429 {
				break
			}
		}
		if status != 429 || header.Get("Retry-After") == "" || !strings.Contains(body, "too many requests") {
			t.Errorf("%s as %q: %d %v %s", c.path, c.login, status, header, body)
		}
		if strings.HasPrefix(c.path, "/v2") && !strings.Contains(body, `"code":"TOOMANYREQUESTS"`) {
			t.Errorf("%s: %s", c.path, body)
		}
	}
}

// TestChallengeIsNoSecret wants a token not to tell more than its owner knows.
func TestChallengeIsNoSecret(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	signed := s.token(200, "GET", "?scope=repository:team/app:pull", "", "")["token"].(string)
	body, _, _ := strings.Cut(signed, ".")
	text, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || strings.Contains(string(text), adminPassword) {
		t.Errorf("%s, %v", text, err)
	}
}

// tokenRequests are what TestOpenAPI asks about tokens and sessions.
func tokenRequests(t *testing.T, s *testServer, large string) []asked {
	t.Helper()
	const tokens, sessions, one = "/api/v1/access/tokens", "/api/v1/access/sessions", `{"name":"one","lasts":"1d","scopes":[{"pattern":"**","rights":["pull","admin"]}]}`
	js, urlForm := []string{"Content-Type", "application/json"}, []string{"Content-Type", "application/x-www-form-urlencoded"}
	var made [2]struct{ ID, Secret string }
	for i := range made {
		_, _, body := s.do("POST", tokens, "", one, js...)
		if err := json.Unmarshal([]byte(body), &made[i]); err != nil {
			t.Fatal(err)
		}
	}
	narrow := "admin:" + made[0].Secret
	password := form("grant_type", "password", "username", "admin", "password", adminPassword)
	return []asked{
		{method: "POST", path: tokens, body: one, header: js, status: 201},
		{method: "POST", path: tokens, body: `{"nam":1}`, header: js, status: 400},
		{method: "POST", path: tokens, body: one, header: js, login: "none", status: 401},
		{method: "POST", path: tokens, body: one, header: js, login: narrow, status: 403},
		{method: "POST", path: tokens, body: large, header: js, status: 413},
		{method: "POST", path: tokens, body: one, status: 415},
		{method: "POST", path: tokens, body: `{"name":"one","scopes":[]}`, header: js, status: 422},
		{method: "GET", path: tokens + "?limit=1", status: 200},
		{method: "GET", path: tokens + "?user=admin&account=x", status: 400},
		{method: "GET", path: tokens, login: "none", status: 401},
		{method: "GET", path: tokens, login: narrow, status: 403},
		{method: "GET", path: tokens + "?user=nobody", status: 404},
		{method: "DELETE", path: tokens + "/" + made[1].ID, route: tokens + "/{id}", status: 204},
		{method: "DELETE", path: tokens + "/" + made[1].ID, route: tokens + "/{id}", status: 404},
		{method: "DELETE", path: tokens + "/x", route: tokens + "/{id}", login: "none", status: 401},
		{method: "GET", path: sessions, status: 200},
		{method: "GET", path: sessions + "?x=1", status: 400},
		{method: "GET", path: sessions, login: "none", status: 401},
		{method: "GET", path: sessions, login: narrow, status: 403},
		{method: "GET", path: sessions + "?user=nobody", status: 404},
		{method: "DELETE", path: sessions + "/current", route: sessions + "/{id}", login: narrow, status: 204},
		{method: "DELETE", path: sessions + "/current", route: sessions + "/{id}", status: 404},
		{method: "DELETE", path: sessions + "/current", route: sessions + "/{id}", login: "none", status: 401},
		{method: "GET", path: "/token?scope=repository:team/app:pull&offline_token=true", status: 200},
		{method: "GET", path: "/token?service=other", status: 400},
		{method: "GET", path: "/token", login: "none", status: 401},
		{method: "POST", path: "/token", body: password, header: urlForm, login: "none", status: 200},
		{method: "POST", path: "/token", body: "x=1", header: urlForm, login: "none", status: 400},
		{method: "POST", path: "/token", body: password + "1", header: urlForm, login: "none", status: 401},
		{method: "POST", path: "/token", body: password, header: append(urlForm, "Origin", "https://evil.example"), login: "none", status: 403},
		{method: "POST", path: "/token", body: large, header: urlForm, login: "none", status: 413},
		{method: "POST", path: "/token", body: password, login: "none", status: 415},
	}
}
