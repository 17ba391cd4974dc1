//go:build soak

package signature

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSoakLarge reads 1,000 attestations of 16 MiB, and wants the memory of the process to stay below 100 MB.
func TestSoakLarge(t *testing.T) {
	m := newMaker(t)
	trust := trusting(t, m, "    vouches: sbom\n")
	to := arrivingLarge(t, m, MaxDocument*3/4-1000)
	debug.FreeOSMemory() // what the test itself made
	most, done := make(chan int), make(chan struct{})
	go func() {
		high := 0
		for {
			select {
			case <-done:
				most <- high
				return
			case <-time.After(5 * time.Millisecond):
				high = max(high, rssAnon(t))
			}
		}
	}()
	for range 1000 {
		if _, err := trust.lookAt(t.Context(), to, now); err != nil {
			t.Fatal(err)
		}
	}
	close(done)
	if high := <-most; high > 100_000 {
		t.Errorf("it took up to %d kB of RssAnon", high)
	} else {
		t.Logf("up to %d kB of RssAnon", high)
	}
}

// rssAnon is the memory of this process that is no file's, in kB.
func rssAnon(t *testing.T) int {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Error(err)
			}
			return n
		}
	}
	return 0
}
