package lease

import (
	"context"
	"time"
)

// Beat is what Keep does again and again.
func (r *Replica) Beat(ctx context.Context) error { return r.beat(ctx) }

// The terms of a lease.
const (
	Lasts      = lasts
	RenewEvery = renewEvery
)

// Wants says whether work waits for a lease here, or is done under it.
func (r *Replica) Wants(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.jobs[name] != nil
}

// Age has the last renewal be so long ago.
func (r *Replica) Age(d time.Duration) { r.renewed = r.renewed.Add(-d) }
