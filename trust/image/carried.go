package image

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// Statements without a signature of their own are attested by a signature over their manifest (trust/signature, "Carried").
// A signature over an index is about its platforms, and about no statement in it.

// carries says of a manifest that holds bare statements whether it names what they are attached to, and reads what signs
// it, once.
func (d *docReader) carries(ctx context.Context, carrier digest.Digest, m *manifest, on digest.Digest) (named bool) {
	bare := false
	for _, layer := range m.Layers {
		bare = bare || layer.MediaType == signature.BareStatement
	}
	if bare && d.s.Trust.Expects(d.s.Repository) && !d.signersOf[carrier] && !d.within {
		if d.signersOf == nil {
			d.signersOf = map[digest.Digest]bool{}
		}
		d.signersOf[carrier], d.within = true, true
		d.referrers(ctx, ocispec.Descriptor{Digest: carrier, MediaType: m.MediaType})
		d.within = false
	}
	return m.Subject != nil && m.Subject.Digest == on
}

// Carriers are the manifests of what is attached to some images, as an inspection reads them: what it finds depends on what
// signs these, too.
func Carriers(ctx context.Context, from Source, on []digest.Digest) (carriers []digest.Digest, err error) {
	for _, d := range on {
		list, err := from.Referrers(ctx, ocispec.Descriptor{Digest: d})
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			if c.ArtifactType != provenance.ReferrerType {
				carriers = append(carriers, c.Digest)
			}
		}
		for _, tag := range olderTags(d) {
			c, _, err := from.Manifest(ctx, tag)
			if err == nil {
				carriers = append(carriers, c.Digest)
			} else if !errors.Is(err, ErrNotFound) {
				return nil, err
			}
		}
	}
	return carriers, nil
}

// attestCarried gives each bare statement the signature over its manifest, where that counts for it.
func (s *subject) attestCarried() {
	by := map[digest.Digest][]*document{}
	for _, d := range s.documents {
		if d.signs(provenance.ImageKind) {
			by[d.on] = append(by[d.on], d)
		}
	}
	for _, d := range s.documents {
		if d.finding != nil || d.sealed || !d.names {
			continue
		}
		carried := signature.Carried{Manifest: d.carrier, Layer: d.from.Digest, PredicateType: d.predicateType, About: d.on, Claims: d.claims}
		for _, sig := range by[d.carrier] {
			if f, ok := s.Trust.Over(&sig.finding.Verdict, carried, s.Repository, s.now); ok {
				d.finding, d.worth = &f, provenance.Standing{Counts: true}
				break
			}
		}
	}
}
