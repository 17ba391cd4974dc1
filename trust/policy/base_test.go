package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
	"oras.land/oras-go/v2/content"
)

// layered is an image for linux/amd64 whose layers have these diff ids, and stand in the registry compressed in some way.
func layered(labels map[string]string, compression string, layers ...string) (m ocispec.Manifest, blobs [][]byte) {
	var diffs []digest.Digest
	for _, l := range layers {
		diffs = append(diffs, digest.FromString(l))
		blobs = append(blobs, []byte(compression+l))
		m.Layers = append(m.Layers, content.NewDescriptorFromBytes(ocispec.MediaTypeImageLayerGzip, []byte(compression+l)))
	}
	config, _ := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Labels": labels}, "rootfs": map[string]any{"type": "layers", "diff_ids": diffs},
	})
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	m.Config = content.NewDescriptorFromBytes(ocispec.MediaTypeImageConfig, config)
	return m, append(blobs, config)
}

// TestBases looks at the bases of images as clients name them: the index, one platform of it (ko), an image in the midst of
// the build (podman), and in BuildKit's provenance alone. The base is an index, whose tag moves once.
func TestBases(t *testing.T) {
	w := newWorld(t, "rules: []")
	w.resolve = image.NewLocalResolver(w.c.Registry, w.book, w.subject, registry.ErrUnknown, func(string) bool { return true })
	base, name := w.repo("base/os"), w.subject+"/base/os:1"
	tagged := func(layers ...string) (index, platform ocispec.Descriptor) {
		m, blobs := layered(nil, "gzip", layers...)
		platform, err := w.push(base, "", m, blobs...)
		must(t, err)
		platform.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
		index, err = w.push(base, "1", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{platform}})
		must(t, err)
		return index, platform
	}
	on := func(d ocispec.Descriptor) map[string]string {
		return map[string]string{ocispec.AnnotationBaseImageName: name, ocispec.AnnotationBaseImageDigest: d.Digest.String()}
	}
	check := func(what string, d digest.Digest, result trust.Result, points int, says string) {
		t.Helper()
		c, err := w.asked(t, registry.RepoDigest{Repository: "team/app", Digest: d})
		must(t, err)
		r, err := w.inspect(t.Context(), c, w.c.Inspect())
		must(t, err)
		for _, one := range r.Checks {
			if one.ID == trust.ImageBase && (one.Result != result || one.Points != points || !strings.Contains(one.Says, says)) {
				t.Errorf("%s: %s with %d points: %s", what, one.Result, one.Points, one.Says)
			}
		}
	}
	push := func(labels map[string]string, compression string, layers ...string) digest.Digest {
		m, blobs := layered(labels, compression, layers...)
		d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
		must(t, err)
		return d.Digest
	}
	index, platform := tagged("os")
	step := ocispec.Descriptor{Digest: digest.FromString("a step of the build")}
	byIndex, byPlatform := push(on(index), "gzip", "os", "app"), push(on(platform), "gzip", "os", "app")
	byStep, elsewhere := push(on(step), "zstd", "os", "app"), push(on(step), "gzip", "another", "app")
	built := w.built(t, index.Digest, name)
	check("the index", byIndex, trust.Pass, 8, "still what "+name+" means")
	check("its platform", byPlatform, trust.Pass, 8, "in the index that "+name+" still means")
	check("a step, on its layers", byStep, trust.Pass, 8, "begins with the layers of what "+name+" means now")
	check("a step, on other layers", elsewhere, trust.Pass, 4, "meant here was never that")
	check("BuildKit", built, trust.Pass, 8, "still what "+name+" means")
	tagged("newer")
	moved := "is another image since " + w.now().UTC().Format("2006-01-02") + " (record "
	check("the index, moved", byIndex, trust.Fail, 4, moved)
	check("its platform, moved", byPlatform, trust.Fail, 4, moved)
	check("a step, moved", byStep, trust.Pass, 4, "meant here was never that")
	check("BuildKit, moved", built, trust.Fail, 4, moved)
	told := w.resolve
	w.resolve = told.Untimed() // as rules ask: the one who is refused need not be allowed to see the base
	check("the index, moved, without when", byIndex, trust.Fail, 4, "but "+name+" is another image by now.")
	check("a step, moved, without when", byStep, trust.Pass, 4, "meant here was never that")
	w.resolve = told
	tagged("os")
	check("moved back", byIndex, trust.Pass, 8, "still")
}

// built pushes what BuildKit does of a build on one image: an index with an attestation that names it, beside the frontend.
func (w *world) built(t *testing.T, base digest.Digest, name string) digest.Digest {
	t.Helper()
	repo := w.repo("team/app")
	m, blobs := layered(nil, "gzip", "built")
	one, err := w.push(repo, "", m, blobs...)
	must(t, err)
	host, tag, _ := strings.Cut(name, "/os:")
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2",
		"subject":[{"name":"x","digest":{"sha256":%q}}],"predicate":{"builder":{"id":""},"buildType":"https://mobyproject.org/buildkit@v1","materials":[
		{"uri":"pkg:docker/%s/os@%s?platform=linux%%2Famd64","digest":{"sha256":%q}},
		{"uri":"pkg:docker/docker/dockerfile@1","digest":{"sha256":%q}}]}}`,
		one.Digest.Encoded(), host, tag, base.Encoded(), digest.FromString("frontend").Encoded())
	layer := content.NewDescriptorFromBytes("application/vnd.in-toto+json", statement)
	layer.Annotations = map[string]string{"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}
	attestation, err := w.push(repo, "", ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer},
	}, statement)
	must(t, err)
	one.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": one.Digest.String()}
	index, err := w.push(repo, "2.0", ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{one, attestation},
	})
	must(t, err)
	return index.Digest
}
