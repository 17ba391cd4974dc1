package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestSHA512 pushes an image and an index that are named by SHA-512, like all that they are made of and that is attached to
// them, and wants them to be inspected as others are.
func TestSHA512(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	key.write("builders:\n  - {id: \"https://ci.example/*\", by: release-key}\n")
	s := startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "trust:\n  file: "+key.file+"\n"))
	l := pusher{s, "team/app", digest.SHA512}
	const envelope, commit = "application/vnd.dsse.envelope.v1+json", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	provenance := fmt.Sprintf(`{"buildDefinition":{"externalParameters":{"configSource":{"uri":"https://git.example/team/app","digest":{"sha1":%q}}}},"runDetails":{"builder":{"id":"https://ci.example/builder"}}}`, commit)
	one := l.image("one", "amd64")
	index := l.manifest("all", ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{l.image("", "arm64"), l.image("", "riscv64")},
	})
	for tag, image := range map[string]ocispec.Descriptor{"one": one, "all": index} {
		l.attach(image, envelope, key.sealed(image.Digest, "https://sigstore.dev/cosign/sign/v1", "{}"))
		l.attach(image, envelope, key.sealed(image.Digest, "https://slsa.dev/provenance/v1", provenance))
		l.attach(image, "application/vnd.cyclonedx+json", `{"bomFormat":"CycloneDX","components":[{"name":"a","licenses":[{"license":{"id":"MIT"}}]}]}`)
		for _, ref := range []string{tag, image.Digest.String()} {
			s.wantWhole("team/app", ref, image.Digest, commit)
		}
	}
	bare := l.image("bare", "s390x")
	carrier := l.attach(bare, "application/vnd.in-toto+json", string(statementAbout(bare.Digest, "https://slsa.dev/provenance/v1", provenance)))
	l.attach(carrier, envelope, key.sealed(carrier.Digest, "https://sigstore.dev/cosign/sign/v1", "{}"))
	s.says("/api/v1/report?repo=team/app&ref=bare", "the builder https://ci.example/builder says so, and release-key has signed that.")
	checkAnswers(t, s, []asked{
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=one&derived=true", status: 200},
		{method: "GET", path: "/api/v1/report?repo=team/app&ref=all", status: 200},
		{method: "GET", path: "/api/v1/records?digest=" + one.Digest.String(), status: 200},
	})
	for _, ref := range []string{":one", "@" + one.Digest.String(), ":all"} {
		cmd := verb(t, "inspect", "image", addressOf(s.url)+"/team/app"+ref, "--key", filepath.Join(filepath.Dir(key.file), "release.pub"), "--ca", filepath.Join(s.dir, "certs/ca.pem"))
		cmd.Env = append(os.Environ(), "HALLMARK_USER=admin", "HALLMARK_PASSWORD="+adminPassword)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "pass  12/12  signature") || strings.Contains(string(out), "could not be") {
			t.Errorf("from elsewhere, %s: %v\n%s", ref, err, out)
		}
	}
}

// wantWhole wants an image that is signed, with provenance and an SBOM, to be known as such everywhere.
func (s *testServer) wantWhole(repo, ref string, d digest.Digest, revision string) {
	s.t.Helper()
	var report struct {
		Digest string
		Checks []struct {
			ID, Result, Says string
			Points           int
		}
	}
	s.readJSON("/api/v1/report?repo="+repo+"&ref="+ref, &report)
	points := map[string]int{}
	for _, c := range report.Checks {
		points[c.ID] = c.Points
		if c.Result == "unknown" && c.ID != "base-current" && c.ID != "size" { // they need other images
			s.t.Errorf("%s: %s: %s", ref, c.ID, c.Says)
		}
	}
	for id, want := range map[string]int{"signature": 12, "source-known": 12, "build-provenance": 10, "sbom": 8, "licences": 4} {
		if points[id] != want {
			s.t.Errorf("%s: %s has %d points: %s", ref, id, points[id], mustMarshal(report))
		}
	}
	var image struct {
		Descriptor ocispec.Descriptor
		Provenance struct {
			Attested []struct{ Fact, Value string }
			Verdicts []json.RawMessage
		}
	}
	s.readJSON("/api/v1/image?repo="+repo+"&ref="+ref, &image)
	if image.Descriptor.Digest != d || len(image.Provenance.Verdicts) != 2 || len(image.Provenance.Attested) == 0 || report.Digest != d.String() {
		s.t.Errorf("%s: %+v", ref, image)
	}
	name := repo + ":" + ref
	if strings.Contains(ref, ":") {
		name = repo + "@" + ref
	}
	if shown := s.hallmark("show", name, "--derive"); !strings.Contains(shown, revision) || strings.Count(shown, "by release-key") < 2 {
		s.t.Errorf("show %s says\n%s", ref, shown)
	}
	s.hallmark("inspect", "image", name)
}
