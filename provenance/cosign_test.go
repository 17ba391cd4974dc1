package provenance

import (
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
