package registry

import (
	"context"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// Sweep removes, until ctx ends, what pushes leave behind that never came to an end: once, the blobs
// that an earlier process sealed and did not live to record; then, every interval, uploads that nobody
// touched for Config.UploadKeep.
func (g *Registry) Sweep(ctx context.Context, interval time.Duration) {
	if n, err := g.sweepStrays(ctx); err != nil && ctx.Err() == nil {
		g.log.Error("looking for stray blobs failed", "err", err)
	} else if n > 0 {
		g.log.Info("removed blobs that an interrupted push left", "blobs", n)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if n, err := g.sweepUploads(ctx, time.Now()); err != nil && ctx.Err() == nil {
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

// sweepStrays removes sealed blobs that no row names and that an earlier process sealed. No later row can
// come to name them.
func (g *Registry) sweepStrays(ctx context.Context) (n int, err error) {
	for info, err := range g.blobs.Sealed(ctx) {
		if err != nil {
			return n, err
		}
		if info.Fresh {
			continue
		}
		named, err := g.named(ctx, info)
		if err != nil {
			return n, err
		}
		if named {
			continue
		}
		if err := g.blobs.Remove(ctx, info.At); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// named says whether the row of a sealed blob's digest names it, or the trash does.
func (g *Registry) named(ctx context.Context, info storage.SealedInfo) (named bool, err error) {
	d, ok := unlabel(info.Label)
	if !ok {
		return true, nil // not one of ours: leave it to whoever put it there
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		row, err := readBlobRow(tx, d)
		if named = err == nil && row.at == info.At; named {
			return nil
		}
		if err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		}
		trashed, err := getOrNil(tx, trashTable, []byte(info.At))
		named = trashed != nil
		return err
	})
	return named, err
}

// sweepUploads removes uploads that were not touched since Config.UploadKeep before now.
func (g *Registry) sweepUploads(ctx context.Context, now time.Time) (n int, err error) {
	for info, err := range g.blobs.Uploads(ctx) {
		if err != nil {
			return n, err
		}
		if now.Sub(info.Modified) < time.Duration(g.c.UploadKeep) {
			continue
		}
		up, err := g.blobs.Resume(ctx, info.ID)
		if errors.Is(err, storage.ErrBusy) || errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return n, err
		}
		if err := up.Cancel(); err != nil {
			return n, err
		}
		g.sessions.drop(info.ID)
		n++
	}
	return n, nil
}

// Uploads returns how many uploads have begun in this process and not ended.
func (g *Registry) Uploads() int {
	g.sessions.mu.Lock()
	defer g.sessions.mu.Unlock()
	return len(g.sessions.open)
}
