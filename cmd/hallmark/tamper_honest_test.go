package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

// An honestRow is what happens to a registry that nobody tampers with.
type honestRow struct {
	name    string
	happens func(h *honest)
	quiet   []string // the columns that have to be silent; all if nil
}

// honest is a copy of the registry, and what is at hand there.
type honest struct {
	*tamperStore
	t      *testing.T
	dir    string
	config string
}

func (h *honest) start() *testServer {
	return startServer(h.t, h.dir, "--insecure-http", "--config", h.config)
}

// stop ends a server as its operator does.
func (h *honest) stop(s *testServer) {
	h.t.Helper()
	h.must(h.t, s.cmd.Process.Signal(syscall.SIGTERM))
	<-s.done
	s.cmd = nil
}

// use lets a server run while fn uses it.
func (h *honest) use(fn func(s *testServer)) {
	h.t.Helper()
	s := h.start()
	fn(s)
	h.stop(s)
}

func (h *honest) push(s *testServer, repo, tag, layer string) (digest.Digest, error) {
	r := s.repository(repo)
	r.PlainHTTP = true
	return pushTo(h.t.Context(), r, tag, layer, nil)
}

func (h *honest) pushed(s *testServer, repo, tag, layer string) digest.Digest {
	h.t.Helper()
	d, err := h.push(s, repo, tag, layer)
	h.must(h.t, err)
	return d
}

// honestRows are what nobody may call a tampering.
var honestRows = []honestRow{
	{name: "nothing", happens: func(*honest) {}},
	{name: "a start and a stop", happens: func(h *honest) { h.use(func(*testServer) {}) }},
	{name: "killed while images are pushed", happens: func(h *honest) {
		s := h.start()
		some, ended := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(ended)
			for i := 0; ; i++ {
				if _, err := h.push(s, "team/web", "killed", "layer "+strconv.Itoa(i)); err != nil {
					return // it was killed
				}
				if i == 5 {
					close(some)
				}
			}
		}()
		select {
		case <-some:
		case <-ended:
			h.t.Error("it took no pushes")
		}
		s.kill()
		<-ended
	}},
	{name: "a removed image pushed again", happens: func(h *honest) {
		h.use(func(s *testServer) { h.pushed(s, "team/app", "5", "web") })
	}},
	{name: "a removed image pushed again, and removed again", happens: func(h *honest) {
		h.use(func(s *testServer) {
			d := h.pushed(s, "team/app", "5", "web")
			h.do(h.t, s, "DELETE", "/v2/team/app/manifests/"+d.String(), "", "")
		})
	}},
	{name: "a key rotated", happens: func(h *honest) { h.hallmark(h.t, 0, "key", "rotate", "--data", h.dir) }},
	// No witness has seen the new log yet: who demands one is right to say so.
	{name: "a key lost", quiet: []string{"start", "fsck", "audit", "verify", "witness"}, happens: func(h *honest) { h.hallmark(h.t, 0, "key", "rotate", "--lost", "--data", h.dir) }},
	{name: "keys stolen", quiet: []string{"start", "fsck", "audit", "verify", "witness"}, happens: func(h *honest) { h.hallmark(h.t, 0, "key", "rotate", "--stolen", "--data", h.dir) }},
	{name: "a robot's secret renewed", happens: func(h *honest) {
		h.use(func(*testServer) { h.hallmark(h.t, 0, "robot", "rotate", "engine", "--data", h.dir) })
	}},
	{name: "another public name", happens: func(h *honest) {
		s := startServer(h.t, h.dir, "--insecure-http", "--config", h.config, "--url", "http://registry.example")
		h.hallmark(h.t, 0, "team", "add", "later", "--data", h.dir)
		h.stop(s)
	}},
	{
		// Who demands it and is served nothing newer is right to say so; and it is refused when it comes.
		name: "a witness retired", quiet: []string{"start", "fsck", "audit", "verify"},
		happens: func(h *honest) {
			h.config = filepath.Join(h.t.TempDir(), "hallmark.yaml")
			h.must(h.t, os.WriteFile(h.config, nil, 0o600))
			h.use(func(s *testServer) { h.pushed(s, "team/web", "3", "web three") })
		},
	},
	{
		name: "another witness in place of the first", quiet: []string{"start", "fsck", "audit", "verify"},
		happens: func(h *honest) {
			state := filepath.Join(h.t.TempDir(), "witness")
			vkey := h.hallmark(h.t, 0, "witness", "--state", state, "--name", "witness.example/w2")
			h.config = filepath.Join(h.t.TempDir(), "hallmark.yaml")
			h.must(h.t, os.WriteFile(h.config, []byte("witnesses:\n  - "+vkey+"\n"), 0o600))
			h.use(func(s *testServer) { h.hallmark(h.t, 0, "witness", "--state", state, s.url) })
		},
	},
	{
		// Outside, a log that goes on as another after a restore is said to, once: that is no tampering.
		name: "a backup put back", quiet: []string{"start", "fsck", "audit", "verify"},
		happens: func(h *honest) {
			copies := filepath.Join(h.t.TempDir(), "copies")
			h.hallmark(h.t, 0, "backup", copies, "--data", h.dir)
			h.must(h.t, os.RemoveAll(h.dir))
			h.hallmark(h.t, 0, "restore", copies, "--data", h.dir)
		},
	},
}

// everybodyIsQuiet wants nobody to say anything about a registry that nobody tampered with.
func (b *tamperStore) everybodyIsQuiet(t *testing.T, row honestRow) {
	t.Helper()
	l := &looking{tamperStore: b, t: t, dir: filepath.Join(t.TempDir(), "data"), outside: filepath.Join(t.TempDir(), "outside"), said: make(sayings)}
	b.must(t, os.CopyFS(l.dir, os.DirFS(b.dir)))
	b.must(t, os.CopyFS(l.outside, os.DirFS(b.outside)))
	h := &honest{tamperStore: b, t: t, dir: l.dir, config: b.config}
	row.happens(h)
	l.config = h.config
	l.look("team/app:1")
	for _, column := range slices.Sorted(maps.Keys(l.said)) {
		if row.quiet == nil || slices.Contains(row.quiet, column) {
			t.Errorf("%s says %q", column, l.said[column])
		}
	}
}
