package registry

import (
	"bytes"
	"context"

	"github.com/seed-260924e6/hallmark/storage"
)

// A counter that cannot be read refuses no push: what it counts follows from other rows, so it is counted again, beside pushes. Until then
// its row stays unreadable, and each change of the repository makes its number of changes one higher: the count sees by it
// that it has to begin again. A quota whose row cannot be read is counted as a new one.

// CountQuotas counts again, until ctx ends, what cannot be read of what repositories and quotas use, as soon as it is met, and quotas whose
// count an earlier process did not end.
func (g *Registry) CountQuotas(ctx context.Context) {
	for {
		if err := g.countAgain(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("a quota refuses nothing, because what is used was not counted; the next start, or setting it again, tries again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-g.uncounted:
		}
	}
}

func (g *Registry) countAgain(ctx context.Context) error {
	if err := g.recountLost(ctx); err != nil {
		return err
	}
	uses, err := g.Quotas(ctx)
	for _, u := range uses {
		if u.Counting && err == nil {
			err = g.countQuota(ctx, u.Pattern)
		}
	}
	return err
}

// recountLost counts the repositories again of which it cannot be read what they use.
func (g *Registry) recountLost(ctx context.Context) error {
	var lost []string
	err := storage.EachRow(ctx, g.store, usageTable, func(_ storage.Reader, item storage.Item) error {
		if decodeUsage(item.Value).lost {
			lost = append(lost, string(item.Key))
		}
		return nil
	})
	for _, repo := range lost {
		if err == nil {
			err = g.recountRepository(ctx, repo)
		}
		if err == nil {
			g.log.Warn("what a repository uses could not be read, and was counted again", "repository", repo)
		}
	}
	return err
}

// recountRepository counts what a repository uses, in short transactions; one that never rests is counted in one transaction.
func (g *Registry) recountRepository(ctx context.Context, repo string) error {
	for range usageTries {
		first, used, same, err := countWhileSame(ctx, g.store, repo)
		if err != nil {
			return err
		}
		if !same {
			continue
		}
		err = g.store.Update(ctx, func(tx storage.Tx) error {
			now, err := readUsage(tx, repo)
			if same = now == first; err != nil || !same {
				return err
			}
			putUsage(tx, repo, usageRow{changes: now.changes + 1, Usage: used})
			return nil
		})
		if err != nil || same {
			return err
		}
	}
	return g.store.Update(ctx, func(tx storage.Tx) error {
		now, err := readUsage(tx, repo)
		if err != nil {
			return err
		}
		used, err := countAtOnce(tx, repo)
		if err == nil {
			putUsage(tx, repo, usageRow{changes: now.changes + 1, Usage: used})
		}
		return err
	})
}

// countWhileSame counts what a repository uses, some of its rows in each View, and says whether its counter was the same all the time, and
// what it was.
func countWhileSame(ctx context.Context, store storage.Store, repo string) (first usageRow, used Usage, same bool, err error) {
	for at, began := (place{}), false; !at.ended(); began = true {
		var some Usage
		next := at
		err := store.View(ctx, func(tx storage.Reader) error {
			now, err := readUsage(tx, repo)
			if err != nil {
				return err
			}
			if !began {
				first = now
			}
			if same = now == first; !same {
				return nil
			}
			some, next, err = recount(tx, repo, at, usageStep)
			next.key = bytes.Clone(next.key)
			return err
		})
		if err != nil || !same {
			return first, used, same, err
		}
		used, at = used.Plus(some), next
	}
	return first, used, true, nil
}

// countAtOnce counts what a repository uses in the transaction of its caller.
func countAtOnce(tx storage.Reader, repo string) (used Usage, err error) {
	for at := (place{}); !at.ended() && err == nil; {
		var some Usage
		some, at, err = recount(tx, repo, at, usageStep)
		used = used.Plus(some)
	}
	return used, err
}
