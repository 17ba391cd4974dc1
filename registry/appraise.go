package registry

import (
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Signatures come as manifests: one that has the image as its subject, or one under a tag of cosign's older
// form. They are looked at before the transaction, by a room above; what was found is recorded in it. So are records of other
// registries, which come with images that were copied from there.

// An Appraiser looks at signatures as they arrive. trust/signature has one.
type Appraiser interface {
	// Appraise returns what it finds of the signatures in a manifest. Whatever is in them is no error.
	Appraise(ctx context.Context, a Attachment) ([]provenance.Finding, error)
}

// An Attachment is a manifest that is attached to an image.
type Attachment struct {
	Repository string
	Subject    digest.Digest // the image
	Manifest   digest.Digest
	// Own says that it is of the type of registries' own records; then Annotations are those of the manifest.
	Own         bool
	Annotations map[string]string
	Layers      []ocispec.Descriptor
	// Blob returns a layer of at most most bytes, in the room that it asks for. Errors: ErrUnknown, TooLargeError.
	Blob func(ctx context.Context, d digest.Digest, most int64, room func(n int) ([]byte, error)) ([]byte, error)
	// Signed returns what is known of the image, which may be a manifest of statements. Error: ErrUnknown.
	Signed func(ctx context.Context) (Signed, error)
}

// Signed is a manifest that something is attached to.
type Signed struct {
	Subject digest.Digest // that it names itself, or ""
	Layers  []ocispec.Descriptor
}

// SetAppraiser lets an appraiser look at signatures from now on. Call it before the first request.
func (g *Registry) SetAppraiser(a Appraiser) { g.appraiser = a }

// attachedTo is the image that a manifest is attached to, or "".
func (p *push) attachedTo() digest.Digest {
	if d := p.subject(); d != "" {
		return d
	}
	for _, tag := range p.tags {
		if d := tagIsAbout(tag); d != "" {
			return d
		}
	}
	return ""
}

// appraise has the signatures in a push looked at. One that was collected meanwhile is passed over: the push
// will be refused.
func (g *Registry) appraise(ctx context.Context, p *push) (err error) {
	image := p.attachedTo()
	if g.appraiser == nil || image == "" {
		return nil
	}
	p.findings, err = g.appraiser.Appraise(ctx, g.attachment(p.repo, image, p.digest, p.manifest))
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	return err
}

// attachment is a manifest that is attached to an image.
func (g *Registry) attachment(repo string, image, d digest.Digest, m *manifest) Attachment {
	return Attachment{
		Repository: repo, Subject: image, Manifest: d, Layers: m.layers,
		Own: m.artifactType == provenance.ReferrerType, Annotations: m.annotations,
		Blob: func(ctx context.Context, d digest.Digest, most int64, room func(n int) ([]byte, error)) ([]byte, error) {
			return g.BlobInto(ctx, repo, d, most, room)
		},
		Signed: func(ctx context.Context) (Signed, error) { return g.signed(ctx, repo, image) },
	}
}

func (g *Registry) signed(ctx context.Context, repo string, d digest.Digest) (s Signed, err error) {
	desc, body, err := g.Manifest(ctx, repo, d.String())
	if err != nil {
		return s, err
	}
	m, err := parseManifest(desc.MediaType, body)
	if err != nil {
		return s, err
	}
	s.Layers = m.layers
	if m.subject != nil {
		s.Subject = m.subject.Digest
	}
	return s, nil
}

// recordFindings adds a record about the image for each signature, and each other registry's record; of names the record with which that
// came, or is nil where it is this transaction's. The last is returned, or nil.
func (g *Registry) recordFindings(tx storage.Tx, c *call, image digest.Digest, findings []provenance.Finding, of *uint64) (last *provenance.Record, err error) {
	for _, f := range findings {
		e := c.event(provenance.Attest)
		e.Digest, e.Attested, e.Unread, e.Word, e.Of = image, f.Attested, f.Unread, f.Word, of
		if f.Word == nil {
			e.Verdict = &f.Verdict
		}
		if last, err = g.book.Append(tx, e); err != nil {
			return nil, err
		}
	}
	return last, nil
}
