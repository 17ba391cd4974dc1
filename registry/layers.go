package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/storage"
)

// An image that stands on another begins with its layers. That is not said by anybody, it is derived, when
// somebody asks and within what they may see. The rows are in the order of the layers, so that all images
// that begin with the same layers stand together.

// The bounds of what is derived.
const (
	maxChain     = 64   // layers of an image that are looked at
	maxBases     = 4    // bases that are named: the same image in several places
	maxLayerRows = 1000 // rows that one question looks at
)

// A LayerBase is an image whose layers another one begins with.
type LayerBase struct {
	Place
	Layers int // how many that are
}

// chain is the layers of an image as rows begin: 8 bytes each, the first of which is never 0. Two chains may
// be equal by chance, so a reader compares the layers. It is nil for what is no image of a file system.
func (m *manifest) chain() (chain []byte) {
	for _, l := range m.layers {
		if !strings.Contains(l.MediaType, "image.layer.") && !strings.Contains(l.MediaType, "image.rootfs.diff") {
			return nil
		}
		if len(chain) == 8*maxChain {
			break
		}
		hash := sha256.Sum256([]byte(l.Digest))
		hash[0] |= 1
		chain = append(chain, hash[:8]...)
	}
	return chain
}

func layersKey(chain []byte, repo string, d digest.Digest) []byte {
	return slices.Concat(chain, []byte{0}, repoKey(repo, digestKey(d)))
}

// cutLayersKey returns the image of a row.
func cutLayersKey(key []byte) (p Place, err error) {
	for len(key) > 8 && key[0] != 0 {
		key = key[8:]
	}
	if len(key) == 0 || key[0] != 0 {
		return p, damaged("a row of layers is cut short")
	}
	repo, rest := cutRepo(key[1:])
	p.Repository = repo
	p.Digest, _, err = cutDigest(rest)
	return p, err
}

// putLayers adds the row of an image. Manifests that are not kept in the store have none.
func (p *push) putLayers(tx storage.Tx) error {
	chain := p.manifest.chain()
	if chain == nil || len(p.body) > maxInline {
		return nil
	}
	return putMissing(tx, layersTable, layersKey(chain, p.repo, p.digest), nil)
}

// IndexLayers gives every image the row that it is found by through its layers, as a store needs that was
// written before there were such rows. If we stop within it, it is run again, from its beginning.
func IndexLayers(ctx context.Context, store storage.Store) error {
	return changeManifests(ctx, store, checkStep, indexLayers)
}

func indexLayers(tx storage.Tx, item storage.Item) error {
	repo, key := cutRepo(item.Key)
	d, _, err := cutDigest(key)
	if err != nil {
		return err
	}
	m, err := storedManifest(tx, Place{repo, d})
	if err != nil || m == nil {
		return err
	}
	if chain := m.chain(); chain != nil {
		tx.Put(layersTable, layersKey(chain, repo, d), nil)
	}
	return nil
}

// removeLayers takes away the row of an image that goes.
func removeLayers(tx storage.Tx, repo string, d digest.Digest) error {
	m, err := storedManifest(tx, Place{repo, d})
	if err != nil || m == nil {
		return err
	}
	if chain := m.chain(); chain != nil {
		tx.Delete(layersTable, layersKey(chain, repo, d))
	}
	return nil
}

// storedManifest reads a manifest that is kept in the store, or nil.
func storedManifest(tx storage.Reader, p Place) (*manifest, error) {
	value, err := getOrNil(tx, manifestTable, repoKey(p.Repository, digestKey(p.Digest)))
	if err != nil || value == nil {
		return nil, err
	}
	row, err := decodeManifestRow(value)
	if err != nil || len(row.content) == 0 {
		return nil, err
	}
	return parseStored(row.mediaType, row.content)
}

// BasesByLayers returns the images with the most layers that an image begins with, but not with all of
// its own, as far as the caller may see.
func (g *Registry) BasesByLayers(ctx context.Context, p Place, visible func(repository string) bool) (bases []LayerBase, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		bases = nil
		m, err := storedManifest(tx, p)
		if err != nil || m == nil {
			return err
		}
		chain, looks := m.chain(), maxLayerRows
		for n := min(len(m.layers), len(chain)/8+1) - 1; n > 0 && len(bases) == 0; n-- {
			from := append(bytes.Clone(chain[:8*n]), 0)
			err := eachLayered(tx, from, storage.PrefixEnd(from), visible, &looks, func(other Place, base *manifest) bool {
				if sameLayers(base.layers, m.layers[:n]) {
					bases = append(bases, LayerBase{other, n})
				}
				return len(bases) < maxBases
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return bases, err
}

// OnLayers returns images that begin with all layers of another and have more, as far as the caller may
// see, and whether there may be others: it looks at a bounded number.
func (g *Registry) OnLayers(ctx context.Context, p Place, visible func(repository string) bool, limit int) (found []Place, more bool, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		found, more = nil, false
		base, err := storedManifest(tx, p)
		if err != nil || base == nil {
			return err
		}
		chain := base.chain()
		if chain == nil || len(base.layers) > maxChain {
			return nil
		}
		looks := maxLayerRows
		err = eachLayered(tx, append(bytes.Clone(chain), 1), storage.PrefixEnd(chain), visible, &looks, func(other Place, m *manifest) bool {
			if more = len(found) == limit; !more && len(m.layers) > len(base.layers) && sameLayers(base.layers, m.layers[:len(base.layers)]) {
				found = append(found, other)
			}
			return !more
		})
		more = more || looks == 0
		return err
	})
	return found, more, err
}

// eachLayered calls fn for the images of the rows in a range that the caller may see, until it says no or no
// looks are left.
func eachLayered(tx storage.Reader, from, to []byte, visible func(string) bool, looks *int, fn func(Place, *manifest) bool) error {
	for item, err := range tx.Scan(layersTable, from, to) {
		if err != nil || *looks == 0 {
			return err
		}
		*looks--
		p, err := cutLayersKey(item.Key)
		if err != nil {
			return err
		}
		if !visible(p.Repository) {
			continue
		}
		m, err := storedManifest(tx, p)
		if err != nil {
			return err
		}
		if m != nil && !fn(p, m) {
			return nil
		}
	}
	return nil
}

func sameLayers(a, b []ocispec.Descriptor) bool {
	return slices.EqualFunc(a, b, func(a, b ocispec.Descriptor) bool { return a.Digest == b.Digest })
}

// layersRow wants the image of a row to be there, with these layers.
func (c *checker) layersRow(_ context.Context, tx storage.Reader, item storage.Item) error {
	p, err := cutLayersKey(item.Key)
	if err != nil {
		return err
	}
	m, err := storedManifest(tx, p)
	if err == nil && (m == nil || !bytes.Equal(layersKey(m.chain(), p.Repository, p.Digest), item.Key)) {
		return damaged("%s@%s is found by layers that it has not", p.Repository, p.Digest)
	}
	if f := new(failure); errors.As(err, &f) {
		return nil // the manifest's own check reports it
	}
	return err
}
