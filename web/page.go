package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
)

//go:embed templates/*.html
var templateFiles embed.FS

// page is one request on its way to a page.
type page struct {
	*Pages
	w       http.ResponseWriter
	r       *http.Request
	who     provenance.Identity
	session string // the secret of the browser's session, or ""
	formKey string // of a browser that has not signed in, once it has a form
}

// isStranger says that the one who asks has not signed in.
func (pg *page) isStranger() bool { return pg.who.Actor.Kind == provenance.Anonymous }

// Frame is what every page has around it.
type Frame struct {
	Title   string
	Host    string
	User    string // "" for a stranger
	SignOut string // the token of the form that signs out, or ""
	Here    string // path and query of this page
	Query   string // what was searched for
	Version string // of the style sheet and the scripts
	Now     time.Time
}

func (pg *page) frame(title string) Frame {
	f := Frame{Title: title, Host: pg.host(), Here: pg.r.URL.RequestURI(), Version: staticVersion, Now: time.Now()}
	if !pg.isStranger() {
		f.User = pg.who.Actor.Handle
	}
	if pg.session != "" {
		f.SignOut = pg.Token("sign-out")
	}
	return f
}

// templates are one set a page: the frame, the parts and its own body. They are parsed for the first page that is
// shown, and take 1.2 MB then: many registries show none, and each collection of garbage looks at all that lives. A test shows
// every page, so none that cannot be parsed is in a build.
var templates = sync.OnceValue(parse)

func parse() map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(words).ParseFS(templateFiles, "templates/frame.html", "templates/parts.html"))
	all := map[string]*template.Template{}
	names, _ := fs.Glob(templateFiles, "templates/*.html") // the pattern is right
	for _, name := range names {
		page := strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".html")
		if page == "frame" || page == "parts" {
			continue
		}
		all[page] = template.Must(template.Must(shared.Clone()).ParseFS(templateFiles, name))
	}
	return all
}

// show writes a page. It is made in memory first: a template that fails half-way shows nothing.
func (pg *page) show(status int, name string, view any) error {
	buf := bytes.NewBuffer(make([]byte, 0, 32<<10)) // of a page without a list
	if err := templates()[name].ExecuteTemplate(buf, "frame", view); err != nil {
		return fmt.Errorf("the page %s: %w", name, err)
	}
	h := pg.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	pg.w.WriteHeader(status)
	_, _ = pg.w.Write(buf.Bytes()) // a client that left does not matter any more
	return nil
}

// redirect answers a request with another page's address, which is read with GET.
func (pg *page) redirect(to string) error {
	http.Redirect(pg.w, pg.r, to, http.StatusSeeOther)
	return nil
}

// errorView is the page about what went wrong.
type errorView struct {
	Frame
	Status  int
	Says    string
	Request string // its id, where an operator can look for it
}

// fail shows what went wrong, or leads to sign-in.
func (pg *page) fail(err error) {
	var refused *refusal
	view := errorView{Status: http.StatusInternalServerError}
	switch {
	case errors.Is(err, errSignIn) && pg.isStranger():
		_ = pg.redirect("/-/sign-in?next=" + url.QueryEscape(pg.back()))
		return
	case errors.Is(err, errSignIn):
		view.Status, view.Says = http.StatusNotFound, "There is no such page, or you may not see it."
	case errors.As(err, &refused):
		view.Status, view.Says = refused.status, refused.says
		for name, values := range refused.header {
			if len(values) > 0 {
				pg.w.Header()[name] = values
			}
		}
	default:
		t := access.TroubleOf(err, obs.RequestID(pg.r.Context()))
		if t.Operator {
			pg.Log.Error("a page failed", "id", obs.RequestID(pg.r.Context()), "path", pg.r.URL.Path, "err", err)
			view.Request = obs.RequestID(pg.r.Context())
		}
		view.Status, view.Says = t.Status, sentence(t.Says)
		for name, values := range t.Header() {
			pg.w.Header()[name] = values
		}
		pg.w.Header().Del("Www-Authenticate") // a browser would ask in a window of its own
	}
	view.Frame = pg.frame(http.StatusText(view.Status))
	if err := pg.show(view.Status, "error", view); err != nil {
		pg.Log.Error("a page failed", "path", pg.r.URL.Path, "err", err)
	}
}

// back is where signing in leads to: to the same page, or from a form that was sent to the repository in which it would have changed
// something. What was chosen there may have moved, and is chosen again.
func (pg *page) back() string {
	if pg.r.Method == http.MethodGet || pg.r.Method == http.MethodHead {
		return pg.r.URL.RequestURI()
	}
	if path := pg.r.URL.Path; path == trashURL("") || path == "/-/mirrors" {
		return path
	}
	if at, ok := parseTarget(pg.r.PathValue("path")); ok {
		return repoURL(at.Repository)
	}
	return "/"
}

// isBadLogin says that a login is wrong, or has ended.
func isBadLogin(err error) bool { return errors.Is(err, access.ErrBadLogin) }
