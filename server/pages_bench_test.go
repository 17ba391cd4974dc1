package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// BenchmarkPages reads pages of 50 rows, and of an image, and tells the CPU time that server and client took for one together: on a busy
// machine the time by the clock says nothing.
func BenchmarkPages(b *testing.B) {
	s := servertest.Start(b)
	for i := range 120 {
		pushClaiming(b, s, "growth/app-0", fmt.Sprint("v", i), i)
	}
	for i := range 60 {
		pushClaiming(b, s, "growth/app-1", "moved", i)
		pushClaiming(b, s, fmt.Sprint("team/app-", i), "1", i)
	}
	for _, page := range []struct{ name, path string }{
		{"home", "/"},
		{"repository", "/r/growth/app-0"},
		{"image", "/r/growth/app-0:v50"},
		{"history", "/r/growth/app-1/-/history/moved"},
		{"records", "/-/records?repo=growth/app-0"},
	} {
		b.Run(page.name, func(b *testing.B) {
			before := cpuTime(b)
			for range b.N {
				ask(b, s, http.StatusOK, "GET", page.path, nil, "Accept", "text/html")
			}
			b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/1e3/float64(b.N), "CPU-ms/op")
		})
	}
}

// pushClaiming pushes an image that claims where it comes from, as the i-th of its repository.
func pushClaiming(b *testing.B, s *servertest.Server, repo, tag string, i int) {
	b.Helper()
	blob := func(mediaType string, data []byte) ocispec.Descriptor {
		d := digest.FromBytes(data)
		ask(b, s, http.StatusCreated, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), data, "Content-Type", "application/octet-stream")
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
	}
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{"Labels":{"org.opencontainers.image.source":"https://git.example/%s","org.opencontainers.image.revision":"%040x"}}}`, repo, i)
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: blob(ocispec.MediaTypeImageConfig, config),
		Layers:      []ocispec.Descriptor{blob(ocispec.MediaTypeImageLayer, []byte(repo)), blob(ocispec.MediaTypeImageLayer, []byte(repo+tag))},
		Annotations: map[string]string{"org.opencontainers.image.source": "https://git.example/" + repo},
	}
	data, err := json.Marshal(m)
	if err != nil {
		b.Fatal(err)
	}
	ask(b, s, http.StatusCreated, "PUT", "/v2/"+repo+"/manifests/"+tag, data, "Content-Type", m.MediaType)
}

// ask asks as the administrator, and wants a status.
func ask(b *testing.B, s *servertest.Server, status int, method, path string, body []byte, header ...string) {
	b.Helper()
	if got, said, err := s.Do(method, path, servertest.Login, body, header...); err != nil || got != status {
		b.Fatalf("%s %s: %d %.300s, %v", method, path, got, said, err)
	}
}

// cpuTime is what this process has computed.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
