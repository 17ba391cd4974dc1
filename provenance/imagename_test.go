package provenance

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestImageOf has the ways in which builders name an image among what they used.
func TestImageOf(t *testing.T) {
	hex := strings.Repeat("7", 64)
	at := digest.Digest("sha256:" + hex)
	for uri, want := range map[string]usedImage{
		"pkg:docker/alpine@3.22?platform=linux%2Famd64":                                                       {"", "alpine:3.22"},
		"pkg:docker/localhost%3A5000/team/app@1.0":                                                            {"", "localhost:5000/team/app:1.0"},
		"pkg:docker/alpine@sha256:" + hex:                                                                     {at, "alpine"},
		"pkg:docker/alpine@sha256%3A" + hex + "?tag=3.22":                                                     {at, "alpine:3.22"},
		"pkg:docker/team/app@1.0?repository_url=gcr.io":                                                       {"", "gcr.io/team/app:1.0"},
		"pkg:docker/team/app@1.0?repository_url=https://gcr.io/team/app":                                      {"", "gcr.io/team/app:1.0"},
		"pkg:oci/app@sha256%3A" + hex + "?repository_url=registry.example/team/app":                           {at, "registry.example/team/app"},
		"pkg:oci/static@sha256:" + hex + "?repository_url=gcr.io%2Fdistroless%2Fstatic&tag=latest&arch=arm64": {at, "gcr.io/distroless/static:latest"},
		"pkg:oci/app?repository_url=alice:secret@registry.example/team/app&tag=1":                             {"", "registry.example/team/app:1"},
		"pkg:docker/alpine?digest=sha256:" + hex + "&platform=linux%2Famd64":                                  {at, "alpine"},
		"pkg:docker/https%3A%2F%2Fbob%3Asecret@registry.example/base@sha256:" + hex:                           {at, "https://registry.example/base"},
		"pkg:docker/bob%3Asecret%40registry.example/base@1":                                                   {"", "registry.example/base:1"},
		"pkg:docker/%zz@%zz":                                        {"", "%zz:%zz"},
		"oci://registry.example/base":                               {"", "registry.example/base"},
		"oci://registry.example/base:1@sha256:" + hex:               {at, "registry.example/base:1"},
		"docker-pullable://gcr.io/acme/tool@sha256:" + hex:          {at, "gcr.io/acme/tool"},
		"docker-image://docker.io/library/alpine@sha256:" + hex:     {at, "docker.io/library/alpine"},
		"bash@sha256:" + hex:                                        {at, "bash"},
		"registry.example:5000/team/base:1.0@sha256:" + hex:         {at, "registry.example:5000/team/base:1.0"},
		"https://us-docker.pkg.dev/acme/build/docker@sha256:" + hex: {at, "us-docker.pkg.dev/acme/build/docker"},
	} {
		if got, ok := imageOf(&descriptor{uri: uri}); got != want || !ok {
			t.Errorf("%q is the image %v, %v; want %v", uri, got, ok, want)
		}
	}
	for _, uri := range []string{
		"", "pkg:docker/", "pkg:golang/example.com/module@v1", "https://git.example/team/app.git#main", "git+https://git.example/app@" + hex[:40],
		"git+https://git.example/app@sha256:" + hex, "/nix/store/abc.drv", "gs://bucket/source.tgz#1", "app.tar.gz", "git@git.example:team/app.git", "bash@sha256:12",
	} {
		if got, ok := imageOf(&descriptor{uri: uri}); ok {
			t.Errorf("%q is the image %v", uri, got)
		}
	}
	for uri, want := range map[string]bool{
		"oci://registry.example/base": true, "cgr.dev/chainguard/static:latest": true, "localhost:5000/base:1": true,
		"files.example/app.tgz": false, "team/base:1": false, "git@git.example:team/app:1": false, "https://files.example/app:1": false,
	} {
		if got, ok := imageOf(&descriptor{uri: uri, hashes: map[string]string{"sha256": hex}}); ok != want || want && got.digest != at {
			t.Errorf("%s beside a digest is an image: %t, %v", uri, ok, got)
		}
	}
}
