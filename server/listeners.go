package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/listen"
)

// The time limits of connections. Requests have none as a whole, because an upload may take hours: what
// is limited is silence (Config.Stall).
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10 // bytes
)

// listeners are where a server is reached. All are opened before a start keeps anything: a port that is taken refuses it.
type listeners struct {
	main   net.Listener
	admin  net.Listener // nil where there is none
	socket net.Listener // in the data directory; nil where several servers of this process work on it
}

func openListeners(d *datadir.Dir, c config.Config, socket bool) (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.main, err = net.Listen("tcp", c.Listen); err != nil {
		return l, unavailablef("listen on %s: %w", c.Listen, err)
	}
	if c.AdminListen != config.NoListen {
		if l.admin, err = net.Listen("tcp", c.AdminListen); err != nil {
			return l, unavailablef("listen for administration: %w (choose another adminListen, or none)", err)
		}
	}
	if !socket {
		return l, nil
	}
	if l.socket, err = datadir.ListenSocket(d.Path); err != nil {
		return l, unavailable(err)
	}
	return l, nil
}

// close closes what is open. Run has closed them before.
func (l listeners) close() {
	for _, open := range []net.Listener{l.main, l.admin, l.socket} {
		if open != nil {
			_ = open.Close()
		}
	}
}

// listen starts all servers: clients, the socket in the data directory, and the administration.
func (s *Server) listen() (servers []*http.Server, failed <-chan error, err error) {
	proxies, err := peer.ParseProxies(s.c.TrustedProxies)
	if err != nil {
		return nil, nil, err
	}
	s.stall = listen.NewStall(time.Duration(s.c.Stall))
	errs := make(chan error, 3)
	start := func(l net.Listener, h http.Handler, overTLS bool) {
		srv := s.newServer(inert(proxies.Believe(obs.Watch(listen.Known(s.stall.Handler(h)), s.log, s.metrics))))
		servers = append(servers, srv)
		go func() {
			var err error
			if overTLS && s.keeper != nil {
				srv.TLSConfig = s.keeper.TLS()
				err = srv.ServeTLS(l, "", "")
			} else {
				err = srv.Serve(l)
			}
			if !errors.Is(err, http.ErrServerClosed) {
				errs <- err
			}
		}()
	}
	if s.open.socket != nil {
		start(s.open.socket, asOperator(s.operatorRoutes(s.router())), false)
	}
	if admin := s.open.admin; admin != nil {
		if peer.Loopback(s.c.AdminListen) {
			start(admin, s.adminRouter(), false)
		} else {
			start(listen.NewGuard(s.c.Limits.ConnectionLimits, proxies).Listener(admin), s.administratorsOnly(s.adminRouter()), true)
		}
	}
	clients := listen.NewGuard(s.c.Limits.ConnectionLimits, proxies)
	s.addConnectionMetrics(clients)
	start(clients.Listener(s.open.main), httpsOnly(s.router()), true)
	return servers, errs, nil
}

// What inert sets. net/http does not change it.
var (
	noSniff   = []string{"nosniff"}
	sandboxed = []string{"sandbox; default-src 'none'"}
)

// inert keeps a browser from making anything of an answer but what it is said to be, and from running it: a
// manifest is served under the media type that its client gave it, even text/html, and names and messages of
// clients are in most other answers. It is around all of them, so that none can be forgotten.
func inert(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["X-Content-Type-Options"] = noSniff
		h["Content-Security-Policy"] = sandboxed
		next.ServeHTTP(w, r)
	})
}

// newServer returns a server with the time limits of connections.
func (s *Server) newServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       listen.WithConnection,
		HTTP2:             &http.HTTP2Config{SendPingTimeout: idleTimeout / 2, PingTimeout: headerTimeout, WriteByteTimeout: time.Duration(s.c.Stall)},
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what strangers do to TLS
	}
}

// httpsOnly tells browsers to use HTTPS for this name from now on (RFC 6797). They keep that by name, for
// every port: so not for localhost, where others serve plain HTTP, and not for addresses.
func httpsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil && r.TLS.ServerName != "" && r.TLS.ServerName != "localhost" {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

// drain ends the servers. Requests that go on longer than the limit are cut; an upload can be resumed.
func (s *Server) drain(servers []*http.Server) error {
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(s.c.Shutdown))
	defer cancel()
	var group sync.WaitGroup
	for _, srv := range servers {
		group.Go(func() {
			if err := srv.Shutdown(ctx); err != nil {
				s.log.Warn("requests were cut", "err", err)
				_ = srv.Close() // it says the same once more
			}
		})
	}
	group.Wait()
	return nil
}
