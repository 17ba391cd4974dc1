package image

import (
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// TestLargeDocuments wants large documents to be read, and of those that are larger only that they were not.
func TestLargeDocuments(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	m := newTeam(t)
	sbom := func(top ocispec.Descriptor, size int) any {
		return statementOf("https://spdx.dev/Document", top.Digest, map[string]any{
			"packages": []any{map[string]string{"licenseDeclared": "MIT"}, map[string]string{"licenseDeclared": "NONE"}}, "comment": strings.Repeat("y", size),
		})
	}
	const bare, sealed = "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json"
	for name, c := range map[string]struct {
		attach    func(*memory, ocispec.Descriptor)
		sbom, sig trust.Result
	}{
		"a bare statement":                {func(mem *memory, top ocispec.Descriptor) { mem.attach(top, bare, sbom(top, 9<<20)) }, trust.Pass, trust.Fail},
		"one signed":                      {func(mem *memory, top ocispec.Descriptor) { mem.attach(top, sealed, m.envelope(sbom(top, 9<<20))) }, trust.Pass, trust.Fail},
		"one signed, larger than is read": {func(mem *memory, top ocispec.Descriptor) { mem.attach(top, sealed, m.envelope(sbom(top, 13<<20))) }, trust.Unknown, trust.Unknown},
		"larger than is read": {func(mem *memory, top ocispec.Descriptor) {
			layer := mem.blob(bare, []byte(strings.Repeat(" ", provenance.MaxBare+1)))
			mem.referrers[top.Digest] = append(mem.referrers[top.Digest], mem.put("", ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{layer}, Subject: &top}))
		}, trust.Unknown, trust.Unknown},
	} {
		mem := made{platforms: 1, without: sbomKind}.build()
		c.attach(mem, mem.manifests["1.0"].desc)
		r, err := Inspect(t.Context(), mem, "1.0", Config{Repository: "team/app", Trust: m.trust(""), Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		checks := byID(r.Checks)
		if got := checks[trust.ImageSBOM]; got.Result != c.sbom {
			t.Errorf("%s: the SBOM: %s: %s", name, got.Result, got.Says)
		}
		if got := checks[trust.ImageSignature]; got.Result != c.sig {
			t.Errorf("%s: the signature: %s: %s", name, got.Result, got.Says)
		}
	}
}
