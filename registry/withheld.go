package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What a mirror holds has come whole, so that it can be looked at, and its evidence with it; but nobody pulls it before it is let
// through, save those who may do that. Its row is committed with the manifest: there is no moment in which it could be pulled. The row
// outlives the manifest: one that was deleted and comes back is held again.

// maxLetting is how many rows one transaction of LetThrough removes.
const maxLetting = 500

// putWithheld notes that a manifest that has just come is held.
func (g *Registry) putWithheld(tx storage.Tx, p *push, record uint64) {
	g.withholds.Store(true) // before it is committed, so that no pull sees the manifest and not this
	tx.Put(withheldTable, repoKey(p.repo, digestKey(p.digest)), binary.AppendUvarint(nil, record))
}

// lookForWithheld notes whether anything is held at all: nearly always nothing is, and pulls need not look.
func (g *Registry) lookForWithheld(ctx context.Context) error {
	return g.store.View(ctx, func(tx storage.Reader) error {
		for _, err := range tx.Scan(withheldTable, nil, nil) {
			g.withholds.Store(true)
			return err
		}
		return nil
	})
}

// mayHave refuses a manifest that is held to those who may not let it through.
func (g *Registry) mayHave(c *call, d digest.Digest) error {
	if !g.withholds.Load() || g.gate.May(access.Owner(c.who), access.Admin, c.repo) {
		return nil
	}
	held, err := g.Withheld(c.r.Context(), c.repo, d)
	if err == nil && held {
		err = errDenied("%.19s… is new upstream, and held: an administrator may let it through (hallmark mirror approve)", d)
	}
	return err
}

// Withheld says whether a manifest is held, whether it is here or not.
func (g *Registry) Withheld(ctx context.Context, repo string, d digest.Digest) (held bool, err error) {
	if !g.withholds.Load() {
		return false, nil
	}
	if _, ok := parseDigest(d.String()); !ok {
		return false, errDigest(d.String())
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		row, err := getOrNil(tx, withheldTable, repoKey(repo, digestKey(d)))
		held = row != nil
		return err
	})
	return held, err
}

// LetThrough lets an image through that was held, with all that belongs to it, and sets a tag to it, unless the tag means it; then
// there is no record. Errors: ErrUnknown where it has not come, and those of a push.
//
// If we stop in its middle, some of what belongs to the image can be pulled by its digest, and the tag means what it did: who calls it again
// brings it to its end.
func (i *Importer) LetThrough(ctx context.Context, repo, tag string, d digest.Digest) (*provenance.Record, error) {
	desc, body, err := i.g.Manifest(ctx, repo, d.String())
	if err != nil {
		return nil, err
	}
	origin, err := i.originOf(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	if err := i.Free(ctx, repo, d); err != nil {
		return nil, err
	}
	meanings, err := i.Meanings(ctx, repo, []string{tag})
	if err != nil || meanings[0].Digest == d {
		return nil, err
	}
	return i.Manifest(ctx, ForeignManifest{Repository: repo, Tags: []string{tag}, MediaType: desc.MediaType, Body: body, Origin: origin})
}

// originOf is where a manifest was taken from that is here, as its record has it.
func (i *Importer) originOf(ctx context.Context, repo string, d digest.Digest) (origin provenance.Origin, err error) {
	err = i.g.store.View(ctx, func(tx storage.Reader) error {
		f, err := readManifest(tx, repo, d.String(), d)
		if err != nil {
			return err
		}
		r, err := provenance.ReadRecord(tx, f.record)
		if err != nil {
			return err
		}
		if r.Observed.Origin == nil {
			return errDenied("%.19s… did not come from elsewhere", d)
		}
		origin = *r.Observed.Origin
		return nil
	})
	return origin, err
}

// Free lets what belongs to an image be pulled, and the image at last.
func (i *Importer) Free(ctx context.Context, repo string, d digest.Digest) error {
	if !i.g.withholds.Load() {
		return nil
	}
	var keys [][]byte
	err := i.g.store.View(ctx, func(tx storage.Reader) (err error) {
		keys, err = belonging(tx, repo, digestKey(d))
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(keys) // the image itself is the last: until then it is held
	for some := range slices.Chunk(keys, maxLetting) {
		err := i.g.store.Update(ctx, func(tx storage.Tx) error {
			for _, key := range some {
				tx.Delete(withheldTable, repoKey(repo, key))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxBelonging bounds the manifests that are let through together.
const maxBelonging = 20_000

// belonging are the DIGESTs of an image, of what it lists and is here, and of what is attached to these, whether held or not.
func belonging(tx storage.Reader, repo string, image []byte) (all [][]byte, err error) {
	seen := map[string]bool{}
	add := func(key []byte) {
		if !seen[string(key)] {
			seen[string(key)] = true
			all = append(all, slices.Clone(key))
		}
	}
	add(image)
	for n := 0; n < len(all); n++ {
		for _, table := range []storage.Table{needsTable, referrerTable} {
			prefix := repoKey(repo, all[n])
			for item, err := range tx.Scan(table, prefix, storage.PrefixEnd(prefix)) {
				if err != nil {
					return nil, err
				}
				there, err := getOrNil(tx, manifestTable, repoKey(repo, item.Key[len(prefix):]))
				if err != nil {
					return nil, err
				}
				if there != nil {
					add(item.Key[len(prefix):])
				}
			}
		}
		if len(all) > maxBelonging {
			return nil, errors.New("more manifests belong to it than are let through together")
		}
	}
	return all, nil
}
