package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/seed-260924e6/hallmark/provenance"
)

const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

var (
	image  = digest.FromString("the image")
	other  = digest.FromString("another image")
	now    = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	inRepo = "team/app"
)

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// maker signs as a client would.
type maker struct {
	t    *testing.T
	key  crypto.Signer
	hash crypto.Hash
}

func newMaker(t *testing.T) maker {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	return maker{t, key, crypto.SHA256}
}

func (m maker) der() []byte {
	m.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(m.key.Public())
	fatal(m.t, err)
	return der
}

func (m maker) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: m.der()}))
}

func (m maker) sign(message []byte) []byte {
	m.t.Helper()
	var opts crypto.SignerOpts = m.hash
	if m.hash != 0 {
		h := m.hash.New()
		h.Write(message)
		message = h.Sum(nil)
	}
	sig, err := m.key.Sign(rand.Reader, message, opts)
	fatal(m.t, err)
	return sig
}

func simplePayloadOf(d digest.Digest) []byte {
	return fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":"registry.example/team/app"},"image":{"docker-manifest-digest":%q},"type":"cosign container image signature"},"optional":null}`, d)
}

// statementOf is SLSA provenance of images.
func statementOf(about ...digest.Digest) []byte {
	var subjects []string
	for _, d := range about {
		subjects = append(subjects, fmt.Sprintf(`{"name":"app","digest":{"sha256":%q}}`, d.Encoded()))
	}
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[%s],
		"predicate":{"buildDefinition":{"buildType":"https://build.example/type","externalParameters":{"configSource":{"uri":"git+https://git.example/team/app.git","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}}},
		"runDetails":{"builder":{"id":"https://ci.example/builder@1"}}}}`, strings.Join(subjects, ","))
}

func layer(mediaType string, body []byte, annotations map[string]string) Document {
	return Document{Subject: image, Manifest: digest.FromString("manifest"), Body: body, Layer: ocispec.Descriptor{
		MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body)), Annotations: annotations,
	}}
}

func (m maker) simple(payload []byte) Document {
	return layer(simpleType, payload, map[string]string{signatureAnnotation: base64.StdEncoding.EncodeToString(m.sign(payload))})
}

func (m maker) envelope(statement []byte) map[string]any {
	return map[string]any{
		"payload": statement, "payloadType": "application/vnd.in-toto+json",
		"signatures": []any{map[string]any{"sig": m.sign(dsse.PAE("application/vnd.in-toto+json", statement))}},
	}
}

func (m maker) dsse(statement []byte) Document {
	body, err := json.Marshal(m.envelope(statement))
	fatal(m.t, err)
	return layer(provenance.EnvelopeType, body, nil)
}

func (m maker) bundleOf(content map[string]any) Document {
	sum := sha256.Sum256(m.der())
	content["mediaType"] = bundleType
	content["verificationMaterial"] = map[string]any{"publicKey": map[string]any{"hint": base64.StdEncoding.EncodeToString(sum[:])}}
	body, err := json.Marshal(content)
	fatal(m.t, err)
	return layer(bundleType, body, nil)
}

func (m maker) bundle(statement []byte) Document {
	return m.bundleOf(map[string]any{"dsseEnvelope": m.envelope(statement)})
}

// message is a bundle with a signature over the image's manifest itself.
func (m maker) message(manifest string) Document {
	sum := sha256.Sum256([]byte(manifest))
	return m.bundleOf(map[string]any{"messageSignature": map[string]any{
		"messageDigest": map[string]any{"algorithm": "SHA2_256", "digest": sum[:]}, "signature": m.sign([]byte(manifest)),
	}})
}

// trusting reads a file of one key.
func trusting(t *testing.T, m maker, more string) *Trust {
	t.Helper()
	return readTrust(t, map[string]string{"release.pub": m.pem(), "trust.yaml": `keys:
  - name: release-key
    file: release.pub
    repositories: [team/*]
` + more})
}

// readTrust writes files, and reads trust.yaml.
func readTrust(t *testing.T, files map[string]string) *Trust {
	t.Helper()
	trust, err := readTrustError(t, files)
	fatal(t, err)
	return trust
}

func readTrustError(t *testing.T, files map[string]string) (*Trust, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		fatal(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return ReadFile(filepath.Join(dir, "trust.yaml"))
}

// TestKeys makes signatures of every form, each with one thing about it, and wants what is to be found of it.
func TestKeys(t *testing.T) {
	t.Parallel()
	m, stranger := newMaker(t), newMaker(t)
	forms := map[string]func(m maker, about digest.Digest) Document{
		formSimple: func(m maker, d digest.Digest) Document { return m.simple(simplePayloadOf(d)) },
		formDSSE:   func(m maker, d digest.Digest) Document { return m.dsse(statementOf(d)) },
		formBundle: func(m maker, d digest.Digest) Document { return m.bundle(statementOf(d)) },
	}
	for _, c := range []struct {
		name   string
		key    string // of the file
		by     maker
		about  digest.Digest
		in     string
		result provenance.Result
		reason provenance.Reason
	}{
		{"right key", "", m, image, inRepo, provenance.Good, ""},
		{"valid since then", "    notBefore: 2026-01-01\n    notAfter: 2027-01-01\n", m, image, inRepo, provenance.Good, ""},
		{"withdrawn later", "    withdrawn: 2026-12-01\n", m, image, inRepo, provenance.Good, ""},
		{"other key", "", stranger, image, inRepo, provenance.Foreign, ""},
		{"other digest", "", m, other, inRepo, provenance.Failed, provenance.OtherDigest},
		{"withdrawn", "    withdrawn: 2026-11-25T12:00:00Z\n", m, image, inRepo, provenance.Failed, provenance.Withdrawn},
		{"expired", "    notAfter: 2026-11-25\n", m, image, inRepo, provenance.Failed, provenance.Expired},
		{"not yet valid", "    notBefore: 2026-11-26\n", m, image, inRepo, provenance.Failed, provenance.NotYetValid},
		{"other repository", "", m, image, "prod/app", provenance.Failed, provenance.OtherPlace},
		{"other digest by a withdrawn key", "    withdrawn: 2020-01-01\n", m, other, inRepo, provenance.Failed, provenance.OtherDigest},
	} {
		trust := trusting(t, m, c.key)
		for form, made := range forms {
			f := trust.Look(c.in, made(c.by, c.about), now)
			v := f.Verdict
			if v.Result != c.result || v.Reason != c.reason || v.Form != form {
				t.Errorf("%s, %s: %+v", c.name, form, v)
			}
			if known := c.result != provenance.Foreign; known != (v.Signer == "release-key") || known != (v.TrustRoot == digest.FromBytes(m.der())) {
				t.Errorf("%s, %s: by %q under %s", c.name, form, v.Signer, v.TrustRoot)
			}
			if attests := form != formSimple && c.result == provenance.Good; attests != (len(f.Attested) > 0) {
				t.Errorf("%s, %s: it attests %+v", c.name, form, f.Attested)
			}
		}
	}
}

// TestAttested wants the facts of a statement, with who says so.
func TestAttested(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	d := m.dsse(statementOf(other, image))
	f := trusting(t, m, "").Look(inRepo, d, now)
	facts := map[string]string{}
	for _, a := range f.Attested {
		facts[a.Fact] = a.Value
		if a.About != image || a.Signer != "release-key" || a.TrustRoot == "" || a.Evidence.Digest != d.Layer.Digest || a.Evidence.PredicateType != "https://slsa.dev/provenance/v1" {
			t.Errorf("the fact is %+v", a)
		}
	}
	if facts["source"] != "git+https://git.example/team/app.git" || facts["revision"] != "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" || facts["builder"] != "https://ci.example/builder@1" {
		t.Errorf("the facts are %v", facts)
	}
}

// TestVouches wants a signature to count for what its signer vouches for, and to be shown all the same.
func TestVouches(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	of := func(predicateType string) Document {
		return m.bundle([]byte(strings.Replace(string(statementOf(image)), "https://slsa.dev/provenance/v1", predicateType, 1)))
	}
	const spdx, own = "https://spdx.dev/Document/v2.3", "https://acme.example/review/v1"
	for name, c := range map[string]struct {
		vouches string
		made    Document
		kind    provenance.StatementKind
		counts  bool
	}{
		"an image, simply":             {"", m.simple(simplePayloadOf(image)), provenance.ImageKind, true},
		"an image, its manifest":       {"", m.message("the image"), provenance.ImageKind, true},
		"an image, as a statement":     {"", of("https://sigstore.dev/cosign/sign/v1"), provenance.ImageKind, true},
		"provenance":                   {"", m.bundle(statementOf(image)), provenance.ProvenanceKind, true},
		"an SBOM":                      {"", of(spdx), provenance.SBOMKind, false},
		"an SBOM, vouched for":         {"[image, sbom]", of(spdx), provenance.SBOMKind, true},
		"an SBOM, by its type":         {spdx, of(spdx), provenance.SBOMKind, true},
		"an SBOM of another version":   {"https://spdx.dev/Document/v2.2", of(spdx), provenance.SBOMKind, false},
		"a type that looks like one":   {"sbom", of(spdx + ".1"), spdx + ".1", false},
		"a type of one's own":          {own, of(own), own, true},
		"no image":                     {"sbom", m.simple(simplePayloadOf(image)), provenance.ImageKind, false},
		"a statement that has no type": {"[image, provenance]", of(""), provenance.UntypedKind, false},
	} {
		more := ""
		if c.vouches != "" {
			more = "    vouches: " + c.vouches + "\n"
		}
		trust := trusting(t, m, more)
		f := trust.Look(inRepo, c.made, now)
		if v := f.Verdict; v.Result != provenance.Good || v.Kind != c.kind {
			t.Errorf("%s: %+v", name, v)
		}
		why, detail := trust.Standing(&f.Verdict, inRepo, now)
		if c.counts != (why == "") || !c.counts && (why != provenance.OtherKind || !strings.Contains(detail, "release-key vouches for ")) {
			t.Errorf("%s: it is worth %q, %s", name, why, detail)
		}
		f.Verdict.Kind = "" // as in older records
		if was := f.Verdict.KindOf(); c.kind != provenance.UntypedKind && was != c.kind {
			t.Errorf("%s: an older record is of the kind %s", name, was)
		}
	}
	if f := trusting(t, m, "    vouches: image\n").Look(inRepo, m.bundle(statementOf(image)), now); f.Attested != nil {
		t.Errorf("who does not vouch for provenance attests %v", f.Attested)
	}
}

// TestForms wants statements to be verified in each form in which provenance is read from them.
func TestForms(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust, statement := trusting(t, m, ""), append(statementOf(image), "  "...)
	sealed := func(payloadType string, coding *base64.Encoding) Document {
		body, err := json.Marshal(map[string]any{
			"payload": coding.EncodeToString(statement), "payloadType": payloadType,
			"signatures": []any{map[string]any{"sig": coding.EncodeToString(m.sign(dsse.PAE(payloadType, statement)))}},
		})
		fatal(t, err)
		return layer(provenance.EnvelopeType, body, nil)
	}
	const current = "application/vnd.in-toto+json"
	for name, d := range map[string]Document{
		"base64url":             sealed(current, base64.URLEncoding),
		"without padding":       sealed(current, base64.RawURLEncoding),
		"an older payload type": sealed("https://in-toto.io/Statement/v1-json", base64.StdEncoding),
		"an older bundle's layer": func() Document {
			d := m.bundle(statement)
			d.Layer.MediaType = "application/vnd.dev.sigstore.bundle+json"
			return d
		}(),
	} {
		if f := trust.Look(inRepo, d, now); !Reads(d.Layer.MediaType) || f.Verdict.Result != provenance.Good || len(f.Attested) == 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := trust.Look(inRepo, sealed("application/json", base64.StdEncoding), now); f.Verdict.Result != provenance.Foreign {
		t.Errorf("another payload: %+v", f.Verdict)
	}
	crossed := sealed("https://in-toto.io/Statement/v1-json", base64.StdEncoding)
	crossed.Body = bytes.Replace(crossed.Body, []byte("https://in-toto.io/Statement/v1-json"), []byte(current), 1)
	if f := trust.Look(inRepo, crossed, now); f.Verdict.Result == provenance.Good {
		t.Errorf("a signature over another payload type: %+v", f.Verdict)
	}
}

// TestChanged wants that nothing survives a change of what was signed.
func TestChanged(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, "")
	simple := m.simple(simplePayloadOf(other))
	simple.Body = simplePayloadOf(image)
	if v := trust.Look(inRepo, simple, now).Verdict; v.Result != provenance.Foreign { // it names no key
		t.Errorf("a changed payload: %+v", v)
	}
	statement := base64.StdEncoding.EncodeToString(statementOf(other))
	for name, made := range map[string]Document{"dsse": m.dsse(statementOf(other)), "bundle": m.bundle(statementOf(other))} {
		made.Body = []byte(strings.Replace(string(made.Body), statement, base64.StdEncoding.EncodeToString(statementOf(image)), 1))
		want := provenance.Verdict{Result: provenance.Foreign}
		if name == "bundle" { // it names the key
			want = provenance.Verdict{Result: provenance.Failed, Reason: provenance.BadSignature}
		}
		f := trust.Look(inRepo, made, now)
		if f.Verdict.Result != want.Result || f.Verdict.Reason != want.Reason || f.Attested != nil {
			t.Errorf("%s with a changed payload: %+v", name, f)
		}
	}
	if v := trust.Look(inRepo, m.message("the image"), now).Verdict; v.Result != provenance.Good {
		t.Errorf("a signature over the manifest: %+v", v)
	}
	if v := trust.Look(inRepo, m.message("another image"), now).Verdict; v.Result != provenance.Failed || v.Reason != provenance.BadSignature {
		t.Errorf("a signature over another manifest: %+v", v)
	}
}

// TestNoImage wants statements that name no image, or another kind of payload, to attest nothing.
func TestNoImage(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, "")
	twice := strings.Replace(string(statementOf(other)), `"subject":`, `"subject":[{"digest":{"sha256":"`+image.Encoded()+`"}}],"subject":`, 1)
	for name, made := range map[string]Document{
		"no subject":        m.dsse(statementOf()),
		"two lists":         m.dsse([]byte(twice)),
		"not JSON":          m.dsse([]byte("{")),
		"another type":      m.simple([]byte(strings.Replace(string(simplePayloadOf(image)), "cosign container image signature", "letter", 1))),
		"a list":            m.simple([]byte("[]")),
		"in another letter": m.dsse([]byte(strings.Replace(string(statementOf(image)), "sha256", "SHA256", 1))),
	} {
		if f := trust.Look(inRepo, made, now); f.Verdict.Reason != provenance.OtherDigest || f.Attested != nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for name, made := range map[string]Document{
		"no signature":   layer(simpleType, simplePayloadOf(image), nil),
		"no envelope":    layer(provenance.EnvelopeType, []byte(`{"payloadType":"text/plain","payload":"aGVsbG8="}`), nil),
		"no JSON":        layer(provenance.EnvelopeType, []byte("x"), nil),
		"no bundle":      layer(bundleType, []byte(`{}`), nil),
		"empty":          layer(bundleType, nil, nil),
		"too large":      m.simple(append(simplePayloadOf(image), strings.Repeat(" ", maxSimple)...)),
		"no certificate": layer(simpleType, simplePayloadOf(image), map[string]string{signatureAnnotation: "aGVsbG8=", certificateAnnotation: "x"}),
	} {
		if f := trust.Look(inRepo, made, now); f.Verdict.Result != provenance.Foreign || f.Verdict.Detail == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestKinds of key, as signers use them.
func TestKinds(t *testing.T) {
	t.Parallel()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	fatal(t, err)
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	fatal(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	fatal(t, err)
	for name, m := range map[string]maker{
		"ed25519": {t, ed, 0}, "rsa": {t, r, crypto.SHA256}, "p384, older": {t, p384, crypto.SHA256}, "p384": {t, p384, crypto.SHA384},
	} {
		if v := trusting(t, m, "").Look(inRepo, m.dsse(statementOf(image)), now).Verdict; v.Result != provenance.Good {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestStanding wants a verdict of before to be judged by what is configured now.
func TestStanding(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	was := trusting(t, m, "").Look(inRepo, m.dsse(statementOf(image)), now).Verdict
	for name, c := range map[string]struct {
		trust *Trust
		in    string
		want  provenance.Reason
	}{
		"stands":           {trusting(t, m, "    withdrawn: 2027-01-01\n"), inRepo, ""},
		"withdrawn":        {trusting(t, m, "    withdrawn: 2026-11-26\n"), inRepo, provenance.Withdrawn},
		"expired":          {trusting(t, m, "    notAfter: 2026-11-26\n"), inRepo, provenance.Expired},
		"elsewhere":        {trusting(t, m, ""), "prod/app", provenance.OtherPlace},
		"another key":      {trusting(t, newMaker(t), ""), inRepo, provenance.NotTrusted},
		"nobody any more":  {nil, inRepo, provenance.NotTrusted},
		"trusted by a key": {must(TrustKeys(pemFile(t, m))), "any/where", ""},
	} {
		if got, _ := c.trust.Standing(&was, c.in, now.AddDate(0, 0, 1)); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if until := trusting(t, m, "    notAfter: 2027-02-01\n    withdrawn: 2027-01-01\n").Until(&was); until.Year() != 2027 || until.Month() != 1 {
		t.Errorf("until %s", until)
	}
}

func must(t *Trust, err error) *Trust {
	if err != nil {
		panic(err)
	}
	return t
}

func pemFile(t *testing.T, m maker) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cosign.pub")
	fatal(t, os.WriteFile(path, []byte(m.pem()), 0o600))
	return path
}

// TestMessageOfAnotherHash wants a signature over a hash of the manifest that is not the one it is known by to be unknown, and
// not to be one that does not hold.
func TestMessageOfAnotherHash(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, "")
	const manifest = "the image"
	over := func(subject digest.Digest, algorithm string) provenance.Verdict {
		d := m.message(manifest)
		d.Subject, d.Body = subject, []byte(strings.Replace(string(d.Body), "SHA2_256", algorithm, 1))
		return trust.Look(inRepo, d, now).Verdict
	}
	if v := over(image, "SHA2_256"); v.Result != provenance.Good {
		t.Errorf("SHA-256: %+v", v)
	}
	for _, v := range []provenance.Verdict{over(digest.SHA512.FromString(manifest), "SHA2_256"), over(image, "SHA2_384"), over(image, "SHA2_512")} {
		if v.Result != provenance.Unread || v.Detail == "" {
			t.Errorf("%+v", v)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	fatal(t, err)
	m = maker{t, key, crypto.SHA512}
	trust = trusting(t, m, "")
	if v := over(digest.SHA512.FromString(manifest), "SHA2_512"); v.Result != provenance.Good {
		t.Errorf("SHA-512 of an image that is known by it: %+v", v)
	}
}
