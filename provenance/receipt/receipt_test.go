package receipt_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"golang.org/x/mod/sumdb/note"
)

// TestSignTwice wants the same signature, leaf and envelope from the same statement.
func TestSignTwice(t *testing.T) {
	t.Parallel()
	s, err := receipt.GenerateSigner()
	fatal(t, err)
	one, err := s.Sign([]byte("payload"))
	fatal(t, err)
	two, err := s.Sign([]byte("payload"))
	fatal(t, err)
	if !bytes.Equal(one, two) {
		t.Error("a statement signed twice has two signatures")
	}
	if !s.Key().Verify([]byte("payload"), one) || s.Key().Verify([]byte("Payload"), one) {
		t.Error("Verify is wrong")
	}
}

// TestBodyIsCanonical wants a body that is the canonical form of itself.
func TestBodyIsCanonical(t *testing.T) {
	t.Parallel()
	s, err := receipt.GenerateSigner()
	fatal(t, err)
	body := receipt.Body([]byte("payload"), []byte("signature"), s.Key())
	var v any
	fatal(t, json.Unmarshal(body, &v))
	sorted, err := json.Marshal(v) // sorts, and has nothing to escape here
	fatal(t, err)
	if !bytes.Equal(body, sorted) {
		t.Errorf("the body is\n%s, canonical is\n%s", body, sorted)
	}
}

func TestKeyFiles(t *testing.T) {
	t.Parallel()
	s, err := receipt.GenerateSigner()
	fatal(t, err)
	private, err := s.PEM()
	fatal(t, err)
	again, err := receipt.ParseSigner(private)
	fatal(t, err)
	if again.Key().Hint() != s.Key().Hint() {
		t.Error("a private key changes in a file")
	}
	other, err := receipt.GenerateSigner()
	fatal(t, err)
	keys, err := receipt.ParseKeys(append(s.Key().PEM(), other.Key().PEM()...))
	fatal(t, err)
	if len(keys) != 2 || keys[0].Hint() != s.Key().Hint() || keys[1].Hint() != other.Key().Hint() {
		t.Errorf("two public keys become %d", len(keys))
	}
	for _, bad := range []string{"", "hello", string(private), "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"} {
		if _, err := receipt.ParseKeys([]byte(bad)); err == nil {
			t.Errorf("%q has public keys", bad)
		}
	}
	if _, err := receipt.ParseSigner(s.Key().PEM()); err == nil {
		t.Error("a public key signs")
	}
}

// TestOpenSSLKey reads what `openssl ecparam -genkey` writes: parameters, then a SEC 1 key.
func TestOpenSSLKey(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	der, err := x509.MarshalECPrivateKey(private)
	fatal(t, err)
	file := pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}})
	s, err := receipt.ParseSigner(append(file, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})...))
	fatal(t, err)
	if k, err := receipt.NewKey(&private.PublicKey); err != nil || k.Hint() != s.Key().Hint() {
		t.Error("it is another key")
	}
}

// TestOtherKinds wants keys that stock verifiers refuse in a log's entry refused at once.
func TestOtherKinds(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	fatal(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	fatal(t, err)
	for _, key := range []any{p384, ed} {
		der, err := x509.MarshalPKCS8PrivateKey(key)
		fatal(t, err)
		_, err = receipt.ParseSigner(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		if !errors.Is(err, receipt.ErrNotP256) {
			t.Errorf("%T: %v", key, err)
		}
	}
}

func TestLogKey(t *testing.T) {
	t.Parallel()
	for range 50 { // base64 of some keys has pluses
		_, vkey, err := note.GenerateKey(rand.Reader, "log.example")
		fatal(t, err)
		l, err := receipt.ParseLog(vkey + "\n")
		fatal(t, err)
		if l.Origin != "log.example" || l.VKey() != vkey {
			t.Fatalf("%s becomes %s", vkey, l.VKey())
		}
	}
	if _, err := receipt.ParseLog("log.example+12345678+AAAA"); err == nil {
		t.Error("a key with a wrong hash is taken")
	}
}

func TestTrustedRootFile(t *testing.T) {
	t.Parallel()
	one, two := newLog(t, "one.example").log, newLog(t, "two.example").log
	one.Until = two.From
	file, err := receipt.TrustedRoot([]receipt.Log{one, two})
	fatal(t, err)
	logs, err := receipt.ParseTrustedRoot(file)
	fatal(t, err)
	if len(logs) != 2 || logs[0].VKey() != one.VKey() || !logs[0].Until.Equal(one.Until) || logs[1].VKey() != two.VKey() || !logs[1].Until.IsZero() {
		t.Errorf("two logs become %+v", logs)
	}
	for _, bad := range []string{"", "{}", `{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[]}`} {
		if _, err := receipt.ParseTrustedRoot([]byte(bad)); err == nil {
			t.Errorf("%q is a trusted root", bad)
		}
	}
}

// TestBadCheckpoint wants an error, not a bundle, from what is no checkpoint.
func TestBadCheckpoint(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example")
	for _, bad := range []string{"", "log.example\n1\n", "log.example\n-1\nAAAA\n\n— log.example AAAA\n"} {
		r := receipt.Receipt{Key: l.signer.Key(), Checkpoint: bad}
		if _, err := r.Bundle(); err == nil {
			t.Errorf("%q is a checkpoint", bad)
		}
	}
}

func BenchmarkSignAndBody(b *testing.B) {
	s, err := receipt.GenerateSigner()
	fatal(b, err)
	payload := bytes.Repeat([]byte("x"), 2000)
	for b.Loop() {
		sig, err := s.Sign(payload)
		fatal(b, err)
		receipt.Body(payload, sig, s.Key())
	}
}
