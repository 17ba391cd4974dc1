package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestFlowing has a server begin an answer and send no more of it: who reads it is told, and not left to wait.
func TestFlowing(t *testing.T) {
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte{'x'})
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	defer server.Close()
	defer close(ended)
	p := &pacedTransport{next: &http.Transport{}, limit: rate.NewLimiter(rate.Inf, 1), idle: 100 * time.Millisecond}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := p.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = io.ReadAll(resp.Body); !errors.As(err, new(errStalled)) {
		t.Errorf("it says %v", err)
	}
	_ = resp.Body.Close()
}

// TestFlowingSlowly ends an answer of which bytes come now and then, and none that was not waited for.
func TestFlowingSlowly(t *testing.T) {
	for waited, want := range map[time.Duration]bool{0: false, time.Hour - time.Minute: false, 2 * time.Hour: true} {
		ctx, cancel := context.WithCancelCause(t.Context())
		f := &flowing{ReadCloser: io.NopCloser(strings.NewReader("more")), ctx: ctx, cancel: cancel, idle: time.Hour, came: 1000, waited: waited}
		if _, err := f.Read(make([]byte, 4)); errors.As(err, new(errStalled)) != want {
			t.Errorf("waited for %s: %v", waited, err)
		}
		_ = f.Close()
	}
}

// TestRetryAfterDate wants a time at which to come again to be taken by the clock of the upstream that says it.
func TestRetryAfterDate(t *testing.T) {
	p := &patience{cancel: func(err error) { t.Errorf("the run ends: %v", err) }}
	theirs := time.Now().Add(1000 * time.Hour)
	p.saw(&http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{
		"Date": {theirs.UTC().Format(http.TimeFormat)}, "Retry-After": {theirs.Add(5 * time.Second).UTC().Format(http.TimeFormat)},
	}})
	if wait := time.Until(p.until); wait < time.Second || wait > 6*time.Second {
		t.Errorf("it waits for %s", wait)
	}
}
