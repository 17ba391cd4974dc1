package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// retype pushes a manifest whose bytes do not state their type, once as each of two types, and puts the row back that it had as the first.
func (b *tamperStore) retype(t *testing.T, dir string) {
	t.Helper()
	b.used(t, dir, func(s *testServer) { b.pushAs(t, s, "application/vnd.docker.distribution.manifest.v2+json") })
	var key, row []byte
	b.tamper(t, dir, func(h *hands) {
		key = place(repo, h.key("retyped"))
		row = append(row, h.get(manifestRows, key)...)
	})
	b.used(t, dir, func(s *testServer) { b.pushAs(t, s, "application/vnd.oci.image.manifest.v1+json") })
	b.tamper(t, dir, func(h *hands) { h.put(manifestRows, key, row) })
}

// untyped is the manifest of team/app:2 without what it states as its type.
func (b *tamperStore) untyped(t *testing.T, s *testServer) (body string, d digest.Digest) {
	t.Helper()
	var m map[string]any
	b.must(t, json.Unmarshal([]byte(b.do(t, s, "GET", "/v2/team/app/manifests/2", "", "")), &m))
	delete(m, "mediaType")
	text, err := json.Marshal(m)
	b.must(t, err)
	return string(text), digest.FromBytes(text)
}

func (b *tamperStore) pushAs(t *testing.T, s *testServer, mediaType string) {
	t.Helper()
	body, d := b.untyped(t, s)
	if status, _, said := s.do(http.MethodPut, "/v2/team/app/manifests/"+d.String(), "", body, "Content-Type", mediaType); status != http.StatusCreated {
		t.Fatalf("%s: %d %s", mediaType, status, said)
	}
}

// used has a server run on a data directory while somebody does something, and end as its operator ends it.
func (b *tamperStore) used(t *testing.T, dir string, do func(*testServer)) {
	t.Helper()
	s := startServer(t, dir, "--insecure-http", "--config", b.config)
	do(s)
	b.must(t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.done
	s.cmd = nil
	b.must(t, os.Remove(filepath.Join(dir, socketFile)))
}
