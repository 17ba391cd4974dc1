package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/distribution/distribution/v3/manifest/manifestlist"
	"github.com/distribution/distribution/v3/manifest/schema2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/storage"
)

// The bounds of a manifest beside its size.
const (
	maxDepth       = 32   // of nested objects and lists
	maxDescriptors = 4096 // configs, layers and children
	maxMediaType   = 255  // bytes of one; RFC 6838, section 4.2
)

// manifest is a parsed manifest of any kind that the registry takes.
type manifest struct {
	mediaType    string
	artifactType string
	config       *ocispec.Descriptor
	layers       []ocispec.Descriptor
	others       []ocispec.Descriptor // what a manifest of another kind calls blobs
	children     []ocispec.Descriptor // of an index or a list
	subject      *ocispec.Descriptor
	annotations  map[string]string
}

// blobs are the descriptors of the config and of all that is content: they have to be in the repository before the
// manifest, but for the layers that are not distributed.
func (m *manifest) blobs() []ocispec.Descriptor {
	if m.config == nil {
		return m.content()
	}
	return append([]ocispec.Descriptor{*m.config}, m.content()...)
}

// mayLack says whether the manifest is taken without a blob that it names: a foreign layer. Its config is read, so it has to be in the
// repository, whatever type it has.
func (m *manifest) mayLack(b ocispec.Descriptor) bool {
	return isForeign(b.MediaType) && (m.config == nil || b.Digest != m.config.Digest)
}

// isForeign says that a layer of this type is fetched from elsewhere and need not be here: OCI's of any
// compression, and Docker's, which adds it to the name of the bare one.
func isForeign(mediaType string) bool {
	mediaType = strings.ToLower(mediaType)
	return strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.foreign.diff.tar") ||
		strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.nondistributable.")
}

func (m *manifest) content() []ocispec.Descriptor { return slices.Concat(m.layers, m.others) }

// referrerType is the artifactType under which a list of referrers shows it: an image without one has the
// type of its config (OCI distribution specification 1.1, "Listing Referrers").
func (m *manifest) referrerType() string {
	if m.artifactType == "" && m.config != nil {
		return m.config.MediaType
	}
	return m.artifactType
}

// parseManifest reads a manifest that was sent as a media type, and checks all that can be checked
// without the repository.
func parseManifest(contentType string, body []byte) (*manifest, error) {
	if err := strictjson.Walk(body, maxDepth, strictjson.Fields(&manifestJSON{})); err != nil {
		return nil, errManifestInvalid("the manifest is no JSON that everybody reads alike: %v", err)
	}
	m, version, err := decodeManifest(body)
	if err != nil {
		return nil, err
	}
	if m.hasData() && listsData(body) {
		return nil, errManifestInvalid("the data of a descriptor in it is a list of numbers, and should be base64 in a string")
	}
	if m.mediaType, err = mediaTypeOf(contentType, m.mediaType); err != nil {
		return nil, err
	}
	return m, m.check(version)
}

// parseStored reads a manifest that is in the store, under the media type that it has there. What is wanted of one
// that arrives is not asked of it again: that may be more today than it was then.
func parseStored(mediaType string, body []byte) (*manifest, error) {
	m, _, err := decodeManifest(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", storage.ErrCorrupt, err)
	}
	m.mediaType = mediaType
	return m, nil
}

// hasData says whether a descriptor in the manifest has its content with it.
func (m *manifest) hasData() bool {
	has := func(d ocispec.Descriptor) bool { return d.Data != nil }
	return m.config != nil && has(*m.config) || m.subject != nil && has(*m.subject) || slices.ContainsFunc(slices.Concat(m.content(), m.children), has)
}

// listsData says whether the data of a descriptor is a list: encoding/json takes numbers for bytes, and nobody else does.
func listsData(body []byte) bool {
	type descriptor struct {
		Data json.RawMessage `json:"data"`
	}
	var doc struct {
		Config, Subject          descriptor
		Layers, Blobs, Manifests []descriptor
	}
	return json.Unmarshal(body, &doc) == nil && slices.ContainsFunc(slices.Concat(doc.Layers, doc.Blobs, doc.Manifests, []descriptor{doc.Config, doc.Subject}), func(d descriptor) bool {
		return bytes.HasPrefix(d.Data, []byte("["))
	})
}

// manifestJSON has the keys of manifests of all kinds.
type manifestJSON struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *ocispec.Descriptor  `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Blobs         []ocispec.Descriptor `json:"blobs"` // of the artifact manifest that OCI 1.1 had before its end
	Manifests     []ocispec.Descriptor `json:"manifests"`
	Subject       *ocispec.Descriptor  `json:"subject"`
	Annotations   map[string]string    `json:"annotations"`
}

// decodeManifest reads the fields of a manifest, and checks nothing.
func decodeManifest(body []byte) (m *manifest, schemaVersion int, err error) {
	var doc manifestJSON
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, 0, errManifestInvalid("the manifest does not have the shape of one: %v", err)
	}
	return &manifest{
		mediaType: doc.MediaType, artifactType: doc.ArtifactType, config: doc.Config, layers: doc.Layers, others: doc.Blobs,
		children: doc.Manifests, subject: doc.Subject, annotations: doc.Annotations,
	}, doc.SchemaVersion, nil
}

// isMediaType says whether a text is a media type without parameters. Its length is bounded: it goes into headers and records.
// (RFC 6838, section 4.2, as a pattern: ^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$, which takes
// 100 KB of memory for its lengths, and longer.)
func isMediaType(s string) bool {
	kind, sub, _ := strings.Cut(s, "/")
	return isRestrictedName(kind) && isRestrictedName(sub)
}

func isRestrictedName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i == 0 || strings.IndexByte("!#$&^_.+-", c) < 0:
			return false
		}
	}
	return 1 <= len(s) && len(s) <= 127
}

// parseMediaType returns a media type in lower case, or "": case means nothing in it (RFC 6838, section 4.2). It
// is looked at before, because there are letters outside ASCII that become some of it.
func parseMediaType(s string) string {
	if isMediaType(s) {
		return strings.ToLower(s)
	}
	return ""
}

// mediaTypeOf returns what a manifest is. The header and the document have to agree, where both say it.
func mediaTypeOf(header, document string) (string, error) {
	if header != "" {
		kind, _, err := mime.ParseMediaType(header)
		if kind = parseMediaType(kind); err != nil || kind == "" {
			return "", errManifestInvalid("Content-Type %.60q is no media type", header)
		}
		header = kind
	}
	if document != "" {
		kind := parseMediaType(document)
		if kind == "" {
			return "", errManifestInvalid("the manifest's mediaType %.60q is no media type", document)
		}
		document = kind
	}
	switch {
	case header == "" && document == "":
		return "", errManifestInvalid("neither Content-Type nor mediaType says what this manifest is")
	case header == "":
		return document, nil
	case document != "" && document != header:
		return "", errManifestInvalid("Content-Type is %.60q and the manifest's mediaType is %.60q", header, document)
	}
	return header, nil
}

// check wants the fields that the media type has, and descriptors that can be meant.
func (m *manifest) check(version int) error {
	if err := m.checkKind(version); err != nil {
		return err
	}
	if !isTypeText(m.artifactType) {
		return errManifestInvalid("artifactType %.60q %s", m.artifactType, noTypeText)
	}
	all := slices.Concat(m.content(), m.children)
	for _, d := range []*ocispec.Descriptor{m.config, m.subject} {
		if d != nil {
			all = append(all, *d)
		}
	}
	if len(all) > maxDescriptors {
		return errManifestInvalid("it refers to %d things, and may to %d", len(all), maxDescriptors)
	}
	for _, d := range all {
		if err := checkDescriptor(d); err != nil {
			return err
		}
	}
	return nil
}

func (m *manifest) checkKind(version int) error {
	switch m.mediaType {
	case ocispec.MediaTypeImageManifest, schema2.MediaTypeManifest:
		if m.config == nil || m.children != nil || m.others != nil {
			return errManifestInvalid("an image manifest has a config and layers, and no manifests or blobs")
		}
	case ocispec.MediaTypeImageIndex, manifestlist.MediaTypeManifestList:
		if m.config != nil || m.layers != nil || m.others != nil {
			return errManifestInvalid("an index has manifests, and no config, layers or blobs")
		}
	default:
		return m.checkOther(version)
	}
	if version != 2 {
		return errManifestInvalid("schemaVersion is %d, and this registry takes 2", version)
	}
	return nil
}

// emptyKinds are the kinds of artifact manifests from before OCI 1.1. What they have beside a type may be annotations alone.
var emptyKinds = map[string]bool{
	"application/vnd.oci.artifact.manifest.v1+json":       true,
	"application/vnd.cncf.oras.artifact.manifest.v1+json": true,
}

// checkOther takes a manifest of a kind that is not known, as long as it refers to things in the way that
// manifests do: then what it needs can be kept with it. Docker's of 2014 name layers in another way.
func (m *manifest) checkOther(version int) error {
	if version != 0 && version != 2 {
		return errManifestInvalid("schemaVersion is %d, and this registry takes 2: convert an image of docker's schema 1, as with skopeo copy --format v2s2", version)
	}
	if m.config == nil && m.subject == nil && m.layers == nil && m.others == nil && m.children == nil && !emptyKinds[m.mediaType] {
		return errManifestInvalid("%.60q is a kind that this registry does not know, and has no config, layers, blobs, manifests or subject", m.mediaType)
	}
	return nil
}

// checkDescriptor refuses what two readers could take for different things, and what could do something to
// no matter who looks at it. A wrong size is neither: images have them that nobody can change any more, and what has the
// digest is the content. What the sizes are, the record says.
func checkDescriptor(d ocispec.Descriptor) error {
	parsed, ok := parseDigest(d.Digest.String())
	switch {
	case !ok:
		return errManifestInvalid("%.90q in it is no digest", d.Digest)
	case !isTypeText(d.MediaType):
		return errManifestInvalid("the mediaType %.30q of %s in it %s", d.MediaType, d.Digest, noTypeText)
	case !isTypeText(d.ArtifactType):
		return errManifestInvalid("the artifactType %.30q of %s in it %s", d.ArtifactType, d.Digest, noTypeText)
	case d.Size < 0:
		return errManifestInvalid("the size of %s in it is negative", d.Digest)
	case d.Data != nil && digestOf(d.Data, parsed) != parsed:
		return errManifestInvalid("the data of %s in it is not what has that digest", d.Digest)
	case d.Platform != nil && !isPrintable(d.Platform.OS+d.Platform.Architecture+d.Platform.Variant):
		return errManifestInvalid("the platform of %s in it has characters that cannot be printed", d.Digest)
	}
	return nil
}

const noTypeText = "has characters that cannot be printed, or more than 255 bytes"

// isTypeText says whether a text can stand for the type of an artifact, a config, a layer or a child. These are what
// people call things, in whatever form: there are sigstore's with parameters, and oras's without a slash. The
// manifest's own media type is a header of answers, and has to be one: see parseMediaType.
func isTypeText(s string) bool { return len(s) <= maxMediaType && isPrintable(s) }

// isPrintable says whether a text is UTF-8 without control characters, line ends, and characters that are not seen
// and change how others are, as those that turn the direction of writing.
func isPrintable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// platform is how people name a platform: os/architecture[/variant].
func platform(p *ocispec.Platform) string {
	if p == nil || p.OS == "" && p.Architecture == "" {
		return ""
	}
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return bounded(s)
}

// isDigestOf says whether d is the digest of content. It allocates nothing for SHA-256, because each read of a manifest asks.
func isDigestOf(d digest.Digest, content []byte) bool {
	if hashed, ok := strings.CutPrefix(string(d), "sha256:"); ok {
		var text [2 * sha256.Size]byte
		sum := sha256.Sum256(content)
		hex.Encode(text[:], sum[:])
		return string(text[:]) == hashed
	}
	return digestOf(content, d) == d
}

// digestOf hashes content with the algorithm of a digest, or with SHA-256 where there is none.
func digestOf(content []byte, like digest.Digest) digest.Digest {
	if like != "" && like.Algorithm() == digest.SHA512 {
		return digest.SHA512.FromBytes(content)
	}
	return digest.FromBytes(content)
}
