package image

import (
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/trust"
)

// TestOneVoice wants a source to be claimed at the revision that was claimed with it, and at no revision of another.
func TestOneVoice(t *testing.T) {
	const source, revision = ocispec.AnnotationSource, ocispec.AnnotationRevision
	const other = "https://git.example/team/other"
	for name, c := range map[string]struct {
		platforms, index map[string]string
		says             string
	}{
		"another source of the index": {good(), map[string]string{source: other}, "It claims to be built from https://git.example/team/app at 1f0c2a4;"},
		"both of the index":           {good(), map[string]string{source: other, revision: "ffffff0"}, "It claims to be built from " + other + " at ffffff0;"},
		"neither of the platforms":    {map[string]string{}, map[string]string{source: other}, "It names a source, " + other + ", and no revision of it."},
		"one of each":                 {map[string]string{revision: "1f0c2a4"}, map[string]string{source: other}, "It names a source, " + other + ", and no revision of it."},
	} {
		m := made{annotations: c.platforms, labels: c.index}.build()
		r, err := Inspect(t.Context(), m, "1.0", Config{Subject: "registry.example/team/app", Repository: "team/app"})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(r.Checks, func(c trust.Check) bool { return c.ID == trust.ImageSource })
		if got := r.Checks[at].Says; !strings.HasPrefix(got, c.says) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// TestNotesOnce wants what an image without an index says of its source once: it is its own platform.
func TestNotesOnce(t *testing.T) {
	desc := ocispec.Descriptor{Digest: "sha256:one"}
	var m manifest
	m.Annotations = map[string]string{ocispec.AnnotationSource: "https://git.example/app"}
	s := &subject{desc: desc, manifest: m, platforms: []*platform{{desc: desc, manifest: m}}}
	if facts := s.facts(); len(facts) != 1 || facts[0].Value != "https://git.example/app" {
		t.Errorf("it says %+v", facts)
	}
	s.platforms[0].desc.Digest = "sha256:two" // of an index
	if facts := s.facts(); len(facts) != 2 {
		t.Errorf("an index and its platform say %+v", facts)
	}
}
