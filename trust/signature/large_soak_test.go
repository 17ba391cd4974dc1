//go:build soak

package signature

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// TestSoakLarge reads 1,000 attestations of 16 MiB, by a key and by holders of certificates, with entries of logs of either
// version, and wants the memory of the process to stay below 100 MB.
func TestSoakLarge(t *testing.T) {
	const size = MaxDocument*3/4 - 8<<10
	for name, of := range map[string]func(t *testing.T) (registry.Attachment, *Trust){
		"key": func(t *testing.T) (registry.Attachment, *Trust) {
			m := newMaker(t)
			return arrivingFile(t, m.bundle(sbomOf(size))), trusting(t, m, "    vouches: sbom\n")
		},
		"certificate v1": func(t *testing.T) (registry.Attachment, *Trust) {
			p := newPrivate(t)
			return arrivingFile(t, p.attestV1(ciJob, ciIssuer, sbomOf(size))), p.trusting("team/*")
		},
		"certificate v2": func(t *testing.T) (registry.Attachment, *Trust) {
			p := newPrivate(t)
			return arrivingFile(t, p.attest(ciJob, ciIssuer, sbomOf(size))), p.trusting("team/*")
		},
	} {
		t.Run(name, func(t *testing.T) {
			to, trust := of(t)
			for range 3 { // pools keep what the test itself made for two collections
				debug.FreeOSMemory()
			}
			high := highest(t, func() {
				for range 1000 / 3 {
					found, err := trust.lookAt(t.Context(), to, time.Now())
					if err != nil || found[0].Verdict.Result != provenance.Good {
						t.Fatalf("%+v, %v", found, err)
					}
				}
			})
			if t.Logf("up to %d kB of RssAnon", high); high > 100_000 {
				t.Error("it took too much")
			}
		})
	}
}

// arrivingFile is arriving for a document that lies in a file, as a registry's do: in memory it would be the test's own, and have
// the collector wait until there is as much again.
func arrivingFile(t *testing.T, made Document) registry.Attachment {
	t.Helper()
	path := filepath.Join(t.TempDir(), "document")
	if err := os.WriteFile(path, made.Body, 0o600); err != nil {
		t.Fatal(err)
	}
	to, size := arriving(Document{Layer: made.Layer}), len(made.Body)
	to.Blob = func(_ context.Context, _ digest.Digest, _ int64, room func(n int) ([]byte, error)) ([]byte, error) {
		body, err := room(size)
		if err != nil {
			return nil, err
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		_, err = io.ReadFull(f, body)
		return body, err
	}
	return to
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
