//go:build soak

package main

import (
	"os"
	"testing"
	"time"
)

// TestSoakFsckBesidePushes is TestFsckBesidePushes for as long as HALLMARK_SOAK says, or 10 minutes.
func TestSoakFsckBesidePushes(t *testing.T) {
	long := 10 * time.Minute
	if said := os.Getenv("HALLMARK_SOAK"); said != "" {
		var err error
		if long, err = time.ParseDuration(said); err != nil {
			t.Fatal(err)
		}
	}
	checkBeside(t, long, 10*time.Second)
}
