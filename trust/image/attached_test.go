package image

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// TestMarkRemoved takes signatures away, of either form, and wants them to count for nothing.
func TestMarkRemoved(t *testing.T) {
	t.Parallel()
	const bundle, simple = "application/vnd.dev.sigstore.bundle.v0.3+json", "application/vnd.dev.cosign.simplesigning.v1+json"
	mem := made{platforms: 1}.build()
	top := mem.manifests["1.0"].desc
	mem.attach(top, bundle, map[string]any{"one": 1})
	carrier := mem.referrers[top.Digest][len(mem.referrers[top.Digest])-1].Digest
	older := mem.blob(simple, []byte(`{"two":2}`))
	first := mem.put("", ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{older}})
	tag := strings.Replace(top.Digest.String(), ":", "-", 1) + ".sig"
	again := mem.blob(simple, []byte(`{"three":3}`))
	mem.put(tag, ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{older, again}}) // as cosign does
	judged := func() (counts string) {
		verdicts := []provenance.WeighedVerdict{
			{Verdict: provenance.Verdict{Manifest: carrier, Evidence: provenance.Evidence{Digest: digest.FromString("a layer")}}},
			{Verdict: provenance.Verdict{Manifest: first.Digest, Evidence: provenance.Evidence{Digest: older.Digest}}},
			{Verdict: provenance.Verdict{Manifest: digest.FromString("gone"), Evidence: provenance.Evidence{Digest: digest.FromString("gone too")}}},
		}
		for i := range verdicts {
			verdicts[i].Standing = &provenance.Standing{Counts: true}
		}
		if err := markRemoved(t.Context(), mem, top.Digest, verdicts); err != nil {
			t.Fatal(err)
		}
		for _, v := range verdicts {
			counts += map[bool]string{true: "y", false: "n"}[v.Standing.Counts]
			if !v.Standing.Counts && v.Standing.Reason != provenance.Removed {
				t.Errorf("it is worth %+v", v.Standing)
			}
		}
		return counts
	}
	if got := judged(); got != "yyn" {
		t.Errorf("of those that are attached, and one that is not: %s", got)
	}
	delete(mem.manifests, tag)
	if got := judged(); got != "ynn" {
		t.Errorf("after the tag was removed: %s", got)
	}
	delete(mem.manifests, carrier.String())
	delete(mem.referrers, top.Digest)
	if got := judged(); got != "nnn" {
		t.Errorf("after the bundle was removed: %s", got)
	}
}

// TestOlderTag wants no tag that is longer than a tag may be.
func TestOlderTag(t *testing.T) {
	t.Parallel()
	if got := olderTag(digest.SHA512.FromString("x"), ".sig"); got != "" {
		t.Errorf("it is %q", got)
	}
	if got := olderTag(digest.FromString("x"), ".sig"); len(got) != 75 {
		t.Errorf("it is %q", got)
	}
}
