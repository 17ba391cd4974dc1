package receipt_test

import (
	"crypto/ed25519"
	"errors"
	"testing"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	formats "github.com/transparency-dev/formats/log"
	tlogproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// wantProof checks a C2SP tlog-proof with what others have made: its format, its checkpoint and its hashes.
func wantProof(t *testing.T, data []byte, vkey, origin string) {
	t.Helper()
	var p tlogproof.TLogProof
	fatal(t, p.Unmarshal(data))
	if string(p.Marshal()) != string(data) {
		t.Errorf("it is written otherwise elsewhere:\n%s\n%s", p.Marshal(), data)
	}
	v, err := note.NewVerifier(vkey)
	fatal(t, err)
	c, _, _, err := formats.ParseCheckpoint(p.Checkpoint, origin, v)
	fatal(t, err)
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	fatal(t, proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, c.Size, rfc6962.DefaultHasher.HashLeaf(p.ExtraData), hashes, c.Hash))
}

// TestTlogProof wants the proofs of logs of several sizes to be read alike by us and by others.
func TestTlogProof(t *testing.T) {
	t.Parallel()
	witness, err := torchwood.NewCosignatureSigner("witness.example", ed25519.NewKeyFromSeed(make([]byte, 32)))
	fatal(t, err)
	for _, size := range []int{1, 2, 7, 8, 300} {
		l := newLog(t, "one.example").grow(size)
		for _, leaf := range []int{0, size / 2, size - 1} {
			r := l.made(leaf, witness)
			data := r.TlogProof()
			wantProof(t, data, l.log.VKey(), l.origin)
			p, err := receipt.VerifyProof(data, l.trust(witness.Verifier()))
			if err != nil || p.Leaf != uint64(leaf) || p.Checkpoint.Size != uint64(size) || string(p.Entry) != string(receipt.Body(r.Payload, r.Signature, r.Key)) || len(p.Cosigned) != 1 {
				t.Errorf("leaf %d of %d: %+v, %v", leaf, size, p, err)
			}
		}
	}
}

// TestTlogProofChanged changes each byte of a proof, drops it, and puts one there: all is refused.
func TestTlogProofChanged(t *testing.T) {
	t.Parallel()
	l := newLog(t, "one.example").grow(7)
	good := l.made(3).TlogProof()
	refused := func(what string, at int, data []byte) {
		t.Helper()
		if _, err := receipt.VerifyProof(data, l.trust()); !errors.Is(err, receipt.ErrRefused) {
			t.Errorf("%s at %d: %v\n%s", what, at, err, data)
		}
	}
	for at := range good {
		for _, bit := range []byte{1, 32} {
			changed := append([]byte{}, good...)
			changed[at] ^= bit
			refused("changed", at, changed)
		}
		refused("dropped", at, append(append([]byte{}, good[:at]...), good[at+1:]...))
		for _, more := range []string{"\n", "0", "=", " "} {
			refused("added", at, append(append(append([]byte{}, good[:at]...), more...), good[at:]...))
		}
		refused("cut", at, good[:at])
	}
	refused("another log", 0, newLog(t, "two.example").grow(7).made(3).TlogProof())
	witness, err := torchwood.NewCosignatureSigner("witness.example", ed25519.NewKeyFromSeed(make([]byte, 32)))
	fatal(t, err)
	if _, err := receipt.VerifyProof(good, l.trust(witness.Verifier())); !errors.Is(err, receipt.ErrRefused) {
		t.Errorf("without the witness that is demanded: %v", err)
	}
}
