package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
)

// tableRoute is a request about a repository.
type tableRoute struct {
	route   string // as the description, or registry.Routes, names it
	what    string // is done with it, where there is more than one row
	needs   access.Right
	status  int  // for who has the right
	hidden  int  // for who is signed in and may not pull; 404 where it is 0
	lacking int  // for who may pull, and not what is needed; 403 where it is 0
	asked   bool // strangers have to say that they have no login
	request func(s *rightsTable, who identity, repo string) tableRequest
}

type tableRequest struct {
	path, body string
	header     []string
}

func (r tableRoute) method() string { return strings.Fields(r.route)[0] }

func at(path string) func(*rightsTable, identity, string) tableRequest {
	return func(s *rightsTable, _ identity, repo string) tableRequest {
		return tableRequest{path: s.fill(path, repo)}
	}
}

// fill puts a repository and what it holds into a path.
func (s *rightsTable) fill(path, repo string) string {
	return strings.NewReplacer("REPO", repo, "DIGEST", s.digest[repo], "LAYER", s.layer[repo], "INDEX", s.index[repo]).Replace(path)
}

var (
	manifestType = []string{"Content-Type", "application/vnd.oci.image.manifest.v1+json"}
	jsonType     = []string{"Content-Type", "application/json"}
)

// tableRoutes are all routes about one repository: of the registry, then of the API.
var tableRoutes = []tableRoute{
	{route: "GET manifest", what: "by tag", needs: access.Pull, status: 200, request: at("/v2/REPO/manifests/1.0")},
	{route: "GET manifest", what: "by digest", needs: access.Pull, status: 200, request: at("/v2/REPO/manifests/DIGEST")},
	{route: "HEAD manifest", needs: access.Pull, status: 200, request: at("/v2/REPO/manifests/1.0")},
	{route: "GET blob", needs: access.Pull, status: 200, request: at("/v2/REPO/blobs/LAYER")},
	{route: "HEAD blob", needs: access.Pull, status: 200, request: at("/v2/REPO/blobs/LAYER")},
	{route: "GET tags", needs: access.Pull, status: 200, request: at("/v2/REPO/tags/list")},
	{route: "HEAD tags", needs: access.Pull, status: 200, request: at("/v2/REPO/tags/list")},
	{route: "GET referrers", needs: access.Pull, status: 200, request: at("/v2/REPO/referrers/DIGEST")},
	{route: "HEAD referrers", needs: access.Pull, status: 200, request: at("/v2/REPO/referrers/DIGEST")},
	{route: "POST uploads", what: "begin", needs: access.Push, status: 202, request: at("/v2/REPO/blobs/uploads/")},
	{route: "POST uploads", what: "whole", needs: access.Push, status: 201, request: func(_ *rightsTable, who identity, repo string) tableRequest {
		content := "blob of " + who.name
		return tableRequest{path: "/v2/" + repo + "/blobs/uploads/?digest=" + digest.FromString(content).String(), body: content}
	}},
	{route: "POST uploads", what: mount + " from it", needs: access.Pull, status: 201, hidden: 202, request: func(s *rightsTable, who identity, repo string) tableRequest {
		return tableRequest{path: s.fill("/v2/"+destination(who)+"/from-REPO/blobs/uploads/?mount=LAYER&from=REPO", repo)}
	}},
	{route: "POST uploads", what: mount + " from anywhere", needs: access.Pull, status: 201, hidden: 202, request: func(s *rightsTable, who identity, repo string) tableRequest {
		return tableRequest{path: "/v2/" + destination(who) + "/any-" + repo + "/blobs/uploads/?mount=" + s.config[repo]}
	}},
	{route: "GET upload", needs: access.Push, status: 204, lacking: 404, request: (*rightsTable).upload},
	{route: "HEAD upload", needs: access.Push, status: 204, lacking: 404, request: (*rightsTable).upload},
	{route: "PATCH upload", needs: access.Push, status: 202, request: (*rightsTable).upload},
	{route: "PATCH upload", what: "of another repository", needs: access.Push, status: 404, request: func(s *rightsTable, who identity, repo string) tableRequest {
		r := s.upload(who, destination(who)+"/x")
		r.path = strings.Replace(r.path, destination(who)+"/x", repo, 1)
		return r
	}},
	{route: "PUT upload", needs: access.Push, status: 201, request: func(s *rightsTable, who identity, repo string) tableRequest {
		r := s.upload(who, repo)
		r.body = "last chunk of " + who.name
		r.path += "&digest=" + digest.FromString(r.body).String()
		return r
	}},
	{route: "DELETE upload", needs: access.Push, status: 204, request: (*rightsTable).upload},
	{route: "PUT manifest", needs: access.Push, status: 201, request: func(s *rightsTable, who identity, repo string) tableRequest {
		return tableRequest{"/v2/" + repo + "/manifests/by-" + url.PathEscape(strings.ReplaceAll(who.name, " ", "-")), s.manifest(repo), manifestType}
	}},
	{route: "DELETE manifest", needs: access.Delete, status: 202, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		s.put(repo, "gone")
		return tableRequest{path: "/v2/" + repo + "/manifests/gone"}
	}},
	{route: "DELETE blob", needs: access.Delete, status: 202, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		d := digest.FromString("needless").String()
		s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d, "", "needless")
		return tableRequest{path: "/v2/" + repo + "/blobs/" + d}
	}},
	{route: "GET /api/v1/tags", needs: access.Pull, status: 200, request: at("/api/v1/tags?repo=REPO")},
	{route: "GET /api/v1/quota", needs: access.Push, status: 200, request: at("/api/v1/quota?repo=REPO")},
	{route: "GET /api/v1/retention/rules", needs: access.Push, status: 200, request: at("/api/v1/retention/rules?repo=REPO")},
	{route: "GET /api/v1/trash", needs: access.Push, status: 200, request: at("/api/v1/trash?repo=REPO")},
	{route: "POST /api/v1/trash/undelete", what: "of what is not in it", needs: access.Push, status: 404, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		return tableRequest{"/api/v1/trash/undelete", s.fill(`{"repository":"REPO","reference":"DIGEST"}`, repo), jsonType}
	}},
	{route: "POST /api/v1/mirrors/approve", what: "of what does not wait", needs: access.Admin, status: 404, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		return tableRequest{"/api/v1/mirrors/approve", s.fill(`{"repository":"REPO","reference":"DIGEST"}`, repo), jsonType}
	}},
	{route: "GET /api/v1/deletable", needs: access.Delete, status: 200, request: at("/api/v1/deletable?repo=REPO&digest=DIGEST")},
	{route: "GET /api/v1/deletable", needs: access.Delete, status: 200, request: at("/api/v1/deletable?repo=REPO&tag=1.0")},
	{route: "GET /api/v1/holds", needs: access.Pull, status: 200, request: at("/api/v1/holds?repo=REPO")},
	{route: "POST /api/v1/holds", needs: access.Delete, status: 201, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		return tableRequest{holdsPath, s.fill(`{"repository":"REPO","ref":"1.0","until":"2100-01-01T00:00:00Z","reason":"an audit"}`, repo), jsonType}
	}},
	{route: "DELETE /api/v1/holds", needs: access.Delete, status: 204, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		s.do("POST", holdsPath, "", s.fill(`{"repository":"REPO","ref":"1.0","until":"2100-01-01T00:00:00Z","reason":"an audit"}`, repo), jsonType...)
		return tableRequest{path: s.fill(holdsPath+"?repo=REPO&digest=DIGEST", repo)}
	}},
	{route: "GET /api/v1/digests", needs: access.Pull, status: 200, request: at("/api/v1/digests?repo=REPO&prefix=DIGEST")},
	{route: "GET /api/v1/access/may", needs: access.Admin, status: 200, hidden: 403, request: at("/api/v1/access/may?subject=user:admin&role=pull&repo=REPO")},
	{route: "GET /api/v1/history", needs: access.Pull, status: 200, request: at("/api/v1/history?repo=REPO&tag=1.0")},
	{route: "GET /api/v1/image", needs: access.Pull, status: 200, request: at("/api/v1/image?repo=REPO&ref=1.0")},
	{route: "GET /api/v1/report", needs: access.Pull, status: 200, request: at("/api/v1/report?repo=REPO&ref=1.0")},
	{route: "GET /api/v1/contents", needs: access.Pull, status: 200, request: at("/api/v1/contents?repo=REPO&ref=1.0")},
	{route: "GET /api/v1/evidence", needs: access.Pull, status: 200, request: at("/api/v1/evidence?repo=REPO&ref=1.0")},
	{route: "GET /api/v1/descendants", needs: access.Pull, status: 200, asked: true, request: at("/api/v1/descendants?repo=REPO&ref=1.0")},
	{route: "GET /api/v1/records/{index}", needs: access.Pull, status: 200, request: at("/api/v1/records/INDEX")},
	{route: "GET /api/v1/records/{index}/receipt", needs: access.Pull, status: 200, request: at("/api/v1/records/INDEX/receipt")},
	{route: "GET /api/v1/records/{index}/tlog-proof", needs: access.Pull, status: 200, request: at("/api/v1/records/INDEX/tlog-proof")},
	{route: "POST /api/v1/access/grants", needs: access.Admin, status: 200, hidden: 403, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		s.grant("user:reader " + repo + "/x pull")
		return tableRequest{"/api/v1/access/grants", `{"subject":"user:reader","pattern":"` + repo + `/x","role":"pull"}`, jsonType}
	}},
	{route: "DELETE /api/v1/access/grants", needs: access.Admin, status: 204, hidden: 403, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		s.grant("user:reader " + repo + "/y pull")
		return tableRequest{path: "/api/v1/access/grants?subject=user:reader&role=pull&pattern=" + repo + "/y"}
	}},
	{route: "POST /api/v1/access/immutable", needs: access.Admin, status: 201, hidden: 403, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		s.do("DELETE", rulesPath+"?tags=x&repositories="+repo+"/x", "", "")
		return tableRequest{rulesPath, `{"repositories":"` + repo + `/x","tags":"x"}`, jsonType}
	}},
	{route: "DELETE /api/v1/access/immutable", needs: access.Admin, status: 204, hidden: 403, request: func(s *rightsTable, _ identity, repo string) tableRequest {
		s.do("POST", rulesPath, "", `{"repositories":"`+repo+`/y","tags":"x"}`, jsonType...)
		return tableRequest{path: rulesPath + "?tags=x&repositories=" + repo + "/y"}
	}},
}

// mount begins what is done to the caller's own repository, and needs a right in another.
const mount = "mount"

// upload begins an upload, of an administrator where somebody may not, and asks for it.
func (s *rightsTable) upload(who identity, repo string) tableRequest {
	s.t.Helper()
	for _, login := range []string{who.login, ""} {
		if status, header, _ := s.do("POST", "/v2/"+repo+"/blobs/uploads/", login, ""); status == http.StatusAccepted {
			return tableRequest{path: header.Get("Location")}
		}
	}
	s.t.Fatalf("nobody can begin an upload to %s", repo)
	return tableRequest{}
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
	case who.isStranger() && strings.HasPrefix(r.what, mount), r.asked && who.login == "none":
		return http.StatusUnauthorized
	case role >= r.needs:
		return r.status
	case role >= access.Pull && r.lacking != 0:
		return r.lacking
	case who.isStranger():
		return http.StatusUnauthorized
	case role >= access.Pull:
		return http.StatusForbidden
	case r.hidden != 0:
		return r.hidden
	default:
		return http.StatusNotFound
	}
}

// TestEveryRouteHasARow wants each route of the registry and of its description in one of the tables.
func TestEveryRouteHasARow(t *testing.T) {
	rows := map[string]bool{}
	for _, r := range tableRoutes {
		rows[r.route] = true
	}
	for _, r := range registryRoutes(t) {
		rows[r.route] = true
	}
	for _, route := range everyRoute(t) {
		if !rows[route] {
			t.Errorf("%s has no row in the tables of rights: add what everybody gets", route)
		}
		delete(rows, route)
	}
	for route := range rows {
		t.Errorf("%s is in a table of rights, and there is no such route", route)
	}
}
