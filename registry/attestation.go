package registry

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Where an image comes from is often said beside it: BuildKit puts an attestation manifest into the index,
// others attach one to the image. Its layers are in-toto statements, which are read as the manifest arrives.

// maxAttestations bounds the layers of one push that are read for claims.
const maxAttestations = 16

// maxUnread bounds the documents of one push that are remembered because they were not read. A record names fewer.
const maxUnread = 64

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

// findAttestations remembers the layers of a manifest that are to be read, of those that are in the repository.
func (p *push) findAttestations(tx storage.Reader, m *manifest, subject digest.Digest) error {
	for _, l := range m.layers {
		if len(p.attestations) == maxAttestations && len(p.unread) == maxUnread {
			return nil // there is nothing left to say of those behind
		}
		if !mayClaim(m, l) {
			continue
		}
		row, err := readLinked(tx, p.repo, l.Digest)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		most := provenance.MaxOf(l.MediaType)
		switch {
		case row.size > most: // whatever its descriptor says
			p.leaveUnread(l.Digest, subject, provenance.TooLarge(row.size, most))
		case len(p.attestations) == maxAttestations:
			p.leaveUnread(l.Digest, subject, fmt.Sprintf("%d documents came with it, and those behind are not read", maxAttestations))
		default:
			p.attestations = append(p.attestations, attestation{l.Digest, row, subject})
		}
	}
	return nil
}

// leaveUnread remembers that a document about an image was not read: what it claims is not known. Where only an index says
// which image is meant, that is remembered with the index.
func (p *push) leaveUnread(document, about digest.Digest, why string) {
	u := provenance.UnreadDocument{Document: document, About: about, Why: why}
	if about != "" && len(p.unread) < maxUnread && !slices.Contains(p.unread, u) {
		p.unread = append(p.unread, u)
	}
}

// mayClaim says whether a layer may hold a statement that claims something: an SBOM, which can be large,
// is not opened where its descriptor or its manifest says that it is one.
func mayClaim(m *manifest, layer ocispec.Descriptor) bool {
	mediaType := layer.MediaType
	if isPlain(mediaType) {
		mediaType = m.artifactType
	}
	if !provenance.HoldsStatement(mediaType) {
		return false
	}
	for _, annotations := range []map[string]string{layer.Annotations, m.annotations} {
		if said := provenance.StatedPredicate(annotations); said != "" {
			return provenance.ReadsPredicate(said)
		}
	}
	return true
}

// isPlain says that a media type tells no more than that something is JSON, or JSON lines: what it is, the artifact's
// type says, as where oras attached a file.
func isPlain(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/jsonl", "application/x-ndjson", "application/octet-stream", "text/plain":
		return true
	}
	return false
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
		claims, unread := provenance.ClaimsOfAttestation(ctx, read, a.row.size, a.digest, a.subject)
		if err := errors.Join(read.end(ctx), f.Close()); err != nil { // what it says must not be signed
			return asNeeded(a.digest, g.lost(ctx, a.digest, a.row, err))
		}
		if unread != "" {
			p.leaveUnread(a.digest, a.subject, unread)
		}
		for _, c := range claims {
			if p.manifest.children == nil || p.lists(c.About) && c.IsOrigin() {
				p.claims = append(p.claims, c)
			}
		}
	}
	return nil
}
