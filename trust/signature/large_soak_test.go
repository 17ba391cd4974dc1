//go:build soak

package signature

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestSoakLarge reads 1,000 attestations of 16 MiB, by a key and by holders of certificates, with entries of logs of either
// version, and wants the memory of the process to stay below 100 MB.
func TestSoakLarge(t *testing.T) {
	m, p := newMaker(t), newPrivate(t)
	const size = MaxDocument*3/4 - 8<<10
	for name, c := range map[string]struct {
		made  func() Document
		trust *Trust
	}{
		"key":            {func() Document { return m.bundle(sbomOf(size)) }, trusting(t, m, "    vouches: sbom\n")},
		"certificate v1": {func() Document { return p.attestV1(ciJob, ciIssuer, sbomOf(size)) }, p.trusting("team/*")},
		"certificate v2": {func() Document { return p.attest(ciJob, ciIssuer, sbomOf(size)) }, p.trusting("team/*")},
	} {
		to := arriving(c.made())
		debug.FreeOSMemory() // what the test itself made
		high := highest(t, func() {
			for range 1000 / 3 {
				found, err := c.trust.lookAt(t.Context(), to, time.Now())
				if err != nil || found[0].Verdict.Result != provenance.Good {
					t.Fatalf("%s: %+v, %v", name, found, err)
				}
			}
		})
		if high > 100_000 {
			t.Errorf("%s: it took up to %d kB of RssAnon", name, high)
		} else {
			t.Logf("%s: up to %d kB of RssAnon", name, high)
		}
	}
}

// highest is the most memory that the process has while something is done, in kB.
func highest(t *testing.T, do func()) int {
	t.Helper()
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
	do()
	close(done)
	return <-most
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
