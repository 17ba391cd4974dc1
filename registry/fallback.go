package registry

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/storage"
)

// Clients of registries without referrers keep the list themselves: an index under a tag that is made from
// the subject's digest (OCI distribution specification 1.1, "Referrers Tag Schema"). An index that came
// from such a registry is read here, and what it lists is shown with what was pushed about the subject.

// ownAnnotations begin the names of annotations that only the registry itself may give.
const ownAnnotations = "vnd.hallmark."

// fallbackTag is the tag under which older clients list what refers to a digest.
func fallbackTag(subject digest.Digest) string {
	hash := subject.Encoded()
	return subject.Algorithm().String() + "-" + hash[:min(64, len(hash))]
}

// addFallback adds what the index of older clients lists and the list does not hold yet, as far as it is
// in the repository: its first maxReferrers entries.
func (g *Registry) addFallback(ctx context.Context, repo string, subject digest.Digest, want string, list []byte) ([]byte, error) {
	listed, err := g.readFallback(ctx, repo, subject)
	if err != nil || len(listed) == 0 {
		return list, err
	}
	var text strings.Builder
	err = g.store.View(ctx, func(tx storage.Reader) error {
		text.Reset()
		text.Write(list)
		for _, d := range listed {
			if want != "" && d.ArtifactType != want {
				continue
			}
			if err := addOlder(tx, &text, repo, subject, d); err != nil {
				return err
			}
		}
		return nil
	})
	return []byte(text.String()), err
}

// readFallback returns what the index of older clients lists. What else may be under such a tag lists nothing.
func (g *Registry) readFallback(ctx context.Context, repo string, subject digest.Digest) ([]ocispec.Descriptor, error) {
	f, err := g.findManifest(ctx, repo, fallbackTag(subject), "")
	if errors.Is(err, ErrUnknown) {
		return nil, nil
	}
	if err == nil && f.mediaType == ocispec.MediaTypeImageIndex {
		err = g.loadContent(ctx, f)
	}
	if err != nil || f.mediaType != ocispec.MediaTypeImageIndex {
		return nil, err
	}
	m, err := parseManifest(f.mediaType, f.content)
	if err != nil {
		return nil, nil //nolint:nilerr // it was taken under rules of its day, and lists nothing under today's
	}
	return m.children[:min(len(m.children), maxReferrers)], nil
}

// addOlder adds one entry, unless the list holds it already or its manifest is not here.
func addOlder(tx storage.Reader, list *strings.Builder, repo string, subject digest.Digest, d ocispec.Descriptor) error {
	key := digestKey(d.Digest)
	known, err := getOrNil(tx, referrerTable, repoKey(repo, digestKey(subject), key))
	if err != nil || known != nil {
		return err
	}
	here, err := getOrNil(tx, manifestTable, repoKey(repo, key))
	if err != nil || here == nil {
		return err
	}
	maps.DeleteFunc(d.Annotations, func(name, _ string) bool { return strings.HasPrefix(name, ownAnnotations) })
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if list.Len() > 0 {
		list.WriteByte(',')
	}
	list.Write(text)
	return nil
}
