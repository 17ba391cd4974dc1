package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
)

// identity is somebody in the table, with the role that they have in each repository: 0 is none.
type identity struct {
	name, login string
	roles       [4]access.Right
	subject     string // that its own repositories are granted to; "" for strangers
}

// The repositories of the table, in the order of identity.roles.
var tableRepos = [4]string{"team/app", "open/app", "base/app", "secret/app"}

const (
	tablePassword = "wonderland-1"
	tableSource   = "https://git.example/shared"
)

// tableCommit is what the image of secret/app alone says it was built from.
const tableCommit = "c0ffee00112233445566778899aabbccddeeff00"

// tableBase is what all images say they stand on.
var tableBase = digest.FromString("base").String()

// rightsTable is a server with four repositories, and everyone who asks for them.
type rightsTable struct {
	*testServer
	digest map[string]string // of tag 1.0, by repository
	layer  map[string]string // its layer
	config map[string]string
	index  map[string]string // the record of its push
	// trashed is the digest of an image in the trash, by repository, where a test left one there: trashSome.
	trashed map[string]string
}

// startTable starts a server with more configuration, and makes everyone.
func startTable(t *testing.T, config string) (*rightsTable, []identity) {
	issuer := oidctest.Start(t)
	s := &rightsTable{
		testServer: startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, config+jobsOf(issuer))),
		digest:     map[string]string{}, layer: map[string]string{}, config: map[string]string{}, index: map[string]string{},
	}
	for _, repo := range tableRepos {
		annotations := map[string]string{"of": repo, "org.opencontainers.image.source": tableSource, "org.opencontainers.image.base.digest": tableBase}
		if repo == "secret/app" {
			annotations["org.opencontainers.image.revision"] = tableCommit
		}
		s.digest[repo] = s.push(repo, "1.0", "layer of "+repo, annotations)
		_, header, body := s.do("GET", "/v2/"+repo+"/manifests/1.0", "", "")
		var m struct {
			Config struct{ Digest string }
			Layers []struct{ Digest string }
		}
		if err := json.Unmarshal([]byte(body), &m); err != nil {
			t.Fatal(err)
		}
		s.layer[repo], s.config[repo], s.index[repo] = m.Layers[0].Digest, m.Config.Digest, header.Get("Hallmark-Record")
	}
	for _, name := range []string{"reader", "pusher", "deleter", "owner", "member", "former", "again", "old"} {
		s.change("POST", "/api/v1/users", map[string]string{"name": name, "password": tablePassword})
	}
	s.change("POST", "/api/v1/access/teams", map[string]string{"name": "core"})
	s.change("POST", "/api/v1/access/teams/core/members", map[string][]string{"users": {"member", "former"}})
	for _, g := range []string{
		"user:reader team/** pull", "user:pusher team/* push", "user:deleter team/app delete", "user:owner team/** admin", "team:core team/* push",
		"user:again ** delete", "user:old team/app push", "anonymous open/** pull", "everyone base/* pull", "user:owner base/app push",
	} {
		s.grant(g)
	}
	robot := s.secret("/api/v1/access/robots", "", map[string]any{"name": "builder"})
	s.grant("robot:builder team/app push")
	s.grant("ci:" + issuer.URL + ":repository_id=4711,ref=refs/heads/main team/app push")
	s.change("DELETE", "/api/v1/access/teams/core/members/former", nil)
	s.change("DELETE", "/api/v1/users/again", nil)
	s.change("POST", "/api/v1/users", map[string]string{"name": "again", "password": tablePassword})
	s.change("PUT", "/api/v1/users/old/name", map[string]string{"name": "renamed"})
	s.change("POST", "/api/v1/users", map[string]string{"name": "old", "password": tablePassword})
	const pull, push, remove, admin = access.Pull, access.Push, access.Delete, access.Admin
	user := func(name string, roles ...access.Right) identity {
		return identity{name, name + ":" + tablePassword, [4]access.Right(roles), "user:" + name}
	}
	job := func(changes map[string]any) string {
		return "oidc:" + issuer.Token(issuer.GitHub("hallmark", time.Now(), changes))
	}
	token := s.secret("/api/v1/access/tokens", "owner:"+tablePassword, map[string]any{"name": "narrow", "scopes": []access.Scope{
		access.UpTo(patternOf(t, "team/app"), pull), access.UpTo(patternOf(t, "dest-token/**"), push),
	}})
	identities := []identity{
		{"a stranger", "none", [4]access.Right{0, pull, 0, 0}, ""},
		{"an empty login", ":", [4]access.Right{0, pull, 0, 0}, ""}, // as skopeo sends where it has none
		user("reader", pull, pull, pull, 0),
		user("pusher", push, pull, pull, 0),
		user("deleter", remove, pull, pull, 0),
		user("owner", admin, pull, push, 0),
		user("member", push, pull, pull, 0),
		user("former", 0, pull, pull, 0),
		user("again", 0, pull, pull, 0),
		user("renamed", push, pull, pull, 0),
		user("old", 0, pull, pull, 0),
		{"builder", "builder:" + robot, [4]access.Right{push, pull, pull, 0}, "robot:builder"},
		{"job", job(nil), [4]access.Right{push, pull, 0, 0}, "ci:" + issuer.URL + ":repository_id=4711"}, // nobody is everyone by a token of CI
		{"fork", job(map[string]any{"repository_id": "4712", "run_id": "2"}), [4]access.Right{0, pull, 0, 0}, "ci:" + issuer.URL + ":repository_id=4712"},
		{"token", "owner:" + token, [4]access.Right{pull, 0, 0, 0}, "user:owner"},
		{"admin", "", [4]access.Right{admin, admin, admin, admin}, "user:admin"},
	}
	for _, who := range identities {
		if !who.isStranger() {
			s.grant(who.subject + " " + destination(who) + "/** push")
		}
	}
	return s, identities
}

func (who identity) isStranger() bool { return who.login == "none" || who.login == ":" }

// destination is where somebody mounts to, and nobody else sees.
func destination(who identity) string { return "dest-" + strings.ReplaceAll(who.name, " ", "-") }

// change makes an administrator's change, which has to succeed.
func (s *rightsTable) change(method, path string, body any) string {
	s.t.Helper()
	status, _, answer := s.do(method, path, "", string(mustMarshal(body)), "Content-Type", "application/json")
	if status >= 300 {
		s.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return answer
}

// secret makes what has a secret, as somebody, and returns it.
func (s *rightsTable) secret(path, login string, body any) string {
	s.t.Helper()
	var made struct{ Secret string }
	status, _, answer := s.do("POST", path, login, string(mustMarshal(body)), "Content-Type", "application/json")
	if err := json.Unmarshal([]byte(answer), &made); err != nil || status != http.StatusCreated {
		s.t.Fatalf("%s: %d %s", path, status, answer)
	}
	return made.Secret
}

func patternOf(t *testing.T, text string) access.Pattern {
	t.Helper()
	p, err := access.ParsePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// grant gives SUBJECT PATTERN ROLE.
func (s *rightsTable) grant(g string) {
	s.t.Helper()
	f := strings.Fields(g)
	s.change("POST", "/api/v1/access/grants", map[string]string{"subject": f[0], "pattern": f[1], "role": f[2]})
}

// TestRights asks for everything as everyone: identities × repositories × routes, against a real server.
func TestRights(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s, identities := startTable(t, "")
	for _, who := range identities {
		for i, repo := range tableRepos {
			for _, route := range tableRoutes {
				r := route.request(s, who, repo)
				status, answer, said := s.do(route.method(), r.path, who.login, r.body, r.header...)
				if want := route.expected(who, who.roles[i]); status != want {
					t.Errorf("%s, %s, %s %s: %d, want %d\n%s", who.name, repo, route.route, route.what, status, want, said)
				}
				if status == http.StatusUnauthorized && answer.Get("Www-Authenticate") == "" {
					t.Errorf("%s, %s, %s: no challenge", who.name, repo, route.route)
				}
				s.wantNoLeak(who, route.route+" "+route.what, r.path+r.body, answer, said)
			}
		}
		s.wantLists(who)
	}
}

// asStranger wants somebody who does not say whether they have a login to be asked for it before they see less than
// others, and returns the header with which they go on as docker's token flow has it: with a token for nobody.
func (s *rightsTable) asStranger(who identity, path string) (header []string) {
	s.t.Helper()
	if who.login != "none" {
		return nil
	}
	status, asked, _ := s.do("GET", path, "none", "")
	if status != http.StatusUnauthorized || asked.Get("Www-Authenticate") == "" {
		s.t.Errorf("%s, %s: %d, challenge %q", who.name, path, status, asked.Get("Www-Authenticate"))
	}
	var got struct{ Token string }
	if _, _, body := s.do("GET", "/token?scope=registry:catalog:*+hallmark:account:*", "none", ""); json.Unmarshal([]byte(body), &got) != nil || got.Token == "" {
		s.t.Fatalf("no token for nobody: %s", body)
	}
	return []string{"Authorization", "Bearer " + got.Token}
}

// wantLists asks for the lists, which show exactly what may be pulled.
func (s *rightsTable) wantLists(who identity) {
	s.t.Helper()
	var want []string
	for i, repo := range tableRepos {
		if who.roles[i] >= access.Pull {
			want = append(want, repo)
		}
	}
	slices.Sort(want)
	for path, pattern := range map[string]string{
		"/v2/_catalog": `"%s"`, "/api/v1/repositories?limit=1000": `"name":"%s"`, "/api/v1/records?limit=1000": `"repository":"%s"`,
		"/api/v1/records/statements?limit=1000":            `"repository":"%s"`,
		"/api/v1/records/export?limit=1000":                `"repository":"%s"`,
		"/api/v1/sources?limit=1000&source=" + tableSource: `"repository":"%s"`,
		"/api/v1/descendants?limit=1000&base=" + tableBase: `"repository":"%s"`,
	} {
		status, _, body := s.do("GET", path, who.login, "", s.asStranger(who, path)...)
		if status != 200 {
			s.t.Errorf("%s, %s: %d", who.name, path, status)
		}
		body += payloadsIn(body)
		var got []string
		for _, repo := range tableRepos {
			if strings.Contains(body, fmt.Sprintf(pattern, repo)) {
				got = append(got, repo)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			s.t.Errorf("%s, %s shows %q, want %q", who.name, path, got, want)
		}
	}
	for _, repo := range tableRepos {
		path := "/api/v1/records?digest=" + s.digest[repo]
		_, _, body := s.do("GET", path, who.login, "", s.asStranger(who, path)...)
		if found := strings.Contains(body, s.digest[repo]); found != slices.Contains(want, repo) {
			s.t.Errorf("%s finds the image of %s by its digest: %v", who.name, repo, found)
		}
	}
}
