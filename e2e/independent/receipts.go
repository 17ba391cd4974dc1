package independent

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// checkReceipts has sigstore-go check receipts, which have to hold what was read as statements.
func (v *visit) checkReceipts(ctx context.Context, _ *Memory) error {
	trusted, err := root.NewTrustedRootFromJSON(v.trust)
	if err != nil {
		return err
	}
	keys := make(map[string]*root.ExpiringKey)
	for hint, k := range v.keys {
		check, err := signature.LoadDefaultVerifier(k.key)
		if err != nil {
			return err
		}
		keys[hint] = root.NewExpiringKey(check, time.Time{}, time.Time{})
	}
	stock, err := verify.NewVerifier(root.TrustedMaterialCollection{trusted, root.NewTrustedPublicKeyMaterialFromMapping(keys)},
		verify.WithTransparencyLog(1), verify.WithNoObserverTimestamps())
	if err != nil {
		return err
	}
	for _, of := range v.check {
		data, err := v.get(ctx, fmt.Sprintf("/api/v1/records/%d/receipt", of.Index))
		if err != nil {
			return err
		}
		if err := of.verify(stock, data); err != nil {
			return refuse("the receipt of record %d: %v", of.Index, err)
		}
		v.report.Receipts++
	}
	return nil
}

// verify checks a receipt, and that it ends in a checkpoint that counts.
func (of receiptOf) verify(stock *verify.Verifier, data []byte) error {
	signed, err := of.verifyStock(stock, data)
	if err != nil {
		return err
	}
	return of.ends(signed)
}

// verifyStock checks a receipt as anyone does who has the digest alone; and that it is the one of this record. It returns the
// checkpoint that proves it.
func (of receiptOf) verifyStock(stock *verify.Verifier, data []byte) (signed string, err error) {
	var b bundle.Bundle
	if err := b.UnmarshalJSON(data); err != nil {
		return "", err
	}
	digest, err := hex.DecodeString(of.digest)
	if err != nil {
		return "", err
	}
	if _, err := stock.Verify(&b, verify.NewPolicy(verify.WithArtifactDigest("sha256", digest), verify.WithKey())); err != nil {
		return "", err
	}
	var inside struct {
		DSSEEnvelope         struct{ Payload []byte }
		VerificationMaterial struct {
			TlogEntries []struct {
				InclusionProof struct{ Checkpoint struct{ Envelope string } }
			}
		}
	}
	if err := json.Unmarshal(data, &inside); err != nil {
		return "", err
	}
	if !bytes.Equal(inside.DSSEEnvelope.Payload, of.Payload) {
		return "", fmt.Errorf("it holds another statement")
	}
	return inside.VerificationMaterial.TlogEntries[0].InclusionProof.Checkpoint.Envelope, nil
}

// ends wants a proof to end in a checkpoint that counts: of a closed log its last one, which no verifier of others' knows.
func (of receiptOf) ends(signed string) error {
	c, err := open(of.log.VKey, signed)
	if err != nil {
		return err
	}
	if of.log.ended == nil {
		return nil // stock verifiers checked it
	}
	for _, good := range []Checkpoint{*of.log.ended, of.log.now} {
		if text(good.Signed) == text(c.Signed) {
			return nil
		}
	}
	return fmt.Errorf("its log is closed, and its proof does not end in the closing checkpoint but at %d leaves", c.Size)
}

// text is a note without its signatures.
func text(signed string) string {
	t, _, _ := strings.Cut(signed, "\n\n")
	return t
}
