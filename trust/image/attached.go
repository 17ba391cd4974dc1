package image

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
)

// olderTag is the tag under which cosign's older form keeps what is about a manifest, or "" where that would be longer
// than a tag may be, as with SHA-512.
func olderTag(d digest.Digest, suffix string) string {
	tag := strings.Replace(d.String(), ":", "-", 1) + suffix
	if len(tag) > 128 {
		return ""
	}
	return tag
}

// olderTags are those under which something is read that is about a manifest.
func olderTags(d digest.Digest) (tags []string) {
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		if tag := olderTag(d, suffix); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// markRemoved says of the verdicts about an image, which were judged, whose signatures are not attached to it any more:
// they count for nothing now. Where more is attached than is read, it says nothing of those that it did not find.
func markRemoved(ctx context.Context, from Source, on digest.Digest, verdicts []provenance.WeighedVerdict) error {
	a := attached{from: from, on: on}
	for i := range verdicts {
		v := &verdicts[i]
		if v.Manifest == "" || v.Standing == nil {
			continue
		}
		there, err := a.holds(ctx, &v.Verdict)
		if err != nil {
			return err
		}
		if !there {
			v.Standing = removed()
		}
	}
	return nil
}

func removed() *provenance.Standing {
	return &provenance.Standing{Reason: provenance.Removed, Detail: "it is not attached to the image any more"}
}

// attached is what is attached to an image now.
type attached struct {
	from   Source
	on     digest.Digest
	all    map[digest.Digest]bool // layers, once they were read
	beyond bool                   // there is more
}

// holds says whether a document is attached: by the manifest that carried it when it came, or by another.
func (a *attached) holds(ctx context.Context, v *provenance.Verdict) (bool, error) {
	m, err := a.manifest(ctx, v.Manifest.String())
	if err != nil || m.Subject != nil && m.Subject.Digest == a.on {
		return err == nil, err
	}
	if a.all == nil {
		if err := a.read(ctx); err != nil {
			return false, err
		}
	}
	return a.beyond || a.all[v.Evidence.Digest], nil
}

// manifest reads a manifest; one that is not there is empty.
func (a *attached) manifest(ctx context.Context, ref string) (m manifest, err error) {
	_, body, err := a.from.Manifest(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return m, nil
	}
	if err != nil || strictjson.Unmarshal(body, &m) != nil {
		return manifest{}, err // what is not read alike by everybody carries nothing
	}
	return m, nil
}

func (a *attached) read(ctx context.Context) error {
	a.all = map[digest.Digest]bool{}
	list, err := a.from.Referrers(ctx, ocispec.Descriptor{Digest: a.on})
	if err != nil {
		return err
	}
	refs := []string{olderTag(a.on, ".sig"), olderTag(a.on, ".att")}
	for _, d := range list[:min(len(list), maxDocuments)] {
		refs = append(refs, d.Digest.String())
	}
	a.beyond = len(list) > maxDocuments
	for _, ref := range slices.DeleteFunc(refs, func(ref string) bool { return ref == "" }) {
		m, err := a.manifest(ctx, ref)
		if err != nil {
			return err
		}
		for _, layer := range m.Layers {
			a.all[layer.Digest] = true
		}
	}
	return nil
}
