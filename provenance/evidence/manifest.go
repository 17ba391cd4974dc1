package evidence

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxManifest bounds a manifest, in bytes: the registry takes none that is larger.
const maxManifest = 4 << 20

// manifest has the fields of a manifest or index that say what belongs to it.
type manifest struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       *ocispec.Descriptor  `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Blobs        []ocispec.Descriptor `json:"blobs"` // of the artifact manifest that OCI 1.1 had before its end
	Manifests    []ocispec.Descriptor `json:"manifests"`
	Subject      *ocispec.Descriptor  `json:"subject"`
}

// parseManifest reads a manifest as leniently as every client does: who has its digest has made it.
func parseManifest(body []byte) (*manifest, error) {
	m := new(manifest)
	return m, json.Unmarshal(body, m)
}

func (m *manifest) content() []ocispec.Descriptor { return slices.Concat(m.Layers, m.Blobs) }

// statementType is that of layers that are in-toto statements: BuildKit attaches them to platforms so.
const statementType = "application/vnd.in-toto+json"

// isForeign says that a layer is fetched from elsewhere, and no registry need have it.
func isForeign(mediaType string) bool {
	return strings.Contains(mediaType, "foreign") || strings.Contains(mediaType, "nondistributable")
}

// artifactType is the type under which a list of referrers shows a manifest.
func (m *manifest) artifactType() string {
	if m.ArtifactType == "" && m.Config != nil {
		return m.Config.MediaType
	}
	return m.ArtifactType
}

// fallbackTag is where clients look for the referrers of a digest that know no list of them (OCI distribution
// specification 1.1, "Referrers Tag Schema"); regctl does in a layout.
func fallbackTag(d digest.Digest) string {
	return d.Algorithm().String() + "-" + d.Encoded()[:min(64, len(d.Encoded()))]
}

// layoutText is the file oci-layout.
const layoutText = `{"imageLayoutVersion":"1.0.0"}` + "\n"

// An indexFile is an OCI image index, declared here because its bytes follow from what it lists.
type indexFile struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
}

func newIndex(manifests []ocispec.Descriptor) indexFile {
	return indexFile{2, ocispec.MediaTypeImageIndex, manifests}
}
