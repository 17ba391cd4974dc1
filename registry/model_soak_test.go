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
		play(t, seed+uint64(i), each, 0)
		t.Logf("seed %d: %d steps in %v", seed+uint64(i), (i+1)*each, time.Since(began).Round(time.Second))
		if t.Failed() {
			return
		}
	}
}

// TestSoakModelKilled plays lives of 500 steps each, 5,000 together, or HALLMARK_MODEL_STEPS, a sixth of which processes do, that get SIGKILL in them.
func TestSoakModelKilled(t *testing.T) {
	const each = 500
	lives, seed := number(t, "HALLMARK_MODEL_STEPS", 5000)/each, uint64(number(t, "HALLMARK_MODEL_SEED", int(rand.Uint32())))
	for i := range lives {
		play(t, seed+uint64(i), each, 6)
		t.Logf("seed %d: %d steps", seed+uint64(i), (i+1)*each)
		if t.Failed() {
			return
		}
	}
}
