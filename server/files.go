package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
)

// Files answers requests from a data directory that no server runs on. Until the first request that changes
// something it only reads: anyone who asks, checks or backs up a registry leaves every byte as it was, and needs no right
// to write.
type Files struct {
	ctx     context.Context // of the verb
	dir     string
	options FilesOptions

	mu       sync.Mutex // guards what follows
	data     *datadir.Dir
	services *services
	handler  http.Handler
}

// FilesOptions are how a data directory is answered from.
type FilesOptions struct {
	// Config returns the configuration; it is asked each time that the directory is opened.
	Config func() (config.Config, error)
	// PasswordCost is as in Options.
	PasswordCost int
	// Say is as in Options.
	Say func(sentence string)
}

// OpenFiles opens a data directory to read it. Errors: *UnavailableError, *config.Error.
func OpenFiles(ctx context.Context, dir string, o FilesOptions) (*Files, error) {
	f := &Files{ctx: ctx, dir: dir, options: o}
	if err := f.open(datadir.ToRead); err != nil && !needsChange(err) {
		return nil, err
	}
	return f, nil
}

// Scrub does what the server would in the background: it marks what is damaged, so it opens the directory to change it.
func (f *Files) Scrub(ctx context.Context) {
	if _, err := f.handlerFor(datadir.ToChange); err != nil {
		return // the request that asks for it gets the same
	}
	f.mu.Lock()
	s := f.services
	f.mu.Unlock()
	s.registry.Scrub(ctx)
}

// RoundTrip implements http.RoundTripper.
func (f *Files) RoundTrip(r *http.Request) (*http.Response, error) {
	how := datadir.ToChange
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		how = datadir.ToRead
	}
	handler, err := f.handlerFor(how)
	if err != nil {
		return nil, err
	}
	return inProcess{handler}.RoundTrip(r)
}

func (f *Files) handlerFor(how datadir.Mode) (http.Handler, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.data != nil && f.data.Mode >= how {
		return f.handler, nil
	}
	if err := f.closeData(); err != nil {
		return nil, err
	}
	err := f.open(how)
	if needsChange(err) {
		err = unavailablef("data directory %s: %w; reading changes nothing, so start `hallmark serve` on it once", f.dir, err)
	}
	return f.handler, err
}

// needsChange says that a directory cannot be read as it is.
func needsChange(err error) bool {
	return errors.Is(err, storage.ErrOlder) || errors.Is(err, storage.ErrReadOnly)
}

// open opens the directory. The caller holds mu, or is alone.
func (f *Files) open(how datadir.Mode) error {
	cfg, err := f.options.Config()
	if err != nil {
		return err
	}
	d, err := datadir.Open(f.ctx, f.dir, how, datadir.Options{Say: f.options.Say, S3: remoteOf(cfg), Database: cfg.Store})
	switch {
	case errors.Is(err, datadir.ErrNone):
		return unavailablef("%w: start one there with `hallmark serve`, or name another with --data or --server", err)
	case err != nil:
		return &UnavailableError{err}
	}
	s, err := wire(f.ctx, d, cfg, wiring{"", f.options.PasswordCost, slog.New(slog.DiscardHandler), nil})
	if err != nil {
		return errors.Join(unavailable(err), d.Close())
	}
	if stored, err := certs.Stored(d.File(datadir.CertsDir)); err == nil {
		s.certificates = stored
	}
	f.data, f.services, f.handler = d, s, asOperator(s.operatorRoutes(s.imagesAndAPI()))
	return nil
}

// imagesAndAPI serves what verbs ask: the API, and images as the registry has them.
func (s *services) imagesAndAPI() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v2/") {
			s.registry.ServeHTTP(w, r)
		} else {
			s.api.ServeHTTP(w, r)
		}
	})
}

// Close closes the directory.
func (f *Files) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closeData()
}

func (f *Files) closeData() error {
	if f.data == nil {
		return nil
	}
	if f.data.Mode != datadir.ToRead {
		f.services.keys.KeepNow(context.WithoutCancel(f.ctx))
	}
	err := f.data.Close()
	f.data, f.services, f.handler = nil, nil, nil
	return err
}

// unavailable says that what failed is not the asker's to mend, unless it is the configuration's.
func unavailable(err error) error {
	if errors.As(err, new(*config.Error)) {
		return err
	}
	return &UnavailableError{err}
}

// inProcess is a transport that calls a handler, and passes its answer on as it is written.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (t inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	read, write := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: write, begun: make(chan int, 1)}
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	go func() {
		defer w.cut()
		t.handler.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
		_ = write.Close() // which never fails
	}()
	status, ok := <-w.begun
	if !ok {
		return nil, io.ErrUnexpectedEOF
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header.Clone(), Body: read, ContentLength: -1, Request: r,
	}, nil
}

type pipeWriter struct {
	header http.Header
	pipe   *io.PipeWriter
	begun  chan int // receives the status, once, or is closed where there is none
	wrote  bool
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.begun <- status
	}
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pipe.Write(p)
}

func (w *pipeWriter) Flush() {}

// cut is deferred: it breaks off the answer of a handler that panics with the wish for that, as net/http does.
func (w *pipeWriter) cut() {
	switch p := recover(); {
	case p == nil:
		return
	case p != http.ErrAbortHandler: //nolint:errorlint // it is compared as net/http does
		panic(p)
	}
	if !w.wrote {
		close(w.begun)
	}
	_ = w.pipe.CloseWithError(io.ErrUnexpectedEOF) // which never fails
}
