package backup

import (
	"context"
	"sync"
)

// Copiers is how many blobs are copied at once: a small one is mostly a wait for the disk.
const Copiers = 4

// InParallel calls fn for each of many, some at a time, and returns the first error, after which none begins.
func InParallel[T any](ctx context.Context, workers int, all []T, fn func(T) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	next := make(chan T)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for one := range next {
				if ctx.Err() != nil { // it was sent all the same: a select takes any of what is ready
					continue
				}
				if err := fn(one); err != nil {
					stop(err)
				}
			}
		})
	}
	for _, one := range all {
		select {
		case next <- one:
		case <-ctx.Done():
		}
	}
	close(next)
	group.Wait()
	return context.Cause(ctx)
}
