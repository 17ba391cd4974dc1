package image

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A statement without a signature of its own, as BuildKit's, is attested where its manifest is signed: a signature over
// the manifest is one over all that it holds. It counts for the kinds that its signer vouches for, and where the
// statement or the manifest itself names the image: what an index says about a manifest is the word of whoever made the
// index. A signature over an index is about its platforms, and about no statement in it.

// carries says of a manifest that holds bare statements whether it names what they are attached to, and reads what signs
// it, once.
func (d *docReader) carries(ctx context.Context, carrier digest.Digest, m *manifest, on digest.Digest) (named bool) {
	bare := false
	for _, layer := range m.Layers {
		bare = bare || layer.MediaType == bareStatement
	}
	if bare && d.s.Trust.Expects(d.s.Repository) && !d.sealed[carrier] && !d.within {
		if d.sealed == nil {
			d.sealed = map[digest.Digest]bool{}
		}
		d.sealed[carrier], d.within = true, true
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
			if c.ArtifactType != ownRecord {
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

const bareStatement = "application/vnd.in-toto+json"

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
		for _, sig := range by[d.carrier] {
			v := sig.finding.Verdict
			v.Kind, v.Manifest = provenance.KindOf(d.predicateType), d.carrier
			v.Evidence = provenance.Evidence{Digest: d.from.Digest, PredicateType: provenance.Bounded(d.predicateType)}
			if why, _ := s.Trust.Standing(&v, s.Repository, s.now); why == "" {
				d.finding, d.worth = &provenance.Finding{Verdict: v, Attested: d.attestedBy(&v)}, provenance.Standing{Counts: true}
				break
			}
		}
	}
}

// attestedBy are the claims of a document about what it is attached to, as a signer's.
func (d *document) attestedBy(v *provenance.Verdict) (all []provenance.Attestation) {
	for _, c := range d.claims {
		if c.About == d.on {
			all = append(all, provenance.Attestation{
				Fact: c.Fact, Value: c.Value, About: c.About, From: c.From, Name: c.Name, Cut: c.Cut,
				Evidence: v.Evidence, Signer: v.Signer, TrustRoot: v.TrustRoot,
			})
		}
	}
	return all
}
