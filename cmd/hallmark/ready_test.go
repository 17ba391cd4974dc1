package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
		Parts  []unreadyPart
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
	s.wantParts("/readyz")
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
	s.wantParts("/readyz", "disk")
	s.wantParts("/readyz?read")
	s.want(200, "GET", "/healthz")
	s.want(200, "GET", "/v2/team/app/manifests/1.0")
	wantHealth(t, dir, exitNo, "disk: ")
	s.kill()
	if err := os.Remove(filepath.Join(dir, keysDir, "receipt.pem")); err != nil {
		t.Fatal(err)
	}
	s = startServer(t, dir, "--insecure-http", "--config", writeFile(t, "registry: {reserve: 900TiB}\n"))
	s.wantParts("/readyz", "keys", "disk")
	s.wantParts("/readyz?read")
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

// TestNotReadyStore closes the store under a server.
func TestNotReadyStore(t *testing.T) {
	t.Parallel()
	e := &env{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	d, err := e.openData(t.Context(), filepath.Join(t.TempDir(), "data"), toServe, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig("", e.getenv)
	if err != nil {
		t.Fatal(err)
	}
	services, err := open(t.Context(), d, c, c.Listen, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := &server{services: services}
	if parts := s.unready(context.Background()); len(parts) > 0 {
		t.Errorf("at first: %+v", parts)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	if parts := s.unready(context.Background()); len(parts) != 1 || parts[0].Part != "store" || !parts[0].reads {
		t.Errorf("with a closed store: %+v", parts)
	}
}
