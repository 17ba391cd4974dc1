package policy

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

// trusting trusts a key, with a bound on when that counts, as notAfter, from now on. It returns what attaches a signature by it.
func (w *world) trusting(bound string, at time.Time) (sign func(repo *remote.Repository, to ocispec.Descriptor) ocispec.Descriptor) {
	w.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(w.t, err)
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	must(w.t, err)
	dir := w.t.TempDir()
	must(w.t, os.WriteFile(filepath.Join(dir, "k.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600))
	text := fmt.Sprintf("keys: [{name: k, file: k.pub, repositories: [team/*], %s: %q, vouches: [image, sbom]}]\n", bound, at.UTC().Format(time.RFC3339))
	must(w.t, os.WriteFile(filepath.Join(dir, "trust.yaml"), []byte(text), 0o600))
	w.trust, err = signature.ReadFile(filepath.Join(dir, "trust.yaml"))
	must(w.t, err)
	appraiser := signature.NewAppraiser(w.book)
	appraiser.SetTrust(w.trust)
	w.c.Registry.SetAppraiser(appraiser)
	return func(repo *remote.Repository, to ocispec.Descriptor) ocispec.Descriptor {
		w.t.Helper()
		payload := fmt.Appendf(nil, `{"critical":{"type":"cosign container image signature","image":{"docker-manifest-digest":%q}}}`, to.Digest)
		sum := sha256.Sum256(payload)
		sig, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		must(w.t, err)
		layer := content.NewDescriptorFromBytes("application/vnd.dev.cosign.simplesigning.v1+json", payload)
		layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(sig)}
		d, err := w.push(repo, "", ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{layer}, Subject: &to,
		}, payload)
		must(w.t, err)
		return d
	}
}

// TestKeyEnds wants a decision to end with the key by which it was made, where a rule asks the image for its signatures.
func TestKeyEnds(t *testing.T) {
	w := newWorld(t, `rules: [{name: signed, repositories: "team/*", at: pull, require: 'image.provenance.verdicts.exists(v, v.standing.counts)', owner: alice}]`)
	sign := w.trusting("notAfter", time.Now().Add(time.Hour))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	w.pull(repo, "1.0", "rule signed")
	sign(repo, d)
	w.pull(repo, "1.0", "")
	w.set(time.Now().Add(2 * time.Hour))
	w.pull(repo, "1.0", "rule signed")
}

// TestKeyBegins wants a decision to end when the key begins to be valid by which it will be another.
func TestKeyBegins(t *testing.T) {
	w := newWorld(t, `rules: [{name: signed, repositories: "team/*", at: pull, require: 'report.signedBy("k")', owner: alice}]`)
	sign := w.trusting("notBefore", time.Now().Add(time.Hour))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	sign(repo, d)
	w.pull(repo, "1.0", "rule signed")
	w.set(time.Now().Add(30 * time.Minute))
	w.pull(repo, "1.0", "rule signed")
	w.set(time.Now().Add(2 * time.Hour))
	w.pull(repo, "1.0", "")
}

// TestSignedManifest wants a report to know of what signs the manifest of a bare statement, which is attached to the image,
// as long as it is there.
func TestSignedManifest(t *testing.T) {
	w := newWorld(t, `rules: [{name: sbom, repositories: "team/*", at: pull, require: 'report.signedBy("k", "sbom")', owner: alice}]`)
	sign := w.trusting("notAfter", time.Now().Add(time.Hour))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	beside := w.attach(repo, d)
	w.pull(repo, "1.0", "rule sbom")
	sealed := sign(repo, beside)
	w.pull(repo, "1.0", "")
	must(t, repo.Delete(context.Background(), sealed))
	w.pull(repo, "1.0", "rule sbom")
	w.restart()
	w.pull(repo, "1.0", "rule sbom")
	if _, err := w.c.Registry.Check(t.Context(), true, func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}
