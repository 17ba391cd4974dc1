package signature

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	sigstoreroot "github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// root is a certificate authority with its logs and timestamp authorities, as a trusted_root.json has them.
type root struct {
	name     string
	digest   digest.Digest // of the file
	material *sigstoreroot.TrustedRoot
	verifier *verify.Verifier
}

// identity is whom an authority identifies, and where that counts.
type identity struct {
	name         string
	root         *root
	issuer       string
	subject      access.Glob
	repositories repositories
	vouches      vouches
	named        named
	summaries    verifiers
}

// parseRoot reads a trusted_root.json. What is in it says what a signature needs: an entry of one of its
// logs, a timestamp of one of its authorities, proof that the certificate was logged. Where it has neither
// logs nor timestamp authorities, the certificate has to be valid now.
func parseRoot(data []byte) (*root, error) {
	material, err := sigstoreroot.NewTrustedRootFromJSON(data)
	if err != nil {
		return nil, fmt.Errorf("it is no trusted_root.json of sigstore: %w", err)
	}
	if len(material.FulcioCertificateAuthorities()) == 0 {
		return nil, errors.New("it has no certificate authority, so it can identify nobody")
	}
	var needs []verify.VerifierOption
	switch {
	case len(material.RekorLogs()) > 0:
		needs = append(needs, verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	case len(material.TimestampingAuthorities()) > 0:
		needs = append(needs, verify.WithSignedTimestamps(1))
	default:
		needs = append(needs, verify.WithCurrentTime())
	}
	if len(material.CTLogs()) > 0 {
		needs = append(needs, verify.WithSignedCertificateTimestamps(1))
	}
	verifier, err := verify.NewVerifier(material, append(needs, verify.WithoutStatementPredicate())...)
	return &root{digest: digest.FromBytes(data), material: material, verifier: verifier}, err
}

// certified finds out whom one of the roots identifies as the signer.
func (t *Trust) certified(s *signed, subject digest.Digest, repository string) (*signer, error) {
	if large, ok := s.entity.(*streamed); ok {
		defer large.collect()
	}
	why := errNobody
	for _, r := range t.roots {
		result, err := r.verifier.Verify(s.entity, verify.NewPolicy(s.artifact(subject), verify.WithoutIdentitiesUnsafe()))
		if err != nil {
			if who := t.pretended(r, s.entity, repository); who != nil {
				return who, err
			}
			why = fmt.Errorf("by the root %s: %w", r.name, err)
			continue
		}
		who := t.identified(r, *result.Signature.Certificate, repository)
		if who == nil {
			why = fmt.Errorf("the root %s identifies somebody (%s) of %s, whom nobody named here", r.name,
				publicSubject(*result.Signature.Certificate), result.Signature.Certificate.Issuer)
			continue
		}
		who.signedAt = firstOf(result.VerifiedTimestamps)
		return who, nil
	}
	return nil, why
}

// artifact says what the signature has to be over. Whether a statement is about the image is looked at behind
// this, so that the one is not taken for the other.
func (s *signed) artifact(subject digest.Digest) verify.ArtifactPolicyOption {
	large, isLarge := s.entity.(*streamed)
	switch {
	case isLarge:
		return large.message()
	case s.statement:
		return verify.WithoutArtifactUnsafe()
	case s.payload != nil:
		return verify.WithArtifact(bytes.NewReader(s.payload))
	}
	sum, _ := hex.DecodeString(subject.Encoded()) // a digest was parsed before; nothing has an empty hash
	return verify.WithArtifactDigest(subject.Algorithm().String(), sum)
}

// pretended is the identity whose certificate a signature carries that does not verify, or nil. The
// certificate itself has to be of the root.
func (t *Trust) pretended(r *root, e entity, repository string) *signer {
	content, err := e.VerificationContent()
	if err != nil || content.Certificate() == nil {
		return nil
	}
	leaf := content.Certificate()
	summary, err := certificate.SummarizeCertificate(leaf)
	if err != nil {
		return nil
	}
	if _, err := verify.VerifyLeafCertificate(leaf.NotBefore, leaf, r.material); err != nil {
		return nil
	}
	return t.identified(r, summary, repository)
}

// identified is the identity of a certificate of a root, or nil where nobody named it. Of several it is one
// that is trusted for the repository, where there is one.
func (t *Trust) identified(r *root, c certificate.Summary, repository string) *signer {
	var found *identity
	for _, i := range t.identities {
		if i.root != r || i.issuer != c.Issuer || !i.subject.Matches(c.SubjectAlternativeName) {
			continue
		}
		if found == nil || i.repositories.match(repository) && !found.repositories.match(repository) {
			found = i
		}
	}
	if found == nil {
		return nil
	}
	who := found.signer()
	who.certificate = &provenance.Certificate{Issuer: provenance.Bounded(c.Issuer), Subject: publicSubject(c)}
	return who
}

func (i *identity) signer() *signer {
	return &signer{name: i.name, root: i.root.digest, standing: i.standing, vouches: i.vouches, named: i.named, verifiers: i.summaries}
}

// publicSubject is the subject of a certificate where it is a URI, or "". Else it is a person's address, which
// has no place in a record.
func publicSubject(c certificate.Summary) string {
	if u, err := url.Parse(c.SubjectAlternativeName); err != nil || u.Scheme == "" || u.Host == "" {
		return ""
	}
	return provenance.Bounded(c.SubjectAlternativeName)
}

func (i *identity) standing(repository string, _ time.Time) (provenance.Reason, string) {
	if !i.repositories.match(repository) {
		return provenance.OtherPlace, fmt.Sprintf("%s is not trusted for the repository %s", i.name, repository)
	}
	return "", ""
}

// firstOf is the earliest of the times at which a log or an authority saw a signature.
func firstOf(seen []verify.TimestampVerificationResult) *provenance.Time {
	var first *provenance.Time
	for _, s := range seen {
		if at := provenance.At(s.Timestamp); first == nil || at.Before(first.Time) {
			first = &at
		}
	}
	return first
}
