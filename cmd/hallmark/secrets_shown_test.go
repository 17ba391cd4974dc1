package main

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestSecretsShown has credentials in the URLs of what an image says of itself: nothing that shows them shows those, and what is
// stored stays as it came.
func TestSecretsShown(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	const secret = "s3cr3t"
	says := map[string]string{
		ocispec.AnnotationSource: "https://alice:" + secret + "@git.example/app?access_token=" + secret, ocispec.AnnotationRevision: "c1",
		ocispec.AnnotationLicenses: "https://alice:" + secret + "@git.example/LICENSE", "com.example.ci": "see https://ci.example/1?sig=" + secret,
	}
	ctx, r := context.Background(), a.as("alice", "team/app")
	body, err := json.Marshal(map[string]any{
		"architecture": "amd64", "os": "linux", "config": map[string]any{"Labels": says},
		"history": []any{map[string]any{"created_by": "RUN git clone https://alice:" + secret + "@git.example/app", "empty_layer": true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	config, err := pushBlob(ctx, r, ocispec.MediaTypeImageConfig, body)
	if err != nil {
		t.Fatal(err)
	}
	layer, err := pushBlob(ctx, r, ocispec.MediaTypeImageLayer, []byte("layer"))
	if err != nil {
		t.Fatal(err)
	}
	layer.Annotations, layer.URLs = says, []string{"https://alice:" + secret + "@blobs.example/layer?sig=" + secret}
	m := ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{layer}, Annotations: says}
	d, err := pushManifest(ctx, r, "1.0", m)
	if err != nil {
		t.Fatal(err)
	}
	m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: 1}
	if _, err := pushManifest(ctx, r, "", m); err != nil {
		t.Fatal(err)
	}
	query := "?" + url.Values{"repo": {"team/app"}, "ref": {"1.0"}}.Encode()
	shown := map[string]string{"show": a.hallmark("show", "team/app:1.0"), "inspect": a.hallmark("inspect", "image", "team/app:1.0", "--json")}
	for _, path := range []string{"image", "contents", "report"} {
		shown[path] = a.want(200, "GET", "/api/v1/"+path+query)
	}
	for what, text := range shown {
		if strings.Contains(text, secret) || !strings.Contains(text, "git.example/app") {
			t.Errorf("%s tells a secret, or nothing:\n%s", what, text)
		}
	}
	if stored := a.want(200, "GET", "/v2/team/app/manifests/1.0"); strings.Count(stored, secret) != 10 {
		t.Errorf("the manifest is not what was pushed:\n%s", stored)
	}
}
