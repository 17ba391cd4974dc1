package registry

import (
	"context"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// An Image is a manifest as the API shows it.
type Image struct {
	Digest       digest.Digest
	MediaType    string
	ArtifactType string
	Size         int64
	Annotations  map[string]string
	Children     []provenance.Child
	Tags         []string // that mean it now; at most MaxTags
	Record       uint64   // by tag the record that set it, by digest the one that put the digest here
}

// MaxTags bounds the tags of one image that are shown.
const MaxTags = 100

// Image returns what a tag or digest means in a repository. Error: ErrUnknown.
func (g *Registry) Image(ctx context.Context, repo, ref string) (*Image, error) {
	d, isDigest := parseDigest(ref)
	if !validName(repo) || !isDigest && !validTag(ref) {
		return nil, errManifestUnknown(repo, ref)
	}
	var f *found
	var tags []string
	err := g.view(ctx, manifestReads(repo, ref, d), func(tx storage.Reader) (err error) {
		storage.Expect(tx, func() []storage.Read { return imageReads(tx, repo, ref, d) })
		if f, err = readManifest(tx, repo, ref, d); err != nil {
			return err
		}
		tags, err = tagsOf(tx, repo, f.digest)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := g.loadContent(ctx, f); err != nil {
		return nil, err
	}
	m, err := parseStored(f.mediaType, f.content)
	if err != nil {
		return nil, err
	}
	return &Image{
		Digest: f.digest, MediaType: f.mediaType, ArtifactType: m.artifactType, Size: f.size,
		Annotations: m.annotations, Children: childrenOf(m.children), Tags: tags, Record: f.record,
	}, nil
}

func tagsOf(tx storage.Reader, repo string, d digest.Digest) (tags []string, err error) {
	return someTags(tx, repo, d, MaxTags)
}

// someTags returns the first tags of a manifest, at most so many.
func someTags(tx storage.Reader, repo string, d digest.Digest, most int) (tags []string, err error) {
	prefix := repoKey(repo, digestKey(d))
	for item, err := range tx.Scan(taggedTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil || len(tags) == most {
			return tags, err
		}
		tags = append(tags, string(item.Key[len(prefix):]))
	}
	return tags, nil
}
