package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lyingAbout starts a server before s that answers as it does, but for what lie changes. lie may change the body and the header of
// an answer.
func lyingAbout(t *testing.T, s *testServer, lie func(r *http.Request, header http.Header, body string) string) (url string) {
	t.Helper()
	lying := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, header, body := s.do(r.Method, r.URL.RequestURI(), "admin:"+adminPassword, "")
		for name, values := range header {
			if name != "Content-Length" {
				w.Header()[name] = values
			}
		}
		body = lie(r, w.Header(), body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(lying.Close)
	return lying.URL
}

// TestLyingPulls asks a registry that gives a pull other bytes than the API and the headers say, or resolves a tag to something
// else than it is.
func TestLyingPulls(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startServer(t, t.TempDir())
	one := s.push("team/app", "1", "one", nil)
	two := s.push("team/web", "1", "two", nil)
	other := s.want(200, "GET", "/v2/team/web/manifests/1")
	pulls := func(r *http.Request, method, ref string) bool {
		return r.Method == method && r.URL.Path == "/v2/team/app/manifests/"+ref
	}
	for name, c := range map[string]struct {
		lie           func(r *http.Request, header http.Header, body string) string
		audit, verify string // what they say; "" is that all is well
		image         string
	}{
		"the truth": {lie: func(_ *http.Request, _ http.Header, body string) string { return body }},
		"a tag's bytes": {
			lie: func(r *http.Request, _ http.Header, body string) string {
				if pulls(r, http.MethodGet, "1") {
					return other
				}
				return body
			},
			audit:  "team/app:1, when it is pulled, means " + two + " (by its header " + one + ") since record 1; by the records it means " + one,
			verify: "tells of " + one + ", and a pull (GET) gives " + two,
		},
		"the bytes of a digest": {
			lie: func(r *http.Request, _ http.Header, body string) string {
				if pulls(r, http.MethodGet, one) {
					return other
				}
				return body
			},
			audit:  "team/app@" + one + " is " + two + " (by its header " + one + ") since record 1",
			verify: "tells of " + one + ", and a pull (GET) gives " + two,
			image:  "team/app@" + one,
		},
		"what a tag is resolved to": {
			lie: func(r *http.Request, header http.Header, body string) string {
				if pulls(r, http.MethodHead, "1") {
					header.Set("Docker-Content-Digest", two)
				}
				return body
			},
			audit:  "team/app:1, when it is resolved with HEAD, means " + two + " since record 1; by the records it means " + one,
			verify: "tells of " + one + ", and a pull (HEAD) gives " + two,
		},
		"no digest for a tag": {
			lie: func(r *http.Request, header http.Header, body string) string {
				if pulls(r, http.MethodHead, "1") {
					header.Del("Docker-Content-Digest")
				}
				return body
			},
			audit:  "team/app:1, when it is resolved with HEAD, means no digest since record 1; by the records it means " + one,
			verify: "tells of " + one + ", and a pull (HEAD) gives no digest",
		},
		"a header": {
			lie: func(r *http.Request, header http.Header, body string) string {
				if pulls(r, http.MethodGet, "1") {
					header.Set("Docker-Content-Digest", two)
				}
				return body
			},
			audit: "team/app:1, when it is pulled, means " + one + " (by its header " + two + ") since record 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := lyingAbout(t, s, c.lie)
			ask := func(says string, verb ...string) {
				t.Helper()
				var out bytes.Buffer
				env := map[string]string{"HALLMARK_USER": "admin", "HALLMARK_PASSWORD": adminPassword}
				err := run(t.Context(), append(verb, "--server", url), func(key string) string { return env[key] }, nil, &out, &out)
				said := out.String()
				if err != nil {
					said += err.Error()
				}
				if good := says == ""; good && err != nil || !good && exitCode(err) != exitNo || !strings.Contains(said, says) {
					t.Errorf("%s: want %q: %v\n%s", verb[0], says, err, said)
				}
			}
			ask(c.audit, "audit", "--state", filepath.Join(t.TempDir(), "state"))
			ask(c.verify, "verify", firstOf(c.image, "team/app:1"))
		})
	}
}

// TestAuditName changes the public name of a registry. Once a record is made under it, an audit says so once; before, it is on no record.
func TestAuditName(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir, state := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "state")
	s := startServer(t, dir, "--insecure-http", "--url", "http://one.example")
	verb := func(want int, verb ...string) string {
		t.Helper()
		var out bytes.Buffer
		err := run(t.Context(), append(verb, "--data", dir), noEnvironment, nil, &out, &out)
		if exitCode(err) != want {
			t.Errorf("%q: %v, want %d\n%s", verb, err, want, out.String())
		}
		return out.String()
	}
	audit := func(want int, says, not string, args ...string) {
		t.Helper()
		said := verb(want, append([]string{"audit", "--state", state}, args...)...)
		if !strings.Contains(said, says) || not != "" && strings.Contains(said, not) {
			t.Errorf("want %q\n%s", says, said)
		}
	}
	verb(0, "team", "add", "first")
	audit(0, "", "public name")
	s.kill()
	if err := os.Remove(filepath.Join(dir, socketFile)); err != nil {
		t.Fatal(err)
	}
	startServer(t, dir, "--insecure-http", "--url", "http://two.example")
	audit(exitNo, "the registry calls itself http://two.example; by record 1, the newest, it is http://one.example", "from record")
	verb(0, "team", "add", "second")
	const changed = "from record 2 on the public name is http://two.example; by record 1 it was http://one.example"
	audit(0, changed, "calls itself")
	audit(0, "", "public name")
	audit(0, changed, "calls itself", "--anew")
}
