package receipt_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// testLog is a log of statements, as a registry keeps one.
type testLog struct {
	t      testing.TB
	origin string
	log    receipt.Log
	key    note.Signer
	signer *receipt.Signer
	hashes []tlog.Hash
	leaves [][2][]byte // payload, signature
}

// newLog returns an empty log. Its keys follow from its origin, so that its receipts are always the same.
func newLog(t testing.TB, origin string) *testLog {
	t.Helper()
	seed := sha256.Sum256([]byte(origin))
	public := ed25519.NewKeyFromSeed(seed[:]).Public().(ed25519.PublicKey)
	vkey, err := note.NewEd25519VerifierKey(origin, public)
	fatal(t, err)
	l := &testLog{t: t, origin: origin}
	l.log, err = receipt.ParseLog(vkey)
	fatal(t, err)
	l.log.From = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	hash := strings.Split(vkey, "+")[1]
	l.key, err = note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, seed[:]...)))
	fatal(t, err)
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	fatal(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	fatal(t, err)
	l.signer, err = receipt.ParseSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	fatal(t, err)
	return l
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// firstRecord is the index of the record that each log begins with.
const firstRecord = 100

// statement is what a registry says of one record.
func statement(origin string, leaf int) []byte {
	sum := sha256.Sum256(fmt.Append(nil, leaf))
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","subject":[{"name":"registry.example/team/app",`+
		`"digest":{"sha256":"%x"}}],"predicateType":"https://github.com/seed-260924e6/hallmark/record/v1",`+
		`"predicate":{"version":1,"index":%d,"action":"push","log":{"origin":"%s","leaf":%d}}}`, sum, firstRecord+leaf, origin, leaf)
}

// add appends a statement, signed by the key that is in force.
func (l *testLog) add(payload []byte) {
	l.t.Helper()
	sig, err := l.signer.Sign(payload)
	fatal(l.t, err)
	body := receipt.Body(payload, sig, l.signer.Key())
	added, err := tlog.StoredHashes(int64(len(l.leaves)), body, l.reader())
	fatal(l.t, err)
	l.hashes = append(l.hashes, added...)
	l.leaves = append(l.leaves, [2][]byte{payload, sig})
}

func (l *testLog) grow(n int) *testLog {
	for range n {
		l.add(statement(l.origin, len(l.leaves)))
	}
	return l
}

func (l *testLog) reader() tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		var found []tlog.Hash
		for _, i := range indexes {
			found = append(found, l.hashes[i])
		}
		return found, nil
	})
}

func (l *testLog) checkpoint(cosigners ...note.Signer) string {
	l.t.Helper()
	size := int64(len(l.leaves))
	head, err := tlog.TreeHash(size, l.reader())
	fatal(l.t, err)
	text := torchwood.Checkpoint{Origin: l.origin, Tree: tlog.Tree{N: size, Hash: head}}.String()
	signed, err := note.Sign(&note.Note{Text: text}, append([]note.Signer{l.key}, cosigners...)...)
	fatal(l.t, err)
	return string(signed)
}

func (l *testLog) receipt(leaf int, cosigners ...note.Signer) []byte {
	l.t.Helper()
	data, err := l.made(leaf, cosigners...).Bundle()
	fatal(l.t, err)
	return data
}

// made is what the receipt of a leaf is made of.
func (l *testLog) made(leaf int, cosigners ...note.Signer) *receipt.Receipt {
	l.t.Helper()
	p, err := tlog.ProveRecord(int64(len(l.leaves)), int64(leaf), l.reader())
	fatal(l.t, err)
	return &receipt.Receipt{
		Payload: l.leaves[leaf][0], Signature: l.leaves[leaf][1], Key: l.signer.Key(), LogID: l.log.ID(),
		Leaf: uint64(leaf), Proof: p, Checkpoint: l.checkpoint(cosigners...),
	}
}
