package s3

import (
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// Counted is what one operation came to.
type Counted struct {
	Requests int64
	Failures int64 // those that found nothing are none
	Seconds  float64
}

// counts counts by operation. It is safe for concurrent use.
type counts struct {
	mu sync.Mutex
	of map[string]Counted // guarded by mu
}

func (c *counts) add(op string, took time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]Counted{}
	}
	one := c.of[op]
	one.Requests++
	one.Seconds += took.Seconds()
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		one.Failures++
	}
	c.of[op] = one
}

// Counted returns what was asked of the object store since the start, by operation.
func (s *Store) Counted() map[string]Counted {
	s.client.counts.mu.Lock()
	defer s.client.counts.mu.Unlock()
	return maps.Clone(s.client.counts.of)
}
