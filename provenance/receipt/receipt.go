// Package receipt makes and checks receipts. With a receipt from the registry anyone can check, offline
// and without trusting the registry from then on, that it committed to a record.
//
// A receipt is a sigstore bundle, version 0.3, as JSON. In it are the record (an in-toto statement in a
// DSSE envelope, signed ECDSA P-256 with the registry's receipt key) and the proof that it is a leaf of
// the registry's log (an inclusion proof against a checkpoint that the log's Ed25519 key signed, and
// witnesses may have cosigned). Stock tools verify it: cosign verify-blob-attestation, sigstore-go. They
// accept some changed fields; [Verify] accepts none.
//
// Only the payload and the signature are ever stored. The rest follows from them, and is computed on demand.
//
// The package is formats and mathematics: it stores nothing, asks nobody, and knows of a record only
// its stated log and place there.
package receipt

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"golang.org/x/mod/sumdb/tlog"
)

// The media types of a receipt and of what is in it.
const (
	MediaType   = "application/vnd.dev.sigstore.bundle.v0.3+json"
	PayloadType = "application/vnd.in-toto+json"
	// LayerType is that of a layer which is a receipt, byte for byte. It is not MediaType, because cosign takes every layer of
	// that type for a signature of the image.
	LayerType = "application/vnd.hallmark.receipt.v1+json"
)

// A Receipt is what a bundle is made of. All else in a bundle follows from it.
type Receipt struct {
	Payload    []byte // the in-toto statement, as it was first encoded
	Signature  []byte // ASN.1, over the payload's PAE
	Key        *Key   // made the signature
	LogID      []byte // of the log, see [Log.ID]
	Leaf       uint64 // the record's place in the log
	Proof      tlog.RecordProof
	Checkpoint string // the signed note that the proof ends in, with the cosignatures that it has
}

// PAE returns DSSE's pre-authentication encoding of a statement: the bytes that are signed.
func PAE(payload []byte) []byte {
	return append(fmt.Appendf(nil, "DSSEv1 %d %s %d ", len(PayloadType), PayloadType, len(payload)), payload...)
}

// digestPAE hashes the PAE without making a copy of the payload.
func digestPAE(payload []byte) []byte {
	h := sha256.New()
	writePAE(h, payload)
	return h.Sum(nil)
}

func writePAE(h hash.Hash, payload []byte) {
	_, _ = fmt.Fprintf(h, "DSSEv1 %d %s %d ", len(PayloadType), PayloadType, len(payload)) // a hash never fails
	_, _ = h.Write(payload)
}

// envelope is a DSSE envelope. Byte slices are standard base64 in JSON.
type envelope struct {
	Payload     []byte      `json:"payload"`
	PayloadType string      `json:"payloadType"`
	Signatures  []signature `json:"signatures"`
}

// signature has no keyid: sigstore's tools refuse any but OpenSSH's fingerprint of the key.
type signature struct {
	Sig []byte `json:"sig"`
}

func newEnvelope(payload, sig []byte) envelope {
	return envelope{payload, PayloadType, []signature{{sig}}}
}

// Envelope returns the DSSE envelope of a signed statement, as JSON. The same input gives the same bytes.
func Envelope(payload, sig []byte) []byte {
	return mustMarshal(newEnvelope(payload, sig))
}

// Body returns what the log holds of a record: the leaf's data. It is the body of a Rekor v2 entry of kind
// hashedrekord, version 0.0.2, as canonical JSON (RFC 8785), over the SHA-256 of the PAE; the one form that
// stock verifiers rebuild from a bundle. It names no repository and no person.
func Body(payload, sig []byte, key *Key) []byte {
	b64 := base64.StdEncoding
	body := make([]byte, 0, 512)
	body = append(body, `{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"`...)
	body = b64.AppendEncode(body, digestPAE(payload))
	body = append(body, `"},"signature":{"content":"`...)
	body = b64.AppendEncode(body, sig)
	body = append(body, `","verifier":{"keyDetails":"PKIX_ECDSA_P256_SHA_256","publicKey":{"rawBytes":"`...)
	body = b64.AppendEncode(body, key.der)
	return append(body, `"}}}}}}`...)
}

// bundle is a sigstore bundle of version 0.3, with the fields that a receipt has.
type bundle struct {
	MediaType string `json:"mediaType"`
	Material  struct {
		PublicKey struct {
			Hint string `json:"hint"`
		} `json:"publicKey"`
		Entries []entry `json:"tlogEntries"`
	} `json:"verificationMaterial"`
	Envelope envelope `json:"dsseEnvelope"`
}

// entry is a TransparencyLogEntry. There is no integratedTime: nothing would prove it.
type entry struct {
	LogIndex    uint64      `json:"logIndex,string"`
	LogID       keyID       `json:"logId"`
	KindVersion kindVersion `json:"kindVersion"`
	Proof       proof       `json:"inclusionProof"`
	Body        []byte      `json:"canonicalizedBody"`
}

type keyID struct {
	KeyID []byte `json:"keyId"`
}

type kindVersion struct {
	Kind    string `json:"kind"`
	Version string `json:"version"`
}

type proof struct {
	LogIndex   uint64   `json:"logIndex,string"`
	RootHash   []byte   `json:"rootHash"`
	TreeSize   uint64   `json:"treeSize,string"`
	Hashes     [][]byte `json:"hashes"`
	Checkpoint struct {
		Envelope string `json:"envelope"`
	} `json:"checkpoint"`
}

// Bundle returns the receipt as JSON. The same receipt gives the same bytes.
func (r *Receipt) Bundle() ([]byte, error) {
	tree, err := checkpoint.Parse(r.Checkpoint)
	if err != nil {
		return nil, err
	}
	p := proof{LogIndex: r.Leaf, RootHash: tree.Root[:], TreeSize: tree.Size, Hashes: make([][]byte, len(r.Proof))}
	p.Checkpoint.Envelope = r.Checkpoint
	for i := range r.Proof {
		p.Hashes[i] = r.Proof[i][:]
	}
	b := bundle{MediaType: MediaType, Envelope: newEnvelope(r.Payload, r.Signature)}
	b.Material.PublicKey.Hint = r.Key.hint
	b.Material.Entries = []entry{{
		LogIndex: r.Leaf, LogID: keyID{r.LogID}, KindVersion: kindVersion{"hashedrekord", "0.0.2"},
		Proof: p, Body: Body(r.Payload, r.Signature, r.Key),
	}}
	return mustMarshal(b), nil
}

// mustMarshal encodes what can always be encoded: structs of numbers, strings and bytes.
func mustMarshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}
