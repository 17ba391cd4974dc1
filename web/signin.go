package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
)

// signInView is the form for a name and a password. Other ways to sign in become further forms on the same page.
type signInView struct {
	Frame
	Token string
	Next  string // where it leads afterwards
	Name  string // that was given before
	Wrong string // why it was refused
}

// signInForm shows the form.
func (pg *page) signInForm() error {
	next := ownPath(pg.r.URL.Query().Get("next"))
	if !pg.isStranger() {
		return pg.redirect(next)
	}
	return pg.showSignIn(http.StatusOK, signInView{Next: next})
}

// showSignIn shows the form with a token that is bound to a cookie of this browser: so no other page can make somebody
// sign in as another than they think (login CSRF).
func (pg *page) showSignIn(status int, view signInView) error {
	if pg.formKey = pg.cookie(formCookie); len(pg.formKey) < 26 {
		pg.formKey = rand.Text()
		pg.setCookie(formCookie, pg.formKey, 0)
	}
	view.Frame, view.Token = pg.frame("Sign in"), pg.Token(signInForm)
	view.Here = view.Next // the one who follows "Sign in" here again comes back to the same page
	return pg.show(status, "signin", view)
}

// signIn takes the form.
func (pg *page) signIn() error {
	pg.formKey = pg.cookie(formCookie)
	pg.session = "" // the form is that of who has not signed in, no matter who did meanwhile
	fields, err := pg.form(signInForm)
	if err != nil {
		return err
	}
	view := signInView{Next: ownPath(fields.Get("next")), Name: fields.Get("name")}
	_, secret, err := pg.Logins.SignInBrowser(pg.r, view.Name, fields.Get("password"), browserName(pg.r.UserAgent()))
	if err == nil {
		pg.setCookie(formCookie, "", -1)
		pg.setCookie(sessionCookie, secret, 7*24*60*60)
		return pg.redirect(view.Next)
	}
	var slow *access.SlowDownError
	switch {
	case errors.Is(err, access.ErrBadLogin):
		view.Wrong = "The user name or the password is wrong."
	case errors.Is(err, access.ErrNotOwn):
		view.Wrong = "Sign in with a user's password: tokens and robots' secrets are for programs."
	case errors.As(err, &slow):
		view.Wrong = sentence(slow.Error())
	default:
		return err
	}
	return pg.showSignIn(http.StatusForbidden, view)
}

// signOut ends the session, here and on the server.
func (pg *page) signOut() error {
	if _, err := pg.form("sign-out"); err != nil {
		return err
	}
	if pg.session != "" {
		if err := pg.Logins.EndWebSession(pg.r, pg.session); err != nil && !isBadLogin(err) && !errors.Is(err, access.ErrUnknownSession) {
			return err
		}
	}
	pg.setCookie(sessionCookie, "", -1)
	return pg.redirect("/-/sign-in")
}

// ownPath is where to go after signing in: a path of this server, never of another one.
func ownPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(next, "/") ||
		strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	if strings.HasPrefix(u.Path, "/-/sign-") {
		return "/"
	}
	return next
}

// browserName is what a session is called: the browser's family, never more of what it says of itself.
func browserName(agent string) string {
	for _, family := range []struct{ part, name string }{
		{"Firefox/", "Firefox"}, {"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(agent, family.part) {
			return family.name
		}
	}
	return "browser"
}
