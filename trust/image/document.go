package image

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/desk"
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
	linkKind          kind = "in-toto link" // of a step, which need not be a build
)

// document is something that was attached to the image: an SBOM, a statement, a signature, a report.
type document struct {
	kind          kind
	about         []digest.Digest // that it says it is about
	on            digest.Digest   // that it was attached to
	from          ocispec.Descriptor
	carrier       digest.Digest // the manifest that it is a layer of
	licensed      int           // packages whose licences it states, where it is an SBOM
	reported      time.Time     // when it was made, as it says itself, where it is a report
	made          time.Time     // by its own account, or zero
	sealed        bool          // it came in an envelope with a signature
	claims        []provenance.Claim
	unreadSource  string // why it may name a source in what was not read, or ""
	names         bool   // the statement, or its manifest, names what it is attached to itself
	predicateType string
	// finding is what was found of that signature, about what the document was attached to; nil where nobody's
	// signature counts here, and for what is not signed.
	finding *provenance.Finding
	worth   provenance.Standing // of the finding, now
	ours    bool                // what was signed calls the image by its name here
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
func (d *document) evidence() Document {
	e := Document{About: d.about, AttachedTo: d.on, Digest: d.from.Digest, Kind: string(d.kind), MediaType: d.from.MediaType}
	if d.finding != nil {
		e.Signed = &Signed{NamesRepository: d.ours, Standing: d.worth, Verdict: d.finding.Verdict}
	}
	return e
}

// kindOf tells documents apart by their media or artifact type, or by the predicate type that is stated for them.
func kindOf(t string) kind {
	if strings.Contains(t, "://") {
		return kindOfPredicate(t)
	}
	t = strings.ToLower(t)
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(t, part) })
	}
	switch {
	case has("vex"): // says what does not affect an image, and reports nothing
		return ""
	case has("spdx", "cyclonedx", "syft"):
		return sbomKind
	case has("sarif", "trivy", "grype", "vulnerability.report", "vulnerability-report"):
		return vulnerabilityKind
	case has("simplesigning", "cosign.artifact.sig", "notary.signature"):
		return signatureKind
	}
	return ""
}

// kindOfPredicate tells statements apart. What a predicate type is called says nothing: one whose name holds "vuln" may
// say that nobody looked. Of SBOMs and reports any version will do, since they are found and not believed.
func kindOfPredicate(predicateType string) kind {
	versionOf := func(types ...string) bool {
		return slices.ContainsFunc(types, func(t string) bool { return predicateType == t || strings.HasPrefix(predicateType, t+"/") })
	}
	switch {
	case provenance.IsLink(predicateType):
		return linkKind
	case provenance.ReadsPredicate(predicateType):
		return buildKind
	case versionOf("https://spdx.dev/Document", "https://cyclonedx.org/bom", "https://syft.dev/bom"):
		return sbomKind
	case versionOf("https://cosign.sigstore.dev/attestation/vuln", "https://in-toto.io/attestation/vuln", "https://in-toto.io/attestation/vulns"):
		return vulnerabilityKind
	case provenance.KindOf(predicateType) == provenance.ImageKind:
		return signatureKind
	}
	return ""
}

// docReader reads documents, and no more than may be read.
type docReader struct {
	s     *subject
	left  int   // documents that may still be read
	bytes int64 // of them
	// signersOf has the manifests of bare statements for which it was looked who signs them, and within says that one is
	// looked at: what signs a signature is not asked.
	signersOf map[digest.Digest]bool
	within    bool
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
	names := d.carries(ctx, desc.Digest, &m, on)
	for _, layer := range m.Layers {
		d.blob(ctx, &document{from: layer, on: on, carrier: desc.Digest, names: names}, provenance.StatedPredicate(layer.Annotations))
	}
}

// referrers reads what refers to a manifest, by the referrers API and by cosign's older tags.
func (d *docReader) referrers(ctx context.Context, to ocispec.Descriptor) {
	list, err := d.s.from.Referrers(ctx, to)
	if err != nil {
		d.miss("what refers to it could not be listed", err)
	}
	for _, desc := range list {
		if desc.ArtifactType != provenance.ReferrerType {
			d.manifest(ctx, to.Digest, desc.Digest.String(), desc.ArtifactType)
		}
	}
	for _, tag := range olderTags(to.Digest) {
		d.manifest(ctx, to.Digest, tag, "")
	}
}

// manifest reads the layers of an artifact.
func (d *docReader) manifest(ctx context.Context, on digest.Digest, ref, artifactType string) {
	if d.left <= 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	carrier, body, err := d.s.from.Manifest(ctx, ref)
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
	names := d.carries(ctx, carrier.Digest, &m, on)
	for _, layer := range m.Layers {
		stated := []string{provenance.StatedPredicate(layer.Annotations), layer.MediaType, provenance.StatedPredicate(m.Annotations), artifactType, m.ArtifactType}
		is := slices.IndexFunc(stated, func(t string) bool { return kindOf(t) != "" })
		made, _ := time.Parse(time.RFC3339, m.Annotations[ocispec.AnnotationCreated]) // zero where it says nothing
		d.blob(ctx, &document{from: layer, carrier: carrier.Digest, on: on, made: made, names: names}, stated[max(0, is)])
	}
}

// blob reads one document of a type that was stated for it.
func (d *docReader) blob(ctx context.Context, doc *document, stated string) {
	if d.left--; d.left < 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	doc.about, doc.kind = []digest.Digest{doc.on}, cmp.Or(kindOf(stated), kindOf(doc.from.MediaType))
	verify := d.s.Trust.Expects(d.s.Repository) && signature.Reads(doc.from.MediaType)
	if doc.kind == signatureKind && !verify {
		d.s.documents = append(d.s.documents, doc)
		return
	}
	if d.bytes <= 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
		return
	}
	on := desk.Sit(ctx)
	defer on.Leave()
	body, err := d.s.from.Blob(ctx, doc.from, provenance.MaxOf(doc.from.MediaType), on.Whole)
	if err != nil {
		d.miss("what is attached to it could not be read", err)
		return
	}
	d.bytes -= int64(len(body)) // and not what its descriptor says
	var found []provenance.Finding
	if verify {
		found = d.s.Trust.LookAtEach(d.s.Repository, signature.Document{Subject: doc.on, Manifest: doc.carrier, Layer: doc.from, Body: body, Desk: on}, d.s.now)
	}
	d.lines(on, doc, body, found)
}

// lines opens a document, or the one in each of its lines, with what was found of its signature.
func (d *docReader) lines(on *desk.Desk, doc *document, body []byte, found []provenance.Finding) {
	lines, more := [][]byte{body}, false
	if provenance.HoldsStatement(doc.from.MediaType) {
		lines, more = provenance.Lines(body)
	}
	d.left -= len(lines) - 1
	if more || d.left < 0 {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
	}
	for i, line := range lines {
		one := *doc
		for _, opened := range d.s.open(on, &one, line) {
			if i < len(found) {
				opened.finding = &found[i]
			}
			if opened.kind != "" {
				d.s.documents = append(d.s.documents, opened)
			}
		}
	}
}

// open unpacks a document, and returns it for each statement in it; or as it is, where it is the thing itself.
func (s *subject) open(on *desk.Desk, doc *document, body []byte) (opened []*document) {
	if doc.kind == signatureKind && !provenance.HoldsStatement(doc.from.MediaType) {
		return []*document{doc} // a simple signature
	}
	for _, st := range provenance.OpenAttestationIn(on.Packed, body, s.named(doc.on)...) {
		if st.PredicateType == "" && !st.Sealed {
			continue // the thing itself, as an SBOM is
		}
		one := *doc
		one.predicateType, one.names = st.PredicateType, one.names || st.Names(doc.on)
		one.sealed, one.about, one.kind = st.Sealed, st.About(doc.on), kindOfPredicate(st.PredicateType)
		one.claims, one.unreadSource = st.Claims(doc.from.Digest, doc.on), st.UnreadSource()
		if one.kind == "" && one.sealed {
			one.kind = signatureKind
		}
		var p struct {
			Predicate inPlace `json:"predicate"`
		}
		if (one.kind == sbomKind || one.kind == vulnerabilityKind) && strictjson.Unmarshal(st.Payload, &p) == nil {
			one.read(p.Predicate)
		}
		opened = append(opened, &one)
	}
	if len(opened) > 0 {
		return opened
	}
	doc.read(body)
	var bundle struct {
		Signature json.RawMessage `json:"messageSignature"`
	}
	if provenance.IsBundle(doc.from.MediaType) && strictjson.Unmarshal(body, &bundle) == nil && len(bundle.Signature) > 0 {
		doc.kind = signatureKind
	}
	return []*document{doc}
}

// named are the digests that statements here may be about: of what they are attached to, of the image, and of its
// platforms.
func (s *subject) named(on digest.Digest) []digest.Digest {
	named := []digest.Digest{on, s.desc.Digest}
	for _, child := range s.manifest.Manifests {
		named = append(named, child.Digest)
	}
	return named
}
