//go:build soak

package provenance

import (
	"math/rand/v2"
	"testing"
)

// TestSoakFindAgainstScan does what TestFindAgainstScan does, with more records and other ones each time.
func TestSoakFindAgainstScan(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	findAgainstScan(t, 500, rand.NewPCG(seed, 0))
}
