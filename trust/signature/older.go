package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/provenance"
)

// simpleType is the media type of the layers under cosign's older tags sha256-….sig. Under sha256-….att they are
// envelopes.
const simpleType = "application/vnd.dev.cosign.simplesigning.v1+json"

// The annotations of such a layer (cosign, SIGNATURE_SPEC.md).
const (
	signatureAnnotation   = "dev.cosignproject.cosign/signature"
	certificateAnnotation = "dev.sigstore.cosign/certificate"
	rekorAnnotation       = "dev.sigstore.cosign/bundle"
	timestampAnnotation   = "dev.sigstore.cosign/rfc3161timestamp"
)

// Older is the Scheme of cosign's older tags: simple signatures, and statements in DSSE envelopes.
type Older struct{}

// Look implements Scheme.
func (Older) Look(t *Trust, repository string, d Document, now time.Time) provenance.Finding {
	s, err := openOlder(d)
	if err != nil {
		return refused(d, s.form, err)
	}
	if pem := d.Layer.Annotations[certificateAnnotation]; pem != "" {
		if s.entity, err = olderEntity(s, d); err != nil {
			return refused(d, s.form, err)
		}
	}
	return s.verdict(t, repository, d, now)
}

func openOlder(d Document) (*signed, error) {
	if d.Layer.MediaType == provenance.EnvelopeType {
		return openEnvelope(d)
	}
	s := &signed{form: formSimple, payload: d.Body}
	if len(d.Body) > maxSimple {
		return s, errors.New(provenance.TooLarge(int64(len(d.Body)), maxSimple))
	}
	sig, err := base64.StdEncoding.DecodeString(d.Layer.Annotations[signatureAnnotation])
	if err != nil || len(sig) == 0 {
		return s, fmt.Errorf("its annotation %s is no signature", signatureAnnotation)
	}
	s.sigs = [][]byte{sig}
	return s, nil
}

// maxSignatures bounds the signatures of one envelope.
const maxSignatures = 8

// openEnvelope reads a DSSE envelope.
func openEnvelope(d Document) (*signed, error) {
	s := &signed{form: formDSSE, statement: true}
	var e struct {
		Payload     packed `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			KeyID string            `json:"keyid"`
			Sig   provenance.Base64 `json:"sig"`
		} `json:"signatures"`
	}
	e.Payload.desk = d.Desk
	if err := strictjson.Unmarshal(d.Body, &e); err != nil {
		return s, fmt.Errorf("it is no DSSE envelope: %w", err)
	}
	if !provenance.IsStatement(e.PayloadType) || len(e.Payload.text()) == 0 {
		return s, fmt.Errorf("its payload is no in-toto statement, but %.60q", e.PayloadType)
	}
	if n := len(e.Signatures); n == 0 || n > maxSignatures {
		return s, fmt.Errorf("it has %d signatures, and 1 to %d are read", n, maxSignatures)
	}
	s.setPacked(&e.Payload, e.PayloadType)
	for _, sig := range e.Signatures {
		s.sigs, s.hints = append(s.sigs, sig.Sig), append(s.hints, sig.KeyID)
	}
	return s, nil
}

// simplePayload is what a simple signature is over (containers/image, "atomic-signature"; cosign's type).
type simplePayload struct {
	Critical struct {
		Type     string `json:"type"`
		Identity struct {
			Reference string `json:"docker-reference"`
		} `json:"identity"`
		Image struct {
			Digest digest.Digest `json:"docker-manifest-digest"`
		} `json:"image"`
	} `json:"critical"`
}

// simpleIsAbout returns the name that a payload gives an image, with an error where it is about another image.
func simpleIsAbout(payload []byte, want digest.Digest) (name string, err error) {
	var p simplePayload
	if err := strictjson.Unmarshal(payload, &p); err != nil {
		return "", fmt.Errorf("its payload cannot be read: %w", err)
	}
	name = p.Critical.Identity.Reference
	if kind := p.Critical.Type; kind != "cosign container image signature" && kind != "atomic container signature" {
		return name, fmt.Errorf("its payload is no signature of an image, but of type %.60q", kind)
	}
	if p.Critical.Image.Digest != want {
		return name, fmt.Errorf("it is a signature of %.80q", p.Critical.Image.Digest)
	}
	return name, nil
}
