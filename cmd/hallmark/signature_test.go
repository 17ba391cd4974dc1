package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"oras.land/oras-go/v2/registry/remote"
)

// signer signs as cosign does in its older form, with a key in a file of trust.
type signer struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	file string // that the configuration names
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{t, key, filepath.Join(t.TempDir(), "trust.yaml")}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	if err := os.WriteFile(filepath.Join(filepath.Dir(s.file), "release.pub"), public, 0o600); err != nil {
		t.Fatal(err)
	}
	s.write("")
	return s
}

// write trusts the key, with more said of it.
func (s *signer) write(more string) {
	s.t.Helper()
	text := "keys:\n  - name: release-key\n    file: release.pub\n    repositories: [team/*]\n" + more
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *signer) sign(message []byte) string {
	s.t.Helper()
	sum := sha256.Sum256(message)
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, sum[:])
	if err != nil {
		s.t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(sig)
}

// registryOf is a server of a test.
type registryOf interface {
	repository(name string) *remote.Repository
}

// attach pushes a layer under a tag of the older form.
func (s *signer) attach(to registryOf, repo, digest, suffix string, layer ocispec.Descriptor, body []byte) {
	s.t.Helper()
	ctx, r := context.Background(), to.repository(repo)
	pushed, err := pushBlob(ctx, r, layer.MediaType, body)
	if err != nil {
		s.t.Fatal(err)
	}
	config, err := pushBlob(ctx, r, ocispec.MediaTypeImageConfig, []byte(`{"architecture":"","os":"","config":{}}`))
	if err != nil {
		s.t.Fatal(err)
	}
	pushed.Annotations = layer.Annotations
	if _, err := pushManifest(ctx, r, strings.Replace(digest, ":", "-", 1)+suffix, ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{pushed}}); err != nil {
		s.t.Fatal(err)
	}
}

// signImage signs one image, and attaches that to another, or to itself.
func (s *signer) signImage(to *testServer, repo, digest, attachedTo string) {
	s.t.Helper()
	s.signAs(to, repo, digest, attachedTo, "")
}

// signAs is signImage, by a name for the image.
func (s *signer) signAs(to *testServer, repo, digest, attachedTo, name string) {
	s.t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, name, digest)
	s.attach(to, repo, attachedTo, ".sig", ocispec.Descriptor{
		MediaType:   "application/vnd.dev.cosign.simplesigning.v1+json",
		Annotations: map[string]string{"dev.cosignproject.cosign/signature": s.sign(payload)},
	}, payload)
}

// attest signs provenance of an image.
func (s *signer) attest(to *testServer, repo, digest string) {
	s.t.Helper()
	statement := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[{"name":"pkg:docker/registry.example/team/app@1.0","digest":{"sha256":%q}}],
		"predicate":{"buildDefinition":{"externalParameters":{"configSource":{"uri":"https://git.example/team/app","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}}},
		"runDetails":{"builder":{"id":"https://ci.example/builder"}}}}`, strings.TrimPrefix(digest, "sha256:"))
	s.attachStatement(to, repo, digest, statement)
}

// attachStatement signs a statement, and attaches it to an image.
func (s *signer) attachStatement(to registryOf, repo, digest string, statement []byte) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": statement,
		"signatures": []any{map[string]any{"sig": s.sign(dsse.PAE("application/vnd.in-toto+json", statement))}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.attach(to, repo, digest, ".att", ocispec.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"}, body)
}

// TestSignatures signs, attests, withdraws the key and looks at it all: what was found when the signatures came
// stays in their records, and what it is worth changes.
func TestSignatures(t *testing.T) {
	key := newSigner(t)
	config := writeFile(t, "trust:\n  file: "+key.file+"\n")
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", config)
	image := s.push("team/app", "1.0", "one", nil)
	key.signImage(s, "team/app", image, image)
	key.signImage(s, "team/app", image, image) // once more, which is no news
	key.attest(s, "team/app", image)
	bad := s.push("team/bad", "1.0", "two", nil)
	key.signImage(s, "team/bad", image, bad)
	elsewhere := s.push("other/app", "1.0", "one", nil)
	key.signImage(s, "other/app", elsewhere, elsewhere) // where nobody is trusted

	records := s.want(200, "GET", "/api/v1/records?action=attest&order=asc")
	var page struct {
		Records []struct {
			Digest, Repository string
			Verdict            struct{ Result, Reason, Form, Signer, TrustRoot string }
			Attested           []struct{ Fact, Value, Signer string }
		}
	}
	if err := json.Unmarshal([]byte(records), &page); err != nil || len(page.Records) != 3 {
		t.Fatalf("%v: %s", err, records)
	}
	for i, want := range []string{"good  simple signing", "good  dsse", "failed digest simple signing"} {
		v := page.Records[i].Verdict
		if got := v.Result + " " + v.Reason + " " + v.Form; got != want || v.Signer != "release-key" || !strings.HasPrefix(v.TrustRoot, "sha256:") {
			t.Errorf("record %d: %s by %s, want %s", i, got, v.Signer, want)
		}
	}
	if r := page.Records[1]; r.Digest != image || len(r.Attested) == 0 || r.Attested[0].Signer != "release-key" {
		t.Errorf("the attestation says %+v", r)
	}
	for _, query := range []string{"class=attested", "source=git.example/team/app&class=attested", "source=https://git.example/team/app.git&revision=aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d&class=attested"} {
		if found := s.want(200, "GET", "/api/v1/records?"+query); strings.Count(found, `"verdict"`) != 1 {
			t.Errorf("%s: %s", query, found)
		}
	}
	checkAnswers(t, s, []asked{
		{method: "GET", path: "/api/v1/records?action=attest", status: 200},
		{method: "GET", path: "/api/v1/image?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/image?repo=team/bad&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/report?repo=team/app&ref=1.0", status: 200},
		{method: "GET", path: "/api/v1/report?repo=team/bad&ref=1.0", status: 200},
	})
	s.says("/api/v1/report?repo=team/app&ref=1.0", "It is signed by release-key.", "who may not vouch for its builder")
	s.says("/api/v1/report?repo=team/bad&ref=1.0", "A signature of release-key does not hold", `"cap":"D"`)
	s.says("/api/v1/image?repo=team/app&ref=1.0", `"standing":{"counts":true}`, `"fact":"builder"`)

	key.write("    withdrawn: 2026-01-01\n")
	s.reload("configuration, policy, retention, mirrors and certificate reloaded")
	s.says("/api/v1/image?repo=team/app&ref=1.0", `"result":"good"`, `"standing":{"counts":false,"reason":"withdrawn"`)
	s.says("/api/v1/report?repo=team/app&ref=1.0", "Its signature does not count: the key release-key was withdrawn at 2026-01-01T00:00:00.000000Z.")
}

// says wants texts in an answer.
func (s *testServer) says(path string, texts ...string) {
	s.t.Helper()
	body := s.want(200, "GET", path)
	for _, text := range texts {
		if !strings.Contains(body, text) {
			s.t.Errorf("%s does not say %s:\n%s", path, text, body)
		}
	}
}
