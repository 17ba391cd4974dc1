package registry

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/storage"
)

// Manifests of an older version have rows only for what they could not do without, and for blobs that were
// there when the manifest came first. CompleteReferences gives them the others, once, before the registry
// serves. Those that are kept as a file are noted, and read when the registry runs: until then nothing is
// collected, and nothing deleted in their repositories.

// CompleteReferences gives every manifest in the store the rows of all that it refers to. If we stop within it,
// it is run again, from its beginning.
func CompleteReferences(ctx context.Context, store storage.Store) error {
	return changeManifests(ctx, store, completeStep, completeRow)
}

// changeManifests calls fn for every manifest in the store, step of them in a transaction. It is for steps of the
// layout: if we stop within it, the next start calls it again, from the beginning.
func changeManifests(ctx context.Context, store storage.Store, step int, fn func(storage.Tx, storage.Item) error) error {
	return changeRows(ctx, store, manifestTable, step, fn)
}

// changeRows is changeManifests for the rows of any table.
func changeRows(ctx context.Context, store storage.Store, table storage.Table, step int, fn func(storage.Tx, storage.Item) error) error {
	for from, more := []byte(nil), true; more; {
		var next []byte
		err := store.Update(ctx, func(tx storage.Tx) (err error) {
			next, err = storage.SomeRows(tx, table, from, nil, step, func(item storage.Item) error { return fn(tx, item) })
			return err
		})
		if err != nil {
			return err
		}
		from, more = next, next != nil
	}
	return nil
}

// completeStep is how many manifests one transaction completes.
const completeStep = 200

func completeRow(tx storage.Tx, item storage.Item) error {
	row, err := decodeManifestRow(item.Value)
	if err != nil {
		return err
	}
	if len(row.content) == 0 {
		tx.Put(incompleteTable, item.Key, nil)
		return nil
	}
	repo, key := cutRepo(item.Key)
	return putReferences(tx, repo, key, storedReferences(row.content))
}

// storedReferences reads what a manifest refers to that was taken under the rules of its day, whatever today's are.
func storedReferences(content []byte) (all []mention) {
	m, _, err := decodeManifest(content)
	if err != nil {
		return nil // its bytes are not those of its digest, which fsck tells
	}
	for _, r := range m.references() {
		if _, ok := parseDigest(r.digest.String()); ok {
			all = append(all, r)
		}
	}
	return all
}

// mustBeComplete asks for patience while manifests of a repository lack rows.
func mustBeComplete(tx storage.Reader, repo string) error {
	prefix := repoKey(repo)
	for _, err := range tx.Scan(incompleteTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		return errBusy("the registry has a newer version since a moment, and is still reading what is in %s; try again", repo)
	}
	return nil
}

// complete reads the manifests that are kept as files and lack rows.
func (g *Registry) complete(ctx context.Context) error {
	var left []RepoDigest
	err := storage.EachRow(ctx, g.store, incompleteTable, func(_ storage.Reader, item storage.Item) error {
		repo, key := cutRepo(item.Key)
		d, _, err := cutDigest(key)
		left = append(left, RepoDigest{repo, d})
		return err
	})
	for _, p := range left {
		if err == nil {
			err = g.completeOne(ctx, p)
		}
	}
	return err
}

// completeOne reads one manifest. What a lost one referred to nobody can tell: when it is pushed again, it has
// its rows.
func (g *Registry) completeOne(ctx context.Context, p RepoDigest) error {
	var all []mention
	_, body, err := g.Manifest(ctx, p.Repository, p.Digest.String())
	switch {
	case err == nil:
		all = storedReferences(body)
	case errors.Is(err, ErrUnknown):
		g.log.Error("what a lost manifest refers to is not known: push it again", "repository", p.Repository, "digest", p.Digest, "err", err)
	default:
		return err
	}
	key := digestKey(p.Digest)
	for len(all) > 0 && err == nil {
		some := all[:min(len(all), goingStep)]
		all = all[len(some):]
		err = g.completeSome(ctx, p, some)
	}
	if err != nil && !errors.Is(err, ErrUnknown) {
		return err
	}
	return g.store.Update(ctx, func(tx storage.Tx) error {
		tx.Delete(incompleteTable, repoKey(p.Repository, key))
		return nil
	})
}

// completeSome adds some rows, unless the manifest is gone by now.
func (g *Registry) completeSome(ctx context.Context, p RepoDigest, some []mention) error {
	key := digestKey(p.Digest)
	return g.store.Update(ctx, func(tx storage.Tx) error {
		there, err := getOrNil(tx, manifestTable, repoKey(p.Repository, key))
		if err != nil || there == nil {
			return err
		}
		return putReferences(tx, p.Repository, key, some)
	})
}
