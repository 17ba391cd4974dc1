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
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// An image that stands on another begins with its layers. That is not said by anybody, it is derived, when
// somebody asks and within what they may see. The rows are in the order of the layers, so that all images
// that begin with the same layers stand together.

// The bounds of what is derived.
const (
	maxChain     = 64   // layers of an image that are looked at
	MaxBases     = 4    // bases that are named: the same image in several places
	maxLayerRows = 1000 // rows that one question looks at
)

// A LayerBase is an image whose layers another one begins with.
type LayerBase struct {
	Layered
	Layers int // how many that are
}

// Layered is an image that was found by its layers, or by the diff ids in its config: diffs.go.
type Layered struct {
	RepoDigest
	DiffIDs bool
}

// chain is the layers of an image as rows begin: 8 bytes each, the first of which is never 0. Two chains may
// be equal by chance, so a reader compares the layers. It is nil for what is no image of a file system.
func (m *manifest) chain() (chain []byte) {
	for _, l := range m.layers {
		if !strings.Contains(l.MediaType, "image.layer.") && !strings.Contains(l.MediaType, "image.rootfs.diff") {
			return nil
		}
		chain = appendChain(chain, l.Digest)
	}
	return chain
}

// appendChain adds a layer to a chain, unless it has as many as are looked at.
func appendChain(chain []byte, d digest.Digest) []byte {
	if len(chain) == 8*maxChain {
		return chain
	}
	hash := sha256.Sum256([]byte(d))
	hash[0] |= 1
	return append(chain, hash[:8]...)
}

func layersKey(chain []byte, repo string, d digest.Digest) []byte {
	return slices.Concat(chain, []byte{0}, repoKey(repo, digestKey(d)))
}

// cutLayersKey returns the image of a row.
func cutLayersKey(key []byte) (p RepoDigest, err error) {
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
	return putDiffs(tx, layersKey(chain, p.repo, p.digest), p.diffs, RepoDigest{p.repo, p.digest})
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
	m, err := storedManifest(tx, RepoDigest{repo, d})
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
	m, err := storedManifest(tx, RepoDigest{repo, d})
	if err != nil || m == nil {
		return err
	}
	if chain := m.chain(); chain != nil {
		diffs, err := getOrNil(tx, layersTable, layersKey(chain, repo, d))
		if err != nil {
			return err
		}
		if len(diffs) > 0 {
			tx.Delete(diffsTable, layersKey(diffs, repo, d))
		}
		tx.Delete(layersTable, layersKey(chain, repo, d))
	}
	return nil
}

// storedManifest reads a manifest that is kept in the store, or nil.
func storedManifest(tx storage.Reader, p RepoDigest) (*manifest, error) {
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
// its own, as far as the caller may see. Diff ids count where they tell of more layers.
func (g *Registry) BasesByLayers(ctx context.Context, p RepoDigest, visible func(repository string) bool) (bases []LayerBase, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		m, err := storedManifest(tx, p)
		if bases = nil; err != nil || m == nil {
			return err
		}
		order, err := provenance.NewOrder(tx, visible)
		if err != nil {
			return err
		}
		if bases, err = longest(layerRows{tx, layersTable, visible, order, maxLayerRows}, p.Digest, m, m.chain()); err != nil {
			return err
		}
		diffs, err := diffsOf(tx, p, m)
		if err != nil {
			return err
		}
		others, err := longest(layerRows{tx, diffsTable, visible, order, maxLayerRows}, p.Digest, m, diffs)
		if len(others) > 0 && (len(bases) == 0 || bases[0].Layers < others[0].Layers) {
			bases = others
		}
		return err
	})
	return bases, err
}

// longest finds the images whose whole chain is the longest beginning of that of another, and not all of it.
func longest(rows layerRows, d digest.Digest, m *manifest, chain []byte) (bases []LayerBase, err error) {
	for n := min(len(m.layers)-1, len(chain)/8); n > 0 && len(bases) == 0 && err == nil; n-- {
		from := append(bytes.Clone(chain[:8*n]), 0)
		err = rows.each(from, storage.PrefixEnd(from), func(other RepoDigest, base *manifest) (bool, error) {
			if !rows.begins(m, base, n) {
				return true, nil
			}
			after, err := rows.order.After(other.Digest, d)
			if !after { // what came after the image is no base of it, whatever its layers
				bases = append(bases, LayerBase{Layered{other, rows.table == diffsTable}, n})
			}
			return len(bases) < MaxBases, err
		})
	}
	return bases, err
}

// OnLayers returns images that begin with all layers of another and have more, as far as the caller may
// see, and whether there may be others: it looks at a bounded number. Those that are found by their diff ids alone come last.
func (g *Registry) OnLayers(ctx context.Context, p RepoDigest, visible func(repository string) bool, limit int) (found []Layered, more bool, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		found, more = nil, false
		base, err := storedManifest(tx, p)
		if err != nil || base == nil || len(base.layers) > maxChain {
			return err
		}
		order, err := provenance.NewOrder(tx, visible)
		if err != nil {
			return err
		}
		if more, err = onChain(layerRows{tx, layersTable, visible, order, maxLayerRows}, p.Digest, base, base.chain(), limit, &found); err != nil || more {
			return err
		}
		diffs, err := diffsOf(tx, p, base)
		if err == nil {
			more, err = onChain(layerRows{tx, diffsTable, visible, order, maxLayerRows}, p.Digest, base, diffs, limit, &found)
		}
		return err
	})
	return found, more, err
}

// onChain adds images that begin with a chain and have more, but those that are there already.
func onChain(rows layerRows, d digest.Digest, base *manifest, chain []byte, limit int, found *[]Layered) (more bool, err error) {
	if len(chain) == 0 {
		return false, nil
	}
	err = rows.each(append(bytes.Clone(chain), 1), storage.PrefixEnd(chain), func(other RepoDigest, m *manifest) (bool, error) {
		known := slices.ContainsFunc(*found, func(l Layered) bool { return l.RepoDigest == other })
		if known || len(m.layers) <= len(base.layers) || !rows.begins(m, base, len(base.layers)) {
			return true, nil
		}
		if before, err := rows.order.After(d, other.Digest); err != nil || before {
			return true, err // what was here before the base does not stand on it
		}
		if more = len(*found) >= limit; !more {
			*found = append(*found, Layered{other, rows.table == diffsTable})
		}
		return !more, nil
	})
	return more || rows.looks == 0, err
}

// layerRows are the rows of one of the two tables that the caller may see, of which so many may be looked at.
type layerRows struct {
	tx      storage.Reader
	table   storage.Table
	visible func(repository string) bool
	order   provenance.Order
	looks   int
}

// each calls fn for the images of the rows in a range, until it says no or no looks are left.
func (r *layerRows) each(from, to []byte, fn func(RepoDigest, *manifest) (bool, error)) error {
	for item, err := range r.tx.Scan(r.table, from, to) {
		if err != nil || r.looks == 0 {
			return err
		}
		r.looks--
		p, err := cutLayersKey(item.Key)
		if err != nil {
			return err
		}
		if !r.visible(p.Repository) {
			continue
		}
		m, err := storedManifest(r.tx, p)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if goOn, err := fn(p, m); err != nil || !goOn {
			return err
		}
	}
	return nil
}

// begins says whether an image begins with n layers of another. Chains may be equal by chance: layers are compared. Diff ids
// are in the config, as the pusher wrote them: anyone who wants them to be equal needs no chance.
func (r *layerRows) begins(m, base *manifest, n int) bool {
	return r.table == diffsTable || len(base.layers) == n && len(m.layers) >= n && sameLayers(base.layers, m.layers[:n])
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
	if err == nil && len(item.Value) > 0 {
		return want(tx, diffsTable, layersKey(item.Value, p.Repository, p.Digest), "%s@%s is not found by its diff ids", p.Repository, p.Digest)
	}
	if f := new(failure); errors.As(err, &f) {
		return nil // the manifest's own check reports it
	}
	return err
}
