package server_test

import (
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/servertest"
)

// TestPagesForStrangers grants strangers a part, and wants pages to show them that, and nothing of the rest.
func TestPagesForStrangers(t *testing.T) {
	s := servertest.Start(t)
	s.Push("open/app", "1.0", "open")
	s.Push("secret/app", "1.0", "secret")
	page := func(path string) (int, string) {
		status, body, err := s.Do("GET", path, "", nil, "Accept", "text/html")
		if err != nil {
			t.Fatal(err)
		}
		return status, body
	}
	if status, body := page("/"); !strings.Contains(body, "Sign in") || strings.Contains(body, "open/app") {
		t.Errorf("without a grant: %d\n%s", status, body)
	}
	grant := []byte(`{"subject":"anonymous","pattern":"open/**","role":"pull"}`)
	if status, body, err := s.Do("POST", "/api/v1/access/grants", servertest.Login, grant, "Content-Type", "application/json"); status >= 300 || err != nil {
		t.Fatal(status, body, err)
	}
	for path, wants := range map[string]string{
		"/": "open/app", "/r/open/app": "1.0", "/r/open/app:1.0": "Pushed", "/r/open/app/-/history/1.0": "History", "/-/records": "open/app",
		"/search?q=app": "open/app", "/r/secret/app": "Sign in", "/r/secret/app:1.0": "Sign in", "/r/none": "Sign in",
	} {
		status, body := page(path)
		if status != 200 || !strings.Contains(body, wants) || strings.Contains(body, "secret/app</a>") {
			t.Errorf("%s: %d, without %q\n%s", path, status, wants, body)
		}
	}
}

// TestRoot wants the root to be a page for browsers, and the list of repositories for programs that ask for JSON, and
// caches to be told that it depends. Without pages there is neither, nor any other page.
func TestRoot(t *testing.T) {
	o := servertest.Options()
	o.Config.Pages = false
	with, without := servertest.Start(t), servertest.StartOn(t, t.TempDir(), o)
	for _, c := range []struct {
		s          *servertest.Server
		path, asks string
		status     int
		location   string
	}{
		{with, "/", "text/html", 303, "/-/sign-in?next=%2F"},
		{with, "/", "application/json", 303, "/api/v1/repositories"},
		{with, "/", "*/*", 404, ""},
		{without, "/", "text/html", 404, ""},
		{without, "/", "application/json", 404, ""},
		{without, "/search", "text/html", 404, ""},
		{without, "/-/sign-in", "text/html", 404, ""},
		{without, "/healthz", "*/*", 200, ""},
	} {
		r, err := http.NewRequest("GET", c.s.URL()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", c.asks)
		resp, err := c.s.Client.Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		varies := strings.Contains(strings.Join(resp.Header.Values("Vary"), ","), "Accept")
		if resp.StatusCode != c.status || resp.Header.Get("Location") != c.location || c.s == with && !varies {
			t.Errorf("%s as %s: %s %v", c.path, c.asks, resp.Status, resp.Header)
		}
	}
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// TestCookie signs in with the form, and wants the cookie to count for pages and for reads that they make, and for nothing
// else, as long as the session lasts.
func TestCookie(t *testing.T) {
	s := servertest.Start(t)
	s.Push("team/app", "1.0", "layer")
	cookies := map[string]string{}
	send := func(method, path, body string, header ...string) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, s.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		for name, value := range cookies {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		resp, err := s.Client.Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		for _, c := range resp.Cookies() {
			if cookies[c.Name] = c.Value; c.MaxAge < 0 {
				delete(cookies, c.Name)
			}
		}
		return resp
	}
	token := func(path string) string {
		t.Helper()
		body, err := io.ReadAll(send("GET", path, "").Body)
		found := tokenField.FindSubmatch(body)
		if err != nil || found == nil {
			t.Fatalf("%s has no form: %v\n%s", path, err, body)
		}
		return string(found[1])
	}
	const form = "application/x-www-form-urlencoded"
	_, password, _ := strings.Cut(servertest.Login, ":")
	fields := url.Values{"token": {token("/-/sign-in")}, "name": {"admin"}, "password": {password}, "next": {"/r/team/app"}}
	if resp := send("POST", "/-/sign-in", fields.Encode(), "Origin", s.URL(), "Content-Type", form); resp.StatusCode != 303 || resp.Header.Get("Location") != "/r/team/app" {
		t.Fatal(resp.Status, resp.Header)
	}
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/r/team/app:1.0", nil, 200},
		{"GET", "/api/v1/repositories", nil, 200},
		{"GET", "/api/v1/repositories", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"GET", "/api/v1/repositories", []string{"Sec-Fetch-Site", "cross-site"}, 401},
		{"GET", "/api/v1/repositories", []string{"Sec-Fetch-Site", "same-site"}, 401},
		{"POST", "/api/v1/access/grants", []string{"Content-Type", "application/json"}, 401},
		{"DELETE", "/api/v1/users/admin", nil, 401},
		{"GET", "/v2/", nil, 401},
		{"GET", "/v2/team/app/manifests/1.0", nil, 401},
		{"DELETE", "/v2/team/app/manifests/1.0", nil, 401},
		{"GET", "/token", nil, 401},
	} {
		if resp := send(c.method, c.path, "", c.header...); resp.StatusCode != c.status {
			t.Errorf("%s %s %v: %s", c.method, c.path, c.header, resp.Status)
		}
	}
	kept := maps.Clone(cookies)
	fields = url.Values{"token": {token("/")}}
	if resp := send("POST", "/-/sign-out", fields.Encode(), "Origin", s.URL(), "Content-Type", form); resp.StatusCode != 303 {
		t.Fatal(resp.Status)
	}
	cookies = kept
	if resp := send("GET", "/api/v1/repositories", ""); resp.StatusCode != 401 || resp.Header.Get("Www-Authenticate") != "" {
		t.Errorf("a session that ended: %s %v", resp.Status, resp.Header)
	}
}
