package signature

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// listing is provenance of an image whose build used so many others.
func listing(images int) []byte {
	var used []string
	for n := range images {
		used = append(used, fmt.Sprintf(`{"uri":"pkg:docker/base","digest":{"sha256":%q}}`, digest.FromString(fmt.Sprint(n)).Encoded()))
	}
	return []byte(strings.Replace(string(statementOf(image)), `"buildDefinition":{`, `"buildDefinition":{"resolvedDependencies":[`+strings.Join(used, ",")+`],`, 1))
}

// TestAttestedIsCut wants what a signed statement says, and was not read, to be told with what is attested of it.
func TestAttestedIsCut(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, "")
	for name, c := range map[string]struct {
		made Document
		why  string
	}{
		"all images":              {m.dsse(listing(64)), ""},
		"one more":                {m.dsse(listing(65)), "it lists more than 64 images"},
		"one more, in a bundle":   {m.bundle(listing(65)), "it lists more than 64 images"},
		"of which nobody vouches": {newMaker(t).dsse(listing(65)), ""},
	} {
		f := trust.Look(inRepo, c.made, now)
		if c.why == "" {
			if len(f.Unread) > 0 {
				t.Errorf("%s: %+v", name, f.Unread)
			}
			continue
		}
		if len(f.Attested) == 0 || len(f.Unread) != 1 || f.Unread[0].About != image || f.Unread[0].Document != c.made.Layer.Digest || !strings.Contains(f.Unread[0].Why, c.why) {
			t.Errorf("%s: %d facts, and what was not read is %+v", name, len(f.Attested), f.Unread)
		}
	}
}

// TestCarriedIsCut wants the same of statements without a signature in a manifest that is signed: of those that are too large, too
// many, or not read to their end.
func TestCarriedIsCut(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, "")
	carrier := digest.FromString("carrier")
	release := m.dsse([]byte(fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://sigstore.dev/cosign/sign/v1","subject":[{"digest":{"sha256":%q}}],"predicate":{}}`, carrier.Encoded())))
	said := func(body []byte) Document { return layer(BareStatement, body, nil) }
	large := said(nil)
	sbom := large
	sbom.Layer.Annotations = map[string]string{"in-toto.io/predicate-type": "https://spdx.dev/Document"}
	lines := said([]byte(strings.Repeat("{}\n", 70)))
	for name, c := range map[string]struct {
		layers  []Document
		subject digest.Digest
		why     []string
	}{
		"all of it":              {[]Document{said(listing(64))}, image, nil},
		"one image more":         {[]Document{said(listing(65))}, image, []string{"more than 64 images"}},
		"the statement names it": {[]Document{said(listing(65))}, "", []string{"more than 64 images"}},
		"one too large":          {[]Document{large, said(listing(1))}, image, []string{"it has 50000000 bytes"}},
		"an SBOM too large":      {[]Document{sbom, said(listing(1))}, image, nil},
		"too large, about none":  {[]Document{large, said(listing(1))}, "", nil},
		"too many lines":         {[]Document{lines, said(listing(1))}, image, []string{"more than 64 lines"}},
		"too many layers":        {slices.Repeat([]Document{said(listing(1))}, maxLayers+1), image, []string{"more than 16 statements"}},
	} {
		to := arriving(release)
		to.Subject = carrier
		var layers []ocispec.Descriptor
		for _, d := range c.layers {
			layers = append(layers, d.Layer)
		}
		to.Signed = func(context.Context) (registry.Signed, error) {
			return registry.Signed{Subject: c.subject, Layers: layers}, nil
		}
		to.Blob = func(_ context.Context, d digest.Digest, most int64, room func(n int) ([]byte, error)) ([]byte, error) {
			of := slices.IndexFunc(c.layers, func(l Document) bool { return l.Layer.Digest == d })
			if c.layers[of].Body == nil {
				return nil, &registry.TooLargeError{Size: 50_000_000, Most: most}
			}
			body, err := room(len(c.layers[of].Body))
			copy(body, c.layers[of].Body)
			return body, err
		}
		found := []provenance.Finding{trust.Look(inRepo, Document{Subject: carrier, Manifest: to.Manifest, Layer: release.Layer, Body: release.Body}, now)}
		if err := trust.attestCarried(t.Context(), to, found, now); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		f := found[0]
		told := len(f.Unread) == len(c.why)
		for i, why := range c.why {
			told = told && f.Unread[i].About == image && strings.Contains(f.Unread[i].Why, why)
		}
		if !told || len(f.Attested) == 0 {
			t.Errorf("%s: %d facts, and what was not read is %+v", name, len(f.Attested), f.Unread)
		}
	}
}
