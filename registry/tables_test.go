package registry

import (
	"bytes"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestCutDigest wants a digest to come out of its key as it went in, with what follows it.
func TestCutDigest(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		want := algorithm.FromString("some bytes")
		d, rest, err := cutDigest(append(digestKey(want), "behind"...))
		if d != want || !bytes.Equal(rest, []byte("behind")) || err != nil {
			t.Errorf("%s: %s, %q, %v", want, d, rest, err)
		}
		for _, short := range [][]byte{nil, {9}, digestKey(want)[:20]} {
			if d, _, err := cutDigest(short); err == nil {
				t.Errorf("%x: %s", short, d)
			}
		}
	}
}
