package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// subject is everything that was read of an image. The checks look at it and change nothing.
type subject struct {
	Config
	now       time.Time
	from      Source
	ref       string
	desc      ocispec.Descriptor
	manifest  manifest
	platforms []*platform
	leftOut   int         // platforms beyond maxPlatforms
	documents []*document // about the image or one of its platforms
	words     []provenance.WeighedWord
	missed    string // why documents may be missing, or empty

	secretTexts int // bytes that may still be looked through for secrets
	configs     int // bytes of configs that may still be read

	bases map[Named]meaning

	acts   provenance.Acts      // with this digest
	about  []*provenance.Record // of this digest, newest first
	pushes []*provenance.Record // into the repository, newest first
	moves  []*provenance.Record // of the tag, newest first
	fixed  string               // the rule that makes the tag immutable, or empty
}

// manifest is a manifest of any kind, as far as the checks need it.
type manifest struct {
	MediaType    string               `json:"mediaType"`
	ArtifactType string               `json:"artifactType"`
	Config       ocispec.Descriptor   `json:"config"`
	Layers       []ocispec.Descriptor `json:"layers"`
	Manifests    []ocispec.Descriptor `json:"manifests"`
	Subject      *ocispec.Descriptor  `json:"subject"`
	Annotations  map[string]string    `json:"annotations"`
}

// platform is one image manifest with its config.
type platform struct {
	name     string
	desc     ocispec.Descriptor
	manifest manifest
	kind     trust.Kind
	config   imageConfig // of a container image
	text     string      // the config of anything else
	why      string      // why the config could not be read, or empty

	measured bool                   // the registry says what it holds of it: has and wrong
	has      int64                  // bytes
	wrong    []provenance.WrongSize // that are known; of another registry those of what was read
}

// imageConfig is a config as docker and OCI have it.
type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	RootFS       struct {
		DiffIDs []digest.Digest `json:"diff_ids"`
	} `json:"rootfs"`
	Config struct {
		User        string
		Env         []string
		Entrypoint  []string
		Cmd         []string
		Labels      map[string]string
		Healthcheck *struct{ Test []string }
	} `json:"config"`
	History []struct {
		CreatedBy string `json:"created_by"`
		Comment   string `json:"comment"`
	} `json:"history"`
}

// label returns an annotation of the manifest, or the label of the same name.
func (p *platform) label(name string) string {
	if v := p.manifest.Annotations[name]; v != "" {
		return v
	}
	return p.config.Config.Labels[name]
}

// read reads an image.
func read(ctx context.Context, from Source, ref string, c Config) (*subject, error) {
	s := &subject{Config: c, now: c.Now().UTC(), from: from, ref: ref, secretTexts: allSecretTexts, configs: maxConfigs}
	var body []byte
	var err error
	if s.desc, body, err = from.Manifest(ctx, ref); err != nil {
		return nil, err
	}
	if err := strictjson.Unmarshal(body, &s.manifest); err != nil {
		return nil, fmt.Errorf("its manifest is not JSON: %w", err)
	}
	d := docReader{s: s, left: maxDocuments, bytes: maxBytes}
	if err := s.readPlatforms(ctx, &d); err != nil {
		return nil, err
	}
	if err := s.measure(ctx); err != nil {
		return nil, err
	}
	d.charts(ctx)
	d.referrers(ctx, s.desc)
	for _, p := range s.platforms {
		if p.desc.Digest != s.desc.Digest {
			d.referrers(ctx, p.desc)
		}
	}
	if err := s.readRecords(ctx); err != nil {
		return nil, err
	}
	if err := s.readWords(ctx, &d); err != nil {
		return nil, err
	}
	s.weigh()
	if s.Fixed != nil && !strings.Contains(s.ref, ":") {
		if s.fixed, err = s.Fixed(ctx, s.ref); err != nil {
			return nil, err
		}
	}
	s.resolveBases(ctx)
	return s, nil
}

// readPlatforms reads the images of an index, or the one image. What BuildKit lists beside them is about
// them.
func (s *subject) readPlatforms(ctx context.Context, d *docReader) error {
	if len(s.manifest.Manifests) == 0 || s.manifest.kind() == trust.Cache { // as an index, a cache lists blobs
		s.platforms = []*platform{s.readPlatform(ctx, "", s.desc, s.manifest)}
		return nil
	}
	for _, child := range s.manifest.inspected() {
		if isAttestations(child) {
			d.attestations(ctx, child)
			continue
		}
		m, size, err := s.readManifest(ctx, child.Digest)
		if err != nil {
			p := &platform{name: platformName(child.Platform), desc: child, kind: trust.Image, why: plain(err)}
			s.platforms = append(s.platforms, p)
			continue
		}
		p := s.readPlatform(ctx, platformName(child.Platform), child, m)
		p.compare(child, size)
		s.platforms = append(s.platforms, p)
	}
	all := s.manifest.platforms()
	s.leftOut = all - len(s.platforms)
	if len(s.manifest.Manifests)-all > maxDocuments {
		d.miss("there is more attached to it than is read", errors.New("a bound was reached"))
	}
	return ctx.Err()
}

// inspected are the children that are read: so many platforms, and as many manifests of BuildKit's attestations as
// documents are read in all.
func (m *manifest) inspected() (list []ocispec.Descriptor) {
	platforms, attestations := 0, 0
	for _, child := range m.Manifests {
		kind, most := &platforms, maxPlatforms
		if isAttestations(child) {
			kind, most = &attestations, maxDocuments
		}
		if *kind++; *kind <= most {
			list = append(list, child)
		}
	}
	return list
}

// platforms is how many children are not attestations.
func (m *manifest) platforms() (n int) {
	for _, child := range m.Manifests {
		if !isAttestations(child) {
			n++
		}
	}
	return n
}

// isAttestations says whether a child is one that BuildKit lists beside the images: it is about them.
func isAttestations(child ocispec.Descriptor) bool {
	return child.Annotations["vnd.docker.reference.type"] == "attestation-manifest"
}

func (s *subject) readManifest(ctx context.Context, d digest.Digest) (m manifest, size int, err error) {
	_, body, err := s.from.Manifest(ctx, d.String())
	if err != nil {
		return m, 0, err
	}
	return m, len(body), strictjson.Unmarshal(body, &m)
}

// compare notes that what was read has another size than its descriptor says.
func (p *platform) compare(d ocispec.Descriptor, size int) {
	if d.Size != int64(size) {
		p.wrong = append(p.wrong, provenance.WrongSize{Digest: d.Digest, Says: d.Size, Has: int64(size)})
	}
}

// A Measurer is a Source that knows the sizes of what it holds.
type Measurer interface {
	// Measure returns the size of what is here of an image, and the sizes that its manifest has wrong.
	Measure(ctx context.Context, d digest.Digest) (size int64, wrong []provenance.WrongSize, err error)
}

// measure asks the source what it holds of each platform. What an index says of its own children was compared when
// they were read.
func (s *subject) measure(ctx context.Context) error {
	from, ok := s.from.(Measurer)
	if !ok {
		return nil
	}
	for _, p := range s.platforms {
		has, wrong, err := from.Measure(ctx, p.desc.Digest)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		p.measured, p.has = true, has
		for _, w := range wrong {
			if !slices.Contains(p.wrong, w) {
				p.wrong = append(p.wrong, w)
			}
		}
	}
	return nil
}

func (s *subject) readPlatform(ctx context.Context, name string, d ocispec.Descriptor, m manifest) *platform {
	p := &platform{name: name, desc: d, manifest: m, kind: m.kind()}
	switch m.Config.Digest {
	case "":
		p.why = "it has no config"
		return p
	case ocispec.DescriptorEmptyJSON.Digest: // nothing is in it
		return p
	}
	if s.configs <= 0 {
		p.why = "the configs of its platforms together are larger than is read"
		return p
	}
	data, err := s.from.Blob(ctx, m.Config, maxConfig, newRoom)
	s.configs -= len(data)
	if err == nil {
		p.compare(m.Config, len(data))
		if p.kind != trust.Image {
			p.text = string(data)
			return p
		}
		err = strictjson.Unmarshal(data, &p.config)
	}
	if err != nil {
		p.why = "its config could not be read: " + plain(err)
	}
	return p
}

// plain is an error in words that do not name addresses.
func plain(err error) string {
	if errors.Is(err, ErrNotFound) {
		return "it is not there"
	}
	return err.Error()
}

func platformName(p *ocispec.Platform) string {
	if p == nil || p.OS == "" && p.Architecture == "" {
		return "unknown"
	}
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// readRecords reads what the registry recorded of the digest, the repository and the tag.
func (s *subject) readRecords(ctx context.Context) error {
	if s.Records == nil {
		return nil
	}
	find := func(q provenance.Query) ([]*provenance.Record, error) {
		q.Repository, q.Descending, q.Limit = s.Repository, true, maxRecords
		page, err := s.Records.Find(ctx, q)
		return page.Records, err
	}
	if err := s.readActs(ctx); err != nil {
		return err
	}
	var err error
	if s.about, err = find(provenance.Query{Digest: s.desc.Digest}); err != nil {
		return err
	}
	if err := s.readPushes(ctx); err != nil {
		return err
	}
	if !strings.Contains(s.ref, ":") {
		s.moves, err = find(provenance.Query{Tag: s.ref})
	}
	return err
}
