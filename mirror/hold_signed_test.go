package mirror_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// sign puts a signature of an image beside it upstream, as cosign does in its older form.
func (u *upstream) sign(t *testing.T, key *ecdsa.PrivateKey, image ocispec.Descriptor) {
	t.Helper()
	payload := fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":""},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"}}`, image.Digest)
	sum := sha256.Sum256(payload)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	layer := u.put("application/vnd.dev.cosign.simplesigning.v1+json", payload)
	layer.Annotations = map[string]string{"dev.cosignproject.cosign/signature": base64.StdEncoding.EncodeToString(signature)}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: u.put(ocispec.MediaTypeImageConfig, []byte(`{"architecture":"","os":"","config":{}}`)), Layers: []ocispec.Descriptor{layer},
	}
	u.move(strings.Replace(image.Digest.String(), ":", "-", 1)+".sig", u.putJSON(t, m.MediaType, m))
}

// TestHeldUntilSigned holds images until they have a signature that counts, by whom the rule wants, which comes under a tag that the
// rule does not follow; an image whose signature is somebody else's goes on waiting.
func TestHeldUntilSigned(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := map[string]*ecdsa.PrivateKey{}
	for _, name := range []string{"release", "other", "stranger"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKIXPublicKey(key.Public())
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		keys[name] = key
	}
	write(t, filepath.Join(dir, "trust.yaml"), []byte("keys:\n- {name: release, file: release.pub, repositories: ['mirror/**']}\n- {name: other, file: other.pub, repositories: ['mirror/**']}\n"))
	for hold, through := range map[string]map[string]bool{
		"until: signed":                  {"1.0": true, "2.0": true},
		"until: signed, signer: release": {"1.0": true},
	} {
		t.Run(hold, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			u.sign(t, keys["release"], u.one)
			u.sign(t, keys["other"], u.two)
			u.sign(t, keys["stranger"], u.multi)
			m := &mirrored{t: t, file: filepath.Join(t.TempDir(), "mirrors.yaml")}
			write(t, m.file, []byte(ruleOf(u, "tags: ['*.0', latest]", "hold: {"+hold+"}")))
			o := servertest.Options()
			o.Config.Mirrors.File, o.Config.Trust.File = m.file, filepath.Join(dir, "trust.yaml")
			m.Server = servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
			if s := m.settled(); s.Why != "" || int(s.Last.Held) != 3-len(through) || s.Last.Counts.Refused != 0 {
				t.Errorf("%+v %+v", s, s.Last)
			}
			for tag := range u.tags() {
				if status, said := m.pull(servertest.Login, tag); (status == http.StatusOK) != through[tag] {
					t.Errorf("%s: %d %s", tag, status, said)
				}
			}
			u.sign(t, keys["release"], u.multi)
			if _, _, said := m.run(); m.means("latest") != u.multi.Digest {
				t.Errorf("signed later: %s", said)
			}
		})
	}
}
