package image

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// team signs with a key that is trusted for team/*.
type team struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newTeam(t *testing.T) team {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return team{t, key}
}

// trust is a file that trusts the key, with more lines.
func (m team) trust(more string) *signature.Trust {
	m.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	if err != nil {
		m.t.Fatal(err)
	}
	dir := m.t.TempDir()
	for name, text := range map[string]string{
		"team.pub":   string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
		"trust.yaml": "keys:\n  - name: team-key\n    file: team.pub\n    repositories: [team/*]\n" + more,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			m.t.Fatal(err)
		}
	}
	trusted, err := signature.ReadFile(filepath.Join(dir, "trust.yaml"))
	if err != nil {
		m.t.Fatal(err)
	}
	return trusted
}

// envelope signs a statement.
func (m team) envelope(statement any) map[string]any {
	m.t.Helper()
	payload := mustJSON(statement)
	sum := sha256.Sum256(dsse.PAE("application/vnd.in-toto+json", payload))
	sig, err := ecdsa.SignASN1(rand.Reader, m.key, sum[:])
	if err != nil {
		m.t.Fatal(err)
	}
	return map[string]any{"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": []any{map[string]any{"sig": sig}}}
}

// slsa is provenance of a build by ci.example.
func slsa(d digest.Digest) map[string]any {
	return statementOf("https://slsa.dev/provenance/v1", d, map[string]any{
		"buildDefinition": map[string]any{"externalParameters": map[string]any{"configSource": map[string]any{
			"uri": "https://git.example/team/app", "digest": map[string]string{"sha1": "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"},
		}}},
		"runDetails": map[string]any{"builder": map[string]string{"id": "https://ci.example/builder"}},
	})
}

const vouches = "builders:\n  - id: https://ci.example/*\n    by: team-key\n"

// TestSigned attaches signed statements to an image, and wants the three checks that they decide.
func TestSigned(t *testing.T) {
	t.Parallel()
	m, stranger := newTeam(t), newTeam(t)
	sign := func(by team, statements ...func(digest.Digest) map[string]any) func(*memory, ocispec.Descriptor) {
		return func(mem *memory, top ocispec.Descriptor) {
			for _, statement := range statements {
				mem.attach(top, "application/vnd.dsse.envelope.v1+json", by.envelope(statement(top.Digest)))
			}
		}
	}
	of := func(predicateType string) func(digest.Digest) map[string]any {
		return func(d digest.Digest) map[string]any { return statementOf(predicateType, d, map[string]any{}) }
	}
	elsewhere := func(digest.Digest) map[string]any { return slsa(digest.FromString("other")) }
	plain := of("https://sigstore.dev/cosign/sign/v1")
	verified := of("https://slsa.dev/verification_summary/v1")
	const others, onlyOthers = "    vouches: [sbom, https://acme.example/v1]\n", "Nobody who is trusted has signed the image itself. What is signed is about it: "
	for name, c := range map[string]struct {
		trust                    *signature.Trust
		attach                   func(*memory, ocispec.Descriptor)
		signature, source, build int
		result                   trust.Result
		says                     string
	}{
		"nothing attached":     {m.trust(vouches), nil, 0, 4, 3, trust.Fail, "It has no signature"},
		"the builder says so":  {m.trust(vouches), sign(m, slsa, plain), 12, 12, 10, trust.Pass, "It is signed by team-key"},
		"provenance alone":     {m.trust(vouches), sign(m, slsa), 0, 12, 10, trust.Fail, onlyOthers + "provenance (team-key)."},
		"a verification":       {m.trust(vouches), sign(m, verified), 0, 4, 3, trust.Fail, onlyOthers + "vsa (team-key)."},
		"another version":      {m.trust(vouches), sign(m, of("https://sigstore.dev/cosign/sign/v2")), 0, 4, 3, trust.Fail, onlyOthers + "https://sigstore.dev/cosign/sign/v2 (team-key)."},
		"no type":              {m.trust(vouches), sign(m, of("")), 0, 4, 3, trust.Fail, onlyOthers + "untyped (team-key)."},
		"not for provenance":   {m.trust(others + vouches), sign(m, slsa), 0, 4, 3, trust.Fail, onlyOthers + "provenance (team-key)."},
		"not for images":       {m.trust(others + vouches), sign(m, plain), 0, 4, 3, trust.Fail, onlyOthers + "image (team-key)."},
		"the team wrote it":    {m.trust(""), sign(m, plain, slsa), 12, 9, 7, trust.Pass, "It is signed by team-key"},
		"a signature alone":    {m.trust(vouches), sign(m, plain), 12, 4, 3, trust.Pass, "It is signed by team-key"},
		"somebody else":        {m.trust(vouches), sign(stranger, slsa), 0, 4, 3, trust.Fail, "none of which is known to be by anybody who is trusted"},
		"another image":        {m.trust(vouches), sign(m, elsewhere), 0, 4, 3, trust.Fail, "A signature of team-key does not hold: its statement does not name sha256:"},
		"a key withdrawn":      {m.trust("    withdrawn: 2026-05-01\n" + vouches), sign(m, slsa), 0, 4, 3, trust.Fail, "the key team-key was withdrawn at 2026-05-01"},
		"nobody is trusted":    {nil, sign(m, plain), 0, 4, 3, trust.Unknown, "no key or identity is configured"},
		"not for this place":   {m.trust("  - name: other\n    key: |\n" + indent(stranger) + "    repositories: [prod/*]\n" + vouches), sign(stranger, slsa), 0, 4, 3, trust.Fail, "the key other is not trusted for the repository team/app"},
		"a key that will stop": {m.trust("    notAfter: 2026-07-01\n" + vouches), sign(m, slsa, plain), 12, 12, 10, trust.Pass, "It is signed by team-key"},
	} {
		mem := made{platforms: 1}.build()
		if c.attach != nil {
			c.attach(mem, mem.manifests["1.0"].desc)
		}
		r, err := Inspect(t.Context(), mem, "1.0", Config{Subject: "registry.example/team/app", Repository: "team/app", Records: mem, Trust: c.trust, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		wantTyped(t, r)
		checks := byID(r.Checks)
		sig := checks[trust.ImageSignature]
		if sig.Result != c.result || sig.Points != c.signature || !strings.Contains(sig.Says, c.says) {
			t.Errorf("%s: %s, %d points: %s", name, sig.Result, sig.Points, sig.Says)
		}
		if checks[trust.ImageSource].Points != c.source || checks[trust.ImageBuild].Points != c.build {
			t.Errorf("%s: source %d (%s), build %d (%s)", name, checks[trust.ImageSource].Points, checks[trust.ImageSource].Says, checks[trust.ImageBuild].Points, checks[trust.ImageBuild].Says)
		}
		if capped := name == "another image"; capped != (sig.Cap == "D") {
			t.Errorf("%s: the cap is %q", name, sig.Cap)
		}
		if ends := name == "a key that will stop"; ends != (len(sig.Drops) == 1) {
			t.Errorf("%s: it drops %v", name, sig.Drops)
		}
	}
}

// indent is a key as it stands in the file.
func indent(m team) string {
	m.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	if err != nil {
		m.t.Fatal(err)
	}
	var text strings.Builder
	for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))) {
		text.WriteString("      " + line)
	}
	return text.String()
}

// TestPlatformsSigned wants all platforms signed where the index is not.
func TestPlatformsSigned(t *testing.T) {
	t.Parallel()
	m := newTeam(t)
	for signed, want := range map[int]trust.Result{1: trust.Fail, 2: trust.Pass} {
		mem := made{}.build()
		top, _, err := (&subject{from: mem}).readManifest(t.Context(), mem.manifests["1.0"].desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range top.Manifests[:signed] {
			mem.attach(child, "application/vnd.dsse.envelope.v1+json", m.envelope(slsa(child.Digest)))
			mem.attach(child, "application/vnd.dsse.envelope.v1+json", m.envelope(statementOf("https://sigstore.dev/cosign/sign/v1", child.Digest, map[string]any{})))
		}
		r, err := Inspect(t.Context(), mem, "1.0", Config{Repository: "team/app", Trust: m.trust(vouches), Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		checks := byID(r.Checks)
		if got := checks[trust.ImageSignature]; got.Result != want {
			t.Errorf("%d signed: %s: %s", signed, got.Result, got.Says)
		}
		if got := checks[trust.ImageSource].Points; (got == 12) != (want == trust.Pass) {
			t.Errorf("%d signed: the source has %d points", signed, got)
		}
	}
}

// TestVerificationTakenAway wants a verification that failed to decide from the records, after its summary was deleted.
func TestVerificationTakenAway(t *testing.T) {
	t.Parallel()
	m := newTeam(t)
	trusted := m.trust("    vouches: [image, vsa]\n    verifiers:\n      - id: https://verifier.example\n").Of("registry.example")
	mem := made{platforms: 1}.build()
	top := mem.manifests["1.0"].desc
	says := func(result string, at time.Time) map[string]any {
		return statementOf(provenance.VSAType, top.Digest, map[string]any{
			"verifier": map[string]any{"id": "https://verifier.example"}, "resourceUri": "registry.example/team/app", "verificationResult": result, "timeVerified": at.UTC().Format(time.RFC3339),
		})
	}
	mem.attach(top, "application/vnd.dsse.envelope.v1+json", m.envelope(says("PASSED", clock.Add(-2*time.Hour))))
	counts := func() bool {
		r, err := Inspect(t.Context(), mem, "1.0", Config{Repository: "team/app", Records: mem, Trust: trusted, Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		e := byID(r.Checks)[trust.ImageSignature].Evidence.(SignatureEvidence)
		return e.Documents[0].Standing.Counts
	}
	if !counts() {
		t.Error("a verification that passed does not count")
	}
	failed := trusted.Look("team/app", signature.Document{
		Subject: top.Digest, Layer: ocispec.Descriptor{MediaType: "application/vnd.dsse.envelope.v1+json"}, Body: mustJSON(m.envelope(says("FAILED", clock.Add(-time.Hour)))),
	}, clock)
	mem.records = append(mem.records, &provenance.Record{Action: provenance.Attest, Repository: "team/app", Digest: top.Digest, Verdict: &failed.Verdict})
	if counts() {
		t.Error("it counts although a later one, which is on record, failed")
	}
}

// TestStatementsOfSignedManifest signs the manifest that holds a bare statement, and wants the statement to be attested
// where it or its manifest names the image, and the signer vouches for it; and never for a signature over the index.
func TestStatementsOfSignedManifest(t *testing.T) {
	t.Parallel()
	m := newTeam(t)
	const bare, sealed = "application/vnd.in-toto+json", "application/vnd.dsse.envelope.v1+json"
	plain := func(d digest.Digest) any {
		return m.envelope(statementOf("https://sigstore.dev/cosign/sign/v1", d, map[string]any{}))
	}
	for name, c := range map[string]struct {
		named, bound, over bool // the statement names the image; the manifest's subject does; the manifest is signed
		more               string
		points             int
	}{
		"both name it":           {true, true, true, vouches, 12},
		"the statement names it": {true, false, true, vouches, 12},
		"the manifest names it":  {false, true, true, vouches, 12},
		"only the index":         {false, false, true, vouches, 4},
		"nobody signed it":       {true, true, false, vouches, 4},
		"not for provenance":     {true, true, true, "    vouches: image\n" + vouches, 4},
	} {
		mem := made{platforms: 1}.build()
		child := mem.manifests["1.0"].desc
		st := slsa(child.Digest)
		if !c.named {
			st["subject"] = []any{}
		}
		statement := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{mem.blob(bare, mustJSON(st))}}
		if c.bound {
			statement.Subject = &child
		}
		carrier := mem.put("", statement)
		carrier.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": child.Digest.String()}
		child.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}
		index := mem.put("2.0", ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child, carrier}})
		mem.attach(index, sealed, plain(index.Digest))
		if c.over {
			mem.attach(carrier, sealed, plain(carrier.Digest))
		}
		r, err := Inspect(t.Context(), mem, "2.0", Config{Repository: "team/app", Trust: m.trust(c.more), Now: func() time.Time { return clock }})
		if err != nil {
			t.Fatal(err)
		}
		checks := byID(r.Checks)
		if got := checks[trust.ImageSource]; got.Points != c.points {
			t.Errorf("%s: the source: %d points: %s", name, got.Points, got.Says)
		}
		if got := checks[trust.ImageSignature]; got.Points != 12 {
			t.Errorf("%s: the signature over the index: %s", name, got.Says)
		}
	}
}
