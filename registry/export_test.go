package registry

import (
	"context"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// SetClock lets the registry's clock, and that of the machine, show something else, in microseconds since 1970.
func (g *Registry) SetClock(now func() uint64) {
	g.now, g.machine = now, func() time.Time { return time.UnixMicro(int64(now())) }
}

// PullSums are the pulls of some things themselves, and of what they list, on all days.
func (g *Registry) PullSums(ctx context.Context, refs []PullRef) (sums [][2]uint64, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		states := newPullStates(tx)
		for _, ref := range refs {
			value, err := getOrNil(tx, pullTable, ref.key())
			if err != nil {
				return err
			}
			_, row, err := states.row(ref.key(), value)
			if err != nil {
				return err
			}
			sums = append(sums, [2]uint64{row.sum().direct, row.sum().listed})
		}
		return nil
	})
	return sums, err
}

// CollectNow does what Collect does now and then.
func (g *Registry) CollectNow(ctx context.Context) error { return g.collect(ctx) }

// Recover does what a start does beside the requests, to its end.
func (g *Registry) Recover(ctx context.Context) error {
	_, err := g.sweepStrays(ctx)
	return errors.Join(err, g.countAgain(ctx), g.EndDeletionsNow(ctx))
}

// EndDeletionsNow does what EndDeletions does.
func (g *Registry) EndDeletionsNow(ctx context.Context) error {
	for {
		if n, err := g.endDeletions(ctx); err != nil || n == 0 {
			return err
		}
	}
}
