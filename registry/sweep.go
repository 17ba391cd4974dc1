package registry

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// CleanUp removes, until ctx ends, what pushes leave behind that never came to an end: once, the blobs
// that an earlier process sealed and did not live to record; then, every interval, uploads that nobody
// touched for Config.UploadKeep.
func (g *Registry) CleanUp(ctx context.Context, interval time.Duration) {
	if n, err := g.sweepStrays(ctx); err != nil && ctx.Err() == nil {
		g.log.Error("looking for stray blobs failed", "err", err)
	} else if n > 0 {
		g.log.Info("removed blobs that an interrupted push left", "blobs", n)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if n, err := g.removeAbandoned(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("removing abandoned uploads failed", "err", err)
		} else if n > 0 {
			g.log.Info("removed abandoned uploads", "uploads", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sweepStrays removes what earlier processes left that no row names, and says how many blobs there were. No
// later row can come to name them.
func (g *Registry) sweepStrays(ctx context.Context) (n int, err error) {
	for left, err := range g.blobs.Leftovers(ctx, g.locations(ctx)) {
		if err == nil {
			err = g.blobs.Remove(ctx, left.At)
		}
		if err != nil {
			return n, err
		}
		if !left.Unused {
			n++
		}
	}
	return n, nil
}

// locations yields where the blobs are that a row or a removal names. A blob that is given up
// meanwhile is met at least once.
func (g *Registry) locations(ctx context.Context) iter.Seq2[storage.Location, error] {
	return func(yield func(storage.Location, error) bool) {
		one := func(at storage.Location, err error) error {
			if !yield(at, err) {
				return errEnough
			}
			return nil
		}
		err := storage.EachRow(ctx, g.store, blobTable, func(_ storage.Reader, item storage.Item) error {
			row, err := decodeBlobRow(item.Value)
			if row.inStore() {
				return err
			}
			return one(row.at, err)
		})
		if err == nil {
			err = storage.EachRow(ctx, g.store, removalTable, func(_ storage.Reader, item storage.Item) error {
				if at := storage.Location(item.Key); isFile(at) {
					return one(at, nil)
				}
				return nil
			})
		}
		if err != nil && !errors.Is(err, errEnough) {
			yield("", err)
		}
	}
}

// errEnough: the one who is told wants no more.
var errEnough = errors.New("enough")
