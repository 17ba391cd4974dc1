package main

import (
	"cmp"
	"html"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxCrawled bounds a crawl: pages of a registry of four images are fewer, and links that go on for ever are a fault.
const maxCrawled = 600

// crawl is what somebody with a browser comes to, who follows every link and sends every form that changes nothing.
type crawl struct {
	*rightsTable
	who     identity
	seen    map[string]bool
	reached map[string]bool // patterns of routes
}

// TestCrawl starts at the first page as people with different rights, and goes wherever it leads: to no dead link, to every
// route, and to no name or digest of what they may not see.
func TestCrawl(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s, identities := startTable(t, "")
	s.trashSome()
	routes := pageRoutes(t)
	for _, name := range []string{"a stranger", "reader", "pusher", "admin"} {
		who := identities[slices.IndexFunc(identities, func(i identity) bool { return i.name == name })]
		t.Run(name, func(t *testing.T) {
			c := &crawl{s.inBrowser(t, who), who, map[string]bool{}, map[string]bool{}}
			for next := []string{"/", "/robots.txt"}; len(next) > 0; next = next[1:] {
				next = append(next, c.visit(next[0])...)
				if len(c.seen) > maxCrawled {
					t.Fatalf("there is no end: %s", next[0])
				}
			}
			for _, route := range routes {
				switch {
				case c.reached[route]:
				case strings.HasSuffix(route, " /-/sign-in") && !who.isStranger():
				case route == "POST /-/sign-out" && who.isStranger():
				case route == "GET /-/trash" && who.isStranger():
				case route == "POST /-/trash" && (who.isStranger() || name == "reader"): // who has nothing to bring back
				case (route == "POST /r/{path...}" || route == "GET /-/usage" || route == "GET /-/mirrors") && name != "admin":
				case route == "POST /-/mirrors": // nothing waits
				default:
					t.Errorf("nothing leads to %s; the crawl came to\n%s", route, strings.Join(slices.Sorted(maps.Keys(c.seen)), "\n"))
				}
			}
		})
	}
}

// inBrowser is the table for another test, asked by a browser in which somebody has signed in.
func (s *rightsTable) inBrowser(t *testing.T, who identity) *rightsTable {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	server, table := *s.testServer, *s
	server.t, server.client, table.testServer = t, &http.Client{Transport: s.client.Transport, Jar: jar}, &server
	if who.isStranger() {
		return &table
	}
	_, _, form := server.do("GET", "/-/sign-in", "none", "", "Accept", "text/html")
	token := regexp.MustCompile(`name="token" value="([^"]+)"`).FindStringSubmatch(form)
	if token == nil {
		t.Fatalf("no form to sign in: %s", form)
	}
	name, password, _ := strings.Cut(cmp.Or(who.login, "admin:"+adminPassword), ":")
	sent := url.Values{"token": {token[1]}, "name": {name}, "password": {password}, "next": {"/"}}.Encode()
	status, _, said := server.do("POST", "/-/sign-in", "none", sent, "Origin", s.url, "Accept", "text/html", "Content-Type", "application/x-www-form-urlencoded")
	if status != http.StatusOK || !strings.Contains(said, "Sign out") {
		t.Fatalf("%s did not sign in: %d %s", who.name, status, said)
	}
	return &table
}

// pageRoutes are the patterns of package web, as they stand in its source.
func pageRoutes(t *testing.T) (patterns []string) {
	t.Helper()
	source, err := os.ReadFile("../../web/web.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range regexp.MustCompile(`"((?:GET|POST) /[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		patterns = append(patterns, found[1])
	}
	if len(patterns) < 9 {
		t.Fatalf("web.go names the routes %q", patterns)
	}
	return patterns
}

// visit asks for a page, wants it to be there and to tell nothing, and returns where it leads.
func (c *crawl) visit(path string) (links []string) {
	c.t.Helper()
	if c.seen[path] {
		return nil
	}
	c.seen[path] = true
	status, header, body := c.do("GET", path, "none", "", "Accept", "text/html,*/*")
	c.wantNoLeak(c.who, path, path, header, body)
	c.reached[c.routeOf("GET", path)] = true
	switch {
	case status == http.StatusOK:
	case status == http.StatusNotFound && strings.Contains(body, "in this repository any more: record "): // it is in the trash, as the page says
	case c.who.isStranger() && status == http.StatusUnauthorized && strings.HasPrefix(path, "/api/"):
		return nil // a program is asked for a login
	default:
		c.t.Errorf("%s is a dead link: %d %s", path, status, body)
	}
	if !strings.HasPrefix(header.Get("Content-Type"), "text/html") {
		return nil
	}
	return append(c.links(path, body), c.forms(body)...)
}

// routeOf is the pattern of a path.
func (c *crawl) routeOf(method, path string) string {
	u, err := url.Parse(path)
	if err != nil {
		c.t.Fatal(err)
	}
	mux, r := http.NewServeMux(), &http.Request{Method: method, URL: u, Host: "registry.example"}
	for _, pattern := range pageRoutes(c.t) {
		mux.HandleFunc(pattern, http.NotFound)
	}
	_, pattern := mux.Handler(r)
	return pattern
}

var (
	linked = regexp.MustCompile(`\s(?:href|src)="([^"]*)"`)
	aForm  = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	field  = regexp.MustCompile(`<input[^>]*>`)
	attr   = regexp.MustCompile(`\s([a-z-]+)="([^"]*)"`)
)

// links are those of a page to this server. Others lead to the web.
func (c *crawl) links(from, body string) (all []string) {
	c.t.Helper()
	at, err := url.Parse(from)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, found := range linked.FindAllStringSubmatch(body, -1) {
		u, err := url.Parse(html.UnescapeString(found[1]))
		switch {
		case err != nil:
			c.t.Errorf("%s links to %q: %v", from, found[1], err)
		case u.Host == "" && u.Scheme == "":
			to := at.ResolveReference(u)
			to.Fragment = ""
			all = append(all, to.String())
		case u.Scheme != "https" && u.Scheme != "http":
			c.t.Errorf("%s links to %q", from, found[1])
		}
	}
	return all
}

// forms notes where the forms of a page lead, and returns it for those that change nothing, with what stands in their fields; of a row of boxes the
// first is chosen. What is searched for is a repository.
func (c *crawl) forms(body string) (all []string) {
	for _, f := range aForm.FindAllStringSubmatch(body, -1) {
		of := attributes(f[1])
		if of["method"] == "post" {
			c.reached[c.routeOf("POST", of["action"])] = true
			continue
		}
		values := url.Values{}
		for _, tag := range field.FindAllString(f[2], -1) {
			if in := attributes(tag); in["name"] != "" && !values.Has(in["name"]) {
				values.Set(in["name"], in["value"])
			}
		}
		if of["action"] == "/search" {
			values.Set("q", "app")
		}
		all = append(all, of["action"]+"?"+values.Encode())
	}
	return all
}

func attributes(tag string) map[string]string {
	all := map[string]string{}
	for _, a := range attr.FindAllStringSubmatch(tag, -1) {
		all[a[1]] = html.UnescapeString(a[2])
	}
	return all
}
