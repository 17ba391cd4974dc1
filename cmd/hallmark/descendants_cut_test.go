package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestDescendantsCut has provenance that lists more images than are read. No question about the last of them finds what was built on
// it, and each answer says that there are such images, to those who may see one.
func TestDescendantsCut(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	ctx, a := context.Background(), newActing(t, "")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	base := func(n int) string { return digest.FromString(fmt.Sprint("base", n)).Encoded() }
	attach := func(repo string, materials int) {
		r, image := a.as("admin", repo), a.image("admin", repo, "1.0", repo)
		subject, err := r.Resolve(ctx, image.String())
		must(err)
		var list []string
		for n := range materials {
			list = append(list, fmt.Sprintf(`{"uri":"pkg:docker/base@%d","digest":{"sha256":%q}}`, n, base(n)))
		}
		layer, err := pushBlob(ctx, r, "application/vnd.in-toto+json", fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v0.2",
			"subject":[{"name":"app","digest":{"sha256":%q}}],"predicate":{"materials":[%s]}}`, image.Encoded(), strings.Join(list, ",")))
		must(err)
		config, err := pushBlob(ctx, r, ocispec.MediaTypeEmptyJSON, []byte("{}"))
		must(err)
		_, err = pushManifest(ctx, r, "", ocispec.Manifest{ArtifactType: "application/vnd.in-toto+json", Config: config, Layers: []ocispec.Descriptor{layer}, Subject: &subject})
		must(err)
	}
	ask := func(who string, n int) string {
		_, _, body := a.do("GET", "/api/v1/descendants?base=sha256:"+base(n), a.login(who), "")
		return body
	}
	attach("team/few", 60)
	if body := ask("admin", 70); strings.Contains(body, `"cut"`) {
		t.Errorf("nothing was cut: %s", body)
	}
	attach("team/many", 80)
	if body := ask("admin", 3); !strings.Contains(body, "team/few") || !strings.Contains(body, "team/many") || !strings.Contains(body, `"cut":true`) {
		t.Errorf("of the 4th base: %s", body)
	}
	if body := ask("admin", 70); strings.Contains(body, "team/many") || !strings.Contains(body, `"cut":true`) {
		t.Errorf("of the 71st base: %s", body)
	}
	if body := ask("carol", 70); strings.Contains(body, `"cut"`) {
		t.Errorf("carol may not see it: %s", body)
	}
	_, _, image := a.do("GET", "/api/v1/image?repo=team/many&ref=1.0", a.login("admin"), "")
	if !strings.Contains(image, "it lists more than 64 images that its build used, and those behind are not read") {
		t.Errorf("the image does not say what was not read: %s", image)
	}
	if said := a.hallmark("descendants", "sha256:"+base(3)); !strings.Contains(said, "some images list more materials than are read") {
		t.Errorf("descendants says %s", said)
	}
}
