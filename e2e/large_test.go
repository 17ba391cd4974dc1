//go:build e2e

package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	largeSize = 10 << 30
	// maxAnon is what the server may hold in memory of its own meanwhile, in bytes.
	maxAnon = 100 << 20
)

// pattern is a stream that does not repeat itself, is quick to make, and is the same each time.
type pattern struct{ n uint64 }

func (p *pattern) Read(b []byte) (int, error) {
	for i := 0; i+8 <= len(b); i += 8 {
		p.n = p.n*6364136223846793005 + 1442695040888963407
		b[i], b[i+1], b[i+2], b[i+3] = byte(p.n>>56), byte(p.n>>48), byte(p.n>>40), byte(p.n>>32)
		b[i+4], b[i+5], b[i+6], b[i+7] = byte(p.n>>24), byte(p.n>>16), byte(p.n>>8), byte(p.n)
	}
	return len(b) / 8 * 8, nil
}

// TestTenGigabytes sends a layer of 10 GB in and out, and watches the server's own memory.
func TestTenGigabytes(t *testing.T) {
	port := freePort(t)
	s := &server{t: t, dir: filepath.Join(t.TempDir(), "data"), host: fmt.Sprintf("%s:%d", name, port)}
	s.url = "https://" + s.host
	process := s.run()
	pem, err := os.ReadFile(filepath.Join(s.dir, "certs/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	do := func(method, url string, body io.Reader, length int64, want int) *http.Response {
		t.Helper()
		r, err := http.NewRequest(method, url, body)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth("admin", adminPassword)
		r.ContentLength = length
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			said, _ := io.ReadAll(resp.Body)
			t.Fatalf("%s: %s\n%s", method, resp.Status, said)
		}
		return resp
	}
	peak, stop := watchAnon(t, process.Process.Pid)
	defer stop()

	begun := do("POST", s.url+"/v2/large/blobs/uploads/", nil, 0, 202)
	begun.Body.Close()
	hash := sha256.New()
	start := time.Now()
	sent := do("PATCH", s.url+begun.Header.Get("Location"), io.TeeReader(io.LimitReader(&pattern{}, largeSize), hash), largeSize, 202)
	sent.Body.Close()
	digest := "sha256:" + hex.EncodeToString(hash.Sum(nil))
	do("PUT", s.url+sent.Header.Get("Location")+"&digest="+digest, nil, 0, 201).Body.Close()
	in := time.Since(start)

	start = time.Now()
	hash.Reset()
	got := do("GET", s.url+"/v2/large/blobs/"+digest, nil, 0, 200)
	defer got.Body.Close()
	if n, err := io.Copy(hash, got.Body); n != largeSize || err != nil || "sha256:"+hex.EncodeToString(hash.Sum(nil)) != digest {
		t.Errorf("%d bytes came back, %v", n, err)
	}
	t.Logf("10 GiB in %s in and %s out; RssAnon at most %d MiB", in.Round(time.Second), time.Since(start).Round(time.Second), peak.Load()>>20)
	if peak.Load() > maxAnon {
		t.Errorf("the server held %d bytes", peak.Load())
	}
}

// watchAnon follows a process's memory of its own, until it is stopped.
func watchAnon(t *testing.T, pid int) (peak *atomic.Int64, stop func()) {
	t.Helper()
	peak = new(atomic.Int64)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if n, err := rssAnon(pid); err == nil && n > peak.Load() {
				peak.Store(n)
			}
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
			}
		}
	}()
	return peak, func() { close(done); <-ended }
}

func rssAnon(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no RssAnon in %s", status)
}
