package web

import (
	"net"
	"net/http"

	"github.com/seed-260924e6/hallmark/internal/peer"
)

// The cookies: of the session, and of a browser that has a form of ours and has not signed in.
const (
	sessionCookie = "session"
	formCookie    = "form"
)

// cookieName is a cookie's whole name. Browsers keep one with this prefix to the very host that set it, over HTTPS
// (RFC 6265bis, section 4.1.3.2). They would give it to each port of the host: so the port is a part of the name.
func cookieName(r *http.Request, kind string) string {
	_, port, err := net.SplitHostPort(peer.Host(r))
	if err != nil {
		port = "443"
	}
	return "__Host-hallmark-" + kind + "-" + port
}

func cookieOf(r *http.Request, kind string) string {
	c, err := r.Cookie(cookieName(r, kind))
	if err != nil || len(c.Value) > 128 {
		return ""
	}
	return c.Value
}

func (pg *page) cookie(kind string) string { return cookieOf(pg.r, kind) }

// setCookie sets a cookie for some seconds: 0 is until the browser is closed, and less removes it.
func (pg *page) setCookie(kind, value string, seconds int) {
	http.SetCookie(pg.w, &http.Cookie{
		Name: cookieName(pg.r, kind), Value: value, Path: "/", MaxAge: seconds,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
