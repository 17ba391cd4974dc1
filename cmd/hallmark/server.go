package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/cosigning"
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

// server is the rooms behind their listeners.
type server struct {
	*services
	c        config.Config
	log      *slog.Logger
	metrics  *obs.Metrics
	reload   func()
	draining atomic.Bool
	stall    *listen.Stall
}

// run serves until ctx ends, then lets the requests under way come to an end.
func (s *server) run(ctx context.Context, main net.Listener, ready func()) error {
	s.addMetrics()
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer s.keys.KeepNow(context.WithoutCancel(ctx)) // when nothing appends any more
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	servers, failed, err := s.listen(main)
	if err != nil {
		return err
	}
	for _, work := range []func(context.Context){
		s.whenWhole(func(ctx context.Context) { s.registry.Sweep(ctx, 10*time.Minute) }),
		s.whenWhole(s.registry.Collect),
		s.registry.Scrub,
		func(ctx context.Context) { s.registry.EndDeletions(ctx, time.Minute) },
		s.registry.RenderOld,
		s.registry.IndexDiffs,
		func(ctx context.Context) { s.forget(ctx, time.Duration(s.c.Records.KeepAddresses), s.log) },
		func(ctx context.Context) { hangups(ctx, s.reload) },
		s.watchCertificate,
		s.keepRulesOnRecord,
		func(ctx context.Context) {
			s.access.KeepUses(ctx, func(err error) { s.log.Error("last uses of secrets were not written", "err", err) })
		},
		func(ctx context.Context) { s.access.Sweep(ctx, time.Hour) },
		func(ctx context.Context) {
			s.book.KeepIndexed(ctx, func(err error) { s.log.Error("new records were not indexed; they are found all the same", "err", err) })
		},
		func(ctx context.Context) { cosigning.Ask(ctx, s.book, s.witnesses, s.log) },
		func(ctx context.Context) { s.keys.Keep(ctx, time.Minute) },
	} {
		group.Go(func() { work(running) })
	}
	ready()
	select {
	case <-ctx.Done():
		s.log.Info("shutting down: waiting for requests under way", "limit", s.c.Shutdown)
	case err = <-failed:
	}
	return errors.Join(err, s.drain(servers))
}

// whenWhole does what removes files that no row names, but not before the records and the log fit together: beside an
// older copy of the store it would remove the blobs that the newer one has, which may still be put back.
func (s *server) whenWhole(work func(context.Context)) func(context.Context) {
	return func(ctx context.Context) {
		for s.book.Stopped() != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second): // the operator may put an end to it: `hallmark log continue`
			}
		}
		work(ctx)
	}
}

func (s *server) watchCertificate(ctx context.Context) {
	if s.keeper != nil {
		s.keeper.Watch(ctx, 5*time.Second, s.log)
	}
}

// listen starts all servers: clients, the socket in the data directory, and the administration.
func (s *server) listen(main net.Listener) (servers []*http.Server, failed <-chan error, err error) {
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
	socket, err := datadir.ListenSocket(s.data.Path)
	if err != nil {
		return nil, nil, err
	}
	start(socket, asOperator(s.operatorRoutes(s.router())), false)
	if s.c.AdminListen != config.NoListen {
		admin, err := net.Listen("tcp", s.c.AdminListen)
		if err != nil {
			return nil, nil, askf("listen for administration: %w (choose another adminListen, or none)", errors.Join(err, socket.Close()))
		}
		if peer.Loopback(s.c.AdminListen) {
			start(admin, s.adminRouter(), false)
		} else {
			start(listen.NewGuard(s.c.Limits.ConnectionLimits, proxies).Listener(admin), s.administratorsOnly(s.adminRouter()), true)
		}
	}
	clients := listen.NewGuard(s.c.Limits.ConnectionLimits, proxies)
	s.addConnectionMetrics(clients)
	start(clients.Listener(main), httpsOnly(s.router()), true)
	return servers, errs, nil
}

// inert keeps a browser from making anything of an answer but what it is said to be, and from running it: a
// manifest is served under the media type that its client gave it, be it text/html, and names and messages of
// clients are in most other answers. It is around all of them, so that none can be forgotten.
func inert(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
		next.ServeHTTP(w, r)
	})
}

// newServer returns a server with the time limits of connections.
func (s *server) newServer(h http.Handler) *http.Server {
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
func (s *server) drain(servers []*http.Server) error {
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

// router sends a request to its room.
func (s *server) router() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch path := r.URL.Path; {
		case path == "/v2" || strings.HasPrefix(path, "/v2/"):
			s.registry.ServeHTTP(w, r)
		case strings.HasPrefix(path, "/api/"), strings.HasPrefix(path, "/log/"), strings.HasPrefix(path, "/keys/"),
			path == "/trusted_root.json", path == "/openapi.json":
			s.api.ServeHTTP(w, r)
		case path == "/token":
			s.api.ServeToken(w, r)
		case path == "/ca.pem":
			readOnly(s.serveCA)(w, r)
		case path == "/healthz", path == "/readyz":
			readOnly(s.serveHealth)(w, r)
		default:
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
func (s *server) adminRouter() http.Handler {
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
func (s *server) administratorsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
func (s *server) serveCA(w http.ResponseWriter, r *http.Request) {
	obs.SetRoute(r.Context(), "ca")
	if s.keeper == nil || s.keeper.CA() == nil {
		api.WriteProblem(w, http.StatusNotFound, "this registry has no certificate authority of its own: its certificate is signed by another, or a proxy in front of it has one")
		return
	}
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write(certs.EncodePEM(s.keeper.CA())) // a client that left does not matter any more
}

func (s *server) addMetrics() {
	s.metrics.Counter("hallmark_records_total", "Records of pushes, deletes and everything else.", func() float64 {
		n, err := s.book.Len(context.Background())
		if err != nil {
			return 0
		}
		return float64(n)
	})
	s.metrics.Gauge("hallmark_uploads_in_flight", "Uploads begun and not ended.", func() float64 { return float64(s.registry.Uploads()) })
	s.metrics.Counter("hallmark_uploads_refused_total", "Uploads that were not begun because there were too many.", func() float64 {
		return float64(s.registry.UploadsRefused())
	})
	s.metrics.Counter("hallmark_collected_blobs_total", "Blobs that nothing needed and whose room was given back.", func() float64 {
		return float64(s.registry.Collected().Blobs)
	})
	s.metrics.Counter("hallmark_collected_bytes_total", "Bytes of these blobs.", func() float64 { return float64(s.registry.Collected().Bytes) })
	s.addScrubMetrics()
	s.metrics.Gauge("hallmark_ready", "1 while the registry can do all of its work, 0 while /readyz fails.", func() float64 {
		if len(s.unready(context.Background())) > 0 {
			return 0
		}
		return 1
	})
	s.metrics.Gauge("hallmark_store_bytes", "Length of the store's file.", func() float64 {
		n, _ := s.data.Store.Size() // 0 where it cannot be told
		return float64(n)
	})
	s.metrics.Gauge("hallmark_store_free_pages", "Pages of the store's file that hold nothing. Each commit lists them all.", func() float64 {
		free, _, _ := s.data.Store.FreePages() // 0 where it cannot be told
		return float64(free)
	})
	s.metrics.Gauge("hallmark_disk_free_bytes", "Room left on the disk of the blobs.", func() float64 {
		free, _, _ := s.data.Blobs.Free() // 0 where it cannot be told
		return float64(free)
	})
	s.addLoginMetrics()
	if s.keeper != nil {
		s.metrics.Gauge("hallmark_certificate_expires_seconds", "When the server's certificate ends, in seconds since 1970.", func() float64 {
			return float64(s.keeper.Certificate().NotAfter.Unix())
		})
	}
}

func (s *server) addScrubMetrics() {
	scrubbed := func() registry.Scrubbed { return s.registry.Scrubbed(context.Background()) }
	s.metrics.Gauge("hallmark_blobs_damaged", "Blobs and manifests that are lost or damaged; 10000 stands for all beyond.", func() float64 { return float64(scrubbed().Damaged) })
	s.metrics.Counter("hallmark_scrub_blobs_total", "Blobs that were read and compared with their digests in the background.", func() float64 { return float64(scrubbed().Blobs) })
	s.metrics.Counter("hallmark_scrub_bytes_total", "Bytes of these, and of manifests.", func() float64 { return float64(scrubbed().Bytes) })
	s.metrics.Gauge("hallmark_scrub_finished_seconds", "When everything had last been read, in seconds since 1970; 0 before the first time.", func() float64 {
		return float64(scrubbed().Finished)
	})
}
