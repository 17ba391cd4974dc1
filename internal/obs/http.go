package obs

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
)

// Watch wraps a handler: each request gets an id (also as the header X-Request-Id of its answer), a
// line in the log, and its place in the metrics; a panic becomes an answer with status 500.
func Watch(next http.Handler, log *slog.Logger, m *Metrics) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		info := &request{id: newID(), route: "other"}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, info))
		in := &countedBody{ReadCloser: r.Body}
		r.Body = in
		out := &countedWriter{ResponseWriter: w}
		out.Header().Set("X-Request-Id", info.id)
		m.inFlight.Inc()
		defer func() {
			m.inFlight.Dec()
			m.done(info, r.Method, in, out, start)
			logRequest(log, info, r, in, out, start)
		}()
		defer func() {
			if p := recover(); p != nil {
				panicked(out, log, info, p)
			}
		}()
		next.ServeHTTP(out, r)
	})
}

// panicked answers for a handler that panicked. http.ErrAbortHandler is the wish to cut the connection,
// which is granted; it is also what is left when part of an answer is out already.
func panicked(out *countedWriter, log *slog.Logger, info *request, p any) {
	if p == http.ErrAbortHandler { //nolint:errorlint // it is compared as net/http does
		panic(p)
	}
	log.Error("a handler panicked: this is a bug", "id", info.id, "panic", p, "stack", string(debug.Stack()))
	if out.status != 0 {
		panic(http.ErrAbortHandler)
	}
	http.Error(out, "the server failed; its log says more under request "+info.id, http.StatusInternalServerError)
}

func (m *Metrics) done(info *request, method string, in *countedBody, out *countedWriter, start time.Time) {
	s := m.seriesOf(info.route, knownMethod(method), out.code())
	s.requests.Inc()
	s.seconds.Observe(time.Since(start).Seconds())
	s.received.Add(float64(in.n))
	s.sent.Add(float64(out.n))
}

// knownMethod keeps what a client invents out of the labels.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return method
	}
	return "other"
}

// logRequest writes the one line of a request. The query stays out: it can hold secrets.
func logRequest(log *slog.Logger, info *request, r *http.Request, in *countedBody, out *countedWriter, start time.Time) {
	level := slog.LevelInfo
	switch {
	case out.code() >= 500:
		level = slog.LevelError
	case info.route == "health":
		level = slog.LevelDebug
	}
	if !log.Enabled(r.Context(), level) {
		return
	}
	log.LogAttrs(r.Context(), level, "request",
		slog.String("id", info.id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", out.code()), slog.String("user", info.user), slog.String("from", peer.Address(r)),
		slog.Int64("received", in.n), slog.Int64("sent", out.n), slog.Duration("took", time.Since(start)))
}

type countedBody struct {
	io.ReadCloser
	n int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n += int64(n)
	return n, err
}

type countedWriter struct {
	http.ResponseWriter
	status int
	n      int64
}

// Unwrap serves http.ResponseController.
func (w *countedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *countedWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countedWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.n += int64(n)
	return n, err
}

func (w *countedWriter) code() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
