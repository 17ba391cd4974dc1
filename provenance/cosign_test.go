package provenance

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/note"
)

// testWitness cosigns at any time (C2SP tlog-cosignature).
type testWitness struct {
	note.Verifier
	key ed25519.PrivateKey
}

func newTestWitness(t *testing.T) testWitness {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	signer, err := torchwood.NewCosignatureSigner("witness.example", key)
	if err != nil {
		t.Fatal(err)
	}
	return testWitness{signer.Verifier(), key}
}

// cosign returns a checkpoint's text with this witness's cosignature alone.
func (w testWitness) cosign(text string, at time.Time) string {
	data := binary.BigEndian.AppendUint32(nil, w.KeyHash())
	data = binary.BigEndian.AppendUint64(data, uint64(at.Unix()))
	data = append(data, ed25519.Sign(w.key, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", at.Unix(), text))...)
	return fmt.Sprintf("%s\n— %s %s\n", text, w.Name(), base64.StdEncoding.EncodeToString(data))
}

// TestCosignAgain wants the newest time of a witness to be kept, whatever order the cosignatures come in, and none from
// the future.
func TestCosignAgain(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	w := newTestWitness(t)
	c, err := checkpoint.Parse(newest(t, b))
	if err != nil {
		t.Fatal(err)
	}
	text, now := c.String(), b.now()
	want := func(at time.Time) {
		t.Helper()
		signed, err := b.CosignedCheckpoint(background, "", "")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(signed, "\n— "); n != 2 {
			t.Errorf("%d signatures: %s", n, signed)
		}
		if got := timeOf(signatures(signed, []note.Verifier{w})["witness.example+"+fmt.Sprintf("%08x", w.KeyHash())]); got != at.Unix() {
			t.Errorf("kept is the one of %d, want %d", got, at.Unix())
		}
	}
	for _, step := range []struct{ sent, kept time.Duration }{{0, 0}, {0, 0}, {time.Minute, time.Minute}, {0, time.Minute}, {-time.Hour, time.Minute}, {time.Hour, time.Hour}} {
		if _, err := b.Cosign(background, w.cosign(text, now.Add(step.sent)), []note.Verifier{w}); err != nil {
			t.Fatal(err)
		}
		want(now.Add(step.kept))
	}
	if _, err := b.Cosign(background, w.cosign(text, now.Add(24*time.Hour)), []note.Verifier{w}); !errors.Is(err, ErrFuture) {
		t.Errorf("one of tomorrow: %v", err)
	}
	want(now.Add(time.Hour))
}

// TestCosignDamaged wants a cosignature not to be kept where what the witness cosigned before cannot be read: else what it
// cosigned last could become less.
func TestCosignDamaged(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	w := newTestWitness(t)
	c, err := checkpoint.Parse(newest(t, b))
	if err != nil {
		t.Fatal(err)
	}
	cosign := func(after time.Duration) error {
		_, err := b.Cosign(background, w.cosign(c.String(), b.now().Add(after)), []note.Verifier{w})
		return err
	}
	if err := cosign(-time.Minute); err != nil {
		t.Fatal(err)
	}
	damage := func(tx storage.Tx) error {
		for row, err := range tx.Scan("log/witness", nil, nil) {
			if err != nil {
				return err
			}
			tx.Put("log/witness", bytes.Clone(row.Key), []byte("cut"))
		}
		return nil
	}
	if err := b.store.Update(background, damage); err != nil {
		t.Fatal(err)
	}
	if err := cosign(0); !errors.Is(err, storage.ErrCorrupt) {
		t.Errorf("a cosignature over damage: %v", err)
	}
}

// TestCosignedByLongName wants the name of a witness, which a stranger gives, to be cut where it is repeated.
func TestCosignedByLongName(t *testing.T) {
	b, _ := testBook(t)
	appendEvent(t, b, Event{Repository: "a", Digest: dig("x")})
	_, err := b.CosignedCheckpoint(background, "", strings.Repeat("w", 10_000)+"\n")
	if err == nil || len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
