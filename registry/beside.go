package registry

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// Lists show one row an image. What signing tools and scanners have put beside it belongs to that row, whether it stands under
// a tag that is made from the image's digest or is a referrer.

// Beside is what stands beside an image, and where it came from.
type Beside struct {
	Present  bool       // the image is here
	Record   uint64     // that put it here, where it is present
	Tags     []string   // of signing tools; at most MaxBeside
	Attached []Attached // its referrers; at most MaxBeside
	Cut      bool       // there are more tags or referrers than these
}

// Attached is a referrer of an image.
type Attached struct {
	Digest       digest.Digest
	ArtifactType string
}

// MaxBeside bounds the tags, and the referrers, that are shown beside one image.
const MaxBeside = 10

// Beside returns what stands beside each image, all at the same moment. It reads a bounded number of rows for each.
func (g *Registry) Beside(ctx context.Context, places []RepoDigest) (list []Beside, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		storage.Expect(tx, func() []storage.Read { return besideReads(places) })
		list = make([]Beside, len(places))
		for i, p := range places {
			if err := list[i].read(tx, p); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

func (b *Beside) read(tx storage.Reader, p RepoDigest) error {
	value, err := getOrNil(tx, manifestTable, repoKey(p.Repository, digestKey(p.Digest)))
	if err != nil || value == nil {
		return err
	}
	f := fields{rest: value} // without its content: it begins with the record
	b.Present, b.Record = true, f.number()
	return errors.Join(f.err("manifest"), b.readTags(tx, p), b.readAttached(tx, p))
}

func (b *Beside) readTags(tx storage.Reader, p RepoDigest) error {
	all := repoKey(p.Repository)
	from := repoKey(p.Repository, []byte(fallbackTag(p.Digest)))
	looks := 4 * MaxBeside // names that begin so and mean something else are passed over
	for item, err := range tx.Scan(tagTable, from, storage.PrefixEnd(from)) {
		if err != nil {
			return err
		}
		if b.Cut = b.Cut || len(b.Tags) == MaxBeside || looks == 0; b.Cut {
			return nil
		}
		looks--
		if name := string(item.Key[len(all):]); IsBeside(name) {
			b.Tags = append(b.Tags, name)
		}
	}
	return nil
}

// readAttached reads the referrers but for the registry's own record of the image, which goes with it.
func (b *Beside) readAttached(tx storage.Reader, p RepoDigest) error {
	all := repoKey(p.Repository, digestKey(p.Digest))
	own, err := renderedOf(tx, all)
	if err != nil {
		return err
	}
	for item, err := range tx.Scan(referrerTable, all, storage.PrefixEnd(all)) {
		if err != nil {
			return err
		}
		if bytes.Equal(item.Key[len(all):], own) {
			continue
		}
		if len(b.Attached) == MaxBeside {
			b.Cut = true
			return nil
		}
		row, err := decodeReferrerRow(item.Value)
		if err != nil {
			return err
		}
		d, _, err := cutDigest(item.Key[len(all):])
		if err != nil {
			return err
		}
		b.Attached = append(b.Attached, Attached{d, row.artifactType})
	}
	return nil
}

// renderedOf is the DIGEST of the registry's own record of an image, or nil.
func renderedOf(tx storage.Reader, image []byte) ([]byte, error) {
	value, err := getOrNil(tx, provenanceTable, image)
	if err != nil || value == nil {
		return nil, err
	}
	row, err := decodeProvenanceRow(value)
	return row.manifest, err
}

// IsBeside says whether a tag is one that tools make from the digest of what it is about: the fallback of the referrers API,
// or what cosign puts a dot and a word behind.
func IsBeside(tag string) bool {
	if !strings.HasPrefix(tag, "sha") { // as nearly all
		return false
	}
	name, _, _ := strings.Cut(tag, ".")
	algorithm, hash, _ := strings.Cut(name, "-")
	return (algorithm == "sha256" || algorithm == "sha512") && len(hash) >= 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

// TagsNamed returns what some tags of a repository mean, in the order of their names; those that are not there are left out.
func (g *Registry) TagsNamed(ctx context.Context, repo string, names []string) (tags []TagEntry, err error) {
	keys := make([][]byte, len(names))
	for i, name := range names {
		keys[i] = repoKey(repo, []byte(name))
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		tags = nil
		going, err := goingIn(tx, repo)
		if err != nil {
			return err
		}
		rows, err := tx.GetMany(tagTable, keys)
		if err != nil {
			return err
		}
		for i, value := range rows {
			if value == nil || len(going) > 0 && going[tagMeans(value)] {
				continue
			}
			row, err := decodeTagRow(value)
			if err != nil {
				return err
			}
			tags = append(tags, TagEntry{Name: names[i], Digest: row.digest, Record: row.record})
		}
		return nil
	})
	return tags, err
}

// KeptOf reads what is kept beside each image, as Kept says; the zero value where nothing is. It is valid only during the call of read,
// which may come again for the same image.
func (g *Registry) KeptOf(ctx context.Context, images []RepoDigest, read func(i int, k Kept)) error {
	return g.view(ctx, func() []storage.Read { return keptReads(images) }, func(tx storage.Reader) error {
		for i, p := range images {
			k, err := g.readKept(tx, p.Repository, p.Digest)
			if err != nil {
				return err
			}
			read(i, k)
		}
		return nil
	})
}
