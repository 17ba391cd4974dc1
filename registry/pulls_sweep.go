package registry

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// gonePulls is for how long the pulls of something that is gone are kept: it may come back, and was pulled all the same.
const gonePulls = 90 * 24 * time.Hour

// SweepPulls erases, until ctx ends, the rows of pulls that are forgotten, as soon as they are, and every day those of what has been gone
// for long.
func (g *Registry) SweepPulls(ctx context.Context) {
	tick := time.NewTicker(24 * time.Hour)
	defer tick.Stop()
	for {
		if n, err := g.sweepPulls(ctx, time.Now()); err != nil && ctx.Err() == nil {
			g.log.Error("erasing pulls failed; it is tried again", "err", err)
		} else if n > 0 {
			g.log.Info("erased what was known of pulls", "rows", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-g.pulls.forgot:
		}
	}
}

func (g *Registry) sweepPulls(ctx context.Context, now time.Time) (erased int, err error) {
	for _, table := range []storage.Table{pullTable, duePullTable} {
		for from, more := []byte(nil), true; more; {
			n, next, err := g.sweepSomePulls(ctx, table, from, now)
			if err != nil {
				return erased, err
			}
			erased, from, more = erased+n, next, next != nil
		}
	}
	return erased, g.sweepForgotten(ctx)
}

// sweepSomePulls looks at some rows, and erases those of them that may go still.
func (g *Registry) sweepSomePulls(ctx context.Context, table storage.Table, from []byte, now time.Time) (erased int, next []byte, err error) {
	var found [][]byte
	err = g.store.View(ctx, func(tx storage.Reader) (err error) {
		found = nil
		states := newPullStates(tx)
		next, err = storage.SomeRows(tx, table, from, nil, pullStep, func(item storage.Item) error {
			goes, _, err := pullsGo(tx, states, item, now)
			if goes {
				found = append(found, bytes.Clone(item.Key))
			}
			return err
		})
		return err
	})
	if err != nil || len(found) == 0 {
		return 0, next, err
	}
	erased, err = g.erasePulls(ctx, table, found, now)
	return erased, next, err
}

// erasePulls erases those of some rows that may go. Counting begins anew in a repository that loses one which cannot be read.
func (g *Registry) erasePulls(ctx context.Context, table storage.Table, keys [][]byte, now time.Time) (erased int, err error) {
	var lost []string
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		erased, lost = 0, nil
		rows, err := tx.GetMany(table, keys)
		states := newPullStates(tx)
		for i := 0; i < len(rows) && err == nil; i++ {
			var goes, unread bool
			if goes, unread, err = pullsGo(tx, states, storage.Item{Key: keys[i], Value: rows[i]}, now); goes {
				tx.Delete(table, keys[i])
				erased++
			}
			if unread && err == nil {
				repo, _ := cutRepo(keys[i])
				lost = append(lost, repo)
				err = states.restart(tx, repo)
			}
		}
		return errors.Join(err, states.keep(tx))
	})
	if len(lost) > 0 && err == nil {
		g.log.Warn("pulls could not be read and were erased; counting begins anew in their repositories", "repositories", slices.Compact(lost))
	}
	return erased, err
}

// pullsGo says whether a row of pulls may go: it is forgotten, it cannot be read, or what was pulled is gone for long.
func pullsGo(tx storage.Reader, states *pullStates, item storage.Item, now time.Time) (goes, unread bool, err error) {
	if item.Value == nil {
		return false, false, nil // it went by itself
	}
	_, row, err := states.row(item.Key, item.Value)
	if err != nil || row.last == 0 || time.UnixMicro(int64(row.last)).Add(gonePulls).After(now) {
		return err == nil && row.last == 0, row.unread, err
	}
	there, err := isPullable(tx, item.Key)
	return err == nil && !there, false, err
}

// sweepForgotten puts a readable row in the place of each one of a repository that cannot be read, so that its pulls count again.
func (g *Registry) sweepForgotten(ctx context.Context) error {
	var repos []string
	err := storage.EachRow(ctx, g.store, pullStateTable, func(tx storage.Reader, item storage.Item) error {
		repo, rest := cutRepo(item.Key)
		if bytes.Equal(item.Key, pullStateKey) || len(rest) > 0 {
			return nil
		}
		s, err := pullState{}.of(tx, repo)
		if s.unread {
			repos = append(repos, repo)
		}
		return err
	})
	for _, repo := range repos {
		if err == nil {
			err = g.store.Update(ctx, func(tx storage.Tx) error {
				states := newPullStates(tx)
				if s, err := states.of(repo); err != nil || !s.unread {
					return err
				}
				return errors.Join(states.restart(tx, repo), states.keep(tx))
			})
		}
	}
	return err
}

// isPullable says whether the thing of a row is there.
func isPullable(tx storage.Reader, key []byte) (bool, error) {
	repo, thing := cutRepo(key)
	table := tagTable
	switch {
	case len(thing) == 0:
		table, key = repositoryTable, []byte(repo)
	case isDigestKey(thing):
		table = manifestTable
	}
	_, err := tx.Get(table, key)
	if errors.Is(err, storage.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
