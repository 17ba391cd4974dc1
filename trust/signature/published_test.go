package signature

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// The layouts in which SLSA's generators, cosign and GitHub publish what they sign, typed again from their documentation, each
// with a good variant and with what slsa-verifier and cosign have to refuse.

const (
	slsaGenerator = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.0.0"
	githubRunner  = "https://github.com/actions/runner/github-hosted"
	githubBuild   = "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0"
	githubIssuer  = "https://token.actions.githubusercontent.com"
	publishedAs   = "ghcr.io/acme/app"
)

// generatorStatement is what slsa-github-generator writes about an image.
func generatorStatement(about digest.Digest, builder string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://slsa.dev/provenance/v0.2","subject":[{"name":%q,"digest":{"sha256":%q}}],
		"predicate":{"builder":{"id":%q},"buildType":"https://github.com/slsa-framework/slsa-github-generator/container@v1",
		"invocation":{"configSource":{"uri":"git+https://github.com/acme/app@refs/tags/v1.0.0","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"},"entryPoint":".github/workflows/release.yml"},
		"environment":{"github_event_name":"push","github_run_id":"7000000000","github_sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}},
		"metadata":{"buildInvocationID":"7000000000-1","completeness":{"parameters":true,"environment":false,"materials":false},"reproducible":false},
		"materials":[{"uri":"git+https://github.com/acme/app@refs/tags/v1.0.0","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}]}}`,
		publishedAs, about.Encoded(), builder)
}

// githubStatement is what GitHub's actions/attest-build-provenance writes.
func githubStatement(about digest.Digest, builder string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":%q,"digest":{"sha256":%q}}],"predicateType":"https://slsa.dev/provenance/v1",
		"predicate":{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
		"externalParameters":{"workflow":{"ref":"refs/tags/v1.0.0","repository":"https://github.com/acme/app","path":".github/workflows/release.yml"}},
		"internalParameters":{"github":{"event_name":"push","repository_id":"1","repository_owner_id":"2","runner_environment":"github-hosted"}},
		"resolvedDependencies":[{"uri":"git+https://github.com/acme/app@refs/tags/v1.0.0","digest":{"gitCommit":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}]},
		"runDetails":{"builder":{"id":%q},"metadata":{"invocationId":"https://github.com/acme/app/actions/runs/7000000000/attempts/1"}}}}`,
		publishedAs, about.Encoded(), builder)
}

// altered is a document whose payload says another revision than the one that was signed.
func altered(d Document, statement []byte) Document {
	other := strings.ReplaceAll(string(statement), "aaf4c61d", "0000c61d")
	signed, changed := base64.StdEncoding.EncodeToString(statement), base64.StdEncoding.EncodeToString([]byte(other))
	d.Body = []byte(strings.ReplaceAll(string(d.Body), signed, changed))
	d.Layer.Digest = digest.FromBytes(d.Body)
	return d
}

// inVersion is a bundle that says another version of itself, in the manner of before 0.3.
func inVersion(d Document, version string) Document {
	mediaType := "application/vnd.dev.sigstore.bundle+json;version=" + version
	d.Body = []byte(strings.Replace(string(d.Body), bundleType, mediaType, 1))
	d.Layer.MediaType, d.Layer.Digest = mediaType, digest.FromBytes(d.Body)
	return d
}

// inLine is a document as one of several JSON lines, of which the first is by a stranger.
func inLine(d, first Document) Document {
	d.Body = append(append(append([]byte{}, first.Body...), '\n'), append(d.Body, '\n')...)
	d.Layer.Digest = digest.FromBytes(d.Body)
	return d
}

// TestPublishedLayouts wants each to be judged as its own tool does: cosign verifies the signature and looks for the image among
// the subjects, and slsa-verifier also wants the builder to be the one whose identity signed.
func TestPublishedLayouts(t *testing.T) {
	t.Parallel()
	p, m, stranger := newPrivate(t), newMaker(t), newMaker(t)
	trust := readTrust(t, map[string]string{"trusted_root.json": p.root, "release.pub": m.pem(), "trust.yaml": fmt.Sprintf(`keys:
  - {name: release-key, file: release.pub, repositories: "**"}
roots:
  - name: sigstore
    trustedRoot: trusted_root.json
    identities:
      - {name: generator, issuer: %[1]s, subject: %[2]s, repositories: "**"}
      - {name: github, issuer: %[1]s, subject: "https://github.com/acme/app/.github/workflows/release.yml@**", repositories: "**"}
builders:
  - {id: %[2]s, by: [generator, release-key]}
  - {id: %[3]s, by: github}
`, githubIssuer, slsaGenerator, githubRunner)})
	type maker func(statement []byte) Document
	by := func(make func(subject, issuer string, statement []byte) Document, subject string) maker {
		return func(statement []byte) Document { return make(subject, githubIssuer, statement) }
	}
	for layout, c := range map[string]struct {
		made      maker
		statement func(about digest.Digest, builder string) []byte
		builder   string
		line      int
	}{
		"slsa-github-generator, container: .att with a certificate and a log's promise": {by(p.olderStatement, slsaGenerator), generatorStatement, slsaGenerator, 0},
		"slsa-github-generator, in a bundle of version 0.1":                             {by(p.attestV1, slsaGenerator), generatorStatement, slsaGenerator, 0},
		"GitHub's attestation, a bundle of version 0.3":                                 {by(p.attest, githubBuild), githubStatement, githubRunner, 0},
		"GitHub's attestation, a bundle of version 0.2": {func(s []byte) Document {
			return inVersion(p.attest(githubBuild, githubIssuer, s), "0.2")
		}, githubStatement, githubRunner, 0},
		"gh attestation download: bundles as JSON lines": {func(s []byte) Document {
			return inLine(p.attest(githubBuild, githubIssuer, s), stranger.bundle(s))
		}, githubStatement, githubRunner, 2},
		"cosign attest --key: .att":                          {m.dsse, generatorStatement, slsaGenerator, 0},
		"cosign attest --key: a bundle of version 0.3":       {m.bundle, generatorStatement, slsaGenerator, 0},
		"*.intoto.jsonl: envelopes as lines":                 {func(s []byte) Document { return inLine(m.dsse(s), stranger.dsse(s)) }, generatorStatement, slsaGenerator, 2},
		"*.intoto.jsonl of one line, which ends with a line": {func(s []byte) Document { d := m.dsse(s); d.Body = append(d.Body, '\n'); return d }, generatorStatement, slsaGenerator, 0},
	} {
		good := c.statement(image, c.builder)
		for variant, is := range map[string]struct {
			made         Document
			cosign, slsa string // what the tool says
			reason       provenance.Reason
		}{
			"good":            {c.made(good), "PASSED", "PASSED", ""},
			"another subject": {c.made(c.statement(other, c.builder)), "FAILED", "FAILED", provenance.OtherDigest},
			"another builder": {c.made(c.statement(image, "https://github.com/mallory/builder@refs/heads/main")), "PASSED", "FAILED", ""},
			"altered payload": {altered(c.made(good), good), "FAILED", "FAILED", provenance.BadSignature},
		} {
			found := trust.LookAtEach("team/app", is.made, time.Now())
			f := found[max(0, c.line-1)]
			v := f.Verdict
			if c.line > 0 && (len(found) != 2 || found[0].Verdict.Result != provenance.Foreign || v.Line != c.line) {
				t.Errorf("%s, %s: of its lines %+v", layout, variant, found)
			}
			reason := is.reason
			if v.Form == formDSSE && v.Result == provenance.Foreign && reason == provenance.BadSignature {
				reason = "" // an envelope names no key, so an altered one is anybody's
			}
			if said(v.Result == provenance.Good) != is.cosign || v.Reason != reason {
				t.Errorf("%s, %s: cosign says %s, and here it is %+v", layout, variant, is.cosign, v)
			}
			if got := said(v.Result == provenance.Good && trust.Vouches(v.Signer, factIn(f, provenance.FactBuilder))); got != is.slsa {
				t.Errorf("%s, %s: slsa-verifier says %s, and here the builder is %q", layout, variant, is.slsa, factIn(f, provenance.FactBuilder))
			}
			if is.slsa == "PASSED" && (factIn(f, provenance.FactRevision) != "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" || v.Names.Names[0] != publishedAs) {
				t.Errorf("%s: it attests %+v", layout, f)
			}
		}
	}
}

func said(passed bool) string {
	return map[bool]string{true: "PASSED", false: "FAILED"}[passed]
}

// factIn is a fact that a finding attests, or "".
func factIn(f provenance.Finding, fact string) string {
	for _, a := range f.Attested {
		if a.Fact == fact {
			return a.Value
		}
	}
	return ""
}
