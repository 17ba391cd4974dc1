package image

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// TestReferrersOfOlderRegistry asks a registry that has no referrers API, about images of either hash.
func TestReferrersOfOlderRegistry(t *testing.T) {
	t.Parallel()
	lists := map[string]string{} // by tag
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, ok := lists[strings.TrimPrefix(r.URL.Path, "/v2/team/app/manifests/")]
		if !ok {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		rw.Header().Set("Docker-Content-Digest", digest.FromString(body).String())
		fmt.Fprint(rw, body)
	}))
	t.Cleanup(server.Close)
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		from, err := NewRemote(strings.TrimPrefix(server.URL, "https://")+"/team/app", &auth.Client{Client: server.Client()})
		if err != nil {
			t.Fatal(err)
		}
		signed, alone := algorithm.FromString("signed"), algorithm.FromString("alone")
		signature := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: algorithm.FromString("signature"), Size: 1}
		lists[algorithm.String()+"-"+signed.Encoded()[:64]] = string(mustJSON(ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{signature}}))
		found, err := from.Referrers(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: signed, Size: 1})
		if err != nil || len(found) != 1 || found[0].Digest != signature.Digest {
			t.Errorf("%s: %v, %v", algorithm, found, err)
		}
		if found, err := from.Referrers(t.Context(), ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: alone, Size: 1}); err != nil || len(found) != 0 {
			t.Errorf("%s, with nothing attached: %v, %v", algorithm, found, err)
		}
	}
}
