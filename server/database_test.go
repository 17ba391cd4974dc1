package server_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/move"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/postgres/pgtest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// inDatabase are the options of a server whose store is in a database.
func inDatabase(url string) server.Options {
	o := servertest.Options()
	o.Config.Store = url
	return o
}

// TestDatabase runs a registry whose store is in a database: through a restart, on the same directory and a copy of it as another
// machine has it, and while the database is away.
func TestDatabase(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	c := pgtest.Start(t, "fsync=off")
	url := c.Database()
	dir := filepath.Join(t.TempDir(), "data")
	s := servertest.StartOn(t, dir, inDatabase(url))
	first := s.Push("team/app", "1.0", "one")
	if _, err := servertest.TryOn(dir, inDatabase(url)); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second server on the same directory: %v", err)
	}
	if _, err := servertest.TryOn(filepath.Join(t.TempDir(), "data"), inDatabase(url)); err == nil || !strings.Contains(err.Error(), "works on it") {
		t.Errorf("a second server on another directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, datadir.StoreFile)); !os.IsNotExist(err) {
		t.Errorf("there is a store in the directory: %v", err)
	}

	s.Stop()
	here := move.Move{Dir: dir, Database: url}
	if moved, err := here.Run(t.Context()); err != nil || !moved.Again {
		t.Errorf("a move of blobs to where they are: %+v, %v", moved, err)
	}
	here.Database = ""
	if _, err := here.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "set store again") {
		t.Errorf("a move of blobs without the database: %v", err)
	}
	if _, err := servertest.TryOn(dir, servertest.Options()); err == nil || !strings.Contains(err.Error(), "set store again") {
		t.Errorf("without the database: %v", err)
	}
	other := filepath.Join(t.TempDir(), "moved")
	for _, name := range []string{datadir.KeysDir, datadir.CertsDir, datadir.BlobsDir} { // as docs/postgresql.md says
		if err := os.CopyFS(filepath.Join(other, name), os.DirFS(filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	s = servertest.StartOn(t, other, inDatabase(url))
	second := s.Push("team/app", "1.0", "two")
	wantAnswer(t, s, http.StatusOK, "/v2/team/app/manifests/"+first.String(), "layers")
	wantAnswer(t, s, http.StatusOK, "/api/v1/history?repo=team/app&tag=1.0", first.String(), second.String())

	c.Stop(syscall.SIGQUIT)
	wantAnswer(t, s, http.StatusServiceUnavailable, "/v2/team/app/manifests/1.0", "UNAVAILABLE", "database")
	wantAnswer(t, s, http.StatusServiceUnavailable, "/readyz", "the database does not answer")
	wantAnswer(t, s, http.StatusOK, "/healthz", "ok")
	c.Begin("fsync=off")
	wantAnswer(t, s, http.StatusOK, "/v2/team/app/manifests/1.0", "layers")
	wantAnswer(t, s, http.StatusOK, "/readyz", "ok")
	s.Push("team/app", "1.1", "three")
}

func wantAnswer(t *testing.T, s *servertest.Server, status int, path string, parts ...string) {
	t.Helper()
	got, body, err := s.Do("GET", path, servertest.Login, nil)
	if err != nil || got != status {
		t.Errorf("GET %s: %d %s, %v; want %d", path, got, body, err, status)
	}
	for _, part := range parts {
		if !strings.Contains(body, part) {
			t.Errorf("GET %s has no %q: %s", path, part, body)
		}
	}
}

// TestDatabaseForDirectory names a database for a registry that has a store already.
func TestDatabaseForDirectory(t *testing.T) {
	engines.OnFile(t)
	c := pgtest.Start(t, "fsync=off")
	s := servertest.Start(t)
	s.Stop()
	if _, err := servertest.TryOn(s.Dir, inDatabase(c.Database())); err == nil || !strings.Contains(err.Error(), "hallmark move") {
		t.Errorf("a registry that has a store: %v", err)
	}
}
