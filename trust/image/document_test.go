package image

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/trust"
)

// TestDocumentKinds wants a document to be what its type says, and not what the type is called.
func TestDocumentKinds(t *testing.T) {
	for typ, want := range map[string]kind{
		"https://slsa.dev/provenance/v0.2":                           buildKind,
		"https://slsa.dev/provenance/v1.1":                           buildKind,
		"https://witness.testifysec.com/attestation-collection/v0.1": buildKind,
		"https://spdx.dev/Document/v2.3":                             sbomKind,
		"https://cyclonedx.org/bom":                                  sbomKind,
		"https://cosign.sigstore.dev/attestation/vuln/v1":            vulnerabilityKind,
		"https://in-toto.io/attestation/vulns/v0.1":                  vulnerabilityKind,
		"https://sigstore.dev/cosign/sign/v1":                        signatureKind,
		"https://openvex.dev/ns/v0.2.0":                              "",
		"https://acme.example/no-vulnerabilities-were-looked-for/v1": "",
		"https://acme.example/not-slsa.dev/provenance/v1":            "",
		"https://in-toto.io/attestation/test-result/v0.1":            "",
		"application/spdx+json":                                      sbomKind,
		"application/vnd.cyclonedx+json":                             sbomKind,
		"application/vnd.cyclonedx.vex+json":                         "",
		"application/vnd.openvex+json":                               "",
		"application/sarif+json":                                     vulnerabilityKind,
		"application/vnd.security.vulnerability.report; version=1.1": vulnerabilityKind,
		"application/vnd.aquasec.trivy.report.vuln.v1+json":          vulnerabilityKind,
		"application/vnd.dev.cosign.artifact.sig.v1+json":            signatureKind,
		"application/vnd.in-toto+json":                               "",
		"application/vnd.acme.vulnerability-free":                    "",
	} {
		if got := kindOf(typ); got != want {
			t.Errorf("%q is %q, want %q", typ, got, want)
		}
	}
}

// github is provenance as GitHub writes it, about some images.
func github(t *testing.T, about ...digest.Digest) []byte {
	t.Helper()
	text, err := os.ReadFile("../../provenance/testdata/attestation/github-two-refs-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	var subject []any
	for _, d := range about {
		subject = append(subject, map[string]any{"digest": map[string]string{"sha256": d.Encoded()}})
	}
	s["subject"] = subject
	return mustJSON(s)
}

// TestAttachedClaims wants the report to say what an unsigned statement says that is attached to an image or to one of
// its platforms, in whatever form.
func TestAttachedClaims(t *testing.T) {
	const says = "It claims to be built from https://github.com/acme/app at 0123456789abcdef0123456789abcdef01234567"
	without := made{annotations: map[string]string{}}
	files := func(n int) (all []digest.Digest) {
		for i := range n {
			all = append(all, digest.FromString(string(rune('a'+i))))
		}
		return all
	}
	envelope := func(statement []byte) string {
		return `{"payloadType":"application/vnd.in-toto+json","payload":"` + base64.StdEncoding.EncodeToString(statement) + `","signatures":[{"sig":"AAAA"}]}`
	}
	const older = "application/vnd.dev.sigstore.bundle+json;version=0.2"
	for name, c := range map[string]struct {
		mediaType string
		body      func(index, platform digest.Digest) string
		platform  bool // it is attached to
		says      bool
	}{
		"bare":        {"application/vnd.in-toto+json", func(i, _ digest.Digest) string { return string(github(t, i)) }, false, true},
		"an envelope": {"application/vnd.dsse.envelope.v1+json", func(i, _ digest.Digest) string { return envelope(github(t, i)) }, false, true},
		"JSON lines":  {"application/vnd.in-toto+json", func(i, _ digest.Digest) string { return envelope(github(t, i)) + "\n" + envelope(github(t, i)) + "\n" }, false, true},
		"an older bundle": {older, func(i, _ digest.Digest) string {
			return `{"mediaType":"` + older + `","dsseEnvelope":` + envelope(github(t, i)) + `}`
		}, false, true},
		"to a platform":                  {"application/vnd.in-toto+json", func(_, p digest.Digest) string { return string(github(t, p)) }, true, false},
		"about a platform, to the index": {"application/vnd.in-toto+json", func(_, p digest.Digest) string { return string(github(t, append(files(20), p)...)) }, false, false},
		"about many files and the image": {"application/vnd.in-toto+json", func(i, _ digest.Digest) string { return string(github(t, append(files(90), i)...)) }, false, true},
		"about no image":                 {"application/vnd.in-toto+json", func(digest.Digest, digest.Digest) string { return string(github(t)) }, false, true},
		"about files":                    {"application/vnd.in-toto+json", func(digest.Digest, digest.Digest) string { return string(github(t, files(90)...)) }, false, false},
		"about another image":            {"application/vnd.in-toto+json", func(digest.Digest, digest.Digest) string { return string(github(t, files(1)...)) }, false, false},
	} {
		m := without.build()
		top := m.manifests["1.0"].desc
		var index ocispec.Index
		if err := json.Unmarshal(m.manifests["1.0"].body, &index); err != nil {
			t.Fatal(err)
		}
		to := top
		if c.platform {
			to = index.Manifests[0]
		}
		layer := m.blob(c.mediaType, []byte(c.body(top.Digest, index.Manifests[0].Digest)))
		d := m.put("", ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer}, Subject: &to})
		m.referrers[to.Digest] = append(m.referrers[to.Digest], d)
		r, err := Inspect(t.Context(), m, "1.0", Config{Subject: "registry.example/team/app", Repository: "team/app", Records: m, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(r.Checks, func(c trust.Check) bool { return c.ID == trust.ImageSource })
		if got := r.Checks[at].Says; strings.HasPrefix(got, says) != c.says {
			t.Errorf("%s: %s", name, got)
		}
		// What is said of one platform is told, and not taken for what is said of the whole.
		isTold := strings.Contains(string(mustJSON(r.Checks[at].Evidence)), `"https://github.com/acme/app"`)
		if want := c.says || strings.Contains(name, "a platform"); isTold != want {
			t.Errorf("%s: the evidence names the source: %t", name, isTold)
		}
	}
}
