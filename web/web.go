// Package web serves the pages: what the registry knows, for people with a browser.
//
// It asks the API the same questions that programs ask, within the process and on behalf of the caller, and
// has no other way into the rooms below: a page shows only what the API says. Pages are HTML from templates with one
// style sheet and two small scripts; all of it works without the scripts. GET changes nothing; only forms change something,
// sent from a page of this server by the person who is signed in there.
//
// What clients pushed (labels, tags, annotations, names) is hostile: it is escaped, links lead only to http and
// https, and characters that change the direction of text are shown as their code points.
package web

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Logins says who makes a request, and begins and ends the sessions of browsers. access.Access is one.
type Logins interface {
	Identify(r *http.Request) (provenance.Identity, error)
	AnythingForStrangers() bool
	SignInBrowser(r *http.Request, name, password, client string) (access.Session, string, error)
	EndWebSession(r *http.Request, secret string) error
	May(who provenance.Identity, right access.Right, repository string) bool
}

// Config is how pages are set up.
type Config struct {
	// API answers what pages ask. It identifies a request by its context (access.WithIdentity).
	API http.Handler
	// Registry serves /v2/: what a form changes, it changes as any client does.
	Registry http.Handler
	// Logins says who makes a request.
	Logins Logins
	// URL is the registry's public name, https://host[:port], as it stands in image names.
	URL string
	// Log takes what went wrong here.
	Log *slog.Logger
}

// Pages serves the pages. It is safe for concurrent use.
type Pages struct {
	Config
	mux   *http.ServeMux
	forms *forms
}

// A route is a page, or a form that one holds.
type route struct {
	pattern string
	name    string // labels metrics
	// open pages are shown to everybody; all others send strangers to sign in where nothing is granted to them.
	open  bool
	serve func(*page) error
	// api is where the API answers the same, for who asks for JSON; nil is nowhere.
	api func(*http.Request) string
}

func (p *Pages) routes() []route {
	return []route{
		{"GET /{$}", "page-home", false, (*page).home, homeAPI},
		{"GET /r/{path...}", "page-repository", false, (*page).below, belowAPI},
		{"POST /r/{path...}", "page-remove", false, (*page).change, nil},
		{"GET /search", "page-search", false, (*page).search, searchAPI},
		{"GET /-/record/{index}", "page-record", false, (*page).record, recordAPI},
		{"GET /-/records", "page-records", false, (*page).records, recordsAPI},
		{"GET /-/usage", "page-usage", false, (*page).usage, usageAPI},
		{"GET /-/trash", "page-trash", false, (*page).trash, trashAPI},
		{"POST /-/trash", "page-undelete", false, (*page).undelete, nil},
		{"GET /-/mirrors", "page-mirrors", false, (*page).mirrors, mirrorsAPI},
		{"POST /-/mirrors", "page-approve", false, (*page).approve, nil},
		{"GET /-/sign-in", "page-sign-in", true, (*page).signInForm, nil},
		{"POST /-/sign-in", "page-sign-in", true, (*page).signIn, nil},
		{"POST /-/sign-out", "page-sign-out", true, (*page).signOut, nil},
	}
}

// New returns the pages.
func New(c Config) *Pages {
	p := &Pages{Config: c, mux: http.NewServeMux(), forms: newForms()}
	for _, r := range p.routes() {
		p.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, req *http.Request) { p.serve(w, req, r) })
	}
	p.mux.HandleFunc("GET /-/static/{file}", static)
	p.mux.HandleFunc("GET /robots.txt", robots)
	return p
}

// Serves says whether a request is for a page. The root is one only for who asks for HTML, or for the JSON of the page: other
// programs get what they got before there were pages.
func Serves(r *http.Request) bool {
	path := r.URL.Path
	if path == "/" {
		asks := r.Header.Get("Accept")
		return strings.Contains(asks, "text/html") || strings.Contains(asks, "application/json")
	}
	return path == "/search" || path == "/robots.txt" || strings.HasPrefix(path, "/r/") || strings.HasPrefix(path, "/-/")
}

// ServeHTTP serves the paths of which Serves says so.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	h, pattern := p.mux.Handler(r)
	if pattern != "" {
		p.mux.ServeHTTP(w, r)
		return
	}
	probe := &answer{header: http.Header{}}
	if h.ServeHTTP(probe, r); probe.status == http.StatusMethodNotAllowed {
		w.Header()["Allow"] = probe.header["Allow"]
		p.serve(w, r, route{name: "page-none", open: true, serve: func(*page) error {
			return refusalf(http.StatusMethodNotAllowed, "This page takes %s.", probe.header.Get("Allow"))
		}})
		return
	}
	p.serve(w, r, route{name: "page-none", serve: func(*page) error {
		return refusalf(http.StatusNotFound, "There is no such page.")
	}})
}

// setHeaders says what a browser may do with a page: nothing that the page does not bring along from here.
func setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "+
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("Vary", "Accept, Authorization, Cookie")
}

// serve shows one page.
func (p *Pages) serve(w http.ResponseWriter, r *http.Request, route route) {
	defer obs.SetRoute(r.Context(), route.name) // behind the questions, which have routes of their own
	if route.api != nil && wantsJSON(r) {
		http.Redirect(w, r, route.api(r), http.StatusSeeOther)
		return
	}
	pg := &page{Pages: p, w: w, r: r}
	err := pg.identify()
	if err == nil && !route.open && pg.isStranger() && !p.Logins.AnythingForStrangers() {
		err = errSignIn
	}
	if err == nil {
		err = route.serve(pg)
	}
	if err != nil {
		pg.fail(err)
	}
}

// wantsJSON says that a program asks for a page. Browsers ask for HTML too.
func wantsJSON(r *http.Request) bool {
	accept := r.Header.Get("Accept")
	return strings.Contains(accept, "application/json") && !strings.Contains(accept, "text/html")
}

// identify finds out who asks: by a login in the header, as programs have it, or by the cookie of a browser. A cookie of
// a session that ended makes a stranger, who is asked to sign in where that is needed.
func (pg *page) identify() error {
	secret := pg.cookie(sessionCookie)
	if pg.r.Header.Get("Authorization") == "" && secret == "" {
		pg.who = access.Stranger()
		return nil
	}
	r := pg.r
	if secret != "" {
		r = r.WithContext(access.WithWebSession(r.Context(), secret))
	}
	who, err := pg.Logins.Identify(r)
	switch {
	case err == nil:
		pg.who = who
		if r.Header.Get("Authorization") == "" {
			pg.session = secret
		}
		obs.SetUser(r.Context(), who.Actor.Handle)
		return nil
	case isBadLogin(err) && r.Header.Get("Authorization") == "":
		pg.who = access.Stranger()
		pg.setCookie(sessionCookie, "", -1)
		return nil
	}
	return err
}

// Cookies wraps the API: the cookie of a browser counts in reads that a page of this server makes, or somebody who
// typed the address. It counts for nothing that changes anything, and for nothing under /v2/.
func (p *Pages) Cookies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.Header.Get("Authorization") == "" && !fromElsewhere(r) {
			if secret := cookieOf(r, sessionCookie); secret != "" {
				r = r.WithContext(access.WithWebSession(r.Context(), secret))
			}
		}
		next.ServeHTTP(w, r)
	})
}

// fromElsewhere says that another site's page makes a browser send a request (Fetch Metadata Request Headers).
func fromElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return true
}

// host is the registry as it stands in image names, for those who reach it by the name that they asked for.
func (pg *page) host() string {
	if h := peer.Host(pg.r); h != "" {
		return h
	}
	if u, err := url.Parse(pg.URL); err == nil {
		return u.Host
	}
	return pg.URL
}
