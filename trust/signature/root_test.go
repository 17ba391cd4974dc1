package signature

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	sigstoreroot "github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	ciIssuer = "https://ci.example"
	ciJob    = "https://git.example/team/app/.ci/release.yml@refs/tags/v1"
)

// private is a sigstore of one's own: its authority, log and timestamp authority.
type private struct {
	*ca.VirtualSigstore
	t    *testing.T
	root string // its trusted_root.json
}

func newPrivate(t *testing.T) private {
	t.Helper()
	made, err := ca.NewVirtualSigstore()
	fatal(t, err)
	p := private{VirtualSigstore: made, t: t}
	p.root = p.makeRoot()
	return p
}

// makeRoot makes its trusted_root.json. Its certificates hold no proof of a certificate log.
func (p private) makeRoot() string {
	p.t.Helper()
	logs := p.RekorLogs()
	for id, l := range logs {
		raw, err := hex.DecodeString(id) // the authority made for tests has the text here
		fatal(p.t, err)
		l.ID = raw
	}
	r, err := sigstoreroot.NewTrustedRoot(sigstoreroot.TrustedRootMediaType01, p.FulcioCertificateAuthorities(), nil, p.TimestampingAuthorities(), logs)
	fatal(p.t, err)
	data, err := r.MarshalJSON()
	fatal(p.t, err)
	return string(data)
}

// trusting trusts the release job of team/app under this root.
func (p private) trusting(repositories string) *Trust {
	p.t.Helper()
	return readTrust(p.t, map[string]string{"trusted_root.json": p.root, "trust.yaml": fmt.Sprintf(`roots:
  - name: company
    trustedRoot: trusted_root.json
    identities:
      - {name: release, issuer: %s, subject: "https://git.example/team/app/.ci/**", repositories: ["%s"]}
      - {name: alice, issuer: %s, subject: alice@example.org, repositories: ["**"]}
builders:
  - {id: "https://ci.example/**", by: release}
`, ciIssuer, repositories, ciIssuer)})
}

// attest makes a bundle with a statement, signed by an identity.
func (p private) attest(subject, issuer string, statement []byte) Document {
	p.t.Helper()
	e, err := p.AttestHashedRekordV2(subject, issuer, statement)
	fatal(p.t, err)
	content, err := e.VerificationContent()
	fatal(p.t, err)
	signed, err := e.SignatureContent()
	fatal(p.t, err)
	b := &protobundle.Bundle{MediaType: bundleType, VerificationMaterial: &protobundle.VerificationMaterial{
		Content:                   &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: content.Certificate().Raw}},
		TimestampVerificationData: &protobundle.TimestampVerificationData{},
	}, Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
		Payload: statement, PayloadType: "application/vnd.in-toto+json", Signatures: []*protodsse.Signature{{Sig: signed.Signature()}},
	}}}
	entries, err := e.TlogEntries()
	fatal(p.t, err)
	for _, entry := range entries {
		b.VerificationMaterial.TlogEntries = append(b.VerificationMaterial.TlogEntries, entry.TransparencyLogEntry())
	}
	timestamps, err := e.Timestamps()
	fatal(p.t, err)
	for _, ts := range timestamps {
		b.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps = append(
			b.VerificationMaterial.TimestampVerificationData.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: ts})
	}
	body, err := protojson.Marshal(b)
	fatal(p.t, err)
	return layer(bundleType, body, nil)
}

// attestV1 is attest in a bundle of version 0.1, with the promise of a log of version 1.
func (p private) attestV1(subject, issuer string, statement []byte) Document {
	p.t.Helper()
	const version = "application/vnd.dev.sigstore.bundle+json;version=0.1"
	e, err := p.Attest(subject, issuer, statement)
	fatal(p.t, err)
	signed, err := e.SignatureContent()
	fatal(p.t, err)
	material, err := olderMaterial(p.annotations(e))
	fatal(p.t, err)
	body, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: version, VerificationMaterial: material, Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: statement, PayloadType: "application/vnd.in-toto+json", Signatures: []*protodsse.Signature{{Sig: signed.Signature()}},
		}},
	})
	fatal(p.t, err)
	return layer(version, body, nil)
}

// older makes a simple signature as cosign kept it in annotations, with the promise of the log.
func (p private) older(subject, issuer string, payload []byte) Document {
	p.t.Helper()
	e, err := p.Sign(subject, issuer, payload)
	fatal(p.t, err)
	signed, err := e.SignatureContent()
	fatal(p.t, err)
	d := layer(simpleType, payload, p.annotations(e))
	d.Layer.Annotations[signatureAnnotation] = base64.StdEncoding.EncodeToString(signed.Signature())
	return d
}

// olderStatement makes a statement as cosign kept it under .att, with a certificate and the promise of the log.
func (p private) olderStatement(subject, issuer string, statement []byte) Document {
	p.t.Helper()
	e, err := p.Attest(subject, issuer, statement)
	fatal(p.t, err)
	signed, err := e.SignatureContent()
	fatal(p.t, err)
	body, err := json.Marshal(signed.EnvelopeContent().RawEnvelope())
	fatal(p.t, err)
	return layer(provenance.EnvelopeType, body, p.annotations(e))
}

// annotations are the certificate of a signature and the promise of the log, as cosign kept them.
func (p private) annotations(e *ca.TestEntity) map[string]string {
	p.t.Helper()
	content, err := e.VerificationContent()
	fatal(p.t, err)
	entries, err := e.TlogEntries()
	fatal(p.t, err)
	entry := entries[0].TransparencyLogEntry()
	said := tlog.RekorPayload{
		Body: base64.StdEncoding.EncodeToString(entry.CanonicalizedBody), IntegratedTime: entry.IntegratedTime,
		LogIndex: entry.LogIndex, LogID: hex.EncodeToString(entry.LogId.KeyId),
	}
	promise, err := p.RekorSignPayload(said)
	fatal(p.t, err)
	rekor, err := json.Marshal(map[string]any{"SignedEntryTimestamp": promise, "Payload": said})
	fatal(p.t, err)
	return map[string]string{
		certificateAnnotation: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: content.Certificate().Raw})),
		rekorAnnotation:       string(rekor),
	}
}

// TestIdentities signs with certificates of a private authority, in both forms.
func TestIdentities(t *testing.T) {
	t.Parallel()
	p, stranger := newPrivate(t), newPrivate(t)
	for _, c := range []struct {
		name            string
		by              private
		subject, issuer string
		about           digest.Digest
		in              string
		result          provenance.Result
		reason          provenance.Reason
	}{
		{"right identity", p, ciJob, ciIssuer, image, inRepo, provenance.Good, ""},
		{"wrong identity", p, "https://git.example/other/app/.ci/x@refs/heads/main", ciIssuer, image, inRepo, provenance.Foreign, ""},
		{"wrong issuer", p, ciJob, "https://other.example", image, inRepo, provenance.Foreign, ""},
		{"other root", stranger, ciJob, ciIssuer, image, inRepo, provenance.Foreign, ""},
		{"other digest", p, ciJob, ciIssuer, other, inRepo, provenance.Failed, provenance.OtherDigest},
		{"other repository", p, ciJob, ciIssuer, image, "prod/app", provenance.Failed, provenance.OtherPlace},
	} {
		trust := p.trusting("team/*")
		for form, made := range map[string]Document{
			formBundle: c.by.attest(c.subject, c.issuer, statementOf(c.about)),
			formSimple: c.by.older(c.subject, c.issuer, simplePayloadOf(c.about)),
		} {
			f := trust.Look(c.in, made, time.Now())
			v := f.Verdict
			if v.Result != c.result || v.Reason != c.reason || v.Form != form {
				t.Errorf("%s, %s: %+v", c.name, form, v)
				continue
			}
			if v.Result == provenance.Foreign {
				continue
			}
			if v.Signer != "release" || v.TrustRoot != trust.roots[0].digest || v.Certificate == nil || v.Certificate.Issuer != ciIssuer || v.Certificate.Subject != ciJob || v.SignedAt == nil {
				t.Errorf("%s, %s: by %+v", c.name, form, v)
			}
			if attests := form == formBundle && v.Result == provenance.Good; attests != (len(f.Attested) > 0) {
				t.Errorf("%s, %s: it attests %+v", c.name, form, f.Attested)
			}
			if why, _ := trust.Standing(&v, c.in, time.Now()); why != c.reason {
				t.Errorf("%s, %s: it stands as %q", c.name, form, why)
			}
		}
	}
}

// TestCertificateChanged wants that a bundle with a certificate of the release job and another statement fails by
// its name, and that the person behind an address is not named in a verdict.
func TestCertificateChanged(t *testing.T) {
	t.Parallel()
	p := newPrivate(t)
	trust := p.trusting("**")
	made := p.attest(ciJob, ciIssuer, statementOf(other))
	made.Body = []byte(strings.Replace(string(made.Body), base64.StdEncoding.EncodeToString(statementOf(other)), base64.StdEncoding.EncodeToString(statementOf(image)), 1))
	if v := trust.Look(inRepo, made, time.Now()).Verdict; v.Result != provenance.Failed || v.Reason != provenance.BadSignature || v.Signer != "release" {
		t.Errorf("a changed statement: %+v", v)
	}
	for _, who := range []string{"alice@example.org", "bob@example.org"} {
		v := trust.Look(inRepo, p.attest(who, ciIssuer, statementOf(image)), time.Now()).Verdict
		if text, err := json.Marshal(v); err != nil || strings.Contains(string(text), "example.org") {
			t.Errorf("%s: %s, %v", who, text, err)
		}
		if good := who == "alice@example.org"; good != (v.Result == provenance.Good) {
			t.Errorf("%s: %+v", who, v)
		}
	}
	// Without the log's entry, nothing says when it was signed.
	alone := p.older(ciJob, ciIssuer, simplePayloadOf(image))
	delete(alone.Layer.Annotations, rekorAnnotation)
	if v := trust.Look(inRepo, alone, time.Now()).Verdict; v.Result == provenance.Good {
		t.Errorf("without a log: %+v", v)
	}
	sum := sha256.Sum256([]byte(p.root))
	if trust.roots[0].digest.Encoded() != hex.EncodeToString(sum[:]) {
		t.Error("the root is not named by its file")
	}
}
