package image

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// kind is what a document is.
type kind string

// The kinds of document that the checks ask for.
const (
	signatureKind     kind = "signature"
	buildKind         kind = "build provenance"
	sbomKind          kind = "SBOM"
	vulnerabilityKind kind = "vulnerability report"
)

// document is something that was attached to the image: an SBOM, a statement, a signature, a report.
type document struct {
	kind    kind
	about   []digest.Digest // that it says it is about
	on      digest.Digest   // that it was attached to
	from    ocispec.Descriptor
	carrier digest.Digest // the manifest that it is a layer of
	body    []byte        // the predicate or the document itself, JSON
	made    time.Time     // by its own account, or zero
	sealed  bool          // it came in an envelope with a signature
	// finding is what was found of that signature, about what the document was attached to; nil where nobody's
	// signature counts here, and for what is not signed.
	finding *provenance.Finding
	worth   provenance.Standing // of the finding, now
}

// says whether a document is about a digest.
func (d *document) isAbout(want digest.Digest) bool {
	for _, a := range d.about {
		if a == want {
			return true
		}
	}
	return false
}

// evidence names a document.
func (d *document) evidence() map[string]any {
	e := map[string]any{"kind": d.kind, "digest": d.from.Digest, "mediaType": d.from.MediaType, "attachedTo": d.on, "about": d.about}
	if d.finding != nil {
		e["verdict"], e["standing"] = d.finding.Verdict, d.worth
	}
	return e
}

// kindOf tells documents apart by their media, artifact or predicate type.
func kindOf(t string) kind {
	t = strings.ToLower(t)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(t, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("slsa.dev/provenance"):
		return buildKind
	case has("spdx", "cyclonedx", "syft"):
		return sbomKind
	case has("vuln", "sarif", "trivy", "grype", "openvex"):
		return vulnerabilityKind
	case has("simplesigning", "cosign.artifact.sig", "notary.signature", "cosign/sign/"):
		return signatureKind
	}
	return ""
}

// docReader reads documents, and no more than may be read.
type docReader struct {
	s     *subject
	left  int   // documents that may still be read
	bytes int64 // of them
}

// miss remembers that something could not be read: then its absence proves nothing.
func (d *docReader) miss(what string, err error) {
	if d.s.missed == "" {
		d.s.missed = what + ": " + plain(err)
	}
}

// attestations reads what BuildKit lists in the index: a manifest whose layers are in-toto statements.
func (d *docReader) attestations(ctx context.Context, desc ocispec.Descriptor) {
	m, _, err := d.s.readManifest(ctx, desc.Digest)
	if err != nil {
		d.miss("BuildKit's attestations could not be read", err)
		return
	}
	on := digest.Digest(desc.Annotations["vnd.docker.reference.digest"])
	for _, layer := range m.Layers {
		d.blob(ctx, &document{from: layer, on: on}, layer.Annotations["in-toto.io/predicate-type"])
	}
}

// ownRecord is the type of a Hallmark's record of an image. It says what the registry saw, and not who trusts
// the image: a registry's own key signs no images.
const ownRecord = "application/vnd.hallmark.provenance.v1"

// referrers reads what refers to a manifest, by the referrers API and by cosign's older tags.
func (d *docReader) referrers(ctx context.Context, to ocispec.Descriptor) {
	list, err := d.s.from.Referrers(ctx, to)
	if err != nil {
		d.miss("what refers to it could not be listed", err)
	}
	for _, desc := range list {
		if desc.ArtifactType != ownRecord {
			d.manifest(ctx, to.Digest, desc.Digest.String(), desc.ArtifactType)
		}
	}
	for _, suffix := range []string{".sig", ".att", ".sbom"} {
		if tag := olderTag(to.Digest, suffix); tag != "" {
			d.manifest(ctx, to.Digest, tag, "")
		}
	}
}

// manifest reads the layers of an artifact.
func (d *docReader) manifest(ctx context.Context, on digest.Digest, ref, artifactType string) {
	if d.left <= 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	_, body, err := d.s.from.Manifest(ctx, ref)
	if errors.Is(err, ErrNotFound) {
		return
	}
	var m manifest
	if err == nil {
		err = strictjson.Unmarshal(body, &m)
	}
	if err != nil {
		d.miss("what is attached to it could not be read", err)
		return
	}
	carrier := digest.FromBytes(body)
	for _, layer := range m.Layers {
		t := layer.Annotations["predicateType"]
		for _, other := range []string{m.Annotations["dev.sigstore.bundle.predicateType"], artifactType, m.ArtifactType} {
			if kindOf(t+" "+layer.MediaType) == "" {
				t = other
			}
		}
		made, _ := time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated]) // zero where it says nothing
		d.blob(ctx, &document{from: layer, carrier: carrier, on: on, made: made}, t)
	}
}

// blob reads one document of a type that was stated for it.
func (d *docReader) blob(ctx context.Context, doc *document, stated string) {
	if d.left--; d.left < 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	doc.about, doc.kind = []digest.Digest{doc.on}, kindOf(stated+" "+doc.from.MediaType)
	verify := d.s.Trust.Expects(d.s.Repository) && signature.Reads(doc.from.MediaType)
	if doc.kind == signatureKind && !verify {
		d.s.documents = append(d.s.documents, doc)
		return
	}
	if d.bytes <= 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	body, err := d.s.from.Blob(ctx, doc.from, MaxBlob, newRoom)
	if err != nil {
		d.miss("what is attached to it could not be read", err)
		return
	}
	d.bytes -= int64(len(body)) // and not what its descriptor says
	doc.open(body)
	if verify {
		found := d.s.Trust.Look(d.s.Repository, signature.Document{Subject: doc.on, Manifest: doc.carrier, Layer: doc.from, Body: body}, d.s.now)
		doc.finding = &found
	}
	if doc.kind != "" {
		d.s.documents = append(d.s.documents, doc)
	}
}

// statement is an in-toto statement of any version.
type statement struct {
	Type          string `json:"_type"`
	PredicateType string `json:"predicateType"`
	Subject       []struct {
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	Predicate json.RawMessage `json:"predicate"`
}

// open unpacks a document: a sigstore bundle, a DSSE envelope, an in-toto statement, or the thing itself.
func (d *document) open(body []byte) {
	var outer struct {
		DSSE *struct {
			Payload []byte `json:"payload"`
		} `json:"dsseEnvelope"`
		MessageSig  json.RawMessage `json:"messageSignature"`
		PayloadType string          `json:"payloadType"`
		Payload     []byte          `json:"payload"`
	}
	if strictjson.Unmarshal(body, &outer) == nil {
		switch {
		case outer.DSSE != nil:
			d.sealed, body = true, outer.DSSE.Payload
		case outer.PayloadType != "" && len(outer.Payload) > 0:
			d.sealed, body = true, outer.Payload
		case len(outer.MessageSig) > 0:
			d.kind = signatureKind
			return
		}
	}
	if d.body = body; d.kind == signatureKind && !d.sealed {
		return // a simple signature
	}
	var s statement
	if strictjson.Unmarshal(body, &s) != nil || !strings.HasPrefix(s.Type, "https://in-toto.io/Statement/") {
		return
	}
	d.kind, d.body, d.about = kindOf(s.PredicateType), s.Predicate, nil
	if d.sealed && d.kind == "" {
		d.kind = signatureKind
	}
	for _, sub := range s.Subject {
		for algorithm, hex := range sub.Digest {
			d.about = append(d.about, digest.NewDigestFromEncoded(digest.Algorithm(algorithm), hex))
		}
	}
}
