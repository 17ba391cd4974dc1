package registry

import (
	"context"
	"maps"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What metrics show of quotas, pulls and the trash.

// noteFull counts err if it is of a quota that is full.
func (g *Registry) noteFull(err error) {
	if f := failureOf(err); f != nil && f.quota != "" {
		g.full.count(f.quota)
	}
}

// Full counts what quotas refused since the start, by their patterns. One that refused nothing is not there.
func (g *Registry) Full() map[string]uint64 {
	g.full.mu.Lock()
	defer g.full.mu.Unlock()
	return maps.Clone(g.full.by)
}

// WarnedOfQuotas returns how many pushes were answered with a warning that a soft limit is exceeded, since the start.
func (g *Registry) WarnedOfQuotas() uint64 { return g.warned.Load() }

// PullsUnwritten returns how often pulls could not be written, since the start. They are tried again.
func (g *Registry) PullsUnwritten() uint64 { return g.pulls.unwritten.Load() }

// PullsSince returns since when every pull is counted.
func (g *Registry) PullsSince(ctx context.Context) (since time.Time, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		all, err := g.pullStatesNow(tx).whole()
		if err == nil {
			since = time.UnixMicro(int64(all.Began)).UTC()
		}
		return err
	})
	return since, err
}

// NextOutOfTrash returns when the manifest that leaves the trash next was deleted; zero where the trash is empty.
func (g *Registry) NextOutOfTrash(ctx context.Context) (deleted time.Time, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		deleted = time.Time{}
		for item, err := range tx.Scan(trashEndTable, nil, nil) {
			if err != nil {
				return err
			}
			_, p, err := cutTrashEnd(item.Key)
			if err != nil {
				return err
			}
			t, err := readTrash(tx, p.Repository, digestKey(p.Digest))
			if err != nil || t == nil {
				return err
			}
			record, err := provenance.ReadRecord(tx, t.record)
			if err == nil {
				deleted = record.Time.Time
			}
			return err
		}
		return nil
	})
	return deleted, err
}
