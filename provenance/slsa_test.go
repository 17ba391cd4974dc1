package provenance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const (
	built  = digest.Digest("sha256:60d865334bbf539afbf9f15258fd215c51955d1a98735e1edb921044d5549b16")
	commit = "0123456789abcdef0123456789abcdef01234567"
)

// attestationFile reads a statement that was shortened from one that a real builder made, with credentials
// added where they were seen to leak.
func attestationFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/attestation", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func claimsOfText(text []byte, from, subject digest.Digest) []Claim {
	claims, _ := ClaimsOfAttestation(background, bytes.NewReader(text), int64(len(text)), from, subject)
	return claims
}

func claimLines(claims []Claim) (lines []string) {
	for _, c := range claims {
		line := fmt.Sprintf("%s=%s (%s) about %s", c.Fact, c.Value, c.From, c.About.Encoded()[:6])
		if c.Name != "" {
			line += " named " + c.Name
		}
		lines = append(lines, line)
	}
	return lines
}

func TestClaimsOfAttestation(t *testing.T) {
	elsewhere := dig("elsewhere")
	for _, c := range []struct {
		file, predicateType string
		attachedTo          digest.Digest
		want                []string
	}{
		{"buildkit-v0.2.json", slsaV02, "", []string{
			"source=https://git.example/team/app.git (slsa v0.2 vcs) about 60d865",
			"revision=" + commit + "-dirty (slsa v0.2 vcs) about 60d865",
			"source=https://git.example/team/app.git#main (slsa v0.2 configSource) about 60d865",
			"revision=" + commit + " (slsa v0.2 configSource) about 60d865",
			"builder=https://builder.example/7 (slsa v0.2 builder) about 60d865",
			"build-type=https://mobyproject.org/buildkit@v1 (slsa v0.2 buildType) about 60d865",
			"started=2026-11-25T07:21:48.361278674Z (slsa v0.2 metadata) about 60d865",
			"finished=2026-11-25T07:21:48.724981956Z (slsa v0.2 metadata) about 60d865",
			"material=sha256:" + strings.Repeat("a", 64) + " (slsa v0.2 materials) about 60d865 named docker/dockerfile:1",
			"material=sha256:" + strings.Repeat("b", 64) + " (slsa v0.2 materials) about 60d865 named registry.example/base/alpine:3.22",
		}},
		{"buildkit-v1.json", slsaV1, built, []string{
			"source=https://git.example/team/app.git (slsa v1 vcs) about 60d865",
			"revision=" + commit + " (slsa v1 vcs) about 60d865",
			"build-type=https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md (slsa v1 buildType) about 60d865",
			"started=2026-11-25T07:21:24.475339313Z (slsa v1 metadata) about 60d865",
			"finished=2026-11-25T07:21:25.509525323Z (slsa v1 metadata) about 60d865",
			"material=sha256:9120887c138e786ca26f82a9b654bd85d5ea310085b20f7aca87201edd9e7a33 (slsa v1 materials) about 60d865 named base",
		}},
		{"buildkit-v1.json", slsaV1, "", nil}, // it names no image, and nobody else does
		{"github-v1.json", slsaV1, built, []string{
			"source=https://github.com/team/app (slsa v1 workflow) about 60d865",
			"revision=" + commit + " (slsa v1 workflow) about 60d865",
			"builder=https://github.com/team/app/.github/workflows/build.yml@refs/heads/main (slsa v1 builder) about 60d865",
			"build-type=https://actions.github.io/buildtypes/workflow/v1 (slsa v1 buildType) about 60d865",
		}},
	} {
		text := attestationFile(t, c.file)
		for form, text := range map[string][]byte{"bare": text, "DSSE": envelope(text), "bundle": bundle(text)} {
			claims := claimsOfText(text, dig("layer"), c.attachedTo)
			if got := claimLines(claims); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: got\n%s\nwant\n%s", c.file, form, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			for _, claim := range claims {
				if claim.Evidence != (Evidence{dig("layer"), c.predicateType}) {
					t.Errorf("%s: the evidence is %v", c.file, claim.Evidence)
				}
			}
		}
	}
	// One that is attached to an image which it does not name is about what it names.
	for _, c := range claimsOfText(attestationFile(t, "buildkit-v0.2.json"), dig("layer"), elsewhere) {
		if c.About != built {
			t.Errorf("a statement about %s claims %s of %s", built, c.Fact, c.About)
		}
	}
	if claims := claimsOfText(attestationFile(t, "github-v1.json"), dig("layer"), ""); len(claims) != 8 {
		t.Errorf("a statement about two things makes %d claims", len(claims))
	}
}

func envelope(statement []byte) []byte {
	return fmt.Appendf(nil, `{"payloadType":"application/vnd.in-toto+json","payload":%q,"signatures":[{"sig":"MA=="}]}`, base64.StdEncoding.EncodeToString(statement))
}

func bundle(statement []byte) []byte {
	return fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","dsseEnvelope":%s}`, envelope(statement))
}

// TestNoClaims wants nothing from documents in which two readers could see different things, that are too
// deep or too long, or of another kind.
func TestNoClaims(t *testing.T) {
	const head = `{"predicateType":"https://slsa.dev/provenance/v1","subject":[{"digest":{"sha256":"60d865334bbf539afbf9f15258fd215c51955d1a98735e1edb921044d5549b16"}}],`
	const builder = `"predicate":{"runDetails":{"builder":{"id":"https://builder.example"}}}`
	if got := claimsOfText([]byte(head+builder+"}"), dig("x"), ""); len(got) != 1 {
		t.Fatalf("what the others are made of claims %v", got)
	}
	deep := strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2)
	for name, text := range map[string]string{
		"nothing":                 "",
		"cut short":               head + builder,
		"something behind":        head + builder + "}{}",
		"a key twice":             head + builder + `,"predicateType":"https://slsa.dev/provenance/v1"}`,
		"a builder twice":         head + `"predicate":{"runDetails":{"builder":{"id":"a","id":"b"}}}}`,
		"too deep":                head + `"x":` + deep + "," + builder + "}",
		"another predicate":       strings.Replace(head+builder+"}", "/v1", "/v2", 1),
		"the key in another case": strings.Replace(head+builder+"}", "predicateType", "PredicateType", 1),
		"a list":                  "[" + head + builder + "}]",
		"no digest":               strings.Replace(head+builder+"}", "60d8", "60D8", 1),
		"too long":                head + `"x":"` + strings.Repeat("x", MaxBare) + `",` + builder + "}",
		"not base64":              `{"payloadType":"application/vnd.in-toto+json","payload":"!"}`,
		"another payload":         strings.Replace(string(envelope([]byte(head+builder+"}"))), "in-toto", "other", 1),
		"an envelope in one":      string(envelope(envelope([]byte(head + builder + "}")))),
	} {
		if got := claimsOfText([]byte(text), dig("x"), ""); len(got) != 0 {
			t.Errorf("%s: claims %v", name, got)
		}
	}
}

func FuzzAttestation(f *testing.F) {
	for _, name := range []string{"buildkit-v0.2.json", "buildkit-v1.json", "github-v1.json"} {
		text := attestationFile(f, name)
		f.Add(text)
		f.Add(envelope(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		claims := claimsOfText(text, dig("x"), built)
		if len(claims) > maxAbout*(maxMaterials+16)*maxLines {
			t.Errorf("%d claims", len(claims))
		}
		for _, c := range claims {
			if c.About.Validate() != nil || c.Value == "" || len(c.Value) > MaxValue || len(c.Name) > MaxValue || c.Fact == "" {
				t.Errorf("claims %+v", c)
			}
			if c.Fact == FactMaterial && digest.Digest(c.Value).Validate() != nil {
				t.Errorf("material %q", c.Value)
			}
		}
	})
}
