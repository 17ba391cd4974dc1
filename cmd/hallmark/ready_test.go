package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/server"
)

// wantParts wants /readyz to name these parts, and no others.
func (s *testServer) wantParts(path string, want ...string) {
	s.t.Helper()
	status, header, body := s.do("GET", path, "none", "")
	if len(want) == 0 {
		if status != 200 || body != "ok\n" {
			s.t.Errorf("%s: %d %s", path, status, body)
		}
		return
	}
	var p struct {
		Status int
		Detail string
		Parts  []server.UnreadyPart
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil || status != 503 || p.Status != 503 || header.Get("Content-Type") != "application/problem+json" {
		s.t.Fatalf("%s: %d %s %v", path, status, body, err)
	}
	var parts []string
	for _, part := range p.Parts {
		parts = append(parts, part.Part)
		if part.Says == "" || !strings.Contains(p.Detail, part.Says) {
			s.t.Errorf("%s: %+v", path, p)
		}
	}
	if !slices.Equal(parts, want) {
		s.t.Errorf("%s names %q, and should name %q", path, parts, want)
	}
}

// TestNotReady has a disk below its reserve and a key that is lost: what refuses pushes is not ready, and says why. It
// lives all the same, and serves what it has.
func TestNotReady(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir, "--insecure-http")
	s.wantParts("/readyz?write")
	repo := s.repository("team/app")
	repo.PlainHTTP = true
	if _, err := pushTo(t.Context(), repo, "1.0", "a layer", nil); err != nil {
		t.Fatal(err)
	}
	s.kill()
	s = startServer(t, dir, "--insecure-http", "--config", writeFile(t, "registry: {reserve: 900TiB}\n"))
	if status, _, body := s.do("POST", "/v2/team/app/blobs/uploads/", "", ""); status != 507 {
		t.Errorf("an upload: %d %s", status, body)
	}
	s.wantParts("/readyz?write", "disk")
	s.wantParts("/readyz")
	s.wantParts("/readyz?read")
	s.want(200, "GET", "/healthz")
	s.want(200, "GET", "/v2/team/app/manifests/1.0")
	wantHealth(t, dir, exitNo, "disk: ")
	s.kill()
	if err := os.Remove(filepath.Join(dir, keysDir, "receipt.pem")); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, dir, "--insecure-http", "--config", writeFile(t, "registry: {reserve: 900TiB}\n"))
	s.wantParts("/readyz?write", "keys", "disk")
	s.wantParts("/readyz")
	wantHealth(t, dir, exitNo, "keys: ")
	if said, status := hallmarkOn(t, dir, "health", "--read"); status != 0 || said != "ready\n" {
		t.Errorf("health --read: %d %s", status, said)
	}
	s.kill()
	wantHealth(t, dir, exitAsk, "no server runs there")
}

func wantHealth(t *testing.T, dir string, status int, says string) {
	t.Helper()
	if said, got := hallmarkOn(t, dir, "health"); got != status || !strings.Contains(said, says) {
		t.Errorf("health: %d %s", got, said)
	}
	if said, _ := hallmarkOn(t, dir, "health", "--json"); status == exitNo && !strings.Contains(said, `"ready": false`) {
		t.Errorf("health --json: %s", said)
	}
}

// TestNotReadyCertificate shows a certificate that has expired.
func TestNotReadyCertificate(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf("tls: {cert: %s, key: %s}\n",
		writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))),
		writeFile(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))))
	dir := filepath.Join(t.TempDir(), "data")
	cmd := exec.Command("hallmark", "serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin-listen", "none", "--config", writeFile(t, config))
	cmd.Env = append(os.Environ(), "HALLMARK_ADMIN_PASSWORD="+adminPassword)
	p, url, err := launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	skeptic := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // it has expired
	s := &testServer{process: p, t: t, dir: dir, url: url, client: skeptic}
	s.wantParts("/readyz?write", "certificate")
	s.wantParts("/readyz", "certificate")
	s.want(200, "GET", "/healthz")
	wantHealth(t, dir, exitNo, "certificate: ")
}

// TestNotReadyBlobs takes the disk of the blobs away, as an unmount does: its directory is gone, or an empty one is in its
// place. Nothing is written into that, and all is well when the disk is back.
func TestNotReadyBlobs(t *testing.T) {
	t.Parallel()
	s := insecure(t)
	repo := s.repository("team/app")
	repo.PlainHTTP = true
	if _, err := pushTo(t.Context(), repo, "1.0", "a layer", nil); err != nil {
		t.Fatal(err)
	}
	blobs := filepath.Join(s.dir, blobsDir)
	if err := os.Rename(blobs, blobs+".away"); err != nil {
		t.Fatal(err)
	}
	s.wantParts("/readyz?write", "blobs")
	s.wantParts("/readyz", "blobs")
	if err := os.Mkdir(blobs, 0o700); err != nil {
		t.Fatal(err)
	}
	s.wantParts("/readyz?write", "blobs")
	wantHealth(t, s.dir, exitNo, "blobs: ")
	s.want(200, "GET", "/healthz")
	for range 200 { // more than there are files made ahead
		s.do("POST", "/v2/team/app/blobs/uploads/", "", "")
	}
	if made, err := os.ReadDir(blobs); err != nil || len(made) > 0 {
		t.Errorf("what was made where the disk is not: %v, %v", made, err)
	}
	if err := errors.Join(os.Remove(blobs), os.Rename(blobs+".away", blobs)); err != nil {
		t.Fatal(err)
	}
	s.wantParts("/readyz?write")
	if _, err := pushTo(t.Context(), repo, "2.0", "another layer", nil); err != nil {
		t.Error(err)
	}
}

// TestNotReadyAfterFailedCommit lets the disk fail under a commit: pushes are refused from then on, pulls are not, and a
// restart is what helps.
func TestNotReadyAfterFailedCommit(t *testing.T) {
	t.Parallel()
	s := insecure(t)
	put := func(n int) int {
		body := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"n":"%d"}}`, ocispec.MediaTypeImageIndex, n)
		status, _, _ := s.do("PUT", fmt.Sprintf("/v2/team/app/manifests/v%d", n), "", body, "Content-Type", ocispec.MediaTypeImageIndex)
		return status
	}
	if status := put(1); status != 201 {
		t.Fatal(status)
	}
	strace := exec.Command("strace", "-f", "-p", fmt.Sprint(s.cmd.Process.Pid), "-o", os.DevNull,
		"-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO")
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	waitTraced(t, s.cmd.Process.Pid)
	if status := put(2); status != 500 {
		t.Errorf("a push whose commit fails: %d", status)
	}
	s.wantParts("/readyz?write", "store")
	s.wantParts("/readyz")
	wantHealth(t, s.dir, exitNo, "store: ")
	s.want(200, "GET", "/v2/team/app/manifests/v1")
	if status := put(3); status != 500 {
		t.Errorf("a push after it: %d", status)
	}
	dir := s.dir
	s.kill()
	_ = strace.Wait() // it ends with what it traces
	s = startServer(t, dir, "--insecure-http")
	s.wantParts("/readyz?write")
	if status := put(4); status != 201 {
		t.Errorf("a push after a restart: %d", status)
	}
}

// waitTraced waits until a process is traced, each thread of it: strace takes one after the other.
func waitTraced(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
		if err != nil || len(threads) == 0 {
			t.Fatal("there is no such process", err)
		}
		free := slices.ContainsFunc(threads, func(thread string) bool {
			status, err := os.ReadFile(thread)
			return err == nil && strings.Contains(string(status), "TracerPid:\t0\n") // else it has ended
		})
		if !free {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("strace does not attach")
		}
	}
}
