package registry

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
)

const slsaV1 = "https://slsa.dev/provenance/v1"

// statement is provenance as BuildKit writes it, about an image or, as it is with older ones, about none.
func statement(subject digest.Digest, revision string) string {
	subjects := "[]"
	if subject != "" {
		subjects = fmt.Sprintf(`[{"name":"_","digest":{"sha256":%q}}]`, subject.Encoded())
	}
	return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":%s,"predicate":{
		"buildDefinition":{"externalParameters":{"request":{"root":{"request":{"args":{"build-arg:TOKEN":"hunter2","vcs:source":"https://git.example/app","vcs:revision":%q}}}}}},
		"runDetails":{"builder":{"id":"https://builder.example/1"}}}}`, slsaV1, subjects, revision)
}

// attestationManifest is what holds a statement: attached to an image, or to none.
func (s *server) attestationManifest(repo, text, mediaType string, subject digest.Digest) string {
	s.t.Helper()
	config, layer := s.pushBlob(repo, "{}"), s.pushBlob(repo, text)
	config.MediaType, layer.MediaType = ocispec.MediaTypeImageConfig, mediaType
	layer.Annotations = map[string]string{"in-toto.io/predicate-type": slsaV1}
	m := map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": []any{layer}}
	if subject != "" {
		m["subject"] = ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1}
	}
	return marshal(m)
}

// indexOf lists an image, and its attestation as BuildKit does.
func indexOf(img, attestation image) string {
	of := func(i image) map[string]any {
		return map[string]any{"mediaType": ocispec.MediaTypeImageManifest, "digest": i.digest, "size": len(i.body)}
	}
	beside := of(attestation)
	beside["annotations"] = map[string]string{referenceType: "attestation-manifest", referenceDigest: img.digest.String()}
	return marshal(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": []any{of(img), beside}})
}

// facts are the claims of a record, each as fact=value, and what they are about and found in.
func factsOf(r *provenance.Record) (facts []string, about []digest.Digest, evidence []provenance.Evidence) {
	for _, c := range r.Claimed {
		facts = append(facts, c.Fact+"="+c.Value)
		about, evidence = append(about, c.About), append(evidence, c.Evidence)
	}
	slices.Sort(facts)
	return facts, slices.Compact(about), slices.Compact(evidence)
}

func TestAttestationInIndex(t *testing.T) {
	for name, subjects := range map[string]struct{ inStatement, inManifest bool }{
		"newer BuildKit": {true, true}, "older BuildKit": {true, false},
		"newer, for no name": {false, true}, "older, for no name": {false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, t.TempDir(), Config{})
			img := s.pushManifest("app", "", imageManifest(s.pushBlob("app", "{}"), s.pushBlob("app", "layer")))
			var inStatement, inManifest digest.Digest
			if subjects.inStatement {
				inStatement = img.digest
			}
			if subjects.inManifest {
				inManifest = img.digest
			}
			text := statement(inStatement, "c1")
			body := s.attestationManifest("app", text, "application/vnd.in-toto+json", inManifest)
			att := s.pushManifest("app", "", body)
			index := s.pushManifest("app", "1.0", indexOf(img, att))

			want := []string{"builder=https://builder.example/1", "revision=c1", "source=https://git.example/app"}
			for which, r := range map[string]*provenance.Record{"attestation": s.record(att.record), "index": s.record(index.record)} {
				facts, about, evidence := factsOf(r)
				if which == "attestation" && inStatement == "" && inManifest == "" {
					if len(facts) != 0 {
						t.Errorf("nobody said what the attestation is about, and it claims %v", facts)
					}
					continue
				}
				if !slices.Equal(facts, want) {
					t.Errorf("the record of the %s claims %v", which, facts)
				}
				if !slices.Equal(about, []digest.Digest{img.digest}) {
					t.Errorf("the record of the %s is about %v", which, about)
				}
				if !slices.Equal(evidence, []provenance.Evidence{{Digest: digest.FromString(text), PredicateType: slsaV1}}) {
					t.Errorf("the evidence of the %s is %v", which, evidence)
				}
			}
			page, err := s.book.Find(background, provenance.Query{Source: "git.example/app", Revision: "c1", Descending: true, Limit: 1})
			if err != nil || len(page.Records) != 1 || page.Records[0].Tags[0].Name != "1.0" {
				t.Errorf("the source does not find the tag: %v, %v", page.Records, err)
			}
			s.wantClean()
		})
	}
}

// TestAttestationAttached attaches provenance before and after its image, bare and in the ways of cosign.
func TestAttestationAttached(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	body := imageManifest(s.pushBlob("app", configOf("x")), s.pushBlob("app", "x"))
	d := digest.FromString(body)
	envelope := fmt.Sprintf(`{"payloadType":"application/vnd.in-toto+json","payload":%q,"signatures":[]}`,
		base64.StdEncoding.EncodeToString([]byte(statement(d, "signed"))))
	before := s.pushManifest("app", "", s.attestationManifest("app", statement("", "before"), "application/vnd.in-toto+json", d))
	s.pushManifest("app", "1.0", body)
	for name, img := range map[string]image{
		"before": before,
		"after":  s.pushManifest("app", "", s.attestationManifest("app", statement(d, "after"), "application/vnd.in-toto+json", d)),
		"signed": s.pushManifest("app", strings.Replace(d.String(), ":", "-", 1)+".att", s.attestationManifest("app", envelope, "application/vnd.dsse.envelope.v1+json", "")),
	} {
		r := s.record(img.record)
		facts, about, _ := factsOf(r)
		if !slices.Contains(facts, "revision="+name) || !slices.Equal(about, []digest.Digest{d}) {
			t.Errorf("%s: claims %v about %v", name, facts, about)
		}
		if strings.Contains(marshal(r), "hunter2") {
			t.Errorf("%s: a build argument is in the record", name)
		}
	}
	page, err := s.book.Find(background, provenance.Query{About: d})
	if err != nil || len(page.Records) != 3 {
		t.Errorf("%d records claim something about the image, %v", len(page.Records), err)
	}
	s.wantClean()
}

// TestAttestationTypes attaches provenance under the media types of layers and artifacts that clients use.
func TestAttestationTypes(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	img := s.pushManifest("app", "1.0", imageManifest(s.pushBlob("app", configOf("x")), s.pushBlob("app", "x")))
	envelope := fmt.Sprintf(`{"payloadType":"application/vnd.in-toto+json","payload":%q,"signatures":[]}`,
		base64.StdEncoding.EncodeToString([]byte(statement(img.digest, "c1"))))
	bundle := `{"mediaType":"application/vnd.dev.sigstore.bundle+json;version=0.2","dsseEnvelope":` + envelope + `}`
	const older, generic = "application/vnd.dev.sigstore.bundle+json;version=0.2", "application/json"
	for i, c := range []struct {
		artifactType, mediaType, text string
		claims                        bool
	}{
		{older, older, bundle, true},
		{"", "application/vnd.dev.sigstore.bundle+json", bundle, true},
		{"", "application/vnd.dev.sigstore.bundle.v0.3+json", bundle, true},
		{"", "application/vnd.in-toto+json", envelope + "\n" + envelope + "\n", true},
		{"application/vnd.in-toto+json", generic, statement(img.digest, "c1"), true},
		{"application/vnd.in-toto.provenance+dsse", "application/octet-stream", envelope, true},
		{"application/spdx+json", generic, statement(img.digest, "c1"), false},
		{"application/vnd.in-toto+json", "application/vnd.oci.image.layer.v1.tar", statement(img.digest, "c1"), false},
	} {
		body := s.attestationManifest("app", c.text, c.mediaType, img.digest)
		if c.artifactType != "" {
			body = strings.Replace(body, `{`, fmt.Sprintf(`{"artifactType":%q,"annotations":{"n":"%d"},`, c.artifactType, i), 1)
		}
		facts, _, _ := factsOf(s.record(s.pushManifest("app", "", body).record))
		want := []string{"builder=https://builder.example/1", "revision=c1", "source=https://git.example/app"}
		if !c.claims {
			want = nil
		}
		if !slices.Equal(facts, want) {
			t.Errorf("%s of %s: claims %v", c.mediaType, c.artifactType, facts)
		}
	}
	s.wantClean()
}

// TestNoAttestation wants pushes to succeed, and no claims, where a layer is not what it is said to be.
func TestNoAttestation(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	img := s.pushManifest("app", "1.0", imageManifest(s.pushBlob("app", "{}"), s.pushBlob("app", "layer")))
	for name, text := range map[string]string{
		"no JSON": "\x00", "a list": "[]", "cut short": statement(img.digest, "c")[:200],
		"an SBOM": strings.Replace(statement(img.digest, "c"), slsaV1, "https://spdx.dev/Document", 1),
	} {
		got := s.pushManifest("app", "", s.attestationManifest("app", text, "application/vnd.in-toto+json", img.digest))
		if r := s.record(got.record); len(r.Claimed) != 0 {
			t.Errorf("%s: claims %v", name, r.Claimed)
		}
	}
	sbom := s.attestationManifest("app", statement(img.digest, "c"), "application/vnd.in-toto+json", img.digest)
	got := s.pushManifest("app", "", strings.Replace(sbom, slsaV1, "https://spdx.dev/Document", 1))
	if r := s.record(got.record); len(r.Claimed) != 0 {
		t.Errorf("what is said to be an SBOM was read: %v", r.Claimed)
	}
	// An index does not repeat what its children claim about others.
	att := s.pushManifest("app", "", s.attestationManifest("app", statement(digest.FromString("other"), "c"), "application/vnd.in-toto+json", ""))
	index := s.pushManifest("app", "", indexOf(img, att))
	if facts, _, _ := factsOf(s.record(index.record)); len(facts) != 0 {
		t.Errorf("an index repeats claims about what it does not list: %v", facts)
	}
	s.wantClean()
}

// TestAttestationUnread wants what was not read to be on record as unknown, with the reason, and not as nothing.
func TestAttestationUnread(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	img := s.pushManifest("app", "", imageManifest(s.pushBlob("app", "{}"), s.pushBlob("app", "layer")))
	long := strings.Repeat(" ", provenance.MaxAttestation)
	envelope := func(revision string) string {
		return fmt.Sprintf(`{"payloadType":"application/vnd.in-toto+json","payload":%q,"signatures":[]}`,
			base64.StdEncoding.EncodeToString([]byte(statement(img.digest, revision)))) + long
	}
	lines := strings.Repeat("{}\n", 70)
	for name, c := range map[string]struct {
		text, mediaType string
		claims          bool
		why             string
	}{
		"an envelope":         {envelope("c1"), provenance.EnvelopeType, false, "bytes, and at most 16777216 are read"},
		"a bundle":            {envelope("c2"), "application/vnd.dev.sigstore.bundle.v0.3+json", false, "bytes, and at most 16777216 are read"},
		"a bare statement":    {statement(img.digest, "c3") + long, "application/vnd.in-toto+json", true, ""},
		"a larger one":        {statement(img.digest, "c4") + long + long + long, "application/vnd.in-toto+json", false, "bytes, and at most 41943040 are read"},
		"more lines than are": {lines, "application/vnd.in-toto+json", false, "more than 64 lines"},
	} {
		att := s.pushManifest("app", "", s.attestationManifest("app", c.text, c.mediaType, img.digest))
		index := s.pushManifest("app", "", indexOf(img, att))
		for which, r := range map[string]*provenance.Record{"attestation": s.record(att.record), "index": s.record(index.record)} {
			if got := len(r.Claimed) > 0; got != c.claims {
				t.Errorf("%s: the record of the %s claims %v", name, which, r.Claimed)
			}
			if c.why == "" {
				if len(r.Unread) > 0 {
					t.Errorf("%s: the record of the %s says that it was not read: %v", name, which, r.Unread)
				}
				continue
			}
			if len(r.Unread) != 1 || r.Unread[0].Document != digest.FromString(c.text) || r.Unread[0].About != img.digest || !strings.Contains(r.Unread[0].Why, c.why) {
				t.Errorf("%s: the record of the %s says that this was not read: %v", name, which, r.Unread)
			}
		}
		said, err := s.book.Testimony(background, "app", []digest.Digest{img.digest})
		sum := provenance.SumUp(said.Records, said.Beside, []digest.Digest{img.digest})
		built := sum.Built()
		if err != nil || c.why != "" && (built == nil || !strings.Contains(built.Unread, "was not read")) {
			t.Errorf("%s: built: %+v, %v", name, built, err)
		}
	}
	s.wantClean()
}
