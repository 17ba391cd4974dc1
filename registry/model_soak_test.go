//go:build soak

package registry_test

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestSoakModel plays lives of 2,000 steps each, 100,000 together, or HALLMARK_MODEL_STEPS. Each has a seed of its own, with which TestModel
// plays it again.
func TestSoakModel(t *testing.T) {
	const each = 2000
	lives, seed := number(t, "HALLMARK_MODEL_STEPS", 100_000)/each, uint64(number(t, "HALLMARK_MODEL_SEED", int(rand.Uint32())))
	began := time.Now()
	for i := range lives {
		play(t, seed+uint64(i), each)
		t.Logf("seed %d: %d steps in %v", seed+uint64(i), (i+1)*each, time.Since(began).Round(time.Second))
		if t.Failed() {
			return
		}
	}
}
