package registry

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Where an image comes from is often said beside it: BuildKit puts an attestation manifest into the index,
// others attach one to the image. Its layers are in-toto statements, which are read as the manifest arrives.

// attestationTypes are the media types of layers that hold a statement: bare, in a DSSE envelope as cosign
// writes it, and in a sigstore bundle.
var attestationTypes = map[string]bool{
	"application/vnd.in-toto+json":                         true,
	"application/vnd.dsse.envelope.v1+json":                true,
	"application/vnd.dev.sigstore.bundle.v0.3+json":        true,
	"application/vnd.dev.sigstore.bundle+json;version=0.3": true,
}

// predicateAnnotations are those in which a layer's descriptor says the predicate type: BuildKit's, that of
// cosign's older attestations, and that of its bundles.
var predicateAnnotations = []string{"in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType"}

// maxAttestations bounds the layers of one push that are read for claims.
const maxAttestations = 16

// attestation is a layer that may hold a statement.
type attestation struct {
	digest  digest.Digest
	row     blobRow
	subject digest.Digest // the image that it was attached to, or ""
}

// subject is what the manifest is attached to, or "".
func (p *push) subject() digest.Digest {
	if p.manifest.subject == nil {
		return ""
	}
	return p.manifest.subject.Digest
}

// findAttestations remembers the layers of a manifest that are to be read.
func (p *push) findAttestations(tx storage.Reader, m *manifest, subject digest.Digest) error {
	for _, l := range m.layers {
		if !mayClaim(l) || len(p.attestations) == maxAttestations {
			continue
		}
		row, err := readBlobRow(tx, l.Digest)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if row.size <= provenance.MaxAttestation { // whatever its descriptor says
			p.attestations = append(p.attestations, attestation{l.Digest, row, subject})
		}
	}
	return nil
}

// mayClaim says whether a layer may hold a statement that claims something: an SBOM, which can be large,
// is not opened where its descriptor says that it is one.
func mayClaim(layer ocispec.Descriptor) bool {
	if !attestationTypes[layer.MediaType] {
		return false
	}
	for _, name := range predicateAnnotations {
		if said := layer.Annotations[name]; said != "" {
			return provenance.ReadsPredicate(said)
		}
	}
	return true
}

// The annotations with which BuildKit lists an attestation manifest in an index.
const (
	referenceType   = "vnd.docker.reference.type"
	referenceDigest = "vnd.docker.reference.digest"
)

// attestationChild remembers the layers of a child of the index that only the index says the image of:
// BuildKit writes statements without a subject when it does not know the image's name.
func (p *push) attestationChild(tx storage.Reader, child ocispec.Descriptor, row manifestRow) error {
	subject, ok := parseDigest(child.Annotations[referenceDigest])
	if child.Annotations[referenceType] != "attestation-manifest" || !ok || !p.lists(subject) || len(row.content) == 0 {
		return nil
	}
	m, err := parseStored(row.mediaType, row.content)
	if err != nil {
		return err
	}
	return p.findAttestations(tx, m, subject)
}

// readAttestations adds what the attestations of a push claim. One that was collected meanwhile claims
// nothing: where the push needs it, the push will be refused.
func (g *Registry) readAttestations(ctx context.Context, p *push) error {
	for _, a := range p.attestations {
		f, err := g.openBlob(ctx, a.digest, a.row)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return asNeeded(a.digest, err)
		}
		read := newCompared(a.digest, f)
		claims := provenance.ClaimsOfAttestation(read, a.digest, a.subject)
		if err := errors.Join(read.end(ctx), f.Close()); err != nil { // what it says must not be signed
			return asNeeded(a.digest, g.lost(ctx, a.digest, a.row, err))
		}
		for _, c := range claims {
			if p.manifest.children == nil || p.lists(c.About) && c.IsOrigin() {
				p.claims = append(p.claims, c)
			}
		}
	}
	return nil
}
