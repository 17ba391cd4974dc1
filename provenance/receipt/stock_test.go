package receipt_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// stock verifies a bundle with sigstore-go, offline.
func stock(trustedRoot []byte, key *receipt.Key, data, digest []byte) error {
	logs, err := root.NewTrustedRootFromJSON(trustedRoot)
	if err != nil {
		return err
	}
	public, err := x509.ParsePKIXPublicKey(key.DER())
	if err != nil {
		return err
	}
	check, err := signature.LoadDefaultVerifier(public)
	if err != nil {
		return err
	}
	keys := root.NewTrustedPublicKeyMaterialFromMapping(map[string]*root.ExpiringKey{
		key.Hint(): root.NewExpiringKey(check, time.Time{}, time.Time{}),
	})
	v, err := verify.NewVerifier(root.TrustedMaterialCollection{logs, keys}, verify.WithTransparencyLog(1), verify.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return err
	}
	_, err = v.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey()))
	return err
}

// digestOf is the digest that statement(_, leaf) is about.
func digestOf(leaf int) []byte {
	sum := sha256.Sum256(fmt.Append(nil, leaf))
	return sum[:]
}

// TestStockVerifier wants every receipt of two logs accepted, and none for another image.
func TestStockVerifier(t *testing.T) {
	t.Parallel()
	old, l := newLog(t, "k3j2.registry.example").grow(3), newLog(t, "opaque.localhost").grow(9)
	old.log.Until = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	trusted, err := receipt.TrustedRoot([]receipt.Log{old.log, l.log})
	fatal(t, err)
	for _, l := range []*testLog{old, l} {
		for leaf := range l.leaves {
			if err := stock(trusted, l.signer.Key(), l.receipt(leaf), digestOf(leaf)); err != nil {
				t.Errorf("%s, leaf %d: %v", l.origin, leaf, err)
			}
		}
		if stock(trusted, l.signer.Key(), l.receipt(0), digestOf(1)) == nil {
			t.Errorf("%s: a receipt is accepted for another image", l.origin)
		}
	}
	if stock(trusted, old.signer.Key(), l.receipt(0), digestOf(0)) == nil {
		t.Error("a receipt is accepted with another key")
	}
}

// TestStockEnvelope compares with the DSSE library that sigstore uses.
func TestStockEnvelope(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example").grow(1)
	payload, sig := l.leaves[0][0], l.leaves[0][1]
	if !bytes.Equal(receipt.PAE(payload), dsse.PAE(receipt.PayloadType, payload)) {
		t.Error("PAE differs")
	}
	var e dsse.Envelope
	fatal(t, json.Unmarshal(receipt.Envelope(payload, sig), &e))
	got, err := e.DecodeB64Payload()
	fatal(t, err)
	if !bytes.Equal(got, payload) || e.PayloadType != receipt.PayloadType || e.Signatures[0].Sig != base64.StdEncoding.EncodeToString(sig) {
		t.Errorf("the envelope is %+v", e)
	}
}
