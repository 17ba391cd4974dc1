package server

import (
	"net/http"
	"strings"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/web"
)

// router sends a request to its room.
func (s *Server) router() http.Handler {
	var asked http.Handler = s.api
	var pages *web.Pages
	if s.c.Pages {
		pages = web.New(web.Config{API: s.api, Registry: s.registry, Logins: s.access, URL: s.url, Log: s.log})
		asked = pages.Cookies(s.api)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/v2" || strings.HasPrefix(path, "/v2/"):
			s.registry.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/log/"):
			asked.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/keys/"), path == "/trusted_root.json", path == "/openapi.json":
			s.api.ServeHTTP(w, r)
		case path == "/token":
			s.api.ServeToken(w, r)
		case path == "/ca.pem":
			readOnly(s.serveCA)(w, r)
		case path == "/healthz", path == "/readyz":
			readOnly(s.serveHealth)(w, r)
		case pages != nil && web.Serves(r):
			pages.ServeHTTP(w, r)
		default:
			if pages != nil && path == "/" {
				w.Header().Add("Vary", "Accept") // for others it is a page
			}
			api.WriteProblem(w, http.StatusNotFound, "there is nothing at this path; images are under /v2/, and /openapi.json lists the rest")
		}
	})
}

// readOnly is for paths that can be read and nothing else.
func readOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			api.WriteProblem(w, http.StatusMethodNotAllowed, r.URL.Path+" takes GET, HEAD")
			return
		}
		next(w, r)
	}
}

// adminRouter serves what operators' tools ask for.
func (s *Server) adminRouter() http.Handler {
	metrics := s.metrics.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/metrics":
			obs.SetRoute(r.Context(), "metrics")
			readOnly(metrics.ServeHTTP)(w, r)
		case "/healthz", "/readyz":
			readOnly(s.serveHealth)(w, r)
		default:
			api.WriteProblem(w, http.StatusNotFound, "there is nothing at this path; there are /metrics, /healthz and /readyz")
		}
	})
}

// administratorsOnly guards the administration where others than this machine reach it.
func (s *Server) administratorsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && hasMetricsToken(s.c.Metrics.TokenFile, r) {
			next.ServeHTTP(w, r)
			return
		}
		who, err := s.access.Identify(r)
		if err != nil || who.Actor.Kind == provenance.Anonymous { // whatever is granted to strangers
			w.Header().Set("Www-Authenticate", `Basic realm="Hallmark", charset="UTF-8"`)
			api.WriteProblem(w, http.StatusUnauthorized, "sign in as an administrator")
			return
		}
		if !s.access.Administers(who) {
			api.WriteProblem(w, http.StatusForbidden, "only administrators may see this")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func asOperator(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(access.WithOperator(r.Context())))
	})
}

// serveCA hands out the certificate authority. It is no secret, and without it nobody could sign in.
func (s *Server) serveCA(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "ca")
	if s.keeper == nil || s.keeper.CA() == nil {
		api.WriteProblem(w, http.StatusNotFound, "this registry has no certificate authority of its own: its certificate is signed by another, or a proxy in front of it has one")
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(certs.EncodePEM(s.keeper.CA())) // a client that left does not matter any more
}
