package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/api/apitest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// A stall is why a store takes no changes: it refuses them with an error, or has them wait until it is over.
type stall struct {
	refuse error
	over   chan struct{}
}

// stalls is a store that takes no changes while there is a stall.
type stalls struct{ now atomic.Pointer[stall] }

func (s *stalls) begin(refuse error) (end func()) {
	one := &stall{refuse, make(chan struct{})}
	s.now.Store(one)
	return func() {
		if s.now.CompareAndSwap(one, nil) {
			close(one.over)
		}
	}
}

func (s *stalls) over(store storage.Store) storage.Store { return stalling{store, s} }

type stalling struct {
	storage.Store
	*stalls
}

func (s stalling) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.UpdateReading(ctx, nil, fn)
}

func (s stalling) UpdateReading(ctx context.Context, reads []storage.Read, fn func(storage.Tx) error) error {
	if one := s.now.Load(); one != nil {
		if one.refuse != nil {
			return one.refuse
		}
		select {
		case <-one.over:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return storage.UpdateReading(ctx, s.Store, func() []storage.Read { return reads }, fn)
}

// getWorld is a registry with an image, in which each request is the first of its login: the use of that is to be noted.
type getWorld struct {
	*servertest.Server
	t       *testing.T
	stalls  *stalls
	refresh string
	image   digest.Digest
	layer   digest.Digest
	upload  string // where it goes on
	logins  int
	bearers chan string
	cookies chan *http.Cookie
}

func startGetWorld(t *testing.T) *getWorld {
	t.Helper()
	w := &getWorld{t: t, stalls: new(stalls)}
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	o := servertest.Options()
	o.Wrap = func(s storage.Store) storage.Store { return w.stalls.over(storagetest.Twice(s)) }
	// The first pull of an image makes a report.
	o.Config.Policy.File = file("policy.yaml", "rules:\n  - {name: grade, repositories: team/*, at: pull, require: report.grade.atLeast(\"F\"), owner: me}\n")
	o.Config.Retention.File = file("retention.yaml", "rules:\n  - {name: all, repositories: [team/**], keep: {pulled: 30d}}\n")
	w.Server = servertest.StartOn(t, t.TempDir(), o)
	w.image, w.layer = w.Push("team/app", "1.0", "a layer"), digest.FromString("a layer")
	w.upload = w.begin()
	var got struct {
		Refresh string `json:"refresh_token"`
	}
	w.must(json.Unmarshal([]byte(w.ok("GET", "/token?offline_token=true&service="+w.service(), nil)), &got))
	w.refresh = got.Refresh
	w.bearers, w.cookies = make(chan string, 1000), make(chan *http.Cookie, 100)
	return w
}

func (w *getWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *getWorld) service() string { return w.URL()[len("https://"):] }

func (w *getWorld) ok(method, path string, body []byte, header ...string) string {
	w.t.Helper()
	status, answer, err := w.Do(method, path, servertest.Login, body, header...)
	if err != nil || status >= 300 {
		w.t.Fatalf("%s %s: %d %s, %v", method, path, status, answer, err)
	}
	return answer
}

// begin begins an upload, and returns where it goes on.
func (w *getWorld) begin() string {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.URL()+"/v2/team/app/blobs/uploads/", nil)
	w.must(err)
	name, password, _ := strings.Cut(servertest.Login, ":")
	r.SetBasicAuth(name, password)
	resp, err := w.Client.Do(r)
	w.must(err)
	w.must(resp.Body.Close())
	at, err := url.Parse(resp.Header.Get("Location"))
	w.must(err)
	return at.RequestURI()
}

// signIn makes logins whose use nobody has noted yet.
func (w *getWorld) signIn(n int) {
	w.t.Helper()
	for range n {
		w.logins++
		scope := fmt.Sprintf("hallmark:account:* registry:catalog:* repository:team/app:pull,push repository:no%d:pull", w.logins)
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.refresh}, "service": {w.service()}, "client_id": {"test"}, "scope": {scope}}
		var got struct{ Token string }
		w.must(json.Unmarshal([]byte(w.ok("POST", "/token", []byte(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")), &got))
		w.bearers <- got.Token
	}
	name, password, _ := strings.Cut(servertest.Login, ":")
	for range 15 { // of 20 that there may be
		secret, err := w.SignInBrowser(httptest.NewRequest("POST", "/-/sign-in", nil), name, password)
		w.must(err)
		w.cookies <- &http.Cookie{Name: "__Host-hallmark-session-" + portOf(w.URL()), Value: secret}
	}
}

func portOf(text string) string {
	u, _ := url.Parse(text)
	return u.Port()
}

// get asks with a login that nobody has used, and returns the status.
func (w *getWorld) get(method, path string, page bool) (status int, says string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute) // it would be for ever
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.URL()+path, nil)
	w.must(err)
	if page {
		r.Header.Set("Accept", "text/html")
		select {
		case c := <-w.cookies:
			r.AddCookie(c)
		default:
			w.t.Fatal("too few browsers have signed in")
		}
	} else {
		r.Header.Set("Authorization", "Bearer "+<-w.bearers)
	}
	if path == "/token" {
		name, password, _ := strings.Cut(servertest.Login, ":")
		r.SetBasicAuth(name, password)
	}
	resp, err := w.Client.Transport.RoundTrip(r)
	if err != nil {
		w.t.Fatalf("%s %s is not answered: %v", method, path, err)
	}
	body, err := io.ReadAll(resp.Body)
	w.must(err)
	w.must(resp.Body.Close())
	return resp.StatusCode, string(body)
}

// paths are one path for each route that is read: of the description, of the registry, and of pages.
func (w *getWorld) paths() map[string]string {
	repo, ref := "repo=team/app", "repo=team/app&ref=1.0"
	all := map[string]string{
		"GET base": "/v2/", "GET catalog": "/v2/_catalog", "GET tags": "/v2/team/app/tags/list", "GET manifest": "/v2/team/app/manifests/1.0",
		"GET referrers": "/v2/team/app/referrers/" + w.image.String(), "GET blob": "/v2/team/app/blobs/" + w.layer.String(), "GET upload": w.upload,
		"GET /{$}": "/", "GET /r/{path...}": "/r/team/app:1.0", "GET /search": "/search?q=app", "GET /-/record/{index}": "/-/record/1",
		"GET /-/records": "/-/records", "GET /-/usage": "/-/usage", "GET /-/trash": "/-/trash", "GET /-/mirrors": "/-/mirrors", "GET /-/sign-in": "/-/sign-in",
	}
	for path, query := range map[string]string{
		"contents": ref, "evidence": ref, "image": ref, "report": ref, "tags": repo + "&images=true&expiry=true", "deletable": repo + "&tag=1.0",
		"history": repo + "&tag=1.0", "digests": "prefix=" + w.image.String()[:16], "commits": "prefix=0123abcd", "search": "q=app",
		"sources": "revision=x", "descendants": "base=" + w.image.String(), "access/may": "subject=user:admin&role=pull&repo=team/app",
	} {
		all["GET /api/v1/"+path] = "/api/v1/" + path + "?" + query
	}
	for _, path := range []string{
		"certificate", "check", "scrub", "access/document", "access/grants", "holds", "access/immutable", "mirrors", "policy", "quota", "usage", "records",
		"records/statements", "records/export", "repositories", "retention/rules", "retention/plan", "access/robots", "access/tokens", "access/sessions",
		"access/teams", "trash", "users",
	} {
		all["GET /api/v1/"+path] = "/api/v1/" + path
	}
	for _, path := range []string{
		"/ca.pem", "/healthz", "/readyz", "/openapi.json", "/keys/receipts.json", "/keys/receipts.pem", "/trusted_root.json", "/keys/logs.json", "/keys/log.vkey", "/token",
	} {
		all["GET "+path] = path
	}
	for route, path := range map[string]string{
		"/api/v1/mirrors/{name}": "/api/v1/mirrors/none", "/api/v1/records/{index}": "/api/v1/records/1", "/log/{path}": "/log/checkpoint",
		"/api/v1/records/{index}/receipt": "/api/v1/records/1/receipt", "/api/v1/records/{index}/tlog-proof": "/api/v1/records/1/tlog-proof",
		"/keys/receipts/{file}": "/keys/receipts/none.pem", "/api/v1/documents/{kind}": "/api/v1/documents/policy", "/api/v1/documents/{kind}/history": "/api/v1/documents/policy/history",
	} {
		all["GET "+route] = path
	}
	return all
}

var pageRoute = regexp.MustCompile(`\{"(GET [^"]+)", "page-`)

// readRoutes are all routes that are read.
func readRoutes(t *testing.T) (all []string) {
	t.Helper()
	text, err := api.Description()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := apitest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range append(registry.Routes(), doc.Operations()...) {
		if strings.HasPrefix(route, "GET ") {
			all = append(all, route)
		}
	}
	source, err := os.ReadFile("../web/web.go")
	if err != nil {
		t.Fatal(err)
	}
	pages := pageRoute.FindAllStringSubmatch(string(source), -1)
	for _, found := range pages {
		all = append(all, found[1])
	}
	if len(pages) < 9 {
		t.Fatalf("web.go has %d pages", len(pages))
	}
	slices.Sort(all)
	return all
}

// TestGetsWaitForNoCommit has the store take no changes, as one whose disk is full, or whose standby is away: each GET and HEAD is
// answered as ever. What they left to be remembered is committed when the store takes it, or the server stops.
func TestGetsWaitForNoCommit(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	for name, refuse := range map[string]error{"refuses": storage.ErrFull, "stalls": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testGetsWaitForNoCommit(t, refuse)
		})
	}
}

func testGetsWaitForNoCommit(t *testing.T, refuse error) {
	w := startGetWorld(t)
	routes, paths := readRoutes(t), w.paths()
	w.signIn(2*len(routes) + 1)
	end := w.stalls.begin(refuse)
	defer end()
	for _, route := range routes {
		path, ok := paths[route]
		if !ok {
			t.Errorf("no request for %s", route)
			continue
		}
		want := http.StatusOK
		switch {
		case strings.Contains(path, "none"):
			want = http.StatusNotFound
		case route == "GET upload":
			want = http.StatusNoContent
		case route == "GET /-/sign-in": // who has signed in goes on
			want = http.StatusSeeOther
		}
		page := strings.HasPrefix(route, "GET /-/") || strings.HasPrefix(route, "GET /r/") || route == "GET /{$}" || route == "GET /search"
		methods := []string{"GET", "HEAD"}
		if page || route == "GET /token" {
			methods = methods[:1]
		}
		for _, method := range methods {
			if status, says := w.get(method, path, page); status != want {
				t.Errorf("%s %s: %d %s, want %d", method, path, status, says, want)
			}
		}
	}
	if refuse != nil { // a login that goes on is something new: it is there, or it is refused
		if status, says, err := w.Do("GET", "/token?offline_token=true&service="+w.service(), servertest.Login, nil); status != http.StatusInsufficientStorage {
			t.Errorf("a login: %d %s, %v", status, says, err)
		}
	}
	end()
	w.Stop()
	w.Server = servertest.StartOn(t, w.Dir, servertest.Options())
	var sessions struct {
		Sessions []struct {
			Kind string
			Used time.Time
		}
	}
	w.must(json.Unmarshal([]byte(w.ok("GET", "/api/v1/access/sessions?limit=100", nil)), &sessions))
	used := 0
	for _, s := range sessions.Sessions {
		if !s.Used.IsZero() {
			used++
		}
	}
	if used < 9 { // one login, and a browser for each page
		t.Errorf("the use of %d sessions is noted", used)
	}
}
