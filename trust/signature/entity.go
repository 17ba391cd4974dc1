package signature

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/desk"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// olderEntity packs a signature with a certificate, which cosign's older tags keep in annotations, as a bundle of
// version 0.1: so there is one verifier of certificates, logs and timestamps, and it is not ours.
func olderEntity(s *signed, d Document) (entity, error) {
	b := &protobundle.Bundle{MediaType: "application/vnd.dev.sigstore.bundle+json;version=0.1"}
	var err error
	if b.VerificationMaterial, err = olderMaterial(d.Layer.Annotations); err != nil {
		return nil, err
	}
	large := len(d.Body) > desk.Large
	if s.statement {
		envelope := &protodsse.Envelope{PayloadType: s.kind, Payload: s.payload}
		if large {
			envelope.Payload = []byte("{}")
		}
		for _, sig := range s.sigs {
			envelope.Signatures = append(envelope.Signatures, &protodsse.Signature{Sig: sig})
		}
		b.Content = &protobundle.Bundle_DsseEnvelope{DsseEnvelope: envelope}
	} else {
		sum := sha256.Sum256(s.payload)
		b.Content = &protobundle.Bundle_MessageSignature{MessageSignature: &protocommon.MessageSignature{
			MessageDigest: &protocommon.HashOutput{Algorithm: protocommon.HashAlgorithm_SHA2_256, Digest: sum[:]},
			Signature:     s.sigs[0],
		}}
	}
	made, err := bundle.NewBundle(b)
	if err != nil || !large {
		return made, err
	}
	return s.stream(made)
}

// olderMaterial reads the certificate and what a log or a timestamp authority said of the signature.
func olderMaterial(annotations map[string]string) (*protobundle.VerificationMaterial, error) {
	block, _ := pem.Decode([]byte(annotations[certificateAnnotation]))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("its annotation %s is no certificate", certificateAnnotation)
	}
	m := &protobundle.VerificationMaterial{
		Content: &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: block.Bytes}},
	}
	if text := annotations[rekorAnnotation]; text != "" {
		entry, err := olderEntry(text)
		if err != nil {
			return nil, fmt.Errorf("its annotation %s: %w", rekorAnnotation, err)
		}
		m.TlogEntries = []*protorekor.TransparencyLogEntry{entry}
	}
	if text := annotations[timestampAnnotation]; text != "" {
		var t struct {
			SignedRFC3161Timestamp []byte
		}
		if err := strictjson.Unmarshal([]byte(text), &t); err != nil {
			return nil, fmt.Errorf("its annotation %s: %w", timestampAnnotation, err)
		}
		m.TimestampVerificationData = &protobundle.TimestampVerificationData{
			Rfc3161Timestamps: []*protocommon.RFC3161SignedTimestamp{{SignedTimestamp: t.SignedRFC3161Timestamp}},
		}
	}
	return m, nil
}

// olderEntry reads the promise of a log that it holds a signature.
func olderEntry(text string) (*protorekor.TransparencyLogEntry, error) {
	var r struct {
		SignedEntryTimestamp []byte
		Payload              struct {
			Body           string `json:"body"`
			IntegratedTime int64  `json:"integratedTime"`
			LogIndex       int64  `json:"logIndex"`
			LogID          string `json:"logID"`
		}
	}
	if err := strictjson.Unmarshal([]byte(text), &r); err != nil {
		return nil, err
	}
	body, err := base64.StdEncoding.DecodeString(r.Payload.Body)
	if err != nil {
		return nil, err
	}
	var is struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := strictjson.Unmarshal(body, &is); err != nil {
		return nil, err
	}
	id, err := hex.DecodeString(r.Payload.LogID)
	if err != nil || len(id) == 0 {
		return nil, errors.New("it names no log")
	}
	return &protorekor.TransparencyLogEntry{
		LogIndex: r.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id}, IntegratedTime: r.Payload.IntegratedTime,
		KindVersion:      &protorekor.KindVersion{Kind: is.Kind, Version: is.APIVersion},
		InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: r.SignedEntryTimestamp}, CanonicalizedBody: body,
	}, nil
}
