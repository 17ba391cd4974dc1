//go:build soak

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// soakFor is how long a test under load goes on: HALLMARK_SOAK, or 10 minutes.
func soakFor(t *testing.T) time.Duration {
	t.Helper()
	said := os.Getenv("HALLMARK_SOAK")
	if said == "" {
		return 10 * time.Minute
	}
	length, err := time.ParseDuration(said)
	if err != nil {
		t.Fatalf("HALLMARK_SOAK: %v", err)
	}
	return length
}

// TestSoakScrubBesidePushes pushes and deletes images as fast as the server takes them, and lets what nothing needs be
// collected almost at once, while fsck and the scrub go over everything in turn: neither may find anything.
func TestSoakScrubBesidePushes(t *testing.T) {
	v := newVictim(t, "HALLMARK_REGISTRY_LEASE=300ms", "HALLMARK_TRASH_KEEP=300ms")
	for i := range 50 {
		if !v.push(t.Context(), acknowledged{repo: "team/stable", tag: fmt.Sprint(i), layer: strings.Repeat(fmt.Sprint("stable ", i), 20_000)}) {
			t.Fatal("a push failed")
		}
	}
	stop := work(func(ctx context.Context, w, i int) {
		// Few layers, so that the same blobs go and come again, under new names.
		a := acknowledged{repo: fmt.Sprintf("team/app%d", i%2), tag: fmt.Sprintf("w%d-%d", w, i%50), layer: strings.Repeat(fmt.Sprint("layer ", i%7), 5_000)}
		if v.push(ctx, a) && i%3 != 0 {
			v.remove(ctx, a)
		}
	})
	commands := [][]string{{"fsck"}, {"scrub", "now"}, {"fsck", "--deep"}, {"scrub", "now"}}
	runs := 0
	for end := time.Now().Add(soakFor(t)); time.Now().Before(end); runs++ {
		args := append(commands[runs%len(commands)], "--data", v.dir)
		if out, err := exec.Command(v.program, args...).CombinedOutput(); err != nil {
			t.Errorf("run %d, %v: %v\n%s", runs, args, err, out)
		}
	}
	stop()
	t.Logf("%d runs beside %d pushes", runs, v.pushesNow())
	if runs < len(commands) || v.pushesNow() < 100 {
		t.Error("the test tries too little")
	}
}
