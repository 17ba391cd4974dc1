package browser

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	adminPassword = "correct horse"
	bobPassword   = "wonderland-1"
)

// A server is a running registry.
type server struct {
	t      *testing.T
	url    string
	client *http.Client // that trusts its CA and follows no redirect
}

// start runs the program that `make build` made, and ends it with the test.
func start(t *testing.T, args ...string) *server {
	t.Helper()
	program, err := filepath.Abs("../../bin/hallmark")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, url: fmt.Sprintf("https://localhost:%d", freePort(t))}
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command(program, append([]string{"serve", "--data", dir, "--url", s.url, "--listen", strings.TrimPrefix(s.url, "https://"), "--admin-listen", "none"}, args...)...)
	cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword, "HALLMARK_LOG_LEVEL=warn")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v: run `make build`", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(out)
	for ready := false; !ready; ready = strings.HasPrefix(lines.Text(), "hallmark: ready at ") {
		if !lines.Scan() {
			t.Fatal("the server ended before it was ready")
		}
	}
	go func() {
		for lines.Scan() { // so that it never waits for us
		}
	}()
	ca, err := os.ReadFile(filepath.Join(dir, "certs/ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	s.client = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// do sends a request as a user, or as nobody.
func (s *server) do(user, method, path, kind, body string) (*http.Response, string) {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Accept", "text/html")
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp, string(data)
}

const admin = "admin:" + adminPassword

// api changes something as the administrator.
func (s *server) api(method, path string, body any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	if resp, said := s.do(admin, method, path, "application/json", string(text)); resp.StatusCode >= 300 {
		s.t.Fatalf("%s %s: %s\n%s", method, path, resp.Status, said)
	}
}

func digestOf(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// blob pushes a blob and returns its descriptor.
func (s *server) blob(repo, mediaType string, data []byte) map[string]any {
	s.t.Helper()
	resp, said := s.do(admin, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+url.QueryEscape(digestOf(data)), "application/octet-stream", string(data))
	if resp.StatusCode != 201 {
		s.t.Fatalf("%s: a blob: %s\n%s", repo, resp.Status, said)
	}
	return map[string]any{"mediaType": mediaType, "digest": digestOf(data), "size": len(data)}
}

// An image is what push pushes.
type image struct {
	labels, annotations map[string]string
	env                 []string
	content             string // of its layer
	step                string // of its history
}

// push pushes an image under a tag and returns its digest.
func (s *server) push(repo, tag string, img image) string {
	s.t.Helper()
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "created": "2026-11-01T00:00:00Z",
		"config":  map[string]any{"Labels": img.labels, "Env": img.env, "User": "1000"},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{digestOf([]byte(img.content))}},
		"history": []any{map[string]any{"created_by": img.step}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return s.manifest(repo, tag, "application/vnd.oci.image.manifest.v1+json", map[string]any{
		"config":      s.blob(repo, "application/vnd.oci.image.config.v1+json", config),
		"layers":      []any{s.blob(repo, "application/vnd.oci.image.layer.v1.tar", []byte(img.content))},
		"annotations": img.annotations,
	})
}

// manifest pushes a manifest and returns its digest.
func (s *server) manifest(repo, ref, mediaType string, m map[string]any) string {
	s.t.Helper()
	m["schemaVersion"], m["mediaType"] = 2, mediaType
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		s.t.Fatal(err)
	}
	d := digestOf(body.Bytes())
	if ref == "" {
		ref = d
	}
	if resp, said := s.do(admin, "PUT", "/v2/"+repo+"/manifests/"+ref, mediaType, body.String()); resp.StatusCode != 201 {
		s.t.Fatalf("%s:%s: %s\n%s", repo, ref, resp.Status, said)
	}
	return d
}
