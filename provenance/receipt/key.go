package receipt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
)

// A Key checks the signatures of receipts: the public half of a [Signer].
type Key struct {
	public *ecdsa.PublicKey
	der    []byte // SubjectPublicKeyInfo
	hint   string
}

// ErrNotP256 says that a key is of another kind than ECDSA on the curve P-256, which is the one that stock
// verifiers accept in the log's entries.
var ErrNotP256 = errors.New("it is not an ECDSA key on the curve P-256")

// NewKey returns the receipt key for a public key.
func NewKey(public crypto.PublicKey) (*Key, error) {
	p256, ok := public.(*ecdsa.PublicKey)
	if !ok || p256.Curve != elliptic.P256() {
		return nil, ErrNotP256
	}
	der, err := x509.MarshalPKIXPublicKey(p256)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return &Key{p256, der, hex.EncodeToString(sum[:])}, nil
}

// ParseKeyDER reads a SubjectPublicKeyInfo.
func ParseKeyDER(der []byte) (*Key, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	return NewKey(public)
}

// ParseKeys reads all public keys of a PEM file, of which there has to be one at least.
func ParseKeys(file []byte) (keys []*Key, err error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("it holds a PEM block %q, and should hold public keys alone", block.Type)
		}
		key, err := ParseKeyDER(block.Bytes)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no public key in PEM")
	}
	return keys, nil
}

// Hint names the key in receipts and in the URL where it is served: the SHA-256 of its
// SubjectPublicKeyInfo, in hexadecimal.
func (k *Key) Hint() string { return k.hint }

// DER returns the key's SubjectPublicKeyInfo. It is not to be changed.
func (k *Key) DER() []byte { return k.der }

// PEM returns the key as a PEM block.
func (k *Key) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der})
}

// Verify says whether sig is the key's signature over a statement's PAE.
func (k *Key) Verify(payload, sig []byte) bool {
	return ecdsa.VerifyASN1(k.public, digestPAE(payload), sig)
}

// A Signer signs receipts.
type Signer struct {
	key     *Key
	private *ecdsa.PrivateKey
}

// GenerateSigner makes a new receipt key.
func GenerateSigner() (*Signer, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return newSigner(private)
}

// ParseSigner reads a private key in PEM: PKCS #8, or SEC 1 as older openssl writes it.
func ParseSigner(file []byte) (*Signer, error) {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			return newSigner(private)
		case "EC PRIVATE KEY":
			private, err := x509.ParseECPrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			return newSigner(private)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("it is encrypted: decrypt it with `openssl pkey`")
		}
	}
	return nil, errors.New("it holds no private key in PEM")
}

func newSigner(private crypto.PrivateKey) (*Signer, error) {
	p256, ok := private.(*ecdsa.PrivateKey)
	if !ok {
		return nil, ErrNotP256
	}
	key, err := NewKey(&p256.PublicKey)
	if err != nil {
		return nil, err
	}
	return &Signer{key, p256}, nil
}

// Key returns the public half.
func (s *Signer) Key() *Key { return s.key }

// PEM returns the private key as PKCS #8 in PEM.
func (s *Signer) PEM() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Sign signs a statement's PAE. The signature is deterministic (RFC 6979): a transaction that runs twice
// signs the same statement the same way, and a weak source of randomness gives no key away.
func (s *Signer) Sign(payload []byte) ([]byte, error) {
	return s.private.Sign(nil, digestPAE(payload), crypto.SHA256)
}
