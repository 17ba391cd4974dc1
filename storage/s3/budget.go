package s3

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	bufferBytes = 64 << 20 // that all uploads hold of parts
	leastPart   = 5 << 20  // S3's least, but for the last part
	mostParts   = 10_000   // S3's most
	unheld      = 32 << 10 // that an upload may hold beside
)

// partSize is how long a part is, by its number from 1 on. 10 GB come in parts of the least size, and all 10,000 hold
// 230 GB.
func partSize(n int) int {
	switch {
	case n <= 2000:
		return leastPart
	case n <= 4000:
		return 2 * leastPart
	case n <= 6000:
		return 4 * leastPart
	}
	return 8 * leastPart
}

// Patience of those who wait for memory with those who hold it and get no bytes.
const patience = 2 * time.Second

// budget shares memory among uploads. Whoever takes some can fill and send his part, so it comes back; where his client is
// slow, what he holds is put aside for those who wait.
type budget struct {
	free *semaphore.Weighted

	mu    sync.Mutex
	since map[*upload]time.Time // guarded by mu; who is filling a part, and since when, or since he last was asked to put it aside
}

func newBudget(bytes int64) *budget {
	return &budget{free: semaphore.NewWeighted(bytes), since: map[*upload]time.Time{}}
}

// take waits until an upload may hold so many bytes.
func (b *budget) take(ctx context.Context, u *upload, bytes int64) error {
	if !b.free.TryAcquire(bytes) {
		waiting, stop := context.WithCancel(ctx)
		go b.hurry(waiting)
		err := b.free.Acquire(ctx, bytes)
		stop()
		if err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since[u] = time.Now()
	return nil
}

// filled says that an upload fills no part any more; it holds the bytes until give is called.
func (b *budget) filled(u *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.since, u)
}

// give gives bytes back.
func (b *budget) give(bytes int64) { b.free.Release(bytes) }

// hurry has the slowest put aside what they hold, until ctx ends. It waits for none of them: one whose part the object store does
// not take keeps nobody from asking the next.
func (b *budget) hurry(ctx context.Context) {
	tick := time.NewTicker(patience / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if u := b.slowest(time.Now().Add(-patience)); u != nil {
				go u.putAside()
			}
		}
	}
}

// slowest is who has been filling a part for longest, and since before a time, or nil. It is another's turn then.
func (b *budget) slowest(before time.Time) (slow *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for u, since := range b.since {
		if since.Before(before) {
			slow, before = u, since
		}
	}
	if slow != nil {
		b.since[slow] = time.Now()
	}
	return slow
}
