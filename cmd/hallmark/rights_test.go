package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
)

// identity is somebody in the table, with the role that they have in each repository: 0 is none.
type identity struct {
	name, login string
	roles       [4]access.Right
}

// The repositories of the table, in the order of identity.roles.
var tableRepos = [4]string{"team/app", "open/app", "base/app", "secret/app"}

const tablePassword = "wonderland-1"

// rightsTable is a server with four repositories, and everyone who asks for them.
type rightsTable struct {
	*testServer
	digest map[string]string // of tag 1.0, by repository
	layer  map[string]string // its layer
	config map[string]string
	index  map[string]string // the record of its push
}

func startTable(t *testing.T) (*rightsTable, []identity) {
	s := &rightsTable{
		testServer: startServer(t, filepath.Join(t.TempDir(), "data")),
		digest:     map[string]string{}, layer: map[string]string{}, config: map[string]string{}, index: map[string]string{},
	}
	for _, repo := range tableRepos {
		s.digest[repo] = s.push(repo, "1.0", "layer of "+repo, map[string]string{"of": repo})
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
	robot := struct{ Secret string }{}
	if err := json.Unmarshal([]byte(s.change("POST", "/api/v1/access/robots", map[string]string{"name": "builder"})), &robot); err != nil {
		t.Fatal(err)
	}
	s.grant("robot:builder team/app push")
	s.change("DELETE", "/api/v1/access/teams/core/members/former", nil)
	s.change("DELETE", "/api/v1/users/again", nil)
	s.change("POST", "/api/v1/users", map[string]string{"name": "again", "password": tablePassword})
	s.change("PUT", "/api/v1/users/old/name", map[string]string{"name": "renamed"})
	s.change("POST", "/api/v1/users", map[string]string{"name": "old", "password": tablePassword})
	const pull, push, remove, admin = access.Pull, access.Push, access.Delete, access.Admin
	user := func(name string, roles ...access.Right) identity {
		return identity{name, name + ":" + tablePassword, [4]access.Right(roles)}
	}
	identities := []identity{
		{"a stranger", "none", [4]access.Right{0, pull, 0, 0}},
		{"an empty login", ":", [4]access.Right{0, pull, 0, 0}}, // as skopeo sends where it has none
		user("reader", pull, pull, pull, 0),
		user("pusher", push, pull, pull, 0),
		user("deleter", remove, pull, pull, 0),
		user("owner", admin, pull, push, 0),
		user("member", push, pull, pull, 0),
		user("former", 0, pull, pull, 0),
		user("again", 0, pull, pull, 0),
		user("renamed", push, pull, pull, 0),
		user("old", 0, pull, pull, 0),
		{"builder", "builder:" + robot.Secret, [4]access.Right{push, pull, pull, 0}},
		{"admin", "", [4]access.Right{admin, admin, admin, admin}},
	}
	for _, who := range identities {
		if who.isStranger() {
			continue
		}
		kind := "user:"
		if who.name == "builder" {
			kind = "robot:"
		}
		s.grant(kind + who.name + " " + destination(who) + "/** push")
	}
	return s, identities
}

func (i identity) isStranger() bool { return i.login == "none" || i.login == ":" }

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

// grant gives SUBJECT PATTERN ROLE.
func (s *rightsTable) grant(g string) {
	s.t.Helper()
	f := strings.Fields(g)
	s.change("POST", "/api/v1/access/grants", map[string]string{"subject": f[0], "pattern": f[1], "role": f[2]})
}

// tableRoute is a request about a repository.
type tableRoute struct {
	name    string
	needs   access.Right
	status  int // for who has the right
	hidden  int // for who is signed in and may not pull; 404 where it is 0
	request func(s *rightsTable, who identity, repo string) (method, path, body string, header []string)
}

func reading(path string) func(*rightsTable, identity, string) (string, string, string, []string) {
	return func(s *rightsTable, _ identity, repo string) (string, string, string, []string) {
		return "GET", s.fill(path, repo), "", nil
	}
}

// fill puts a repository and what it holds into a path.
func (s *rightsTable) fill(path, repo string) string {
	return strings.NewReplacer("REPO", repo, "DIGEST", s.digest[repo], "LAYER", s.layer[repo], "INDEX", s.index[repo]).Replace(path)
}

var manifestType = []string{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}

// tableRoutes are all routes about one repository: of the registry, then of the API.
var tableRoutes = []tableRoute{
	{"manifest by tag", access.Pull, 200, 0, reading("/v2/REPO/manifests/1.0")},
	{"manifest by digest", access.Pull, 200, 0, reading("/v2/REPO/manifests/DIGEST")},
	{"blob", access.Pull, 200, 0, reading("/v2/REPO/blobs/LAYER")},
	{"tags", access.Pull, 200, 0, reading("/v2/REPO/tags/list")},
	{"referrers", access.Pull, 200, 0, reading("/v2/REPO/referrers/DIGEST")},
	{"head of a manifest", access.Pull, 200, 0, func(s *rightsTable, _ identity, repo string) (string, string, string, []string) {
		return "HEAD", s.fill("/v2/REPO/manifests/1.0", repo), "", nil
	}},
	{"begin an upload", access.Push, 202, 0, func(s *rightsTable, _ identity, repo string) (string, string, string, []string) {
		return "POST", s.fill("/v2/REPO/blobs/uploads/", repo), "", nil
	}},
	{"push a blob at once", access.Push, 201, 0, func(s *rightsTable, who identity, repo string) (string, string, string, []string) {
		content := "blob of " + who.name
		return "POST", s.fill("/v2/REPO/blobs/uploads/?digest=", repo) + digest.FromString(content).String(), content, nil
	}},
	{"push a manifest", access.Push, 201, 0, func(s *rightsTable, who identity, repo string) (string, string, string, []string) {
		return "PUT", "/v2/" + repo + "/manifests/by-" + url.PathEscape(strings.ReplaceAll(who.name, " ", "-")), s.manifest(repo), manifestType
	}},
	{"remove a tag", access.Delete, 202, 0, func(s *rightsTable, _ identity, repo string) (string, string, string, []string) {
		s.put(repo, "gone")
		return "DELETE", "/v2/" + repo + "/manifests/gone", "", nil
	}},
	{"remove a blob", access.Delete, 202, 0, func(s *rightsTable, _ identity, repo string) (string, string, string, []string) {
		d := digest.FromString("needless").String()
		s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d, "", "needless")
		return "DELETE", "/v2/" + repo + "/blobs/" + d, "", nil
	}},
	{"mount from it", access.Pull, 201, 202, func(s *rightsTable, who identity, repo string) (string, string, string, []string) {
		dest := destination(who) + "/from-" + repo
		return "POST", s.fill("/v2/"+dest+"/blobs/uploads/?mount=LAYER&from=REPO", repo), "", nil
	}},
	{"mount from anywhere", access.Pull, 201, 202, func(s *rightsTable, who identity, repo string) (string, string, string, []string) {
		dest := destination(who) + "/any-" + repo
		return "POST", s.fill("/v2/"+dest+"/blobs/uploads/?mount=", repo) + s.config[repo], "", nil
	}},
	{"API: tags", access.Pull, 200, 0, reading("/api/v1/tags?repo=REPO")},
	{"API: history", access.Pull, 200, 0, reading("/api/v1/history?repo=REPO&tag=1.0")},
	{"API: image", access.Pull, 200, 0, reading("/api/v1/image?repo=REPO&ref=1.0")},
	{"API: record", access.Pull, 200, 0, reading("/api/v1/records/INDEX")},
	{"API: grant", access.Admin, 200, 403, func(s *rightsTable, _ identity, repo string) (string, string, string, []string) {
		s.grant("user:former " + repo + " push")
		s.change("DELETE", "/api/v1/access/grants?subject=user:former&pattern="+repo+"&role=push", nil)
		s.grant("user:reader " + repo + "/x pull")
		return "POST", "/api/v1/access/grants", `{"subject":"user:reader","pattern":"` + repo + `/x","role":"pull"}`, []string{"Content-Type", "application/json"}
	}},
}

// manifest is the manifest of a repository's image.
func (s *rightsTable) manifest(repo string) string {
	_, _, body := s.do("GET", "/v2/"+repo+"/manifests/"+s.digest[repo], "", "")
	return body
}

func (s *rightsTable) put(repo, tag string) {
	s.t.Helper()
	if status, _, body := s.do("PUT", "/v2/"+repo+"/manifests/"+tag, "", s.manifest(repo), manifestType...); status != 201 {
		s.t.Fatalf("%s:%s: %d %s", repo, tag, status, body)
	}
}

// expected is the status that somebody with a role gets.
func (r tableRoute) expected(who identity, role access.Right) int {
	switch {
	case who.isStranger() && (role < r.needs || strings.HasPrefix(r.name, "mount")):
		return http.StatusUnauthorized
	case role >= r.needs:
		return r.status
	case role >= access.Pull:
		return http.StatusForbidden
	case r.hidden != 0:
		return r.hidden
	default:
		return http.StatusNotFound
	}
}

// TestRights asks for everything as everyone: identities × repositories × routes, against a real server.
func TestRights(t *testing.T) {
	t.Parallel()
	s, identities := startTable(t)
	for _, who := range identities {
		for i, repo := range tableRepos {
			for _, route := range tableRoutes {
				method, path, body, header := route.request(s, who, repo)
				status, answer, said := s.do(method, path, who.login, body, header...)
				if want := route.expected(who, who.roles[i]); status != want {
					t.Errorf("%s, %s, %s: %d, want %d\n%s", who.name, repo, route.name, status, want, said)
				}
				if status == http.StatusUnauthorized && answer.Get("Www-Authenticate") == "" {
					t.Errorf("%s, %s, %s: no challenge", who.name, repo, route.name)
				}
			}
		}
		s.wantLists(who)
	}
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
	for path, pattern := range map[string]string{"/v2/_catalog": `"%s"`, "/api/v1/repositories?limit=1000": `"name":"%s"`, "/api/v1/records?limit=1000": `"repository":"%s"`} {
		status, _, body := s.do("GET", path, who.login, "")
		if status != 200 {
			s.t.Errorf("%s, %s: %d", who.name, path, status)
		}
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
		_, _, body := s.do("GET", "/api/v1/records?digest="+s.digest[repo], who.login, "")
		if found := strings.Contains(body, s.digest[repo]); found != slices.Contains(want, repo) {
			s.t.Errorf("%s finds the image of %s by its digest: %v", who.name, repo, found)
		}
	}
}

// TestRightsOverTheRegistry asks for what belongs to no repository.
func TestRightsOverTheRegistry(t *testing.T) {
	t.Parallel()
	s, identities := startTable(t)
	for _, who := range identities {
		signedIn, admin := 200, 403
		switch {
		case who.isStranger():
			signedIn, admin = 401, 401
		case who.name == "admin":
			admin = 200
		}
		for path, want := range map[string]int{
			"/v2/": signedIn, "/v2/_catalog": 200, "/api/v1/records": 200, "/api/v1/repositories": 200, "/api/v1/access/grants": 200, "/api/v1/certificate": 200,
			"/api/v1/access/document": admin, "/ca.pem": 200, "/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/api/v1/nothing": 404,
			"/api/v1/users": admin, "/api/v1/check": admin, "/api/v1/access/teams": admin, "/api/v1/access/robots": admin,
		} {
			if who.isStranger() && want == 403 {
				want = 401
			}
			if status, _, body := s.do("GET", path, who.login, ""); status != want {
				t.Errorf("%s, %s: %d, want %d\n%s", who.name, path, status, want, body)
			}
		}
	}
	var page struct {
		Records []struct{ Grant map[string]any }
	}
	if err := json.Unmarshal([]byte(s.asOwner("/api/v1/records?action=grant&limit=1000")), &page); err != nil || len(page.Records) == 0 {
		t.Fatalf("%v, %d records", err, len(page.Records))
	}
	for _, r := range page.Records {
		if pattern, _ := r.Grant["pattern"].(string); !strings.HasPrefix(pattern, "team/") {
			t.Errorf("who administrates team/** reads of %v", r.Grant)
		}
	}
}

func (s *rightsTable) asOwner(path string) string {
	s.t.Helper()
	_, _, body := s.do("GET", path, "owner:"+tablePassword, "")
	return body
}
