package registry

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Reading is what the registry reads of a manifest, in one transaction, for the policy engine at its pull: all that a decision
// needs that was made before, and kept in the store.
type Reading struct {
	Repository string
	Digest     digest.Digest
	At         Moment // before it was read
	MediaType  string
	Body       []byte // the manifest
	Kept       Kept
	Parents    []digest.Digest // indexes in the repository that list it, the newest first, and no more than maxParents
}

// Kept is what was thought of an image, while nothing of what it is about has changed.
type Kept struct {
	Of []digest.Digest // what it is about: the image first, then what it lists and what is attached to these
	// Optional is what the image and its parts name, and may have come or gone since: it has not.
	Optional []Optional
	Body     []byte // nil where nothing is kept
}

// maxParents bounds the indexes of a Reading.
const maxParents = 8

// Reading reads a manifest by its digest. Errors: ErrUnknown.
func (g *Registry) Reading(ctx context.Context, repo string, d digest.Digest) (Reading, error) {
	if _, ok := parseDigest(d.String()); !ok || !validName(repo) {
		return Reading{}, errManifestUnknown(repo, d.String())
	}
	_, p, err := g.findPulled(ctx, g.view, repo, d.String(), d, func(digest.Digest) bool { return false })
	return p, err
}

// findPulled looks a manifest up as findManifest does, and reads in the same transaction what is needed to decide about
// its pull, unless that is decided.
func (g *Registry) findPulled(ctx context.Context, in view, repo, ref string, d digest.Digest, decided func(digest.Digest) bool) (f *found, p Reading, err error) {
	at, known := g.Now(), false
	err = in(ctx, manifestReads(repo, ref, d), func(tx storage.Reader) error {
		if f, err = readManifest(tx, repo, ref, d); err != nil {
			return err
		}
		if known = decided(f.digest); known {
			return nil
		}
		p = Reading{Repository: repo, Digest: f.digest, At: at, MediaType: f.mediaType}
		return g.readKnown(tx, &p)
	})
	if err != nil || known {
		return f, p, err
	}
	err = g.loadContent(ctx, f)
	p.Body = f.content
	return f, p, err
}

// readKnown reads what is kept beside a manifest, and the indexes that list it.
func (g *Registry) readKnown(tx storage.Reader, p *Reading) (err error) {
	if p.Kept, err = g.readKept(tx, p.Repository, p.Digest); err != nil {
		return err
	}
	p.Kept.Body = slices.Clone(p.Kept.Body)
	page, err := provenance.FindIn(tx, provenance.Query{Repository: p.Repository, Child: p.Digest, Descending: true, Limit: maxParents})
	for _, r := range page.Records {
		if !slices.Contains(p.Parents, r.Digest) { // one that was pushed again has several records
			p.Parents = append(p.Parents, r.Digest)
		}
	}
	return err
}

// readKept reads what is kept beside an image, where it counts: this registry kept it there, and what it is about is as it was. Its body
// is valid as long as the transaction.
func (g *Registry) readKept(tx storage.Reader, repo string, d digest.Digest) (k Kept, err error) {
	key := repoKey(repo, digestKey(d))
	row, err := getOrNil(tx, keptTable, key)
	if err != nil || row == nil {
		return k, err
	}
	version, body, own, _ := g.keptKeyNow().open(key, row)
	if !own {
		return k, nil
	}
	kept, err := decodeKept(d, body)
	if err != nil {
		return k, err
	}
	if now, err := knownVersion(tx, repo, kept.Of); err != nil || now != version {
		return k, err
	}
	if still, err := areStill(tx, repo, kept.Optional); err != nil || !still {
		return k, err
	}
	return kept, nil
}

// Version is the index of the last record that changed what is known of an image, or of what is given with it, which is what
// it lists and what is attached; 0 where the image is not here.
func (g *Registry) Version(ctx context.Context, repo string, parts []digest.Digest) (version uint64, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		version, err = knownVersion(tx, repo, parts)
		return err
	})
	return version, err
}
