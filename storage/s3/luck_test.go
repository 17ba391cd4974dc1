package s3_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// says answers every request with an error of S3.
func says(status int, code string) s3test.Luck {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>as it is</Message></Error>", code)
	}
}

// TestBadLuck has each operation meet bad luck: it ends with a sentence, nothing is sealed, and everything goes on behind it.
func TestBadLuck(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a redirect was followed: %s %s", r.Method, r.URL)
	}))
	defer elsewhere.Close()
	r := newRegistries(t)
	s := r.process(t.TempDir())
	content := random(s3.LeastPart + 100_000)
	u := create(t, s)
	write(t, u, content)
	at := wantSealed(t, s, u, content)
	for name, c := range map[string]struct {
		luck s3test.Luck
		says string
	}{
		"overloaded":     {says(http.StatusServiceUnavailable, "SlowDown"), "too much to do"},
		"broken":         {says(http.StatusInternalServerError, "InternalError"), "500 InternalError"},
		"a wrong clock":  {says(http.StatusForbidden, "RequestTimeTooSkewed"), "set the clock"},
		"ended keys":     {says(http.StatusForbidden, "ExpiredToken"), "have expired"},
		"not allowed":    {says(http.StatusForbidden, "AccessDenied"), "let the key list bucket"},
		"no bucket":      {says(http.StatusNotFound, "NoSuchBucket"), "has no bucket"},
		"another region": {says(http.StatusBadRequest, "AuthorizationHeaderMalformed"), "correct blobs.s3.region"},
		"a proxy's own": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, "<html>", http.StatusBadGateway)
		}, "502"},
		"cut off":         {func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }, "cannot be reached"},
		"never an answer": {func(_ http.ResponseWriter, q *http.Request, _ http.Handler) { never(q) }, "in time"},
		"sent elsewhere": {func(w http.ResponseWriter, q *http.Request, _ http.Handler) {
			http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
		}, "not followed"},
		"sent for good": {func(w http.ResponseWriter, q *http.Request, _ http.Handler) {
			http.Redirect(w, q, elsewhere.URL, http.StatusMovedPermanently)
		}, "not followed"},
		"a page of a proxy": {func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { http.NotFound(w, nil) }, ""},
		"no parts together": {onlyComplete(says(http.StatusServiceUnavailable, "SlowDown")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "never an answer" {
				s.Impatient(500 * time.Millisecond)
			}
			r.remote.Suffer(c.luck)
			_, opened := s.Open(ctx, at)
			pushed := push(s, content)
			r.remote.Suffer(nil)
			s.Impatient(time.Minute)
			for what, err := range map[string]error{"open": opened, "push": pushed} {
				if c.says == "" && err == nil || errors.Is(err, storage.ErrNotFound) && what == "push" {
					continue
				}
				if !errors.Is(err, storage.ErrAway) || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), s3test.SecretKey) {
					t.Errorf("%s says %v; want %q", what, err, c.says)
				}
			}
			wantBytes(t, s, at, content)
			u := create(t, s)
			write(t, u, content)
			wantSealed(t, s, u, content)
		})
	}
}

// never takes the whole request, and waits until its client has enough.
func never(q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	<-q.Context().Done()
	panic(http.ErrAbortHandler)
}

func onlyComplete(luck s3test.Luck) s3test.Luck {
	return func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if isComplete(q) {
			luck(w, q, next)
			return
		}
		next.ServeHTTP(w, q)
	}
}

// push pushes bytes as far as it comes.
func push(s *s3.Store, content []byte) error {
	u, err := s.Create(ctx)
	if err != nil {
		return err
	}
	if _, err := u.Write(content); err != nil {
		return errors.Join(err, u.Cancel())
	}
	_, err = u.Seal(ctx, "sha256-abc")
	return err
}

// TestPassingLuck has every other request fail: what is tried again gets there.
func TestPassingLuck(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	var n atomic.Int32
	r.remote.Suffer(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if n.Add(1)%2 == 1 {
			says(http.StatusServiceUnavailable, "SlowDown")(w, q, next)
			return
		}
		next.ServeHTTP(w, q)
	})
	u := create(t, s)
	content := random(2*s3.LeastPart + 1)
	write(t, u, content)
	wantSealed(t, s, u, content)
}

// TestCutWhileRead cuts off each answer after some bytes: the reader goes on behind them.
func TestCutWhileRead(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	for _, c := range []struct{ size, cut int }{{300_000, 70_000}, {1000, 400}} {
		content := random(c.size)
		at := sealed(t, s, content)
		r.remote.Suffer(cutAfter(c.cut))
		wantBytes(t, s, at, content)
		r.remote.Suffer(nil)
	}
}

// TestCutAtOnce cuts off each answer before its first byte: that says nothing of the objects.
func TestCutAtOnce(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	small, large := sealed(t, s, random(1000)), sealed(t, s, random(300_000))
	f, err := s.Open(storage.InPieces(ctx), large)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r.remote.Suffer(cutAfter(0))
	if n, err := f.Read(make([]byte, 1000)); !errors.Is(err, storage.ErrAway) || errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("read %d bytes of a large one: %v", n, err)
	}
	if f, err := s.Open(ctx, large); err == nil {
		defer f.Close()
		if _, err := f.Read(make([]byte, 1000)); !errors.Is(err, storage.ErrAway) || errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("read a large one that was opened then: %v", err)
		}
	}
	if _, err := s.Open(ctx, small); !errors.Is(err, storage.ErrAway) || errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("opened a small one: %v", err)
	}
}

func sealed(t *testing.T, s *s3.Store, content []byte) storage.Location {
	t.Helper()
	u := create(t, s)
	write(t, u, content)
	return wantSealed(t, s, u, content)
}

// cutAfter breaks off each answer with an object after some bytes.
func cutAfter(bytes int) s3test.Luck {
	return func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if q.Method == http.MethodGet {
			w = &short{w, bytes}
		}
		next.ServeHTTP(w, q)
	}
}

// short is an answer that breaks off.
type short struct {
	http.ResponseWriter
	left int
}

func (s *short) Write(p []byte) (int, error) {
	if s.left == 0 {
		_ = http.NewResponseController(s.ResponseWriter).Flush() // its header comes
		panic(http.ErrAbortHandler)
	}
	n, err := s.ResponseWriter.Write(p[:min(len(p), s.left)])
	s.left -= n
	if s.left == 0 && err == nil {
		err = http.NewResponseController(s.ResponseWriter).Flush()
	}
	if n < len(p) {
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// TestReplacedWhileRead puts another object in the place of one that is being read.
func TestReplacedWhileRead(t *testing.T) {
	r := newRegistries(t)
	dir := t.TempDir()
	s := r.process(dir)
	u := create(t, s)
	content := random(300_000)
	write(t, u, content)
	at := wantSealed(t, s, u, content)
	f, err := s.Open(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(make([]byte, 1000), 0); err != nil {
		t.Fatal(err)
	}
	blobs := filepath.Join(r.remote.Objects, dir, "blobs")
	must(t, os.Remove(filepath.Join(blobs, filesIn(t, blobs)[0])))
	if n, err := f.ReadAt(make([]byte, 1000), 100_000); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("read %d bytes of what is gone: %v", n, err)
	}
}

// TestListingDenied has the object store refuse to list: what the rows know is dropped all the same.
func TestListingDenied(t *testing.T) {
	r := newRegistries(t)
	dir := t.TempDir()
	s := r.process(dir)
	u := create(t, s)
	write(t, u, random(s3.LeastPart+1))
	if err := u.Cancel(); err != nil {
		t.Fatal(err)
	}
	r.remote.Suffer(onlyListing(says(http.StatusForbidden, "AccessDenied")))
	wantObjects(t, r, s, dir, 0)
}

// TestListingFails has the store begin an upload in parts whose id never came, and then answer no listing for a while: it is not
// forgotten.
func TestListingFails(t *testing.T) {
	r := newRegistries(t)
	s := r.process(t.TempDir())
	r.remote.Suffer(func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if q.Method == http.MethodPost && q.URL.Query().Has("uploads") {
			next.ServeHTTP(discarded{http.Header{}}, q)
			says(http.StatusForbidden, "AccessDenied")(w, q, next)
			return
		}
		next.ServeHTTP(w, q)
	})
	if err := push(s, random(s3.LeastPart+1)); !errors.Is(err, storage.ErrAway) {
		t.Fatalf("pushed: %v", err)
	}
	wantBegun(t, r, 1)
	r.remote.Suffer(onlyListing(says(http.StatusServiceUnavailable, "SlowDown")))
	if err := s.TidyAt(ctx, time.Now().Add(time.Hour)); !errors.Is(err, storage.ErrAway) {
		t.Errorf("it could not be looked for: %v", err)
	}
	wantBegun(t, r, 1)
	r.remote.Suffer(nil)
	must(t, s.TidyAt(ctx, time.Now().Add(time.Hour)))
	wantBegun(t, r, 0)
}

// wantBegun wants the store to have so many uploads in parts under way.
func wantBegun(t *testing.T, r *registries, want int) {
	t.Helper()
	begun, err := filepath.Glob(filepath.Join(r.remote.Objects, ".sgwtmp", "multipart", "*", "*"))
	if err != nil || len(begun) != want {
		t.Errorf("%d uploads in parts are under way, %v; want %d", len(begun), err, want)
	}
}

func onlyListing(luck s3test.Luck) s3test.Luck {
	return func(w http.ResponseWriter, q *http.Request, next http.Handler) {
		if q.Method == http.MethodGet && q.URL.Query().Has("uploads") {
			luck(w, q, next)
			return
		}
		next.ServeHTTP(w, q)
	}
}
