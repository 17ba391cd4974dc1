package registry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// pullStep is about how many rows one transaction of pulls changes: all who push wait for it.
const pullStep = 200

// FlushPulls writes all pulls that were counted until now. Anyone who decides by [Registry.PullsOf] what goes calls it before, and lets
// everything stay when it fails.
func (g *Registry) FlushPulls(ctx context.Context) error {
	if err := g.flushNoted(ctx); err != nil {
		return err
	}
	err := g.spreadDue(ctx)
	if err != nil {
		g.pulls.unwritten.Add(1)
	}
	return err
}

// KeepPulls writes the pulls that are counted, every minute until ctx ends. What is costly to write is written every hour.
func (g *Registry) KeepPulls(ctx context.Context) {
	minute, hour := time.NewTicker(time.Minute), time.NewTicker(time.Hour)
	defer minute.Stop()
	defer hour.Stop()
	for {
		flush := g.flushNoted
		select {
		case <-ctx.Done():
			return // StopPulls writes the rest
		case <-minute.C:
		case <-g.pulls.many:
		case <-hour.C:
			flush = g.FlushPulls
		}
		if err := flush(ctx); err != nil && ctx.Err() == nil {
			g.log.Error("writing which images were pulled failed; it is tried again", "err", err)
		}
	}
}

// flushNoted writes the pulls in memory.
//
// If we are killed in it, some are written and some are lost, and the next start begins to count anew. After an error, a pull whose
// rows are in part written is counted twice there.
func (g *Registry) flushNoted(ctx context.Context) error {
	g.pulls.writing.Lock()
	defer g.pulls.writing.Unlock()
	taken, lost := g.pulls.take()
	err := g.writeNoted(ctx, taken, lost)
	if err != nil {
		g.pulls.unwritten.Add(1)
		g.pulls.giveBack(taken, lost)
	}
	return err
}

// writeNoted writes pulls, and removes those that are written from taken.
func (g *Registry) writeNoted(ctx context.Context, taken map[pulledAs]noted, lost bool) error {
	if lost {
		if err := RestartPulls(ctx, g.store); err != nil {
			return err
		}
	}
	if len(taken) == 0 {
		return nil
	}
	state, err := g.pullStateNow(ctx)
	if err != nil {
		return err
	}
	b := &pullBatch{g: g}
	var in []pulledAs // b
	for _, m := range byManifest(taken, state.Latest) {
		if err := b.manifest(ctx, m); err != nil {
			return err
		}
		if in = append(in, m.as...); len(b.rows) < pullStep {
			continue
		}
		if err := b.write(ctx); err != nil {
			return err
		}
		for _, p := range in {
			delete(taken, p)
		}
		in = in[:0]
	}
	return b.write(ctx)
}

// manifestPulls are the pulls of one manifest.
type manifestPulls struct {
	RepoDigest
	as       []pulledAs
	byTag    map[string]pullsToAdd
	all      uint64 // pulls
	byDigest uint64 // those of them that named its digest
	last     uint64
}

// byManifest sorts pulls by what was pulled. None of them was before a time.
func byManifest(taken map[pulledAs]noted, earliest uint64) []*manifestPulls {
	now, all := time.Now(), map[RepoDigest]*manifestPulls{}
	for as, n := range taken {
		key := RepoDigest{as.repo, as.digest}
		m := all[key]
		if m == nil {
			m = &manifestPulls{RepoDigest: key, byTag: map[string]pullsToAdd{}}
			all[key] = m
		}
		last := micros(now.Add(-now.Sub(n.last))) // by the machine's clock as it is set now
		m.add(as, n.times, max(last, earliest))
	}
	return slices.SortedFunc(maps.Values(all), func(a, b *manifestPulls) int {
		return cmp.Or(cmp.Compare(a.Repository, b.Repository), cmp.Compare(a.Digest, b.Digest))
	})
}

func (m *manifestPulls) add(as pulledAs, times, last uint64) {
	m.as = append(m.as, as)
	m.all += times
	m.last = max(m.last, last)
	if as.tag == "" {
		m.byDigest += times
	} else {
		m.byTag[as.tag] = m.byTag[as.tag].and(pullsToAdd{last: last, direct: times})
	}
}

// pullBatch are pulls to be written in one transaction.
type pullBatch struct {
	g    *Registry
	rows map[string]pullsToAdd // by key
	due  map[string]pullsToAdd // by key
}

func (b *pullBatch) add(repo string, thing []byte, a pullsToAdd) {
	if b.rows == nil {
		b.rows = make(map[string]pullsToAdd)
	}
	key := string(pullKey(repo, thing))
	b.rows[key] = b.rows[key].and(a)
}

// manifest adds the pulls of a manifest: to its repository, to itself and to the tags by which it was pulled; and, unless they are
// many, to its tags and indexes.
func (b *pullBatch) manifest(ctx context.Context, m *manifestPulls) error {
	spread := pullsToAdd{last: m.last, direct: m.byDigest, listed: m.all}
	walk := b.g.walkPulled(m.RepoDigest, spread)
	found, err := walk.upTo(ctx, maxSpread)
	if err != nil {
		return err
	}
	own := pullsToAdd{last: m.last, direct: m.all}
	b.add(m.Repository, digestKey(m.Digest), own)
	for tag, a := range m.byTag {
		b.add(m.Repository, []byte(tag), a)
	}
	if walk.isListed {
		own = pullsToAdd{last: m.last, listed: m.all} // its index counts for the repository
	}
	b.add(m.Repository, nil, own)
	if !walk.done() {
		if b.due == nil {
			b.due = make(map[string]pullsToAdd)
		}
		b.due[string(repoKey(m.Repository, digestKey(m.Digest)))] = spread
		return nil
	}
	for _, f := range found {
		b.add(m.Repository, f.thing, f.pullsToAdd)
	}
	return nil
}

// write commits the batch, and empties it.
func (b *pullBatch) write(ctx context.Context) error {
	if len(b.rows) == 0 {
		return nil
	}
	err := b.g.store.Update(ctx, func(tx storage.Tx) error {
		states := newPullStates(tx)
		return errors.Join(putPulls(tx, states, duePullTable, b.due), putPulls(tx, states, pullTable, b.rows), b.putLatest(tx, states))
	})
	if err == nil {
		b.rows, b.due = nil, nil
	}
	return err
}

func (b *pullBatch) putLatest(tx storage.Tx, states *pullStates) error {
	all, err := states.whole()
	if err != nil {
		return err
	}
	for _, a := range b.rows {
		if a.last > all.Latest {
			all.Latest, states.dirty = a.last, true
		}
	}
	return states.keep(tx)
}

// putPulls adds pulls to the rows of a table. A row that cannot be read is written anew, and counting begins anew with it.
func putPulls(tx storage.Tx, states *pullStates, table storage.Table, pulls map[string]pullsToAdd) error {
	keys := make([][]byte, 0, len(pulls))
	for key := range pulls {
		keys = append(keys, []byte(key))
	}
	slices.SortFunc(keys, bytes.Compare)
	rows, err := tx.GetMany(table, keys)
	if err != nil {
		return err
	}
	for i, key := range keys {
		state, row, err := states.row(key, rows[i])
		if err == nil && (row.unread || state.unread) {
			repo, _ := cutRepo(key)
			err = states.restart(tx, repo)
			state, row = states.each[repo], pullRow{}
		}
		if err != nil {
			return err
		}
		row.forgets = state.Forgets
		row.add(pulls[string(key)])
		tx.Put(table, key, row.encode())
	}
	return nil
}

// spreadDue has all tags and indexes count the pulls of manifests that have too many of them for every minute.
//
// If we stop in the middle of one, some of its tags and indexes count its pulls twice.
func (g *Registry) spreadDue(ctx context.Context) error {
	g.pulls.writing.Lock()
	defer g.pulls.writing.Unlock()
	var due [][]byte
	err := storage.EachRow(ctx, g.store, duePullTable, func(_ storage.Reader, item storage.Item) error {
		due = append(due, bytes.Clone(item.Key))
		return nil
	})
	for _, key := range due {
		err = errors.Join(err, g.spreadOne(ctx, key))
	}
	return err
}

// spreadOne spreads the pulls of a manifest that are due, by the key of their row. Of one that cannot be read nobody knows what was
// pulled: counting begins anew in its repository.
func (g *Registry) spreadOne(ctx context.Context, key []byte) error {
	repo, rest := cutRepo(key)
	d, _, keyErr := cutDigest(rest)
	var row pullRow
	var before []byte
	err := g.store.View(ctx, func(tx storage.Reader) error {
		value, err := getOrNil(tx, duePullTable, key)
		before = bytes.Clone(value)
		if err == nil {
			_, row, err = newPullStates(tx).row(key, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	lost := keyErr != nil || row.unread
	if !lost && row.last > 0 {
		if err := g.spread(ctx, RepoDigest{repo, d}, row.sum()); err != nil {
			return err
		}
	}
	return g.store.Update(ctx, func(tx storage.Tx) error {
		// Another process may have added to it meanwhile. Then all of it is spread once more: better to count twice than to lose a pull.
		if now, err := getOrNil(tx, duePullTable, key); err != nil || !bytes.Equal(now, before) {
			return err
		}
		tx.Delete(duePullTable, key)
		if !lost {
			return nil
		}
		states := newPullStates(tx)
		return errors.Join(states.restart(tx, repo), states.keep(tx))
	})
}

// spread has all tags and indexes of a manifest count pulls of it.
func (g *Registry) spread(ctx context.Context, m RepoDigest, pulls pullsToAdd) error {
	b := &pullBatch{g: g}
	for walk := g.walkPulled(m, pulls); !walk.done(); {
		found, err := walk.step(ctx, pullStep)
		if err != nil {
			return err
		}
		for _, f := range found {
			b.add(m.Repository, f.thing, f.pullsToAdd)
		}
		if err := b.write(ctx); err != nil {
			return err
		}
	}
	return nil
}
