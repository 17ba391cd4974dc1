package signature

import (
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/provenance"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/verify"
)

// Bundles is the Scheme of sigstore bundles, versions 0.1 to 0.3: a statement, or a signature over the
// image's manifest, by a key or by the holder of a certificate.
type Bundles struct{}

// Look implements Scheme.
func (Bundles) Look(t *Trust, repository string, d Document, now time.Time) provenance.Finding {
	s, err := openLarge(d)
	if len(d.Body) <= desk.Large {
		s, err = openSmall(d)
	}
	if err != nil {
		return refused(d, formBundle, err)
	}
	return s.verdict(t, repository, d, now)
}

func openSmall(d Document) (*signed, error) {
	b := new(bundle.Bundle)
	if err := b.UnmarshalJSON(d.Body); err != nil {
		return nil, fmt.Errorf("it is no sigstore bundle: %w", err)
	}
	return openBundle(b)
}

// openBundle reads what a bundle says was signed.
func openBundle(b *bundle.Bundle) (*signed, error) {
	s := &signed{form: formBundle}
	by, err := b.VerificationContent()
	if err != nil {
		return nil, err
	}
	content, err := b.SignatureContent()
	if err != nil {
		return nil, err
	}
	if by.Certificate() != nil {
		s.entity = b
	} else {
		s.hints = []string{by.PublicKey().Hint()}
	}
	s.sigs = [][]byte{content.Signature()}
	if envelope := content.EnvelopeContent(); envelope != nil {
		return s, s.setStatement(envelope)
	}
	s.over = algorithmOf(content.MessageSignatureContent().DigestAlgorithm())
	return s, nil
}

// algorithmOf is the hash that a bundle's signature is over, of the image's manifest. Where it says none, it is what clients use.
func algorithmOf(name string) digest.Algorithm {
	switch name {
	case protocommon.HashAlgorithm_SHA2_384.String():
		return digest.SHA384
	case protocommon.HashAlgorithm_SHA2_512.String():
		return digest.SHA512
	}
	return digest.SHA256
}

func (s *signed) setStatement(e verify.EnvelopeContent) (err error) {
	raw := e.RawEnvelope()
	if !provenance.IsStatement(raw.PayloadType) {
		return fmt.Errorf("its payload is no in-toto statement, but %.60q", raw.PayloadType)
	}
	if len(raw.Signatures) != 1 {
		return fmt.Errorf("its envelope has %d signatures, and a bundle has one", len(raw.Signatures))
	}
	s.statement, s.kind = true, raw.PayloadType
	if s.payload, err = raw.DecodeB64Payload(); err != nil {
		return fmt.Errorf("its payload cannot be read: %w", err)
	}
	if len(s.payload) == 0 {
		return fmt.Errorf("its payload is empty")
	}
	return nil
}

// entity is what sigstore's verifier takes.
type entity = verify.SignedEntity
