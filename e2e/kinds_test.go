//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// cosignTypes are the types that cosign attest knows, with the kind of each, and its predicate type where it has no kind.
var cosignTypes = map[string]string{
	"slsaprovenance": "provenance", "slsaprovenance02": "provenance", "slsaprovenance1": "provenance",
	"spdx": "sbom", "spdxjson": "sbom", "cyclonedx": "sbom", "vuln": "vulnerabilities", "openvex": "vex",
	"link": "https://in-toto.io/Link/v1", "custom": "https://cosign.sigstore.dev/attestation/v1",
	"https://slsa.dev/verification_summary/v1":        "vsa",
	"https://in-toto.io/attestation/svr/v0.1":         "svr",
	"https://in-toto.io/attestation/release/v0.1":     "release",
	"https://in-toto.io/attestation/test-result/v0.1": "test",
	"https://spdx.dev/Document/v9":                    "https://spdx.dev/Document/v9",
}

// predicates are what is attested, by type; else an empty object.
func predicates(s *server, repo string) map[string]string {
	const slsa02 = `{"builder":{"id":"https://ci.example/builder"},"buildType":"x","invocation":{"configSource":{}},"metadata":{}}`
	return map[string]string{
		"slsaprovenance": slsa02, "slsaprovenance02": slsa02,
		"slsaprovenance1": `{"buildDefinition":{"buildType":"x","externalParameters":{},"internalParameters":{},"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://ci.example/builder"},"metadata":{}}}`,
		"vuln":            `{"invocation":{},"scanner":{"uri":"x","version":"1","db":{},"result":{}},"metadata":{"scanStartedOn":"2026-11-01T00:00:00Z","scanFinishedOn":"2026-11-01T00:00:00Z"}}`,
		"link":            `{"_type":"link","name":"x","command":[],"materials":{},"products":{},"byproducts":{},"environment":{}}`,
		"openvex":         `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"x","author":"x","timestamp":"2026-11-01T00:00:00Z","version":1,"statements":[]}`,
		"https://slsa.dev/verification_summary/v1": `{"verifier":{"id":"https://verifier.example"},"timeVerified":"` + time.Now().UTC().Format(time.RFC3339) +
			`","resourceUri":"` + s.host + "/" + repo + `","policy":{"uri":"https://policy.example"},"verificationResult":"PASSED","verifiedLevels":["SLSA_BUILD_LEVEL_2"]}`,
	}
}

// TestCosignKinds attests with cosign every type that it knows, in its older form and in its newer: none of them signs the
// image, each is of its kind, and cosign verifies them all.
func TestCosignKinds(t *testing.T) {
	crane := tool(t, "crane")
	dir, in := cosignDir(t)
	write(t, filepath.Join(dir, "trust.yaml"), `keys:
  - name: k
    file: cosign.pub
    repositories: [team/*]
    vouches: [image, sbom, vsa, test, "https://in-toto.io/Link/v1"]
    verifiers: [{id: https://verifier.example, maxAge: 1d}]
`)
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	s := start(t)
	s.systemCA()
	dockerHome(t)
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	write(t, filepath.Join(dir, "f"), "f")
	sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, "f.tar"), "f")
	for form, flags := range map[string][]string{"older": {"--new-bundle-format=false"}, "newer": {"--new-bundle-format=true"}} {
		repo := "team/" + form
		ref := s.host + "/" + repo + ":1.0"
		sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, "f.tar"), "-t", ref)
		image := s.host + "/" + repo + "@" + strings.TrimSpace(sh(t, crane, "digest", ref))
		signing := append([]string{"--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false"}, flags...)
		checking := append([]string{"--key", "cosign.pub", "--insecure-ignore-tlog=true"}, flags...)
		texts := predicates(s, repo)
		for kind := range cosignTypes {
			text := texts[kind]
			if text == "" {
				text = "{}"
			}
			write(t, filepath.Join(dir, "predicate.json"), text)
			mustRun(t, in(append(append([]string{"attest", "--type", kind, "--predicate", "predicate.json"}, signing...), image)...))
			if kind == "spdx" { // what it attests of SPDX's text is no object, which it refuses itself
				continue
			}
			mustRun(t, in(append(append([]string{"verify-attestation", "--type", kind}, checking...), image)...))
		}
		s.wantKinds(repo)
		if report := mustRun(t, s.hallmark("inspect", "image", repo+":1.0")); strings.Contains(report, "12/12  signature") {
			t.Errorf("%s: it counts as signed:\n%s", form, report)
		}
		mustRun(t, in(append(append([]string{"sign"}, signing...), image)...))
		mustRun(t, in(append(append([]string{"verify"}, checking...), image)...))
		if report := mustRun(t, s.hallmark("inspect", "image", repo+":1.0")); !strings.Contains(report, "12/12  signature") {
			t.Errorf("%s: it does not count as signed:\n%s", form, report)
		}
	}
	s.wantClean()
}

// wantKinds wants a good verdict for each type that cosign knows, of its kind, that counts where the signer vouches for it.
func (s *server) wantKinds(repo string) {
	s.t.Helper()
	var image struct {
		Provenance struct {
			Verdicts []struct {
				Result, Kind string
				Standing     struct{ Counts bool }
			}
		}
	}
	if err := json.Unmarshal([]byte(s.get("/api/v1/image?repo="+repo+"&ref=1.0")), &image); err != nil {
		s.t.Fatal(err)
	}
	counts := map[string]bool{"sbom": true, "vsa": true, "test": true, "https://in-toto.io/Link/v1": true}
	found := map[string]bool{}
	for _, v := range image.Provenance.Verdicts {
		found[v.Kind] = true
		if v.Result != "good" || v.Standing.Counts != counts[v.Kind] {
			s.t.Errorf("%s: %+v", repo, v)
		}
	}
	for name, kind := range cosignTypes {
		if !found[kind] {
			s.t.Errorf("%s: of %s nothing of the kind %s was found", repo, name, kind)
		}
	}
	if len(image.Provenance.Verdicts) != len(cosignTypes) {
		s.t.Errorf("%s: %d verdicts of %d statements", repo, len(image.Provenance.Verdicts), len(cosignTypes))
	}
}
