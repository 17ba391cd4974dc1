package listen

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// refusedFor is how long the rest of a body may take to arrive that no handler reads. Until it is there the
	// answer waits, because some clients read none before they have sent everything.
	refusedFor = 5 * time.Second
	// maxRefused is how much of it is waited for, in bytes: it is net/http's own bound.
	maxRefused = 256 << 10
)

// A Stall cuts clients that send or take nothing for too long in the middle of a request.
type Stall struct {
	limit time.Duration
	cut   atomic.Uint64 // bodies and answers
}

// NewStall returns one that lets clients be silent for so long at most.
func NewStall(limit time.Duration) *Stall { return &Stall{limit: limit} }

// Cut is how many requests were cut.
func (s *Stall) Cut() uint64 { return s.cut.Load() }

// Handler guards the requests to next.
func (s *Stall) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := &patience{rc: http.NewResponseController(w), limit: s.limit, stalled: &s.cut}
		// The deadline of the connection's last answer may be near, and "100 Continue" is not ours to write.
		p.write()
		out := &impatientWriter{ResponseWriter: w, patience: p, conn: connectionOf(r.Context()), shared: r.ProtoMajor != 1}
		if r.Body == nil || r.ContentLength == 0 {
			next.ServeHTTP(out, r)
			return
		}
		in := &impatientBody{ReadCloser: r.Body, patience: p, left: r.ContentLength}
		if !strings.HasPrefix(r.URL.Path, "/v2/") { // there bodies are read only from those who signed in, and may be long
			in.end = time.Now().Add(s.limit)
		}
		if r.ProtoMajor == 1 {
			out.unread = in // HTTP/2 leaves what is not read
			in.expected = r.Header.Get("Expect") != ""
			defer in.leave()
		}
		r.Body = in
		next.ServeHTTP(out, r)
		if !out.begun { // an answer without a word
			out.WriteHeader(http.StatusOK)
		}
	})
}

// patience moves the deadlines of a connection. It moves them no more often than matters: a small request
// costs less than three timers.
type patience struct {
	rc       *http.ResponseController
	limit    time.Duration
	canRead  time.Time // when the deadline for reading was set
	canWrite time.Time // when that for writing was
	stalled  *atomic.Uint64
}

func (p *patience) stale(set, now time.Time) bool { return now.Sub(set) > p.limit/100 }

func (p *patience) write() {
	if now := time.Now(); p.stale(p.canWrite, now) {
		p.canWrite = now
		_ = p.rc.SetWriteDeadline(now.Add(p.limit)) // a writer without deadlines is one in a test
	}
}

// count counts a client that was cut.
func (p *patience) count(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.stalled.Add(1)
	}
}

// impatientBody is a body that has to go on arriving.
type impatientBody struct {
	io.ReadCloser
	*patience
	left     int64     // bytes to come; -1 is unknown
	end      time.Time // when all of it has to be here, where that is bounded
	expected bool      // the client sends nothing before it is told to
	read     bool      // somebody asked for it
	over     bool      // it has ended, or broken off
	whole    bool      // it has ended
}

func (b *impatientBody) Read(p []byte) (int, error) {
	b.read = true
	if now := time.Now(); b.stale(b.canRead, now) {
		b.canRead = now
		b.deadline(b.by(now.Add(b.limit)))
		// Nothing is written meanwhile, and there has to be time left to say that the body did not arrive: on HTTP/2 a
		// deadline that is over cannot be moved.
		b.canWrite = time.Time{}
		_ = b.rc.SetWriteDeadline(now.Add(b.limit + refusedFor)) // as in deadline
	}
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	b.ended(err)
	return n, err
}

// by is a time, or the body's end where that is sooner.
func (b *impatientBody) by(t time.Time) time.Time {
	if b.end.IsZero() || t.Before(b.end) {
		return t
	}
	return b.end
}

func (b *impatientBody) deadline(t time.Time) {
	_ = b.rc.SetReadDeadline(t) // a writer without deadlines is one in a test
}

func (b *impatientBody) ended(err error) {
	if err == nil {
		return
	}
	b.over, b.whole = true, errors.Is(err, io.EOF)
	b.count(err)
	if b.whole {
		// From here on the server reads only to see the client leave, which may take as long as it likes.
		b.canRead = time.Time{}
		b.deadline(time.Time{})
	}
}

// settle reads what nobody has read of a body, before the answer begins, and says whether the connection can be used
// again. net/http would read it too, and with no deadline: a client that sends none would hold its connection for ever.
func (b *impatientBody) settle() bool {
	switch {
	case b.over:
		return b.whole
	case b.left > maxRefused, b.expected && !b.read:
		return false
	}
	b.deadline(time.Now().Add(min(refusedFor, b.limit)))
	n, err := io.CopyN(io.Discard, b.ReadCloser, maxRefused+1)
	if b.left > 0 {
		b.left -= n
	}
	b.ended(err)
	return b.whole
}

// leave bounds what net/http does with the rest of a body that it means to read.
func (b *impatientBody) leave() {
	if !b.over {
		b.deadline(time.Now().Add(min(refusedFor, b.limit)))
	}
}

// impatientWriter is an answer that has to be taken.
type impatientWriter struct {
	http.ResponseWriter
	*patience
	unread *impatientBody // what has to be settled before the answer, or nil
	conn   *guarded       // or nil
	shared bool           // conn has other requests too: it is HTTP/2
	begun  bool
}

// Unwrap serves http.ResponseController.
func (w *impatientWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *impatientWriter) WriteHeader(status int) {
	if status >= 200 {
		w.begin()
	}
	w.write()
	w.ResponseWriter.WriteHeader(status)
}

func (w *impatientWriter) Write(p []byte) (int, error) {
	w.begin()
	w.write()
	began := time.Now()
	n, err := w.ResponseWriter.Write(p)
	if w.conn != nil {
		w.conn.watch(n, time.Since(began))
	}
	w.count(err)
	return n, err
}

func (w *impatientWriter) begin() {
	if w.begun {
		return
	}
	w.begun = true
	if w.unread != nil && !w.unread.settle() {
		w.Header().Set("Connection", "close")
	}
}
