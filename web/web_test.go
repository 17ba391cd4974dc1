package web

import (
	"encoding/json"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// oneUser is a Logins with one user, alice, whose password is right and whose session is "cookie".
type oneUser struct{ ended []string }

func (*oneUser) Identify(r *http.Request) (provenance.Identity, error) {
	if access.IsWeb(r.Context()) {
		if c, err := r.Cookie("__Host-hallmark-session-443"); err != nil || c.Value != "cookie" {
			return provenance.Identity{}, access.ErrBadLogin
		}
	} else if _, password, ok := r.BasicAuth(); !ok || password != "right" {
		return provenance.Identity{}, access.ErrBadLogin
	}
	return provenance.Identity{Actor: provenance.Actor{Kind: provenance.User, Handle: "alice", Account: "a1"}, Login: &provenance.Login{Method: "basic"}}, nil
}

func (*oneUser) AnythingForStrangers() bool { return false }

func (*oneUser) SignInBrowser(_ *http.Request, name, password, _ string) (access.Session, string, error) {
	if name != "alice" || password != "right" {
		return access.Session{}, "", access.ErrBadLogin
	}
	return access.Session{}, "cookie", nil
}

func (o *oneUser) EndWebSession(_ *http.Request, secret string) error {
	o.ended = append(o.ended, secret)
	return nil
}

func (*oneUser) May(_ provenance.Identity, _ access.Right, repository string) bool {
	return repository == "team/app"
}

// fixedAPI answers by path.
type fixedAPI map[string]string

func (f fixedAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := f[r.URL.Path]
	switch {
	case ok:
	case r.URL.Path == "/api/v1/history", r.URL.Path == "/api/v1/access/immutable":
		body = `{}` // asked beside others
	default:
		w.WriteHeader(http.StatusNotFound)
		body = `{"detail":"there is no such thing"}`
	}
	_, _ = w.Write([]byte(body))
}

var empty = fixedAPI{"/api/v1/repositories": `{"repositories":[]}`, "/api/v1/records": `{"records":[]}`}

// browser keeps cookies, as one does.
type browser struct {
	t       *testing.T
	pages   *Pages
	cookies map[string]string
}

func newBrowser(t *testing.T, api http.Handler) *browser {
	return &browser{t, New(Config{API: api, Logins: new(oneUser), URL: "https://registry.example", Log: slog.New(slog.DiscardHandler)}), map[string]string{}}
}

func (b *browser) send(method, target, origin string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, "https://registry.example"+target, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	b.pages.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return w
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (b *browser) token(target string) string {
	b.t.Helper()
	found := tokenField.FindStringSubmatch(b.send("GET", target, "", nil).Body.String())
	if found == nil {
		b.t.Fatalf("%s has no form", target)
	}
	return found[1]
}

// formToken is the token of the form that a page sends to itself.
func (b *browser) formToken(path string) string {
	b.t.Helper()
	page := b.send("GET", path, "", nil).Body.String()
	found := regexp.MustCompile(`action="` + regexp.QuoteMeta(path) + `">\n<input type="hidden" name="token" value="([^"]+)"`).FindStringSubmatch(page)
	if found == nil {
		b.t.Fatalf("%s has no form that it sends to itself:\n%s", path, page)
	}
	return found[1]
}

const own = "https://registry.example"

// TestForms sends the form that signs in, and the one that signs out, in ways in which nothing may happen.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		origin string
		change func(b *browser, form url.Values)
		status int
	}{
		"as it is":        {own, nil, 303},
		"no origin":       {"", nil, 403},
		"null":            {"null", nil, 403},
		"foreign":         {"https://evil.example", nil, 403},
		"sibling port":    {own + ":8443", nil, 403},
		"another scheme":  {"http://registry.example", nil, 403},
		"no token":        {own, func(_ *browser, f url.Values) { f.Del("token") }, 403},
		"another token":   {own, func(_ *browser, f url.Values) { f.Set("token", "AAAA") }, 403},
		"another browser": {own, func(b *browser, _ url.Values) { b.cookies["__Host-hallmark-form-443"] = strings.Repeat("x", 26) }, 403},
		"an hour later": {own, func(b *browser, _ url.Values) {
			b.pages.forms.now = func() time.Time { return time.Now().Add(61 * time.Minute) }
		}, 403},
		"a wrong password": {own, func(_ *browser, f url.Values) { f.Set("password", "wrong") }, 403},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, empty)
			form := url.Values{"token": {b.token("/-/sign-in")}, "name": {"alice"}, "password": {"right"}, "next": {"/r/team/app"}}
			if c.change != nil {
				c.change(b, form)
			}
			w := b.send("POST", "/-/sign-in", c.origin, form)
			if signedIn := b.cookies["__Host-hallmark-session-443"] == "cookie"; w.Code != c.status || signedIn != (c.status == 303) {
				t.Errorf("%d, signed in: %v\n%s", w.Code, signedIn, w.Body)
			}
			if c.status == 303 && w.Header().Get("Location") != "/r/team/app" {
				t.Errorf("led to %s", w.Header().Get("Location"))
			}
		})
	}
}

// TestOnce sends a form twice: the second time nothing is done.
func TestOnce(t *testing.T) {
	b := newBrowser(t, empty)
	form := url.Values{"token": {b.token("/-/sign-in")}, "name": {"alice"}, "password": {"right"}}
	before := b.cookies["__Host-hallmark-form-443"]
	if w := b.send("POST", "/-/sign-in", own, form); w.Code != 303 {
		t.Fatal(w.Code, w.Body)
	}
	b.cookies = map[string]string{"__Host-hallmark-form-443": before}
	if w := b.send("POST", "/-/sign-in", own, form); w.Code != 403 || len(b.cookies) > 1 {
		t.Errorf("a form that was sent again was answered %d", w.Code)
	}
}

// TestSignOut ends the session at the server, not only in the browser.
func TestSignOut(t *testing.T) {
	b := newBrowser(t, empty)
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	form := url.Values{"token": {b.token("/")}}
	if w := b.send("POST", "/-/sign-out", "https://evil.example", form); w.Code != 403 || b.cookies["__Host-hallmark-session-443"] == "" {
		t.Errorf("another site signed somebody out: %d", w.Code)
	}
	w := b.send("POST", "/-/sign-out", own, url.Values{"token": {b.token("/")}})
	if ended := b.pages.Logins.(*oneUser).ended; w.Code != 303 || len(ended) != 1 || b.cookies["__Host-hallmark-session-443"] != "" {
		t.Errorf("%d, ended %q, cookies %v", w.Code, ended, b.cookies)
	}
}

// TestStranger wants who has not signed in to be sent to sign in, whether what they ask for exists or not, and never to
// be asked for a password by the browser itself.
func TestStranger(t *testing.T) {
	b := newBrowser(t, empty)
	for _, path := range []string{"/", "/r/team/app", "/r/team/app:1.0", "/r/none", "/search?q=x", "/-/record/1", "/-/records", "/-/none"} {
		w := b.send("GET", path, "", nil)
		if w.Code != 303 || w.Header().Get("Location") != "/-/sign-in?next="+url.QueryEscape(path) || w.Header().Get("Www-Authenticate") != "" {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
	b.cookies["__Host-hallmark-session-443"] = "ended"
	if w := b.send("GET", "/r/team/app", "", nil); w.Code != 303 || b.cookies["__Host-hallmark-session-443"] != "" {
		t.Errorf("a session that ended: %d, cookies %v", w.Code, b.cookies)
	}
}

// TestEndedSession sends a form whose session has ended: it leads to sign in, and back to the repository.
func TestEndedSession(t *testing.T) {
	b := newBrowser(t, empty)
	b.cookies["__Host-hallmark-session-443"] = "ended"
	for path, next := range map[string]string{"/r/team/app/-/delete": "/r/team/app", "/r/team/app/-/remove": "/r/team/app", "/r/": "/"} {
		w := b.send("POST", path, own, url.Values{"image": {"x"}})
		if want := "/-/sign-in?next=" + url.QueryEscape(next); w.Code != 303 || w.Header().Get("Location") != want {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// TestHeaders wants each answer to say what a browser may do with it.
func TestHeaders(t *testing.T) {
	b := newBrowser(t, empty)
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	for _, path := range []string{"/", "/r/none", "/-/static/style.css", "/robots.txt", "/-/none"} {
		h := b.send("GET", path, "", nil).Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") == "" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

// TestJSON sends programs to the API.
func TestJSON(t *testing.T) {
	b := newBrowser(t, empty)
	for path, want := range map[string]string{
		"/":                         "/api/v1/repositories",
		"/r/team/app":               "/api/v1/tags?repo=team%2Fapp",
		"/r/team/app:1.0":           "/api/v1/image?ref=1.0&repo=team%2Fapp",
		"/r/team/app@sha256:abc":    "/api/v1/image?ref=sha256%3Aabc&repo=team%2Fapp",
		"/r/team/app/-/history/1.0": "/api/v1/history?repo=team%2Fapp&tag=1.0",
		"/-/record/41":              "/api/v1/records/41",
		"/-/records?repo=team/app":  "/api/v1/records?repo=team/app",
		"/search?q=x":               "/api/v1/search?q=x",
		"/-/trash?repo=team/app":    "/api/v1/trash?repo=team/app",
		"/-/mirrors":                "/api/v1/mirrors",
	} {
		r := httptest.NewRequest("GET", own+path, nil)
		r.Header.Set("Accept", "application/json")
		w := httptest.NewRecorder()
		b.pages.ServeHTTP(w, r)
		if w.Code != 303 || w.Header().Get("Location") != want || !strings.Contains(w.Header().Get("Vary"), "Accept") {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// TestOwnPath wants sign-in to lead to paths of this server alone.
func TestOwnPath(t *testing.T) {
	for next, want := range map[string]string{
		"/r/team/app?x=1": "/r/team/app?x=1", "": "/", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/",
		"javascript:alert(1)": "/", "r/team": "/", "/-/sign-in": "/", "/\t/evil.example": "/", "/%5cevil": "/%5cevil", "///evil.example": "/",
	} {
		if got := ownPath(next); got != want {
			t.Errorf("%q leads to %q, not %q", next, got, want)
		}
	}
}

// TestHostile shows an image whose every field is markup, or turns the direction of text.
func TestHostile(t *testing.T) {
	const evil = "<script>alert(1)</script>\u202e\" onload='x' javascript:alert(1)"
	text, err := json.Marshal(evil)
	if err != nil {
		t.Fatal(err)
	}
	digest := "sha256:" + strings.Repeat("ab", 32)
	b := newBrowser(t, fixedAPI{
		"/api/v1/image": `{"repository":"team/app","reference":"1.0","descriptor":{"mediaType":` + string(text) + `,"digest":"` + digest + `","size":1,"annotations":{` + string(text) + `:` + string(text) + `}},
			"children":[{"digest":"` + digest + `","platform":` + string(text) + `}],
			"provenance":{"observed":[],"claimed":[{"fact":"source","value":"javascript:alert(1)","from":` + string(text) + `}]},
			"built":{"class":"claimed","source":"javascript:alert(1)","revision":` + string(text) + `},
			"contradictions":[{"fact":"source","values":[{"value":` + string(text) + `,"class":"claimed","from":"x"}]}],
			"words":[{"result":"good","class":"attested","says":` + string(text) + `,"standing":{"counts":true},"evidence":{"digest":"` + digest + `"},"manifest":"` + digest + `"}]}`,
		"/api/v1/contents": `{"config":{"os":` + string(text) + `,"config":{"Env":[` + string(text) + `],"Labels":{` + string(text) + `:` + string(text) + `}}},"history":[{"created_by":` + string(text) + `}]}`,
		"/api/v1/report":   `{"grades":{},"checks":[{"id":"x","result":"fail","says":` + string(text) + `,"advice":` + string(text) + `,"evidence":{"x":` + string(text) + `}}]}`,
	})
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	w := b.send("GET", "/r/team/app:1.0", "", nil)
	body := w.Body.String()
	if w.Code != 200 {
		t.Fatal(w.Code, body)
	}
	if !strings.Contains(body, "What other registries say") {
		t.Error("the page does not show what another registry says")
	}
	for _, never := range []string{"<script>alert", "\u202e", `href="javascript:`, "onload='x'"} {
		if strings.Contains(body, never) {
			t.Errorf("the page holds %q", never)
		}
	}
	if !strings.Contains(html.UnescapeString(body), "⟨U+202E⟩") {
		t.Error("the page hides what turns the direction of text")
	}
}

// TestRemove removes a tag with a form, and names those that moved or are refused.
func TestRemove(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	b := newBrowser(t, fixedAPI{"/api/v1/image": `{"descriptor":{"digest":"` + one + `"},"tags":["1.0","latest"]}`})
	var removed []string
	b.pages.Registry = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-Match") != `"`+one+`"` {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		removed = append(removed, r.Method+" "+r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
	})
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	chosen := "/r/team/app/-/remove?tag=1.0@" + one + "&tag=1.1@" + two
	shown := b.send("GET", chosen, "", nil).Body.String()
	for _, want := range []string{"The image keeps latest", "by now, and stays", "Remove 1 tag<"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
	if strings.Contains(shown, `value="1.1@`) || len(removed) > 0 {
		t.Errorf("the form has a tag that moved, or GET removed %q", removed)
	}
	token := regexp.MustCompile(`name="token" value="([^"]+)">\n<input type="hidden" name="tag"`).FindStringSubmatch(shown)
	if token == nil {
		t.Fatalf("there is no form:\n%s", shown)
	}
	form := url.Values{"token": {token[1]}, "tag": {"1.0@" + one, "1.1@" + two}}
	if w := b.send("POST", "/r/team/app/-/remove", "https://evil.example", form); w.Code != 403 || len(removed) > 0 {
		t.Errorf("another site removed %q: %d", removed, w.Code)
	}
	w := b.send("POST", "/r/team/app/-/remove", own, form)
	if w.Code != 200 || len(removed) != 1 || removed[0] != "DELETE /v2/team/app/manifests/1.0" || !strings.Contains(w.Body.String(), "It moved since the page was shown") {
		t.Errorf("%d, removed %q:\n%s", w.Code, removed, w.Body)
	}
	if w := b.send("POST", "/r/team/app/-/remove", own, form); w.Code != 403 || len(removed) != 1 {
		t.Errorf("the form did its work twice: %d, %q", w.Code, removed)
	}
	if w := b.send("GET", "/r/other/-/remove?tag=1.0@"+one, "", nil); w.Code != 404 {
		t.Errorf("who may not delete sees the page: %d", w.Code)
	}
}

// TestDelete deletes images with a form, with the tags under which they were seen: it names those that were chosen by a tag that moved, that
// are refused, and that got another tag, and deletes an index before what it lists.
func TestDelete(t *testing.T) {
	d := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	plans := map[string]string{
		d("1"): `{"tags":["1.0","latest"],"alongID":"sha256:id","along":[{"digest":"` + d("9") + `","artifactType":"application/spdx+json","attachedTo":"` + d("1") + `"}]}`,
		d("2"): `{"tags":["other"]}`, d("3"): `{"tags":[],"refused":"the manifest needs this","listedBy":"` + d("4") + `"}`,
		d("4"): `{"tags":["index"],"lists":2}`, d("5"): `{"tags":["fixed"],"refused":"tag fixed is immutable"}`, d("6"): `{"tags":["late"]}`,
	}
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fixedAPI{"/api/v1/deletable": plans[r.URL.Query().Get("digest")]}.ServeHTTP(w, r)
	}))
	var deleted []string
	b.pages.Registry = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, d("6")) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		deleted = append(deleted, r.Method+" "+r.URL.Path[len(r.URL.Path)-1:]+" "+r.Header.Get("Hallmark-If-Tags")+" "+r.Header.Get("Hallmark-Along"))
		w.WriteHeader(http.StatusAccepted)
	})
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	query := url.Values{"tag": {"1.0@" + d("1"), "moved@" + d("2"), "fixed@" + d("5"), "late@" + d("6")}, "image": {d("3"), d("4")}}
	shown := b.send("GET", "/r/team/app/-/delete?"+query.Encode(), "", nil).Body.String()
	for _, want := range []string{"It goes, with 2 tags", "With it goes <a", "SBOM", "no tag by which you chose it", "tag fixed is immutable.", "has moved since you chose it", "2 images that it lists stay, except those that go below.", "Delete 4 images<"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the page does not say %q:\n%s", want, shown)
		}
	}
	form := url.Values{}
	for _, f := range regexp.MustCompile(`<input type="hidden" name="(token|image)" value="([^"]+)">`).FindAllStringSubmatch(shown[strings.Index(shown, "<main"):], -1) {
		form.Add(f[1], html.UnescapeString(f[2]))
	}
	if w := b.send("POST", "/r/team/app/-/delete", "https://evil.example", form); w.Code != 403 || len(deleted) > 0 {
		t.Errorf("another site deleted %q: %d", deleted, w.Code)
	}
	w := b.send("POST", "/r/team/app/-/delete", own, form)
	if got := strings.Join(deleted, "; "); w.Code != 200 || got != "DELETE 1 1.0,latest sha256:id; DELETE 4 index ; DELETE 3  " || !strings.Contains(w.Body.String(), "It has other tags, or something else") {
		t.Errorf("%d, deleted %q:\n%s", w.Code, got, w.Body)
	}
	if w := b.send("POST", "/r/team/app/-/delete", own, form); w.Code != 403 || len(deleted) != 3 {
		t.Errorf("the form did its work twice: %d, %q", w.Code, deleted)
	}
	for path, want := range map[string]int{
		"/r/other/-/delete?image=" + d("1"): 404, "/r/team/app/-/delete": 400, "/r/team/app/-/delete?image=x": 400, "/r/team/app/-/delete?tag=x": 400,
	} {
		if w := b.send("GET", path, "", nil); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// TestChosenWithItsIndex chooses an index and what it lists: that goes with it unless something else keeps it, also where an index lists an index.
func TestChosenWithItsIndex(t *testing.T) {
	d := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	listed := func(by, more string) string {
		return `{"tags":["x"],"refused":"the manifest needs this","listedBy":"` + d(by) + `"` + more + "}"
	}
	for name, c := range map[string]struct {
		image, outer string
		query        url.Values
		says         []string
		goes         string
	}{
		"it goes":              {listed("2", ""), `{"tags":[]}`, url.Values{"image": {d("1"), d("2")}}, []string{"lists stay, except those that go below."}, "21"},
		"its tag moved":        {listed("2", ""), `{"tags":[]}`, url.Values{"tag": {"moved@" + d("1")}, "image": {d("2")}}, []string{"no tag by which you chose it", "lists stay."}, "2"},
		"too many tags":        {listed("2", `,"tagsCut":true`), `{"tags":[]}`, url.Values{"image": {d("1"), d("2")}}, []string{"more tags than this page can show", "lists stay."}, "2"},
		"the index stays":      {listed("2", ""), `{"tags":[],"refused":"its tag is immutable"}`, url.Values{"image": {d("1"), d("2")}}, []string{"the manifest needs this", "its tag is immutable"}, ""},
		"an index in an index": {listed("2", ""), listed("3", ""), url.Values{"image": {d("1"), d("2"), d("3")}}, []string{"lists stay, except those that go below."}, "321"},
		"it alone":             {listed("2", ""), "", url.Values{"image": {d("1")}}, []string{"the manifest needs this"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			plans := map[string]string{d("1"): c.image, d("2"): strings.Replace(c.outer, "{", `{"lists":2,`, 1), d("3"): `{"tags":[],"lists":2}`}
			b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fixedAPI{"/api/v1/deletable": plans[r.URL.Query().Get("digest")]}.ServeHTTP(w, r)
			}))
			b.cookies["__Host-hallmark-session-443"] = "cookie"
			shown := b.send("GET", "/r/team/app/-/delete?"+c.query.Encode(), "", nil).Body.String()
			for _, want := range c.says {
				if !strings.Contains(shown, want) {
					t.Errorf("the page does not say %q:\n%s", want, shown)
				}
			}
			goes := ""
			for _, f := range regexp.MustCompile(`name="image" value="sha256:(.)`).FindAllStringSubmatch(shown, -1) {
				goes += f[1]
			}
			if goes != c.goes {
				t.Errorf("the form has %q, want %q", goes, c.goes)
			}
		})
	}
}

// TestPlaces reads the paths of pages and makes them again.
func TestPlaces(t *testing.T) {
	for path, want := range map[string]target{
		"team/app":               {Repository: "team/app"},
		"team/app/":              {Repository: "team/app"},
		"team/app:1.0":           {Repository: "team/app", Ref: "1.0"},
		"team/app@sha256:ab":     {Repository: "team/app", Ref: "sha256:ab"},
		"team/app:1.0@sha256:ab": {Repository: "team/app", Ref: "sha256:ab"},
		"team/app/-/history/1.0": {Repository: "team/app", History: "1.0"},
		"team/app/-/remove":      {Repository: "team/app", Remove: true},
		"team/app/-/delete":      {Repository: "team/app", Delete: true},
	} {
		if got, ok := parseTarget(path); !ok || got != want {
			t.Errorf("%s is %+v, %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "/", "team/app/-/x", "team/app/-/history/", ":1.0", "@x", "team/app:"} {
		if got, ok := parseTarget(path); ok {
			t.Errorf("%q is %+v", path, got)
		}
	}
	for got, want := range map[string]string{
		imageURL("team/app", "1.0"): "/r/team/app:1.0", imageURL("team/app", "sha256:ab"): "/r/team/app@sha256:ab",
		historyURL("team/app", "1.0"): "/r/team/app/-/history/1.0", repoURL("team/app"): "/r/team/app",
	} {
		if got != want {
			t.Errorf("%s, not %s", got, want)
		}
	}
}

// TestLists shows tags and repositories with grade, source and what is attached, asks the API for what the address says, and
// keeps that in the link to the next page.
func TestLists(t *testing.T) {
	one := "sha256:" + strings.Repeat("1", 64)
	image := `"grade":"B","imageSize":2048,"built":{"class":"claimed","source":"https://git.example/team/app","revision":"` + strings.Repeat("0", 40) + `"},
		"attached":[{"digest":"` + one + `","artifactType":"application/vnd.cncf.notary.signature"},{"tag":"sha256-x.sig"},{"tag":"sha256-x.sbom"},{"digest":"` + one + `","artifactType":"application/x"}],"attachedCut":true`
	actor := `"actor":{"kind":"user","handle":"alice","account":"a1"}`
	answers := fixedAPI{
		"/api/v1/tags":         `{"tags":[{"name":"1.0","digest":"` + one + `",` + actor + `,` + image + `},{"name":"index","platforms":3,"digest":"` + one + `",` + actor + `}],"next":"/api/v1/tags?after=7%2F1.0"}`,
		"/api/v1/repositories": `{"repositories":[{"name":"team/app","newest":{"record":7,"action":"push",` + actor + `,"image":{"digest":"` + one + `","tags":["1.0"],` + image + `}},"pulls":{"since":"2026-01-02T00:00:00.000000Z","last":"2026-03-04T05:06:07.000000Z","lately":3}},{"name":"team/old"},{"name":"team/gone","newest":{"record":8,"action":"delete",` + actor + `}}],"next":"/api/v1/repositories?after=7%2Fteam%2Fapp"}`,
		"/api/v1/records":      `{"records":[]}`,
	}
	var asked []string
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.String())
		answers.ServeHTTP(w, r)
	}))
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	for page, c := range map[string]struct{ asks, next string }{
		"/r/team/app":                            {"/api/v1/tags?expiry=true&images=true&limit=50&order=newest&repo=team%2Fapp", "/r/team/app?after=7%2F1.0"},
		"/r/team/app?order=name&prefix=1.":       {"/api/v1/tags?expiry=true&images=true&limit=50&order=name&prefix=1.&repo=team%2Fapp", "/r/team/app?after=7%2F1.0&order=name&prefix=1."},
		"/r/team/app?by=robot:b&order=name":      {"/api/v1/tags?expiry=true&identity=robot%3Ab&images=true&limit=50&order=newest&repo=team%2Fapp", "/r/team/app?after=7%2F1.0&by=robot%3Ab&order=name"},
		"/":                                      {"/api/v1/repositories?limit=50&order=newest", "/?after=7%2Fteam%2Fapp"},
		"/?prefix=team/&order=name&after=team/a": {"/api/v1/repositories?after=team%2Fa&limit=50&order=name&prefix=team%2F", "/?after=7%2Fteam%2Fapp&order=name&prefix=team%2F"},
	} {
		asked = nil
		w := b.send("GET", page, "", nil)
		body := html.UnescapeString(w.Body.String())
		if w.Code != 200 || asked[0] != c.asks {
			t.Errorf("%s: %d, asks %q", page, w.Code, asked)
		}
		for _, want := range []string{`href="` + c.next + `"`, ">B</span>", "2.0 kB", "git.example/team/app", "000000000000", "2 signatures, 1 SBOM, 1 application/x, and more", "alice"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not show %q:\n%s", page, want, body)
			}
		}
		if strings.HasPrefix(c.asks, "/api/v1/repositories") && !strings.Contains(body, "2026-03-04T05:06:07") {
			t.Errorf("%s does not show when a repository was last pulled", page)
		}
	}
}

// TestChanged compares an image with the one before it under its tag: layers, config without secrets, and commits of a host that is
// known.
func TestChanged(t *testing.T) {
	one, two := "sha256:"+strings.Repeat("1", 64), "sha256:"+strings.Repeat("2", 64)
	of := map[string][2]string{
		one: {
			`{"repository":"team/app","reference":"1.0","descriptor":{"digest":"` + one + `"},"built":{"class":"claimed","source":"https://github.com/team/app.git","revision":"aaaaaaaaaa"},
			"record":7,"witnessed":{"record":7,"by":["w1+00000001","w2+00000002"]},"derived":{"bases":[{"about":"` + one + `","repository":"base/alpine","digest":"` + two + `","tags":["3.22"],"layers":1}]}}`,
			`{"layers":[{"digest":"` + one + `","size":3072},{"digest":"` + two + `","size":10}],"config":{"config":{"User":"app","Env":["API_TOKEN=new-secret","MODE=b"],"Labels":{"x.password":"label-secret","y":"z"}}},
			"history":[{"created_by":"ADD base","layer":0},{"created_by":"RUN DB_PASSWORD=step-secret make MODE=x","layer":1}]}`,
		},
		two: {
			`{"descriptor":{"digest":"` + two + `"},"built":{"class":"claimed","source":"https://github.com/team/app","revision":"bbbbbbbbbb"}}`,
			`{"layers":[{"digest":"` + two + `","size":10},{"digest":"sha256:` + strings.Repeat("3", 64) + `","size":1024}],"config":{"config":{"Env":["API_TOKEN=old-secret","MODE=a"]}}}`,
		},
	}
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ref := r.URL.Query().Get("ref")
		if ref == "1.0" {
			ref = one
		}
		answers := fixedAPI{"/api/v1/history": `{"moves":[{"from":"` + one + `","to":"` + one + `","record":{}},{"from":"` + two + `","to":"` + one + `","record":{}}]}`}
		if a, ok := of[ref]; ok {
			answers["/api/v1/image"], answers["/api/v1/contents"] = a[0], a[1]
		}
		answers.ServeHTTP(w, r)
	}))
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	for _, path := range []string{"/r/team/app:1.0", "/r/team/app@" + one + "?before=" + two} {
		body := html.UnescapeString(b.send("GET", path, "", nil).Body.String())
		for _, want := range []string{
			"What changed since the image before", "1 layer kept, 1 added", "1 gone", "(+2.0 kB)", "variable MODE: <del>a</del> <ins>b</ins>", "variable API_TOKEN: changed", "user: <ins>app</ins>",
			`href="https://github.com/team/app/compare/bbbbbbbbbb...aaaaaaaaaa"`, "2 witnesses", "cosigned by w1+00000001, w2+00000002", "base/alpine:3.22", `class="based"`, "DB_PASSWORD=masked make MODE=x",
		} {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not show %q:\n%s", path, want, body)
			}
		}
		if strings.Contains(body, "-secret") {
			t.Errorf("%s shows a secret:\n%s", path, body)
		}
	}
	if body := b.send("GET", "/r/team/app:1.0?reveal=1", "", nil).Body.String(); strings.Count(body, "-secret") < 4 {
		t.Errorf("what was asked for is not shown:\n%s", body)
	}
	if body := b.send("GET", "/r/team/app@"+one, "", nil).Body.String(); strings.Contains(body, "What changed") {
		t.Error("a digest has an image before it")
	}
	gone := b.send("GET", "/r/team/app:1.0?before=sha256:"+strings.Repeat("4", 64), "", nil)
	if gone.Code != 200 || !strings.Contains(gone.Body.String(), "There is no such thing.") {
		t.Errorf("an image before that is gone: %d", gone.Code)
	}
}

// TestChart draws the moves of a tag, all within the picture.
func TestChart(t *testing.T) {
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	if chartOf([]time.Time{at, at}) != nil {
		t.Error("two moves are a picture")
	}
	for _, moments := range [][]time.Time{{at, at, at}, {at, at.Add(time.Hour), at.Add(-time.Hour), at.Add(9 * time.Hour)}} {
		c := chartOf(moments)
		for _, b := range c.Bars {
			if b.X < 0 || b.X+b.Width > c.Width || b.Y < 0 || b.Y+b.Height > c.Height || b.Height < 4 {
				t.Errorf("%+v lies outside", b)
			}
		}
		if c.Moves != len(moments) || len(c.Bars) == 0 {
			t.Errorf("%+v", c)
		}
	}
}

// TestAttention shows what ends soon and what was refused: administrators everything, others their own tokens, and nobody what ends later.
func TestAttention(t *testing.T) {
	in := func(days int) string { return `"` + time.Now().AddDate(0, 0, days).UTC().Format(time.RFC3339) + `"` }
	answers := fixedAPI{
		"/api/v1/repositories": `{"repositories":[]}`, "/api/v1/records": `{"records":[]}`,
		"/api/v1/access/tokens": `{"sessions":[{"name":"soon-token","expires":` + in(5) + `},{"name":"later-token","expires":` + in(50) + `}]}`,
		"/api/v1/certificate":   `{"server":{"notAfter":` + in(20) + `},"ca":{"notAfter":` + in(900) + `,"fingerprint":"AB:CD"}}`,
	}
	b := newBrowser(t, answers)
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	body := b.send("GET", "/", "", nil).Body.String()
	for want, shown := range map[string]bool{
		"Nothing here yet": true, "--fingerprint AB:CD": true, "Your token soon-token": true, "later-token": false, "Certificate": false, "server&#39;s certificate": false, "refused": false,
	} {
		if strings.Contains(body, want) != shown {
			t.Errorf("who is no administrator is shown %q: %v\n%s", want, !shown, body)
		}
	}
	answers["/api/v1/repositories"] = `{"repositories":[{"name":"team/app"}]}`
	answers["/api/v1/policy"] = `{"rules":[],"refused":{"sbom":3,"signed":7}}`
	answers["/api/v1/access/robots"] = `{"robots":[{"name":"ended","expires":` + in(-1) + `},{"name":"forever"},{"name":"later","expires":` + in(90) + `}]}`
	body = b.send("GET", "/", "", nil).Body.String()
	for want, shown := range map[string]bool{
		"The secret of the robot ended": true, "It ended": true, "hallmark robot rotate ended": true, "robot later": false, "robot forever": false, "The server&#39;s certificate": true,
		"The certificate authority": false, "signed: 7 times": true, "sbom: 3 times": true, "Your token soon-token": true,
	} {
		if strings.Contains(body, want) != shown {
			t.Errorf("an administrator is shown %q: %v\n%s", want, !shown, body)
		}
	}
	if body := b.send("GET", "/?prefix=team", "", nil).Body.String(); strings.Contains(body, "ends soon") {
		t.Error("a list that is narrowed shows what ends")
	}
}

// aJob signs in like alice, as a CI job, which has no account.
type aJob struct{ *oneUser }

func (aJob) Identify(*http.Request) (provenance.Identity, error) {
	return provenance.Identity{Actor: provenance.Actor{Kind: provenance.CI, Handle: "acme/app"}, Login: &provenance.Login{Method: "oidc"}}, nil
}

// TestHomeWithoutAnAccount shows the first page to one who has no account, and so no tokens that the API could be asked for.
func TestHomeWithoutAnAccount(t *testing.T) {
	b := newBrowser(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/access/tokens" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"detail":"name the user or the account"}`))
			return
		}
		empty.ServeHTTP(w, r)
	}))
	b.pages.Logins = aJob{new(oneUser)}
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	if w := b.send("GET", "/", "", nil); w.Code != http.StatusOK {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// TestCompareURL links commits at hosts that are known, and nowhere else.
func TestCompareURL(t *testing.T) {
	const a, b = "aaaaaaaaaa", "bbbbbbbbbb"
	for source, want := range map[string]string{
		"https://github.com/x/y": "https://github.com/x/y/compare/" + a + "..." + b, "https://gitlab.com/x/y.git": "https://gitlab.com/x/y/-/compare/" + a + "..." + b,
		"https://bitbucket.org/x/y": "https://bitbucket.org/x/y/branches/compare/" + b + ".." + a, "https://git.example/x/y": "", "https://github.com:444/x": "", "javascript:alert(1)": "",
		"https://u:p@github.com/x": "", "": "",
	} {
		if got := compareURL(source, a, b); got != want {
			t.Errorf("%s: %q", source, got)
		}
	}
	if got := compareURL("https://github.com/x/y", "main", b); got != "" {
		t.Errorf("a branch is compared: %s", got)
	}
}

// However many forms are sent, the tokens that are remembered are bounded; once they have ended there is room again.
func TestTokensThatAreRememberedAreBounded(t *testing.T) {
	f, now := newForms(), time.Unix(1_000_000, 0)
	f.now = func() time.Time { return now }
	for i := range maxForms {
		f.used[strconv.Itoa(i)] = now.Add(time.Minute)
	}
	for range 3 {
		if f.take(f.token("browser", "form"), "browser", "form") || len(f.used) > maxForms {
			t.Fatalf("a token beyond the bound was taken, or %d are remembered of %d", len(f.used), maxForms)
		}
	}
	now = now.Add(2 * time.Minute)
	if !f.take(f.token("browser", "form"), "browser", "form") || len(f.used) != 1 {
		t.Fatalf("after the others ended, %d are remembered", len(f.used))
	}
}

// However often strangers send the form that signs in, others can sign in, and send their own forms.
func TestStrangersKeepNobodyOut(t *testing.T) {
	f := newForms()
	for range maxForms + 1 {
		if !f.take(f.token("stranger", signInForm), "stranger", signInForm) {
			t.Fatal("strangers keep others from signing in")
		}
	}
	if len(f.strangers) > maxForms || !f.take(f.token("session", "remove"), "session", "remove") {
		t.Errorf("%d tokens of strangers are remembered, or they keep others from their forms", len(f.strangers))
	}
}

// No page says of an act without a login that a login proves it.
func TestWithoutALogin(t *testing.T) {
	const of = `"sha256:` + "1111111111111111111111111111111111111111111111111111111111111111" + `"`
	for _, c := range []struct{ actor, class, why string }{
		{`{"kind":"anonymous"}`, "observed", "seen by the registry"},
		{`{"kind":"system","handle":"operator"}`, "observed", "seen by the registry"},
		{`{"kind":"user","handle":"bob","account":"a2"}`, "authenticated", "proved by the login"},
		{`{"kind":"ci","handle":"octo/app"}`, "authenticated", "proved by the login"},
	} {
		record := `{"index":1,"action":"tag","repository":"team/app","actor":` + c.actor + `}`
		b := newBrowser(t, fixedAPI{
			"/api/v1/history":   `{"moves":[{"to":` + of + `,"record":` + record + `}]}`,
			"/api/v1/tags":      `{"tags":[{"name":"1.0","digest":` + of + `,"actor":` + c.actor + `}]}`,
			"/api/v1/records/1": record,
			"/api/v1/image":     `{"repository":"team/app","reference":"1.0","descriptor":{"digest":` + of + `},"tagged":{"action":"tag","tag":"1.0","record":1,"actor":` + c.actor + `}}`,
			"/api/v1/contents":  `{}`,
		})
		b.cookies["__Host-hallmark-session-443"] = "cookie"
		for _, page := range []string{"/r/team/app/-/history/1.0", "/r/team/app", "/-/record/1", "/r/team/app:1.0"} {
			body := b.send("GET", page, "", nil).Body.String()
			for _, class := range []string{"observed", "authenticated"} {
				sizeToo := class == "observed" && page == "/r/team/app:1.0" // which the registry saw, no matter who did it
				if got := strings.Contains(body, `class="class `+class+`"`); got != (class == c.class) && !sizeToo {
					t.Errorf("%s of %s says %s: %v", page, c.actor, class, got)
				}
			}
			if page == "/r/team/app:1.0" && !strings.Contains(body, c.why) {
				t.Errorf("%s of %s does not say %q", page, c.actor, c.why)
			}
		}
	}
}

// Wherever a page names somebody whose name another account had, too, it says the account.
func TestNamesakesOnPages(t *testing.T) {
	const of = `"sha256:` + "1111111111111111111111111111111111111111111111111111111111111111" + `"`
	const actor, names = `{"kind":"user","handle":"bob","account":"a2"}`, `"namesakes":["user:bob"]`
	record := `{"index":1,"action":"tag","repository":"team/app","actor":` + actor + `}`
	act := `{"action":"tag","tag":"1.0","record":1,"actor":` + actor + `}`
	b := newBrowser(t, fixedAPI{
		"/api/v1/history":      `{"at":"2026-11-24T00:00:00Z","digest":` + of + `,"move":{"to":` + of + `,"record":` + record + `},"moves":[{"to":` + of + `,"record":` + record + `}],` + names + `}`,
		"/api/v1/tags":         `{"tags":[{"name":"1.0","digest":` + of + `,"actor":` + actor + `}],` + names + `}`,
		"/api/v1/records":      `{"records":[` + record + `],` + names + `}`,
		"/api/v1/repositories": `{"repositories":[{"name":"team/app"}]}`,
		"/api/v1/search":       `{"images":[{"repository":"team/app","digest":` + of + `,"actor":` + actor + `}],"records":[` + record + `],` + names + `}`,
		"/api/v1/image":        `{"repository":"team/app","reference":"1.0","descriptor":{"digest":` + of + `},"tagged":` + act + `,"first":` + act + `,"arrivals":[` + act + `],` + names + `}`,
		"/api/v1/contents":     `{}`,
	})
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	for page, times := range map[string]int{
		"/r/team/app/-/history/1.0?at=2026-11-24T00:00:00Z": 2, "/r/team/app": 1, "/-/records": 1, "/": 1, "/search?q=bob": 2, "/r/team/app:1.0": 2,
	} {
		body := b.send("GET", page, "", nil).Body.String()
		if got := strings.Count(body, "bob (account a2)"); got != times {
			t.Errorf("%s says the account %d times, want %d:\n%s", page, got, times, body)
		}
	}
}

// A list that the API cut is not shown as if it were whole.
func TestCutContents(t *testing.T) {
	b := newBrowser(t, fixedAPI{
		"/api/v1/image":    `{"repository":"team/app","reference":"1.0","descriptor":{"digest":"sha256:` + strings.Repeat("1", 64) + `"},"cut":["tags"]}`,
		"/api/v1/contents": `{"layers":[{"size":1}],"cut":["layers","referrers"]}`,
	})
	b.cookies["__Host-hallmark-session-443"] = "cookie"
	body := b.send("GET", "/r/team/app:1.0", "", nil).Body.String()
	for _, list := range []string{"tags", "layers", "referrers"} {
		if want := "The list " + list + " is cut"; !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}
