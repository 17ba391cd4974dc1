package mirror_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// overheard is what servers were sent as Authorization.
type overheard struct {
	mu  sync.Mutex
	all map[string]bool // server and kind of login; guarded by mu
}

func (o *overheard) hear(server string, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	kind, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	o.all[server+" "+kind] = true
}

// TestCredentials imports from a registry whose tokens come from another server and whose blobs are at a third: the login goes to the server of tokens, the
// token to the registry, and neither to the store of blobs.
func TestCredentials(t *testing.T) {
	t.Parallel()
	u, s, o := newUpstream(t), servertest.Start(t), &overheard{all: map[string]bool{}}
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.hear("tokens", r)
		fmt.Fprint(w, `{"token":"of-the-registry"}`)
	}))
	t.Cleanup(tokens.Close)
	blobs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.hear("blobs", r)
		_, _ = w.Write(u.heap[digest.Digest(strings.TrimPrefix(r.URL.Path, "/"))])
	}))
	t.Cleanup(blobs.Close)
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		o.hear("registry", r)
		if r.Header.Get("Authorization") != "Bearer of-the-registry" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s/token",service="registry",scope="repository:team/app:pull"`, tokens.URL))
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		if _, d, ok := strings.Cut(r.URL.Path, "/blobs/"); ok {
			http.Redirect(w, r, blobs.URL+"/"+d+"?signature=x", http.StatusTemporaryRedirect)
			return true
		}
		return false
	}
	r, failed := run(t, s, map[string]any{"registry": u.where(), "repositories": []string{"team/app"}, "username": "alice", "password": "wonderland", "addresses": []string{"127.0.0.1"}})
	if failed != "" || r.Came != 3 || r.Refused != 0 {
		t.Fatalf("%+v %s", r, failed)
	}
	for who, want := range map[string]bool{"registry ": true, "registry Bearer": true, "tokens Basic": true, "blobs ": true, "blobs Bearer": false, "blobs Basic": false, "registry Basic": false} {
		if o.all[who] != want {
			t.Errorf("%q was heard: %t; %v", who, !want, o.all)
		}
	}
}

// TestReferrersOfOthers has a registry answer 404 for the referrers in one repository: those in another come all the same.
func TestReferrersOfOthers(t *testing.T) {
	t.Parallel()
	u, s := newUpstream(t), servertest.Start(t)
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		path := strings.Replace(r.URL.Path, "/v2/a/app/", "/v2/team/app/", 1)
		switch {
		case path == r.URL.Path:
			return false
		case strings.Contains(path, "/referrers/"):
			http.NotFound(w, r)
			return true
		}
		r.URL.Path = path
		return false
	}
	r, failed := run(t, s, map[string]any{"registry": u.where(), "repositories": []string{"a/app", "team/app"}})
	if failed != "" || r.Refused != 0 || r.Came != 6 {
		t.Fatalf("%+v %s", r, failed)
	}
	for repo, want := range map[string]int{"a/app": 404, "team/app": 200} {
		if status, _ := get(t, s, "/v2/"+repo+"/manifests/"+u.attached.Digest.String()); status != want {
			t.Errorf("%s: what is attached answers %d, want %d", repo, status, want)
		}
	}
}

// TestNoHead mirrors a registry that takes no HEAD.
func TestNoHead(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead {
			return false
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
		return true
	}
	m := newMirrored(t, ruleOf(u))
	m.settled()
	u.move("1.0", u.image(t, "amd64", nil, "a", "f"))
	if _, report, said := m.run(); report.Came != 1 || report.Present != 2 || report.Counts.Refused != 0 {
		t.Error(said)
	}
}
