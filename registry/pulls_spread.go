package registry

import (
	"bytes"
	"context"

	"github.com/seed-260924e6/hallmark/storage"
)

// Anyone who pulls a tag asks for its index by that tag, and for a platform by its digest; or for everything by digest, once a HEAD has
// said what the tag means. So a pull of a manifest counts for the indexes that list it, and for theirs; one by digest counts for
// its tags, and those of its indexes. They are the tags of the moment in which pulls are written, up to a minute later.
//
// Most manifests have few of either. What has more than maxSpread would make somebody who pulls it once a minute write as many rows: its
// pulls are due, in a row of their own, and are spread once an hour, and by FlushPulls.
const maxSpread = 100

// pulledWalk finds the tags and indexes that count the pulls of a manifest.
type pulledWalk struct {
	g     *Registry
	repo  string
	pulls pullsToAdd // direct: those by its digest; listed: all

	queue    [][]byte        // DIGESTs: the one whose tags or indexes are read, then those that follow
	seen     map[string]bool // DIGESTs that are or were in the queue
	indexes  bool            // whether the tags of the first are read, and its indexes are to be
	from     []byte          // where to go on reading
	first    bool            // whether the first is the manifest itself
	isListed bool            // whether an index lists the manifest, as far as was read
}

// spreadTo is a tag or DIGEST that counts pulls.
type spreadTo struct {
	thing []byte
	pullsToAdd
}

// walkPulled begins a walk. direct are the pulls of the manifest that named its digest, listed are all.
func (g *Registry) walkPulled(m RepoDigest, pulls pullsToAdd) *pulledWalk {
	key := digestKey(m.Digest)
	return &pulledWalk{g: g, repo: m.Repository, pulls: pulls, queue: [][]byte{key}, seen: map[string]bool{string(key): true}, first: true}
}

func (w *pulledWalk) done() bool { return len(w.queue) == 0 }

// upTo walks to the end, or until it has found more than n.
func (w *pulledWalk) upTo(ctx context.Context, n int) (all []spreadTo, err error) {
	for !w.done() && len(all) <= n {
		found, err := w.step(ctx, n+1)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	return all, nil
}

// step reads up to n rows, in one View.
func (w *pulledWalk) step(ctx context.Context, n int) (found []spreadTo, err error) {
	table := taggedTable
	if w.indexes {
		table = neededTable
	}
	prefix := repoKey(w.repo, w.queue[0])
	from := prefix
	if w.from != nil {
		from = w.from
	}
	var things [][]byte
	var next []byte
	err = w.g.store.View(ctx, func(tx storage.Reader) (err error) {
		things = nil
		next, err = storage.SomeRows(tx, table, from, storage.PrefixEnd(prefix), n, func(item storage.Item) error {
			things = append(things, bytes.Clone(item.Key[len(prefix):]))
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	found = w.found(things)
	w.goOn(next)
	return found, nil
}

// found says what counts for things that were read. New indexes are put into the queue.
func (w *pulledWalk) found(things [][]byte) (found []spreadTo) {
	for _, thing := range things {
		switch {
		case !w.indexes && w.first:
			if w.pulls.direct > 0 {
				found = append(found, spreadTo{thing, pullsToAdd{last: w.pulls.last, direct: w.pulls.direct}})
			}
			continue
		case w.indexes && w.seen[string(thing)]: // one that is kept as a file refers to itself
			continue
		case w.indexes:
			w.isListed = true
			w.seen[string(thing)] = true
			w.queue = append(w.queue, thing)
		}
		found = append(found, spreadTo{thing, pullsToAdd{last: w.pulls.last, listed: w.pulls.listed}})
	}
	return found
}

// goOn goes to what is read next.
func (w *pulledWalk) goOn(next []byte) {
	switch w.from = next; {
	case next != nil:
	case !w.indexes:
		w.indexes = true
	default:
		w.queue, w.indexes, w.first = w.queue[1:], false, false
	}
}
