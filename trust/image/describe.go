package image

import (
	"encoding/json"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// A Description is what a manifest says of itself.
type Description struct {
	ArtifactType string
	Annotations  map[string]string
	Children     []provenance.Child
	// Platforms are the children that clients run: all but attestations.
	Platforms []digest.Digest
	// Inspected are the children that an inspection reads. There may be more.
	Inspected []digest.Digest
	// Document says that it is no image, but something about one: a signature, an attestation, an SBOM, a
	// report. It goes by the types of its layers alone: no client runs or unpacks these, whatever tag,
	// artifact type or subject they come with.
	Document bool
}

// Describe reads a manifest, which the registry took.
func Describe(body []byte) (d Description, err error) {
	var m manifest
	if err := json.Unmarshal(body, &m); err != nil {
		return d, err
	}
	d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations
	for _, c := range m.Manifests {
		child := provenance.Child{Digest: c.Digest}
		if c.Platform != nil {
			child.Platform = platformName(c.Platform)
		}
		d.Children = append(d.Children, child)
	}
	d.Platforms = m.runnable()
	for _, c := range m.inspected() {
		d.Inspected = append(d.Inspected, c.Digest)
	}
	d.Document = m.isDocument()
	return d, nil
}

// documentTypes are media types of layers that hold a signature, beside statements, and those that kindOf knows by
// their name.
var documentTypes = map[string]bool{
	"application/vnd.dev.cosign.simplesigning.v1+json": true,
	"application/jose+json":                            true, // Notation
	"application/cose":                                 true, // Notation
	receipt.LayerType:                                  true, // beside the envelope in a registry's record of an image
}

func isDocument(layer ocispec.Descriptor) bool {
	t := layer.MediaType
	switch {
	case documentTypes[t], provenance.HoldsStatement(t):
		return true
	case isImageLayer(layer):
		return false
	}
	isAbout := kindOf(t) == sbomKind || kindOf(t) == vulnerabilityKind || strings.Contains(t, "vex")
	return isAbout && strings.HasSuffix(t, "json")
}
