package provenance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// built is what a statement says that is asked for.
type said struct{ source, revision, builder, bases string }

const (
	acme   = "github.com/acme/app"
	gitlab = "gitlab.example/group/sub/app"
	own    = "git.example/team/app"
)

// builders are statements made after what builders publish, and what each says. The table in docs/design/sources.md is
// held against them.
var builders = []struct {
	name, file string
	want       said
}{
	{"SLSA generator, generic", "slsa-generic-v0.2", said{acme, commit, "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_generic_slsa3.yml@refs/tags/v2.1.0", ""}},
	{"SLSA generator, container", "slsa-container-v0.2", said{acme, commit, "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0", ""}},
	{"SLSA generator, container-based", "slsa-container-based-v1", said{acme, commit, "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_container-based_slsa3.yml@refs/tags/v2.1.0", "bash aaaa"}},
	{"SLSA generator, BYOB", "slsa-byob-v1", said{acme, commit, "https://github.com/acme/trw/.github/workflows/builder.yml@refs/tags/v2.1.0", ""}},
	{"GitHub", "github-two-refs-v1", said{acme, commit, "https://github.com/actions/runner/github-hosted", ""}},
	{"GitHub Enterprise", "github-enterprise-v1", said{"github.acme.example/acme/app", commit, "https://github.acme.example/acme/app/.github/workflows/build.yml@refs/heads/main", ""}},
	{"GitHub, data residency", "github-data-residency-v1", said{"acme.ghe.com/acme/app", commit, "https://acme.ghe.com/acme/app/.github/workflows/build.yml@refs/heads/main", ""}},
	{"GitLab runner 15", "gitlab-v0.2", said{gitlab, commit, "https://gitlab.example/group/sub/app/-/runners/12270837", ""}},
	{"GitLab runner", "gitlab-runner-v1", said{gitlab, commit, "https://gitlab.example/group/sub/app/-/runners/12270857", ""}},
	{"GitLab server", "gitlab-server-v1", said{gitlab, commit, "https://gitlab.example/group/sub/app/-/runners/12270857", ""}},
	{"Cloud Build 0.1", "cloud-build-v0.1", said{acme, commit, "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3", ""}},
	{"Cloud Build", "cloud-build-v1", said{acme, commit, "https://cloudbuild.googleapis.com/GoogleHostedWorker", "gcr.io/cloud-builders/docker aaaa"}},
	{"Cloud Build, triggered", "cloud-build-triggered-v1", said{acme, commit, "https://cloudbuild.googleapis.com/GoogleHostedWorker@v1", ""}},
	{"Tekton Chains 0.2", "tekton-v0.2", said{own, commit, "https://tekton.dev/chains/v2", "gcr.io/kaniko-project/executor aaaa"}},
	{"Tekton Chains", "tekton-v1", said{own, commit, "https://tekton.dev/chains/v2", "gcr.io/kaniko-project/executor aaaa"}},
	{"Buildkite", "buildkite-v1", said{acme, commit, "https://github.com/buildkite-plugins/generate-provenance-attestation-buildkite-plugin@refs/tags/v1.0.0", ""}},
	{"Jenkins", "jenkins-v0.2", said{own, commit, "https://gitlab.eclipse.org/eclipsefdn/security/slsa-jenkins-plugin@v0.1", ""}},
	{"BuildKit 0.2", "buildkit-v0.2", said{own, commit + "-dirty " + commit, "https://builder.example/7", "docker/dockerfile:1 aaaa, registry.example/base/alpine:3.22 bbbb"}},
	{"BuildKit", "buildkit-v1", said{own, commit, "", "base 9120"}},
	{"ko, attested by GitHub", "ko-github-v1", said{acme, commit, "https://github.com/acme/app/.github/workflows/ko.yml@refs/heads/main", ""}},
	{"Nix, derivation", "nix-v1", said{acme, commit, "https://hydra.example/builders/1", ""}},
	{"Nix, flake", "nix-flake-v1", said{acme, commit, "https://nix.example/builder", ""}},
	{"Bazel, attested by GitHub", "bazel-github-v1", said{acme, commit, "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml@refs/tags/v0.0.1", ""}},
	{"Bazel, SLSA generator", "bazel-generator-v0.2", said{acme, commit, "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/builder_bazel_slsa3.yml@refs/tags/v2.1.0", ""}},
	{"goreleaser, attested by GitHub", "goreleaser-github-v1", said{acme, commit, "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.2", ""}},
	{"in-toto witness on GitHub", "witness-v0.1", said{acme, commit, "https://github.com", "golang:1.26 aaaa"}},
	{"in-toto witness on GitLab", "witness-gitlab-v0.1", said{gitlab, commit, "https://gitlab.example", ""}},
	{"in-toto witness on Jenkins", "witness-jenkins-v0.1", said{own, commit, "https://ci.example/", ""}},
	{"kpack", "kpack-v1", said{own, commit, "https://kpack.io/slsa/signed-app-build", "registry.example/run/jammy bbbb, registry.example/builders/jammy aaaa"}},
	{"Konflux", "konflux-v1", said{own, commit, "https://tekton.dev/chains/v2", "quay.io/konflux-ci/buildah-task bbbb"}},
	{"Cimon on Azure Pipelines", "cimon-azure-v1", said{"dev.azure.com/acme/shop/_git/app", commit, "https://ci.example/agents/1", ""}},
	{"Cimon on Harness", "cimon-harness-v1", said{acme, commit, "https://ci.example/agents/1", ""}},
	{"npm on GitLab", "npm-gitlab-v0.2", said{gitlab, commit, "https://gitlab.example/group/sub/app/-/runners/12270835", ""}},
	{"BuildKit 0.2, from git", "buildkit-git-v0.2", said{acme, commit, "https://github.com/acme/official/actions/runs/1/attempts/1", "alpine:3.22 bbbb"}},
	{"BuildKit, from git", "buildkit-git-v1", said{acme, commit, "", "alpine:3.22 bbbb"}},
	{"Packer", "packer-v1", said{own, commit, "https://packer.io/local-build", ""}},
	{"kas", "kas-v1", said{own, commit, "https://github.com/siemens/kas", ""}},
	{"apko", "apko-v1", said{"", "", "https://github.com/chainguard-dev/terraform-provider-apko", ""}},
	{"in-toto link", "link-v0.3", said{acme, commit, "", "golang:1.26 aaaa"}},
	{"in-toto link, before 0.3", "link-older-v0.2", said{own, commit, "", ""}},
	{"in-toto provenance 0.1", "in-toto-v0.1", said{acme, commit, "https://ci.example/b", ""}},
}

// read sums up claims, and where they stand.
func read(claims []Claim) (is, from said) {
	add := func(list *string, value, between string) {
		if !slices.Contains(strings.Split(*list, between), value) {
			*list = strings.Trim(*list+between+value, between)
		}
	}
	for _, c := range claims {
		_, place, _ := strings.Cut(c.From[strings.IndexByte(c.From, ' ')+1:], " ")
		switch c.Fact {
		case FactSource:
			add(&is.source, NormalSource(c.Value), " ")
			add(&from.source, place, ", ")
		case FactRevision:
			add(&is.revision, c.Value, " ")
			add(&from.revision, place, ", ")
		case FactBuilder:
			add(&is.builder, c.Value, " ")
			add(&from.builder, place, ", ")
		case FactMaterial:
			add(&is.bases, fmt.Sprintf("%s %.4s", c.Name, strings.TrimPrefix(c.Value, "sha256:")), ", ")
			add(&from.bases, place, ", ")
		}
	}
	return is, from
}

func TestBuilders(t *testing.T) {
	page, err := os.ReadFile("../docs/design/sources.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range builders {
		text := attestationFile(t, b.file+".json")
		claims := claimsOfText(text, dig("layer"), built)
		is, from := read(claims)
		if is != b.want {
			t.Errorf("%s says\n%+v, want\n%+v", b.name, is, b.want)
		}
		for _, c := range claims {
			if c.About != built {
				t.Errorf("%s is about %s", b.name, c.About)
			}
			if strings.Contains(c.Value, "secret") {
				t.Errorf("%s claims %s", b.name, c.Value)
			}
		}
		row := fmt.Sprintf("| %s | %s | %s | %s | %s |", b.name, or(from.source), or(from.revision), or(from.builder), or(from.bases))
		if !bytes.Contains(page, []byte(row+"\n")) {
			t.Errorf("docs/design/sources.md lacks the row\n%s", row)
		}
	}
	files, err := filepath.Glob("testdata/attestation/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(builders)+1 { // github-v1.json is TestClaimsOfAttestation's
		t.Errorf("there are %d files, and %d builders", len(files), len(builders))
	}
}

func or(place string) string {
	if place == "" {
		return "–"
	}
	return place
}
