package image

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/trust"
)

// shape is a manifest by its types.
type shape struct {
	mediaType, artifactType, config string
	layers                          []string
	subject                         bool
}

func (s shape) manifest(m *memory, config string) ocispec.Manifest {
	out := ocispec.Manifest{MediaType: s.mediaType, ArtifactType: s.artifactType, Config: m.blob(s.config, []byte(config))}
	if out.MediaType == "" {
		out.MediaType = ocispec.MediaTypeImageManifest
	}
	for n, l := range s.layers {
		out.Layers = append(out.Layers, ocispec.Descriptor{MediaType: l, Digest: digest.FromString(l), Size: int64(n)})
	}
	if s.subject {
		out.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("subject")}
	}
	return out
}

func emptyMemory() *memory {
	return &memory{manifests: map[string]stored{}, blobs: map[digest.Digest][]byte{}, referrers: map[digest.Digest][]ocispec.Descriptor{}}
}

const (
	chartConfig = "application/vnd.cncf.helm.config.v1+json"
	chartLayer  = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	wasmLayer   = "application/vnd.wasm.content.layer.v1+wasm"
)

// TestKindOfManifest tells things apart in the forms that their tools push, and wants what a client would run as an image to be
// one, whatever else it calls itself.
func TestKindOfManifest(t *testing.T) {
	image, layer := ocispec.MediaTypeImageConfig, ocispec.MediaTypeImageLayerGzip
	for name, c := range map[string]struct {
		shape
		want trust.Kind
	}{
		"image":                           {shape{config: image, layers: []string{layer}}, trust.Image},
		"docker's image":                  {shape{mediaType: dockerManifest, config: dockerImage, layers: []string{"application/vnd.docker.image.rootfs.diff.tar.gzip"}}, trust.Image},
		"image without layers":            {shape{config: image}, trust.Image},
		"an image that says it is none":   {shape{artifactType: chartConfig, config: image, layers: []string{layer}}, trust.Image},
		"an image with a subject":         {shape{config: image, layers: []string{layer}, subject: true}, trust.Image},
		"docker's, under a chart's type":  {shape{mediaType: dockerManifest, config: chartConfig, layers: []string{"application/vnd.docker.image.rootfs.diff.tar.gzip"}}, trust.Image},
		"an image with a model in it":     {shape{config: dockerImage, layers: []string{layer, "application/vnd.ollama.image.model"}}, trust.Image},
		"chart":                           {shape{config: chartConfig, layers: []string{chartLayer}}, trust.Chart},
		"signed chart":                    {shape{config: chartConfig, layers: []string{chartLayer, "application/vnd.cncf.helm.chart.provenance.v1.prov"}}, trust.Chart},
		"chart with an image's layer":     {shape{config: chartConfig, layers: []string{chartLayer, layer}}, trust.Unnamed},
		"chart without layers":            {shape{config: chartConfig}, trust.Unnamed},
		"oras, files":                     {shape{artifactType: orasType, config: noConfigType, layers: []string{"text/plain"}}, trust.Files},
		"oras, a directory":               {shape{artifactType: orasType, config: noConfigType, layers: []string{layer}}, trust.Files},
		"older oras":                      {shape{config: orasConfigType, layers: []string{ocispec.MediaTypeImageLayer}}, trust.Files},
		"an artifact type":                {shape{artifactType: "application/vnd.example.rocket", config: noConfigType, layers: []string{"text/plain"}}, trust.Unnamed},
		"a config type":                   {shape{config: "application/vnd.cncf.flux.config.v1+json", layers: []string{"application/vnd.cncf.flux.content.v1.tar+gzip"}}, trust.Unnamed},
		"wasm":                            {shape{config: "application/vnd.wasm.config.v0+json", layers: []string{"application/wasm"}}, trust.Wasm},
		"older wasm":                      {shape{config: "application/vnd.wasm.config.v1+json", layers: []string{wasmLayer}}, trust.Wasm},
		"wasm under an image's config":    {shape{config: image, layers: []string{wasmLayer}}, trust.Wasm},
		"wasm by oras":                    {shape{artifactType: orasType, config: noConfigType, layers: []string{wasmLayer}}, trust.Wasm},
		"ModelPack":                       {shape{artifactType: "application/vnd.cncf.model.manifest.v1+json", config: "application/vnd.cncf.model.config.v1+json", layers: []string{"application/vnd.cncf.model.weight.v1.tar", "application/vnd.cncf.model.doc.v1.raw"}}, trust.Model},
		"Docker's model":                  {shape{config: "application/vnd.docker.ai.model.config.v0.1+json", layers: []string{"application/vnd.docker.ai.gguf.v3", "application/vnd.docker.ai.license"}}, trust.Model},
		"Ollama's model":                  {shape{mediaType: dockerManifest, config: dockerImage, layers: []string{"application/vnd.ollama.image.model", "application/vnd.ollama.image.license"}}, trust.Model},
		"cache":                           {shape{config: "application/vnd.buildkit.cacheconfig.v0", layers: []string{layer}}, trust.Cache},
		"cosign's signature":              {shape{config: image, layers: []string{"application/vnd.dev.cosign.simplesigning.v1+json"}}, trust.Document},
		"what is attached":                {shape{artifactType: "application/vnd.example.note", config: noConfigType, layers: []string{"text/plain"}, subject: true}, trust.Document},
		"an image with a document in it":  {shape{config: image, layers: []string{layer, "application/vnd.in-toto+json"}}, trust.Image},
		"BuildKit's attestation manifest": {shape{config: image, layers: []string{"application/vnd.in-toto+json"}}, trust.Document},
	} {
		t.Run(name, func(t *testing.T) {
			m := emptyMemory()
			m.put("1.0", c.manifest(m, "{}"))
			r := mustInspect(t, m, "1.0")
			if r.Kind != c.want || (r.Ungraded == "") != c.want.Graded() {
				t.Errorf("it is %q, want %q; %s", r.Kind, c.want, r.Ungraded)
			}
			asked := trust.Applies[c.want]
			if asked == nil {
				asked = trust.Asked
				if r.Grade != "" || r.Grades[trust.Quality].Grade != "" || r.Grades[trust.Provenance].Grade != "" {
					t.Errorf("it has a grade: %+v", r.Grades)
				}
			}
			for _, check := range r.Checks {
				if asked := slices.Contains(asked, check.ID); !asked && check.Result != trust.NA {
					t.Errorf("%s: %s: %s", check.ID, check.Result, check.Says)
				}
			}
		})
	}
}

func mustInspect(t *testing.T, m *memory, ref string) *Report {
	t.Helper()
	r, err := Inspect(t.Context(), m, ref, Config{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestKindOfIndex wants an index to be of the kind of what it lists, to have no grade where a platform has none, and a
// cache to be one also as an index, which lists blobs.
func TestKindOfIndex(t *testing.T) {
	m := made{}.build()
	var unknown, chart ocispec.Descriptor
	unknown = m.put("", shape{config: "application/x", layers: []string{"text/plain"}}.manifest(m, "{}"))
	chart = m.put("", shape{config: chartConfig, layers: []string{chartLayer}}.manifest(m, "{}"))
	image := made{}.platform(m, "amd64")
	m.put("charts", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{chart, chart}})
	m.put("mixed", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{image, unknown}})
	m.put("cache", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{
		{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("layer")}, m.blob("application/vnd.buildkit.cacheconfig.v0", []byte("{}")),
	}})
	for ref, want := range map[string]trust.Kind{"charts": trust.Chart, "mixed": trust.Image, "cache": trust.Cache, "1.0": trust.Image} {
		r := mustInspect(t, m, ref)
		if r.Kind != want || (r.Ungraded == "") != (ref == "charts" || ref == "1.0") {
			t.Errorf("%s: %q, %q", ref, r.Kind, r.Ungraded)
		}
	}
}

// TestPlatformsLeftOut wants no grade where there are platforms that nobody looked at.
func TestPlatformsLeftOut(t *testing.T) {
	m := made{}.build()
	children := slices.Repeat([]ocispec.Descriptor{made{}.platform(m, "amd64")}, maxPlatforms+1)
	m.put("many", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
	if r := mustInspect(t, m, "many"); r.Grade != "" || !strings.Contains(r.Ungraded, "17 platforms, of which 16") {
		t.Errorf("grade %q, %q", r.Grade, r.Ungraded)
	}
}

// TestIndexIsItsWorst wants an index to have the score of its worst platform, where another one hides a failure behind
// what is not known of it, and where platforms fail in different ways.
func TestIndexIsItsWorst(t *testing.T) {
	m := made{}.build()
	hidden := made{noConfig: true}.platform(m, "s390x")
	root := made{config: func(c map[string]any) { delete(c, "User") }}.platform(m, "riscv64")
	unscanned := made{without: vulnerabilityKind}.platform(m, "ppc64le")
	for n, d := range []*ocispec.Descriptor{&hidden, &root, &unscanned} {
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: []string{"s390x", "riscv64", "ppc64le"}[n]}
	}
	for name, children := range map[string][]ocispec.Descriptor{"hiding": {hidden, root}, "differing": {unscanned, root}} {
		m.put(name, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
		r := mustInspect(t, m, name)
		for q, s := range r.Grades {
			found := false
			for _, p := range r.Platforms {
				g := p.Grades[q]
				found = found || g.Score == s.Score && g.Of == s.Of && g.Grade == s.Grade && p.Platform == s.Part
				if s.Grade.Valid() && !g.Grade.AtLeast(s.Grade) {
					t.Errorf("%s: %s is %s, and %s is %s", name, q, s.Grade, p.Platform, g.Grade)
				}
			}
			if !found {
				t.Errorf("%s: no platform has the %s %+v", name, q, s)
			}
		}
	}
}

// TestIndexClaims wants no source to be claimed of an index of which one platform claims none.
func TestIndexClaims(t *testing.T) {
	m := made{}.build()
	says, silent := made{}.platform(m, "amd64"), made{annotations: map[string]string{}}.platform(m, "arm64")
	says.Platform, silent.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}, &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	for name, children := range map[string][]ocispec.Descriptor{"first": {says, silent}, "last": {silent, says}} {
		m.put(name, ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
		c := byID(mustInspect(t, m, name).Checks)[trust.ImageSource]
		if c.Points != 0 || !strings.HasPrefix(c.Says, "linux/arm64: It does not say from which source it was built.") {
			t.Errorf("%s: %v points: %s", name, c.Points, c.Says)
		}
	}
	m.put("noted", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{says, silent}, Annotations: good()})
	if c := byID(mustInspect(t, m, "noted").Checks)[trust.ImageSource]; c.Points == 0 {
		t.Errorf("an index that says it itself: %s", c.Says)
	}
}

// TestArtifactsSay looks for secrets and licences where charts and models have them, and gives advice that fits.
func TestArtifactsSay(t *testing.T) {
	m := emptyMemory()
	chart := shape{config: chartConfig, layers: []string{chartLayer}}.manifest(m, `{"name":"hello","description":"`+githubToken+`"}`)
	m.put("bare", chart)
	chart.Annotations = map[string]string{"artifacthub.io/license": "MIT"}
	chart.Config = m.blob(chartConfig, []byte(`{"name":"hello"}`))
	m.put("stated", chart)
	m.put("model", shape{config: "application/vnd.cncf.model.config.v1+json", layers: []string{"application/vnd.cncf.model.weight.v1.tar"}}.
		manifest(m, `{"descriptor":{"licenses":["Apache-2.0"]}}`))
	m.put("docker", shape{config: "application/vnd.docker.ai.model.config.v0.1+json", layers: []string{"application/vnd.docker.ai.license"}}.manifest(m, `{}`))
	bare := byID(mustInspect(t, m, "bare").Checks)
	if c := bare[trust.ImageSecrets]; c.Result != trust.Fail || !strings.HasPrefix(c.Says, "config: ") {
		t.Errorf("a secret in its config: %s: %s", c.Result, c.Says)
	}
	if c := bare[trust.ImageBuild]; strings.Contains(c.Advice, "BuildKit") || c.Advice == "" {
		t.Errorf("advice for a chart: %s", c.Advice)
	}
	if c := bare[trust.ImageLicences]; c.Result != trust.Fail {
		t.Errorf("licences: %s: %s", c.Result, c.Says)
	}
	for _, ref := range []string{"stated", "model", "docker"} {
		if c := byID(mustInspect(t, m, ref).Checks)[trust.ImageLicences]; c.Result != trust.Pass {
			t.Errorf("%s: %s: %s", ref, c.Result, c.Says)
		}
	}
}
