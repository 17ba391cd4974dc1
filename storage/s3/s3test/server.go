// Package s3test runs an object store for tests: versitygw, which `make tools` builds, behind a proxy that can have bad luck.
package s3test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage/s3"
)

// The keys of a Server, and its bucket.
const (
	AccessKey = "tester"
	SecretKey = "tester-secret"
	Bucket    = "images"
)

// Server is an object store that ends with its test.
type Server struct {
	Endpoint string // its URL, over TLS
	CA       string // the file of its certificate authority
	Keys     string // the file of its keys
	Objects  string // the directory of its bucket: names are paths

	proxy *httputil.ReverseProxy
	mu    sync.Mutex
	luck  Luck // guarded by mu; nil where there is none
}

// Luck answers a request itself, or has the store answer it, with next, or both.
type Luck func(w http.ResponseWriter, r *http.Request, next http.Handler)

// Start starts an object store with an empty bucket. The test is skipped where the program is not built, unless
// HALLMARK_TOOLS says that it has to be.
func Start(t testing.TB) *Server {
	t.Helper()
	program := tool(t, "versitygw")
	dir := t.TempDir()
	s := &Server{Objects: filepath.Join(dir, "data", Bucket), CA: filepath.Join(dir, "ca.pem"), Keys: filepath.Join(dir, "keys")}
	must(t, os.MkdirAll(s.Objects, 0o700))
	must(t, os.WriteFile(s.Keys, fmt.Appendf(nil, "[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", AccessKey, SecretKey), 0o600))
	socket := shortSocket(t)
	runGateway(t, exec.Command(program, "--port", socket, "--access", AccessKey, "--secret", SecretKey, "--quiet", "--keep-alive", "posix",
		"--disable-object-lock-file", filepath.Join(dir, "data")), socket)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
	transport := &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.proxy = &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "gateway"})
			r.Out.Host = r.In.Host // it is signed
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	front := httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(front.Close)
	s.Endpoint = front.URL
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
	must(t, os.WriteFile(s.CA, block, 0o600))
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shortSocket is a path that fits into the address of a socket.
func shortSocket(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s3-")
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// runGateway runs the program until the test ends, and waits until it listens.
func runGateway(t testing.TB, c *exec.Cmd, socket string) {
	t.Helper()
	out, err := os.Create(socket + ".log")
	must(t, err)
	defer out.Close() //nolint:errcheck // the program has it too
	c.Stdout, c.Stderr = out, out
	must(t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Kill()
		<-ended //nolint:errcheck // it was killed
	})
	for {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close() // it was asked nothing
			return
		}
		select {
		case err := <-ended:
			ended <- err
			said, _ := os.ReadFile(socket + ".log")
			t.Fatalf("versitygw ended: %v\n%s", err, said)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// tool finds a program that `make tools` builds.
func tool(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	must(t, err)
	for ; dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, "bin", "tools", name)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	if os.Getenv("HALLMARK_TOOLS") != "" {
		t.Fatalf("%s is not built: run `make tools`", name)
	}
	t.Skipf("%s is not built: run `make tools`", name)
	return ""
}

// Suffer has requests have bad luck from now on; nil is none.
func (s *Server) Suffer(l Luck) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.luck = l
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	luck := s.luck
	s.mu.Unlock()
	if luck == nil {
		s.proxy.ServeHTTP(w, r)
		return
	}
	luck(w, r, s.proxy)
}

// Config is that of a client which keeps blobs below a prefix.
func (s *Server) Config(prefix string) s3.Config {
	return s3.Config{Endpoint: s.Endpoint, Bucket: Bucket, Prefix: prefix, CA: s.CA, Credentials: s.Keys}
}

// Client trusts the certificate of the object store.
func (s *Server) Client(t testing.TB) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(s.CA)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// Strict is a Luck that refuses what S3 does and versitygw does not: a login beside a URL that is signed.
func Strict(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if r.URL.Query().Get("X-Amz-Signature") != "" && r.Header.Get("Authorization") != "" {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>") // who asked may have left
		return
	}
	next.ServeHTTP(w, r)
}
