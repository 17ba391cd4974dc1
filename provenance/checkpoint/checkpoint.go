// Package checkpoint is the signed statement of a log about itself: how many leaves it has and what their
// Merkle root is. It is text that people can read, in the form that witnesses and other logs use: C2SP
// tlog-checkpoint in a C2SP signed note, with an Ed25519 signature.
//
//	8ae6b0b7b5d0a3f1.registry.example
//	42
//	qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=
//
//	— 8ae6b0b7b5d0a3f1.registry.example Az3grl…
//
// The package knows the format and the log's own signature. It keeps nothing.
package checkpoint

import (
	"crypto/ed25519"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// MaxText is the longest text that is read as a checkpoint, in bytes: room for its witnesses.
const MaxText = 64 << 10

// ErrInvalid says that a text is no checkpoint, or not one that the expected log signed.
var ErrInvalid = fault.New(fault.Invalid, "not a checkpoint of this log")

// A Checkpoint says what a log holds.
type Checkpoint struct {
	Origin string    // the log's name
	Size   uint64    // leaves
	Root   tlog.Hash // RFC 6962 root hash of the tree over them
}

// String returns the text that is signed.
func (c Checkpoint) String() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, c.Root)
}

// Parse reads the text of a checkpoint, or the signed note that begins with it. It looks at no signature.
// Lines that follow the three known ones are refused: nothing here would know what they say.
func Parse(text string) (c Checkpoint, err error) {
	body, _, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	if len(text) > MaxText || len(lines) != 3 || lines[0] == "" {
		return c, fmt.Errorf("%w: it has not the three lines origin, size and root hash", ErrInvalid)
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseUint(lines[1], 10, 63); err != nil || strconv.FormatUint(c.Size, 10) != lines[1] {
		return c, fmt.Errorf("%w: %.20q is no size", ErrInvalid, lines[1])
	}
	if c.Root, err = ParseHash(lines[2]); err != nil {
		return c, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return c, nil
}

// ParseHash reads a hash as [tlog.Hash.String] writes it. Base64 has bits that say nothing and passes over
// line ends, and so does [tlog.ParseHash]; here a hash has one spelling.
func ParseHash(s string) (tlog.Hash, error) {
	h, err := tlog.ParseHash(s)
	if err != nil || h.String() != s {
		return tlog.Hash{}, fmt.Errorf("%.50q is no hash of %d bytes in base64", s, tlog.HashSize)
	}
	return h, nil
}

// Open reads a signed checkpoint and checks that the log of this verifier signed it. Signatures of others
// are passed over.
func Open(signed string, log note.Verifier) (Checkpoint, error) {
	if len(signed) > MaxText {
		return Checkpoint{}, fmt.Errorf("%w: it is longer than %d bytes", ErrInvalid, MaxText)
	}
	n, err := note.Open([]byte(signed), note.VerifierList(log))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	c, err := Parse(n.Text)
	if err == nil && c.Origin != log.Name() {
		err = fmt.Errorf("%w: it is of %q, and %q is asked for", ErrInvalid, c.Origin, log.Name())
	}
	return c, err
}

// Sign returns the checkpoint as a note signed by its log. The same checkpoint always has the same bytes.
func (c Checkpoint) Sign(key ed25519.PrivateKey) (string, error) {
	return c.WithSignature(key.Public().(ed25519.PublicKey), c.Signature(key))
}

// Signature returns the bare signature that Sign puts under the note: 64 bytes, always the same ones.
func (c Checkpoint) Signature(key ed25519.PrivateKey) []byte {
	return ed25519.Sign(key, []byte(c.String()))
}

// SignedBefore returns the note that Sign made when the key was at hand, from the signature that was kept of it, or
// ErrInvalid where the log's key did not sign this checkpoint so.
func (c Checkpoint) SignedBefore(log ed25519.PublicKey, signature []byte) (string, error) {
	if !ed25519.Verify(log, []byte(c.String()), signature) {
		return "", fmt.Errorf("%w: the signature that is kept is not of %d leaves with this root", ErrInvalid, c.Size)
	}
	return c.WithSignature(log, signature)
}

// WithSignature returns the checkpoint as a note with a signature of its log, which it does not check.
func (c Checkpoint) WithSignature(log ed25519.PublicKey, signature []byte) (string, error) {
	v, err := NewVerifier(c.Origin, log)
	if err != nil {
		return "", err
	}
	signed, err := note.Sign(&note.Note{Text: c.String()}, signer{v, signature})
	return string(signed), err
}

// KeyName is how a witness is told from others, NAME+HASH: one that changes its key keeps its name.
func KeyName(name string, hash uint32) string { return fmt.Sprintf("%s+%08x", name, hash) }

// VerifierKey returns the public key of a log in the form of signed notes: NAME+HASH+KEY.
func VerifierKey(origin string, key ed25519.PublicKey) (string, error) {
	return note.NewEd25519VerifierKey(origin, key)
}

// NewVerifier returns what checks a log's own signatures.
func NewVerifier(origin string, key ed25519.PublicKey) (note.Verifier, error) {
	vkey, err := VerifierKey(origin, key)
	if err != nil {
		return nil, err
	}
	return note.NewVerifier(vkey)
}

// signer is a note.Signer that has signed already.
type signer struct {
	note.Verifier
	signature []byte
}

// Sign implements note.Signer.
func (s signer) Sign([]byte) ([]byte, error) { return s.signature, nil }
