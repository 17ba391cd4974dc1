package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/opencontainers/go-digest"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/options"
)

// key is a public key that is trusted for some repositories, for some time.
type key struct {
	name         string
	digest       digest.Digest // SHA-256 of its SubjectPublicKeyInfo
	verifiers    []verifier
	repositories repositories
	vouches      vouches
	named        named
	summaries    verifiers
	notBefore    time.Time // zero where it is not bounded
	notAfter     time.Time
	withdrawn    time.Time
	pgp          *openpgp.Entity // of a key that signs charts, and nothing else
}

// verifier is one way in which signers use a key. hash is what it makes of a message, or 0 where it needs it whole.
type verifier struct {
	signature.Verifier
	hash crypto.Hash
}

// leastRSA is the least size of an RSA key in bits.
const leastRSA = 2048

func shortRSA(bits int) error {
	return fmt.Errorf("it is an RSA key of %d bits, and should have %d or more", bits, leastRSA)
}

// parseKey reads a public key from PEM, or an armoured OpenPGP key.
func parseKey(text string) (*key, error) {
	if strings.HasPrefix(strings.TrimSpace(text), pgpBlock) {
		return parsePGP(text)
	}
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil:
		return nil, errors.New("it is no PEM; a public key begins with -----BEGIN PUBLIC KEY-----")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("it is a private key, which belongs to nobody but who signs: put the public one here, as cosign.pub")
	case block.Type != "PUBLIC KEY":
		return nil, fmt.Errorf("it is a %s, and should be a PUBLIC KEY", block.Type)
	case len(bytes.TrimSpace(rest)) > 0:
		return nil, errors.New("something follows the first key; give each key an entry of its own")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	k := &key{digest: digest.FromBytes(block.Bytes)}
	k.verifiers, err = verifiersOf(public)
	return k, err
}

// verifiersOf are the ways in which signers use a key. cosign hashes with SHA-256 in its older form,
// whatever the curve, and with the curve's own hash in the newer.
func verifiersOf(public crypto.PublicKey) (all []verifier, err error) {
	hashes := []crypto.Hash{crypto.SHA256}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch k.Curve {
		case elliptic.P256():
		case elliptic.P384():
			hashes = append(hashes, crypto.SHA384)
		case elliptic.P521():
			hashes = append(hashes, crypto.SHA512)
		default:
			return nil, errors.New("its curve is not P-256, P-384 or P-521")
		}
	case *rsa.PublicKey:
		if k.N.BitLen() < leastRSA {
			return nil, shortRSA(k.N.BitLen())
		}
	case ed25519.PublicKey:
		prehashed, err := signature.LoadED25519phVerifier(k)
		if err != nil {
			return nil, err
		}
		whole, err := signature.LoadED25519Verifier(k)
		return []verifier{{prehashed, crypto.SHA512}, {whole, 0}}, err
	default:
		return nil, errors.New("it is no ECDSA, RSA or Ed25519 key")
	}
	for _, h := range hashes {
		v, err := signature.LoadVerifier(public, h)
		if err != nil {
			return nil, err
		}
		all = append(all, verifier{v, h})
	}
	return all, nil
}

// made says whether the key made the signature.
func (k *key) made(s *signed, subject digest.Digest) bool {
	for _, v := range k.verifiers {
		message, over, ok := s.message(subject, v)
		for _, sig := range s.sigs {
			if ok && v.VerifySignature(bytes.NewReader(sig), bytes.NewReader(message), over...) == nil {
				return true
			}
		}
	}
	return false
}

// message is what a verifier has to verify the signature over: the message, or its hash alone.
func (s *signed) message(subject digest.Digest, v verifier) (message []byte, over []signature.VerifyOption, ok bool) {
	if s.payload == nil { // the image itself
		sum, err := hex.DecodeString(subject.Encoded())
		return nil, []signature.VerifyOption{options.WithDigest(sum)}, err == nil && v.hash != 0 && v.hash.Size() == len(sum)
	}
	message = s.payload
	if s.statement {
		message = s.encoding()
	}
	if v.hash == 0 {
		return message, nil, true
	}
	return nil, []signature.VerifyOption{options.WithDigest(s.sum(v.hash, message))}, true
}

// encoding is the payload of a statement in DSSE's encoding.
func (s *signed) encoding() []byte {
	if s.encoded == nil {
		s.encoded = dsse.PAE(s.kind, s.payload)
	}
	return s.encoded
}

// sum is the hash of the message, which is made once for all keys.
func (s *signed) sum(h crypto.Hash, message []byte) []byte {
	if s.sums[h] == nil {
		if s.sums == nil {
			s.sums = map[crypto.Hash][]byte{}
		}
		sum := h.New()
		sum.Write(message)
		s.sums[h] = sum.Sum(nil)
	}
	return s.sums[h]
}

// isCalled says whether a hint means this key: sigstore's clients use the SHA-256 of the key, others write
// it in hexadecimal.
func (k *key) isCalled(hint string) bool {
	sum, err := base64.StdEncoding.DecodeString(hint)
	return hint == k.digest.Encoded() || err == nil && len(sum) == sha256.Size && hex.EncodeToString(sum) == k.digest.Encoded()
}

func (k *key) signer() *signer {
	return &signer{name: k.name, root: k.digest, standing: k.standing, vouches: k.vouches, named: k.named, verifiers: k.summaries}
}

// standing says why the key does not count in a repository at a moment, or "". Withdrawing and expiring
// count from then on, whenever it was that the signature came: anyone who has the key can sign for any time.
func (k *key) standing(repository string, at time.Time) (provenance.Reason, string) {
	switch {
	case !k.withdrawn.IsZero() && !at.Before(k.withdrawn):
		return provenance.Withdrawn, fmt.Sprintf("the key %s was withdrawn at %s", k.name, provenance.At(k.withdrawn))
	case !k.notAfter.IsZero() && !at.Before(k.notAfter):
		return provenance.Expired, fmt.Sprintf("the key %s was valid until %s", k.name, provenance.At(k.notAfter))
	case at.Before(k.notBefore):
		return provenance.NotYetValid, fmt.Sprintf("the key %s is valid from %s on", k.name, provenance.At(k.notBefore))
	case !k.repositories.match(repository):
		return provenance.OtherPlace, fmt.Sprintf("the key %s is not trusted for the repository %s", k.name, repository)
	}
	return "", ""
}
