//go:build soak

package main

import (
	"testing"
	"time"
)

// TestSoakFsckBesidePushes is TestFsckBesidePushes for as long as HALLMARK_SOAK says, or 10 minutes.
func TestSoakFsckBesidePushes(t *testing.T) {
	checkBeside(t, soakFor(t), 10*time.Second)
}
