package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// setsWorld are three servers over one store, and somebody who asks them all.
type setsWorld struct {
	*servertest.Sets
	t *testing.T
}

// ask has a set do what an administrator may, and returns the answer.
func (w *setsWorld) ask(s *servertest.Set, status int, method, path string, body any) string {
	w.t.Helper()
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // of strings and lists
	}
	got, answer, err := s.Do(method, path, servertest.Login, text, "Content-Type", "application/json")
	if err != nil || got != status {
		w.t.Fatalf("%s %s: %d, %v: %s", method, path, got, err, answer)
	}
	return answer
}

// field is one of an answer in JSON.
func field(t *testing.T, answer, name string) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(answer), &all); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	text, ok := all[name].(string)
	if !ok {
		t.Fatalf("there is no %s in %s", name, answer)
	}
	return text
}

// A revocation is something that is given and taken by one set, and what others make of it.
type revocation struct {
	name string
	give func(s *servertest.Set) // by a set
	take func(s *servertest.Set)
	try  func(s *servertest.Set) int // the status that somebody gets who has it, or not
	good int
}

// TestSetsRevoke gives rights and logins at one of three servers and takes them at another: the third, which has served who has them, and
// heard of neither, goes by it with its next request.
func TestSetsRevoke(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	t.Parallel()
	w := &setsWorld{servertest.StartSets(t, servertest.Options(), 3, 1), t}
	w.Any().Push("team/app", "1.0", "a layer")
	for _, r := range w.revocations() {
		t.Run(r.name, func(t *testing.T) {
			for round := range 3 {
				r.give(w.Any())
				for i := range 3 {
					if got := r.try(w.At(i)); got != r.good {
						t.Fatalf("round %d: given, and set %d answers %d, want %d", round, i, got, r.good)
					}
				}
				by := w.Any()
				r.take(by)
				for range 3 {
					if got := r.try(w.Other(by)); got == r.good || got >= 500 {
						t.Fatalf("round %d: taken, and another set answers %d", round, got)
					}
				}
			}
		})
	}
}

const manifestPath = "/v2/team/app/manifests/1.0"

func (w *setsWorld) pull(s *servertest.Set, login string, header ...string) int {
	w.t.Helper()
	status, _, err := s.Do("GET", manifestPath, login, nil, header...)
	if err != nil {
		w.t.Fatal(err)
	}
	return status
}

// docker is a pull as docker makes it: with a token, which each set sees for the first time or not.
func (w *setsWorld) bearer(s *servertest.Set, login string) string {
	w.t.Helper()
	status, answer, err := s.Do("GET", "/token?service="+url.QueryEscape(strings.TrimPrefix(servertest.SetsURL, "https://"))+"&scope=repository:team/app:pull", login, nil)
	if err != nil || status != http.StatusOK {
		w.t.Fatalf("token: %d, %v: %s", status, err, answer)
	}
	return "Bearer " + field(w.t, answer, "token")
}

func (w *setsWorld) revocations() []revocation {
	const users, grants, robots = "/api/v1/users", "/api/v1/access/grants", "/api/v1/access/robots"
	grant := func(s *servertest.Set, subject, role string) {
		w.ask(s, http.StatusCreated, "POST", grants, map[string]any{"subject": subject, "pattern": "team/app", "role": role})
	}
	revoke := func(s *servertest.Set, subject, role string) {
		w.ask(s, http.StatusNoContent, "DELETE", grants+"?"+url.Values{"subject": {subject}, "pattern": {"team/app"}, "role": {role}}.Encode(), nil)
	}
	password, n := "a password of alice's", 0
	alice := func() string { return "alice:" + password }
	w.ask(w.Any(), http.StatusCreated, "POST", users, map[string]any{"name": "alice", "password": password})
	scopes := []map[string]any{{"pattern": "team/app", "rights": []string{"pull"}}}
	var token, robot, id string
	fixed := false
	return []revocation{
		{
			"a user's right", func(s *servertest.Set) { grant(s, "user:alice", "pull") }, func(s *servertest.Set) { revoke(s, "user:alice", "pull") },
			func(s *servertest.Set) int { return w.pull(s, alice()) }, 200,
		},
		{
			"the right of who has a token", func(s *servertest.Set) {
				grant(s, "user:alice", "pull")
				token = w.bearer(w.Any(), alice())
			}, func(s *servertest.Set) { revoke(s, "user:alice", "pull") },
			func(s *servertest.Set) int { return w.pull(s, "", "Authorization", token) }, 200,
		},
		{
			"strangers' right", func(s *servertest.Set) { grant(s, "anonymous", "pull") }, func(s *servertest.Set) { revoke(s, "anonymous", "pull") },
			func(s *servertest.Set) int { return w.pull(s, "") }, 200,
		},
		{"an administrator", func(s *servertest.Set) {
			w.ask(s, http.StatusCreated, "POST", grants, map[string]any{"subject": "user:alice", "pattern": "**", "role": "admin"})
		}, func(s *servertest.Set) {
			w.ask(s, http.StatusNoContent, "DELETE", grants+"?subject=user:alice&pattern=**&role=admin", nil)
		}, func(s *servertest.Set) int {
			status, _, _ := s.Do("GET", users, alice(), nil)
			return status
		}, 200},
		{
			"a robot", func(s *servertest.Set) {
				robot = "robot1:" + field(w.t, w.ask(s, http.StatusCreated, "POST", robots, map[string]any{"name": "robot1"}), "secret")
				grant(s, "robot:robot1", "pull")
			}, func(s *servertest.Set) { w.ask(s, http.StatusNoContent, "DELETE", robots+"/robot1", nil) },
			func(s *servertest.Set) int { return w.pull(s, robot) }, 200,
		},
		{
			"a personal access token", func(s *servertest.Set) {
				answer := w.ask(s, http.StatusCreated, "POST", "/api/v1/access/tokens", map[string]any{"name": "ci", "scopes": scopes})
				token, id = field(w.t, answer, "secret"), field(w.t, answer, "id")
			}, func(s *servertest.Set) { w.ask(s, http.StatusNoContent, "DELETE", "/api/v1/access/tokens/"+id, nil) },
			func(s *servertest.Set) int { return w.pull(s, "admin:"+token) }, 200,
		},
		{
			"what was made of a token", func(s *servertest.Set) {
				answer := w.ask(s, http.StatusCreated, "POST", "/api/v1/access/tokens", map[string]any{"name": "ci", "scopes": scopes})
				token, id = w.bearer(w.Any(), "admin:"+field(w.t, answer, "secret")), field(w.t, answer, "id")
			}, func(s *servertest.Set) { w.ask(s, http.StatusNoContent, "DELETE", "/api/v1/access/sessions/"+id, nil) },
			func(s *servertest.Set) int { return w.pull(s, "", "Authorization", token) }, 200,
		},
		{"a password", func(*servertest.Set) {
			w.ask(w.Any(), 201, "POST", grants, map[string]any{"subject": "user:alice", "pattern": "team/*", "role": "pull"})
			token = alice()
		}, func(s *servertest.Set) {
			n++
			password = fmt.Sprint("another password ", n)
			w.ask(s, http.StatusNoContent, "PUT", users+"/alice/password", map[string]any{"password": password})
			w.ask(w.Any(), http.StatusNoContent, "DELETE", grants+"?subject=user:alice&pattern=team/*&role=pull", nil)
		}, func(s *servertest.Set) int { return w.pull(s, token) }, 200},
		{
			"a user", func(s *servertest.Set) {
				w.ask(s, http.StatusCreated, "POST", users, map[string]any{"name": "bob", "password": "a password of bob's"})
				grant(s, "user:bob", "pull")
				token = w.bearer(w.Any(), "bob:a password of bob's")
			}, func(s *servertest.Set) { w.ask(s, http.StatusNoContent, "DELETE", users+"/bob", nil) },
			func(s *servertest.Set) int { return w.pull(s, "", "Authorization", token) }, 200,
		},
		{"a tag that may move", func(s *servertest.Set) {
			if fixed {
				w.ask(s, http.StatusNoContent, "DELETE", "/api/v1/access/immutable?repositories=team/app&tags=1.0", nil)
			}
		}, func(s *servertest.Set) {
			fixed = true
			w.ask(s, http.StatusCreated, "POST", "/api/v1/access/immutable", map[string]any{"repositories": "team/app", "tags": "1.0"})
		}, func(s *servertest.Set) int {
			n++
			w.t.Helper()
			d := s.Push("team/app", "free", fmt.Sprint("layer ", n))
			_, manifest, err := s.Do("GET", "/v2/team/app/manifests/"+d.String(), servertest.Login, nil)
			if err != nil {
				w.t.Fatal(err)
			}
			status, _, _ := s.Do("PUT", manifestPath, servertest.Login, []byte(manifest), "Content-Type", "application/vnd.oci.image.manifest.v1+json")
			return status
		}, http.StatusCreated},
	}
}

// TestSetsDecide has three servers remember what their rules say of an image, and changes at one of them what the rules ask about: the others go by
// it with their next request. Meanwhile each is killed and started.
func TestSetsDecide(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	t.Parallel()
	o := servertest.Options()
	o.Config.Policy.File = filepath.Join(t.TempDir(), "policy.yaml")
	rules := "rules:\n  - name: blessed\n    repositories: team/*\n    at: pull\n    require: '\"blessed\" in image.tags'\n    owner: us\n"
	if err := os.WriteFile(o.Config.Policy.File, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &setsWorld{servertest.StartSets(t, o, 3, 5), t}
	w.ask(w.Any(), http.StatusCreated, "POST", "/api/v1/users", map[string]any{"name": "alice", "password": "a password of alice's"})
	w.ask(w.Any(), http.StatusCreated, "POST", "/api/v1/access/grants", map[string]any{"subject": "user:alice", "pattern": "team/*", "role": "pull"})
	w.Any().Push("team/app", "1.0", "a layer")
	for round := range 12 {
		by := w.Any()
		want := http.StatusOK
		if round%2 == 0 {
			by.Push("team/app", "blessed", "a layer")
		} else {
			want = http.StatusForbidden
			if status, answer, err := by.Do("DELETE", "/v2/team/app/manifests/blessed", servertest.Login, nil); err != nil || status != http.StatusAccepted {
				t.Fatalf("%d, %v: %s", status, err, answer)
			}
		}
		for i := range 3 {
			if got := w.pull(w.At(i), "alice:a password of alice's"); got != want {
				t.Fatalf("round %d: set %d answers %d, want %d", round, i, got, want)
			}
		}
		if i := round % 5; i < 3 {
			w.Kill(i)
			w.Start(i)
		}
	}
}
