package mirror

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
)

// patience waits as long as an upstream asks for, or ends the run where that is too long for one.
type patience struct {
	next   http.RoundTripper
	cancel context.CancelCauseFunc // ends the run
	heard  *heard

	mu      sync.Mutex
	until   time.Time // nothing is asked before; guarded by mu
	refused int       // answers with 429 in a row that name no time; guarded by mu
}

const (
	// maxPatience is how long a run waits in its middle; beyond it, the next run begins so much later.
	maxPatience = 20 * time.Second
	// maxPause bounds how long an upstream may have us wait.
	maxPause = 24 * time.Hour
	// maxUntimed is how many answers with 429 in a row end a run that name no time.
	maxUntimed = 30
)

// pausedError says that an upstream has asked for a pause that is longer than a run waits.
type pausedError struct {
	host string
	wait time.Duration // 0 where it did not say
}

func (e *pausedError) Error() string {
	if e.wait == 0 {
		return e.host + " answers 429 to everything: it is asked too often"
	}
	return fmt.Sprintf("%s asks for a pause of %s", e.host, units.Duration(e.wait))
}

// Unwrap makes it an ErrSource.
func (e *pausedError) Unwrap() error { return ErrSource }

// RoundTrip implements http.RoundTripper.
func (p *patience) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	wait := time.Until(p.until)
	p.mu.Unlock()
	if wait > 0 {
		select {
		case <-r.Context().Done():
			return nil, r.Context().Err()
		case <-time.After(wait):
		}
	}
	resp, err := p.next.RoundTrip(r)
	if err == nil {
		p.saw(resp)
		p.heard.hear(resp)
	}
	return resp, err
}

// saw notes what an answer asks for.
func (p *patience) saw(resp *http.Response) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		p.refused = 0
		return
	}
	now, err := http.ParseTime(resp.Header.Get("Date")) // by the clock of the upstream, which may differ from ours
	if err != nil {
		now = time.Now()
	}
	wait := retryAfter(resp.Header.Get("Retry-After"), now)
	switch {
	case wait > maxPatience:
		p.cancel(&pausedError{resp.Request.URL.Host, min(wait, maxPause)})
	case wait > 0:
		p.until = time.Now().Add(wait)
	case resp.StatusCode == http.StatusTooManyRequests:
		if p.refused++; p.refused >= maxUntimed {
			p.cancel(&pausedError{host: resp.Request.URL.Host})
		}
	}
}

// CloseIdleConnections is that of http.Client.
func (p *patience) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// retryAfter reads the header (RFC 9110, section 10.2.3): seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}
