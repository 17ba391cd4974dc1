//go:build soak

package server_test

import (
	"cmp"
	"os"
	"testing"
	"time"
)

// TestSoakRemoteFaults pushes and pulls for HALLMARK_SOAK, or 10 minutes, over an object store that delays, refuses, cuts off and loses its
// answers.
func TestSoakRemoteFaults(t *testing.T) {
	length, err := time.ParseDuration(cmp.Or(os.Getenv("HALLMARK_SOAK"), "10m"))
	if err != nil {
		t.Fatalf("HALLMARK_SOAK: %v", err)
	}
	suffer(t, length)
}
