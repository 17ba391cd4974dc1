package checkpoint

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	formats "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "8ae6b0b7b5d0a3f1.registry.example"

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func verifier(t *testing.T, name string) note.Verifier {
	t.Helper()
	v, err := NewVerifier(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func signed(t *testing.T, c Checkpoint) string {
	t.Helper()
	text, err := c.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestIndependent has another implementation read and write the same bytes.
func TestIndependent(t *testing.T) {
	c := Checkpoint{Origin: origin, Size: 42, Root: tlog.RecordHash([]byte("x"))}
	text := signed(t, c)
	if text != signed(t, c) {
		t.Error("the same checkpoint has two texts")
	}
	theirs, rest, _, err := formats.ParseCheckpoint([]byte(text), origin, verifier(t, origin))
	if err != nil || len(rest) != 0 {
		t.Fatalf("%v, rest %q", err, rest)
	}
	if theirs.Size != 42 || !bytes.Equal(theirs.Hash, c.Root[:]) || string(theirs.Marshal()) != c.String() {
		t.Errorf("they read %+v", theirs)
	}
	ours, err := Open(text, verifier(t, origin))
	if err != nil || ours != c {
		t.Errorf("we read %+v, %v", ours, err)
	}
}

// TestRefuse changes every byte, and knows no log but one.
func TestRefuse(t *testing.T) {
	c := Checkpoint{Origin: origin, Size: 42, Root: tlog.RecordHash([]byte("x"))}
	text, v := signed(t, c), verifier(t, origin)
	for i := range len(text) {
		changed := []byte(text)
		changed[i] ^= 1
		if _, err := Open(string(changed), v); !errors.Is(err, ErrInvalid) {
			t.Errorf("byte %d of %q changed: %v", i, text, err)
		}
	}
	if _, err := Open(text, verifier(t, "other."+origin)); !errors.Is(err, ErrInvalid) {
		t.Errorf("under another name: %v", err)
	}
	if _, err := Open(text+strings.Repeat(" ", MaxText), v); !errors.Is(err, ErrInvalid) {
		t.Errorf("too long: %v", err)
	}
	root := c.Root.String()
	for _, text := range []string{
		"", "\n", origin, origin + "\n42\n", "\n42\n" + root + "\n", origin + "\n042\n" + root + "\n", origin + "\n-1\n" + root + "\n",
		origin + "\n18446744073709551615\n" + root + "\n", origin + "\n42\n" + root[4:] + "\n", origin + "\n42\n" + root + "\nmore\n",
		origin + "\n42\n\r" + root + "\n", origin + "\n42\n" + root[:42] + string(root[42]+1) + "=\n", // the same hash in base64 that is not strict
	} {
		if c, err := Parse(text); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q is read as %+v, %v", text, c, err)
		}
	}
}

// TestSignedBefore gives a checkpoint again from its bare signature, and only that one.
func TestSignedBefore(t *testing.T) {
	c := Checkpoint{Origin: origin, Size: 42, Root: tlog.RecordHash([]byte("x"))}
	public := key.Public().(ed25519.PublicKey)
	signature := c.Signature(key)
	if text, err := c.SignedBefore(public, signature); err != nil || text != signed(t, c) {
		t.Errorf("%q, %v", text, err)
	}
	other := c
	other.Size++
	for what, err := range map[string]error{
		"another size": second(other.SignedBefore(public, signature)),
		"a bit":        second(c.SignedBefore(public, append([]byte{signature[0] ^ 1}, signature[1:]...))),
		"none":         second(c.SignedBefore(public, nil)),
		"another key":  second(c.SignedBefore(make([]byte, ed25519.PublicKeySize), signature)),
	} {
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second(_ string, err error) error { return err }

// TestOtherOrigin has the log's key sign the checkpoint of another log.
func TestOtherOrigin(t *testing.T) {
	other := Checkpoint{Origin: "other.example", Size: 1}
	text, err := note.Sign(&note.Note{Text: other.String()}, signer{verifier(t, origin), other.Signature(key)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(string(text), verifier(t, origin)); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
}
