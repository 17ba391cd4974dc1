package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// faults is an object store that has bad luck with one request in each so many.
type faults struct {
	each int
	had  [5]atomic.Int64 // of each kind
}

// luck delays a request, refuses it, cuts its answer off, or has the store carry it out and loses the answer.
func (f *faults) luck(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if rand.IntN(f.each) > 0 {
		next.ServeHTTP(w, r)
		return
	}
	kind := rand.IntN(len(f.had))
	if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
		kind = 4 // of those that put parts together, the answer
	}
	f.had[kind].Add(1)
	switch kind {
	case 0:
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		next.ServeHTTP(w, r)
	case 1:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprint(w, "<Error><Code>SlowDown</Code></Error>") // who asked may have left
	case 2:
		panic(http.ErrAbortHandler)
	case 3:
		cutOff(w, r, next)
	case 4:
		next.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

// cutOff passes on the first half of an answer.
func cutOff(w http.ResponseWriter, r *http.Request, next http.Handler) {
	all := httptest.NewRecorder()
	next.ServeHTTP(all, r)
	for name, values := range all.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(all.Code)
	_, _ = w.Write(all.Body.Bytes()[:all.Body.Len()/2])
	_ = http.NewResponseController(w).Flush() // what it says is seen by what comes
	panic(http.ErrAbortHandler)
}

// layer is one that is like no other.
type layer struct {
	n    int64
	size int
}

func (l layer) content() string { return fmt.Sprintf("%d ", l.n) + string(noise(l.size)) }

// anyLayer is of some length: one in 40 comes in parts.
func anyLayer(n int64) layer {
	if n%40 == 0 {
		return layer{n, 6 << 20}
	}
	return layer{n, []int{1000, 40_000, 100_000}[n%3]}
}

// checker knows of each blob whether its push was acknowledged, and its deletion asked for.
type checker struct {
	t *testing.T
	s *servertest.Server

	mu                      sync.Mutex
	there                   map[digest.Digest]layer // guarded by mu; acknowledged
	pushed, refused, pulled atomic.Int64
}

// push pushes a layer.
func (c *checker) push(l layer) {
	content := l.content()
	d := digest.FromString(content)
	status, _, err := c.s.Do("POST", "/v2/app/blobs/uploads/?digest="+d.String(), servertest.Login, []byte(content), "Content-Type", "application/octet-stream")
	switch {
	case err == nil && status == http.StatusCreated:
		c.mu.Lock()
		c.there[d] = l
		c.mu.Unlock()
		c.pushed.Add(1)
	case err == nil && status != http.StatusServiceUnavailable:
		c.t.Errorf("a push is answered with %d", status)
	default:
		c.refused.Add(1)
	}
}

// pull pulls one of what was acknowledged. It may be refused, and never be another or be said not to be there.
func (c *checker) pull(must bool) {
	c.mu.Lock()
	var d digest.Digest
	var l layer
	for d, l = range c.there {
		break
	}
	c.mu.Unlock()
	if d != "" {
		c.pullOne(d, l.content(), must)
	}
}

func (c *checker) pullOne(d digest.Digest, content string, must bool) {
	status, got, err := c.s.Do("GET", "/v2/app/blobs/"+d.String(), servertest.Login, nil)
	switch {
	case err == nil && status == http.StatusOK && got == content:
		c.pulled.Add(1)
	case err == nil && status == http.StatusOK, status == http.StatusNotFound, must:
		c.t.Errorf("%s was acknowledged; a pull is answered with %d, %d bytes, %v", d, status, len(got), err)
	}
}

// suffer lets clients push and pull for a time over an object store with faults. What was acknowledged is there while it has them, and
// whole behind them; nothing else is left in the way of a check.
func suffer(t *testing.T, length time.Duration) {
	t.Helper()
	remote, f := s3test.Start(t), &faults{each: 6}
	s := servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), onRemote(remote, "one/"))
	c := &checker{t: t, s: s, there: map[digest.Digest]layer{}}
	remote.Suffer(f.luck)
	end := time.Now().Add(length)
	var clients sync.WaitGroup
	var n atomic.Int64
	for range 4 {
		clients.Go(func() {
			for time.Now().Before(end) && !t.Failed() {
				c.push(anyLayer(n.Add(1)))
				c.pull(false)
			}
		})
	}
	clients.Wait()
	remote.Suffer(nil)
	for d, l := range c.there {
		c.pullOne(d, l.content(), true)
	}
	var had []string
	for i := range f.had {
		had = append(had, fmt.Sprint(f.had[i].Load()))
	}
	t.Logf("%d pushes were acknowledged, %d refused; %d pulls; delays, refusals, cuts, halves, lost answers: %s",
		c.pushed.Load(), c.refused.Load(), c.pulled.Load(), strings.Join(had, " "))
	if c.pushed.Load() == 0 {
		t.Error("the test tries too little")
	}
	wantWhole(t, s)
}

// TestRemoteFaults is a moment of TestSoakRemoteFaults.
func TestRemoteFaults(t *testing.T) { suffer(t, 3*time.Second) }
