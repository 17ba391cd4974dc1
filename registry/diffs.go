package registry

import (
	"bytes"
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A layer that was compressed anew has another digest, and the same diff id: the digest of what is compressed, which the
// config names. So images have a second row, in the order of their diff ids. That is the word of who pushed them, and
// what is found by it says so. The row of the layers holds the chain of the other, so that both go together.

// diffChain is the diff ids of an image as a chain, or nil where its config does not name one for each layer.
func (m *manifest) diffChain(config provenance.Config) (chain []byte) {
	if m.chain() == nil {
		return nil
	}
	ids := config.DiffIDs()
	if len(ids) != len(m.layers) {
		return nil
	}
	for _, d := range ids {
		if _, ok := parseDigest(d.String()); !ok {
			return nil
		}
		chain = appendChain(chain, d)
	}
	return chain
}

// putDiffs writes the rows of an image: that of its layers, under a key, and that of its diff ids, where they are known.
func putDiffs(tx storage.Tx, layers, diffs []byte, p RepoDigest) error {
	before, err := tx.Get(layersTable, layers)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	switch {
	case len(diffs) > 0 && !bytes.Equal(before, diffs):
		tx.Put(layersTable, layers, diffs)
		tx.Put(diffsTable, layersKey(diffs, p.Repository, p.Digest), nil)
	case err != nil:
		tx.Put(layersTable, layers, nil)
	}
	return nil
}

// diffsOf reads the chain of an image's diff ids, or nil.
func diffsOf(tx storage.Reader, p RepoDigest, m *manifest) ([]byte, error) {
	chain := m.chain()
	if chain == nil {
		return nil, nil
	}
	row, err := getOrNil(tx, layersTable, layersKey(chain, p.Repository, p.Digest))
	return bytes.Clone(row), err
}

// diffsStep is how many images one transaction of IndexDiffs looks at. Their configs are read before it.
const diffsStep = 100

// diffsMark says that IndexDiffs came to its end once. Whatever is pushed later has its rows then.
var diffsMark = []byte("diffs")

// IndexDiffs gives the images of an older version the rows of their diff ids: once, beside everything else. Until
// it is done some are found by their layers alone. If we stop within it, the next start begins again, and passes over what is done.
func (g *Registry) IndexDiffs(ctx context.Context) {
	if err := g.indexDiffs(ctx); err != nil && ctx.Err() == nil {
		g.log.Error("not all images can be found by their diff ids yet; the next start tries again", "err", err)
	}
}

func (g *Registry) indexDiffs(ctx context.Context) error {
	var mark []byte
	err := g.store.View(ctx, func(tx storage.Reader) (err error) {
		mark, err = getOrNil(tx, doneTable, diffsMark)
		mark = bytes.Clone(mark)
		return err
	})
	for from := []byte(nil); err == nil && mark == nil; {
		var some []undiffed
		var next []byte
		if some, next, err = g.undiffed(ctx, from); err != nil {
			return err
		}
		if err = g.putSomeDiffs(ctx, some, next == nil); next == nil {
			return err
		}
		from = next
	}
	return err
}

// undiffed is an image whose diff ids are not known.
type undiffed struct {
	RepoDigest
	manifest *manifest
	layers   []byte // the key of its row
	diffs    []byte
}

// undiffed looks at some images from a row on, and reads the configs of those whose diff ids are not known. What is lost, or
// larger than is read, has none; what cannot be read for now is an error, since nobody looks again.
func (g *Registry) undiffed(ctx context.Context, from []byte) (some []undiffed, next []byte, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) (err error) {
		some = nil
		next, err = storage.SomeRows(tx, layersTable, from, nil, diffsStep, func(item storage.Item) error {
			if len(item.Value) > 0 {
				return nil
			}
			u := undiffed{layers: bytes.Clone(item.Key)}
			if u.RepoDigest, err = cutLayersKey(item.Key); err == nil {
				u.manifest, err = storedManifest(tx, u.RepoDigest)
			}
			if errors.Is(err, storage.ErrCorrupt) {
				return nil // fsck tells; the others are found all the same
			}
			if err == nil && u.manifest != nil && u.manifest.config != nil {
				some = append(some, u)
			}
			return err
		})
		return err
	})
	for n := 0; n < len(some) && err == nil; n++ {
		some[n].diffs, err = g.readDiffs(ctx, &some[n])
	}
	return some, next, err
}

func (g *Registry) readDiffs(ctx context.Context, u *undiffed) ([]byte, error) {
	room := func(n int) ([]byte, error) { return make([]byte, n), nil }
	config, err := g.BlobInto(ctx, u.Repository, u.manifest.config.Digest, provenance.MaxConfig, room)
	if large := new(TooLargeError); errors.Is(err, ErrUnknown) || errors.As(err, &large) {
		return nil, nil
	}
	return u.manifest.diffChain(provenance.ReadConfig(config)), err
}

// putSomeDiffs writes the rows of those images that are still there, and the mark once there are no others.
func (g *Registry) putSomeDiffs(ctx context.Context, some []undiffed, last bool) error {
	return g.store.Update(ctx, func(tx storage.Tx) error {
		for _, u := range some {
			_, err := tx.Get(layersTable, u.layers)
			if errors.Is(err, storage.ErrNotFound) { // it is gone
				continue
			}
			if err != nil {
				return err
			}
			if err := putDiffs(tx, u.layers, u.diffs, u.RepoDigest); err != nil {
				return err
			}
		}
		if last {
			tx.Put(doneTable, diffsMark, []byte{1})
		}
		return nil
	})
}

// diffsRow wants the image of a row to be there, with these diff ids.
func (c *checker) diffsRow(_ context.Context, tx storage.Reader, item storage.Item) error {
	p, err := cutLayersKey(item.Key)
	if err != nil {
		return err
	}
	m, err := storedManifest(tx, p)
	if err != nil {
		return nil //nolint:nilerr // the manifest's own check reports it
	}
	var diffs []byte
	if m != nil {
		if diffs, err = diffsOf(tx, p, m); err != nil {
			return err
		}
	}
	if len(diffs) == 0 || !bytes.Equal(layersKey(diffs, p.Repository, p.Digest), item.Key) {
		return damaged("%s@%s is found by diff ids that it has not", p.Repository, p.Digest)
	}
	return nil
}
