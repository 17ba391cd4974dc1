package main

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access"
)

// pageRows are the pages about one repository, by their routes. Anyone who may pull from it sees them; strangers are sent to
// sign in, and to others it is not there.
var pageRows = []struct{ route, path string }{
	{"GET /r/{path...}", "/r/REPO"},
	{"GET /r/{path...}", "/r/REPO:1.0"},
	{"GET /r/{path...}", "/r/REPO@DIGEST"},
	{"GET /r/{path...}", "/r/REPO/-/history/1.0"},
	{"GET /r/{path...}", "/r/REPO/-/remove?tag=1.0@DIGEST"},
	{"GET /r/{path...}", "/r/REPO/-/delete?image=DIGEST"},
	{"GET /-/record/{index}", "/-/record/INDEX"},
	{"GET /-/trash", "/-/trash?repo=REPO"},
}

// pagesForAll are the other pages, of which each shows what the caller may see, and nothing else: wantNoLeak says so.
var pagesForAll = map[string]string{
	"GET /{$}": "/", "GET /search": "/search?q=DIGEST", "GET /-/records": "/-/records?repo=REPO", "GET /-/sign-in": "/-/sign-in",
	"GET /-/usage": "/-/usage", "GET /-/mirrors": "/-/mirrors", "GET /-/trash": "/-/trash", "GET /-/static/{file}": "/-/static/style.css", "GET /robots.txt": "/robots.txt",
}

// TestPageRights asks for every page as everybody, and sends every form without the token of one.
func TestPageRights(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s, identities := startTable(t, "")
	s.trashSome()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	routes := map[string]bool{}
	for _, r := range pageRows {
		routes[r.route] = true
	}
	for _, route := range pageRoutes(t) {
		if !routes[route] && pagesForAll[route] == "" && !strings.HasPrefix(route, "POST ") {
			t.Errorf("%s has no row in the table of rights of pages", route)
		}
	}
	for _, who := range identities {
		for i, repo := range tableRepos {
			for _, row := range pageRows {
				s.page(who, s.fill(row.path, repo), who.pageStatus(row.path, who.roles[i]))
			}
			for _, path := range pagesForAll {
				wants := []int{http.StatusOK, http.StatusSeeOther}
				if (path == "/-/usage" || path == "/-/mirrors") && who.name != "admin" {
					wants = []int{http.StatusForbidden, http.StatusSeeOther}
				}
				s.page(who, s.fill(path, repo), wants...)
			}
			s.form(who, repo)
		}
	}
}

// pageStatus is how a page about a repository is answered to somebody with a role there.
func (who identity) pageStatus(path string, role access.Right) int {
	changes := strings.Contains(path, "/-/remove") || strings.Contains(path, "/-/delete")
	switch {
	case strings.HasPrefix(path, "/-/trash") && !who.isStranger():
		switch {
		case role >= access.Push:
			return http.StatusOK
		case role >= access.Pull:
			return http.StatusForbidden
		}
		return http.StatusNotFound
	case strings.HasPrefix(path, "/-/trash"):
		return http.StatusSeeOther
	case changes && !who.isStranger():
		return http.StatusNotFound // only a browser with a session has this page
	case role >= access.Pull && !changes:
		return http.StatusOK
	case who.isStranger():
		return http.StatusSeeOther
	default:
		return http.StatusNotFound
	}
}

func (s *rightsTable) page(who identity, path string, wants ...int) {
	s.t.Helper()
	status, header, body := s.do("GET", path, who.login, "", "Accept", "text/html")
	s.wantNoLeak(who, path, path, header, body)
	for _, want := range wants {
		if status == want {
			return
		}
	}
	s.t.Errorf("%s, %s: %d, want %v", who.name, path, status, wants)
}

// form sends the forms that remove a tag and delete an image as a program would: without a session there is no token, and nothing happens.
func (s *rightsTable) form(who identity, repo string) {
	s.t.Helper()
	for page, form := range map[string]string{"remove": "tag=1.0@DIGEST&token=x", "delete": "image=DIGEST=1.0&token=x"} {
		status, _, body := s.do("POST", "/r/"+repo+"/-/"+page, who.login, s.fill(form, repo), "Content-Type", "application/x-www-form-urlencoded", "Origin", s.url)
		if status < 300 || status == http.StatusSeeOther && !who.isStranger() {
			s.t.Errorf("%s sent a form of nobody's to %s of %s: %d %s", who.name, page, repo, status, body)
		}
	}
	body := "token=x&image=" + repo + "@" + s.trashed[repo]
	status, _, said := s.do("POST", "/-/trash", who.login, body, "Content-Type", "application/x-www-form-urlencoded", "Origin", s.url)
	if status < 300 || status == http.StatusSeeOther && !who.isStranger() || s.isBack(repo) {
		s.t.Errorf("%s brought an image of %s back by a form of nobody's: %d %s", who.name, repo, status, said)
	}
	if status, _, _ := s.do("GET", "/v2/"+repo+"/manifests/1.0", "", ""); status != http.StatusOK {
		s.t.Errorf("%s removed a tag of %s by a form of nobody's", who.name, repo)
	}
}

// trashSome leaves an image in the trash of each repository.
func (s *rightsTable) trashSome() {
	s.t.Helper()
	s.trashed = map[string]string{}
	for _, repo := range tableRepos {
		d := s.push(repo, "gone", "deleted layer of "+repo, nil)
		s.want(http.StatusAccepted, "DELETE", "/v2/"+repo+"/manifests/"+d)
		s.trashed[repo] = d
	}
}

func (s *rightsTable) isBack(repo string) bool {
	status, _, _ := s.do("HEAD", "/v2/"+repo+"/manifests/"+s.trashed[repo], "", "")
	return status == http.StatusOK
}

var trashToken = regexp.MustCompile(`action="/-/trash">\s*<input type="hidden" name="token" value="([^"]+)"`)

// TestTrashPage brings images back with the form of the trash, in the browsers of people with different rights: each sees and brings back what is in
// repositories that they may push to, also where the form names others.
func TestTrashPage(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	table, identities := startTable(t, "")
	table.trashSome()
	for _, name := range []string{"reader", "pusher", "owner"} {
		who := identities[slices.IndexFunc(identities, func(i identity) bool { return i.name == name })]
		s := table.inBrowser(t, who)
		_, _, shown := s.do("GET", "/-/trash", "none", "", "Accept", "text/html")
		form := url.Values{}
		for i, repo := range tableRepos {
			if sees := strings.Contains(shown, s.trashed[repo]); sees != (who.roles[i] >= access.Push) {
				t.Errorf("%s sees what is in the trash of %s: %t", name, repo, sees)
			}
			form.Add("image", repo+"@"+s.trashed[repo])
		}
		token := trashToken.FindStringSubmatch(shown)
		if mayPush := slices.ContainsFunc(who.roles[:], func(r access.Right) bool { return r >= access.Push }); (token != nil) != mayPush {
			t.Errorf("%s has a form: %t", name, token != nil)
		}
		if token == nil {
			continue
		}
		form.Set("token", token[1])
		send := []string{"Origin", s.url, "Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded"}
		status, header, said := s.do("POST", "/-/trash", "none", form.Encode(), send...)
		s.wantNoLeak(who, "the form of the trash", strings.Join(form["image"], " "), header, said)
		if status != http.StatusOK || strings.Count(said, "Brought back.") == 0 {
			t.Errorf("%s: %d %s", name, status, said)
		}
		for i, repo := range tableRepos {
			if s.isBack(repo) != (who.roles[i] >= access.Push) {
				t.Errorf("%s brought the image of %s back: %t", name, repo, s.isBack(repo))
			}
			if s.isBack(repo) {
				table.want(http.StatusOK, "GET", "/v2/"+repo+"/manifests/gone")
				table.want(http.StatusAccepted, "DELETE", "/v2/"+repo+"/manifests/"+s.trashed[repo])
			}
		}
	}
}
