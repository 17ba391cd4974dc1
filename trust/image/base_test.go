package image

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/trust"
)

// TestBaseOfProvenance wants the base that provenance names to be found where no record does, as in other registries, and
// several images of a build to be no certain base, unless all are current.
func TestBaseOfProvenance(t *testing.T) {
	materials := func(uris ...string) map[string]any {
		var all []any
		for _, uri := range uris {
			all = append(all, map[string]any{"uri": uri, "digest": map[string]string{"sha256": digest.FromString(uri).Encoded()}})
		}
		return map[string]any{"builder": map[string]string{"id": "https://ci.example/builder"}, "buildType": "https://mobyproject.org/buildkit@v1", "materials": all}
	}
	var many []string
	var tools []string
	for n := range 80 {
		many = append(many, fmt.Sprintf("pkg:docker/registry.example/base@%d", n))
		tools = append(tools, fmt.Sprintf("pkg:docker/docker/dockerfile@%d", n))
	}
	among := append([]string{"pkg:docker/registry.example/base@1"}, tools...)
	for name, c := range map[string]struct {
		predicate map[string]any
		result    trust.Result
		points    int
		says      string
	}{
		"one":                 {materials("pkg:docker/registry.example/base@1"), trust.Pass, 8, ""},
		"and a frontend":      {materials("pkg:docker/registry.example/base@1", "pkg:docker/docker/dockerfile@1"), trust.Pass, 8, ""},
		"outdated":            {materials("pkg:docker/registry.example/old@1"), trust.Fail, 4, ""},
		"two":                 {materials("pkg:docker/registry.example/base@1", "pkg:docker/registry.example/base@2"), trust.Pass, 8, ""},
		"one of them old":     {materials("pkg:docker/registry.example/base@1", "pkg:docker/registry.example/old@1"), trust.Pass, 4, ""},
		"none":                {materials(), trust.Fail, 0, ""},
		"more than are read":  {materials(many...), trust.Pass, 4, "more images than are read: of the 6"},
		"and many tools":      {materials(among...), trust.Pass, 4, "more images than are read: of the 1 that"},
		"only tools are read": {materials(tools...), trust.Unknown, 0, "not known"},
	} {
		i := made{annotations: without(ocispec.AnnotationBaseImageName, ocispec.AnnotationBaseImageDigest), platforms: 1}
		m := i.build()
		for ref, s := range m.manifests {
			if s.desc.MediaType == ocispec.MediaTypeImageManifest && len(m.referrers[s.desc.Digest]) > 0 && ref == s.desc.Digest.String() {
				m.attach(s.desc, "application/vnd.in-toto+json", statementOf("https://slsa.dev/provenance/v0.2", s.desc.Digest, c.predicate))
			}
		}
		r, err := Inspect(t.Context(), m, "1.0", Config{Resolve: func(_ context.Context, image Named) (Meaning, error) {
			if image.Name == "registry.example/old:1" {
				return Meaning{Now: ocispec.DescriptorEmptyJSON.Digest}, nil
			}
			return Meaning{Now: image.Digest}, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantTyped(t, r)
		if got := byID(r.Checks)[trust.ImageBase]; got.Result != c.result || got.Points != c.points || !strings.Contains(got.Says, c.says) {
			t.Errorf("%s: %s with %d points: %s", name, got.Result, got.Points, got.Says)
		}
	}
}

// TestSourceOfMany wants images beyond those that are read to leave nothing open about the source: none is one. Repositories do.
func TestSourceOfMany(t *testing.T) {
	image := func(n int) string { return fmt.Sprintf("pkg:docker/registry.example/base@%d", n) }
	repository := func(n int) string { return fmt.Sprintf("git+https://git.example/team/app%d", n) }
	for name, c := range map[string]struct {
		uri    func(n int) string
		hash   string
		n      int
		result trust.Result
	}{
		"images":       {image, "sha256", 80, trust.Fail},
		"repositories": {repository, "sha1", 1100, trust.Unknown},
	} {
		var all []any
		for n := range c.n {
			hash := digest.FromString(c.uri(n)).Encoded()
			if c.hash == "sha1" {
				hash = hash[:40]
			}
			all = append(all, map[string]any{"uri": c.uri(n), "digest": map[string]string{c.hash: hash}})
		}
		i := made{annotations: without(ocispec.AnnotationSource, ocispec.AnnotationRevision), platforms: 1}
		m := i.build()
		for ref, s := range m.manifests {
			if s.desc.MediaType == ocispec.MediaTypeImageManifest && len(m.referrers[s.desc.Digest]) > 0 && ref == s.desc.Digest.String() {
				m.attach(s.desc, "application/vnd.in-toto+json", statementOf("https://slsa.dev/provenance/v0.2", s.desc.Digest, map[string]any{"buildType": "x", "materials": all}))
			}
		}
		r, err := Inspect(t.Context(), m, "1.0", Config{})
		if err != nil {
			t.Fatal(err)
		}
		if got := byID(r.Checks)[trust.ImageSource]; got.Result != c.result {
			t.Errorf("%s: %s: %s", name, got.Result, got.Says)
		}
	}
}
