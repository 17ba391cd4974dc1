package access

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// A decoy takes as long as checking a password lately took, and costs nothing: anybody can send names that do
// not exist, and the answer must neither say so by being quick nor take a hash from somebody who is there.
type decoy struct {
	mu      sync.Mutex
	took    [16]time.Duration // of the last checks, their time in the queue included
	n       int               // checks that were noted
	noted   time.Time         // when the last was
	waiting int
}

const (
	staleDecoy = 5 * time.Second // after which one more name that does not exist is really hashed
	firstDecoy = 250 * time.Millisecond
	maxDecoys  = 10_000 // logins that wait for nothing, each a goroutine and a connection or stream
)

func (d *decoy) note(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.took[d.n%len(d.took)] = took
	d.n++
	d.noted = time.Now()
}

// isFresh says whether it is known how long a check takes now. Where it is not, one caller in a while is told so,
// and shall find out.
func (d *decoy) isFresh() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.noted) < staleDecoy {
		return true
	}
	d.noted = time.Now()
	return false
}

// wait waits as long as a check takes. Errors: ErrBusy, and that of ctx.
func (d *decoy) wait(ctx context.Context) error {
	took, ok := d.begin()
	defer d.end()
	if !ok {
		return ErrBusy
	}
	timer := time.NewTimer(took)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin draws how long to wait. It is false where too many do.
func (d *decoy) begin() (took time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting++
	if d.n == 0 { // the first check of this process is not over
		return firstDecoy, d.waiting <= maxDecoys
	}
	return d.took[rand.IntN(min(d.n, len(d.took)))], d.waiting <= maxDecoys
}

func (d *decoy) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiting--
}
