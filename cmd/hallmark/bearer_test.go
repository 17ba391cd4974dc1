package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

const bearerRows = storage.Table("access/tokenKey")

// bearer fetches a bearer token.
func (s *testServer) bearer(t *testing.T) string {
	t.Helper()
	var answer struct{ Token string }
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/token")), &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Token
}

// TestBearerKey wants the key of bearer tokens beside the other keys: tokens outlive a restart, and what somebody writes into the
// store signs none.
func TestBearerKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	address := freeAddress(t)
	s := startServer(t, dir, "--listen", address, "--url", "https://"+address)
	token := s.bearer(t)
	s.wantBearer(t, 200, token)
	s.kill()
	file := filepath.Join(dir, bearerKeyFile)
	info, err := os.Stat(file)
	if err != nil || info.Size() != 32 || info.Mode().Perm() != 0o600 {
		t.Fatal(info, err)
	}
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) { tx.Put(bearerRows, []byte("bearer"), make([]byte, 32)) })
	s = startServer(t, dir, "--listen", address)
	s.wantBearer(t, 200, token)
	s.kill()
	if err := os.WriteFile(file, make([]byte, 31), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, status := hallmarkOn(t, dir, "user", "list"); status == 0 || !bytes.Contains([]byte(said), []byte("remove it, and the next start makes another")) {
		t.Errorf("a cut key: %d %s", status, said)
	}
}

// TestBearerKeyOfOlderStore starts on a store that has the key in it, as older versions kept it, and again where the first
// start stopped between the store and the file.
func TestBearerKeyOfOlderStore(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(store, file string){
		"at once": func(string, string) {},
		"in two starts": func(store, file string) {
			change(t, store, func(storage.Tx) {}) // opens it, so that its step is made, and stops
			if _, err := os.Stat(file); err == nil {
				t.Error("the file is there already")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			startServer(t, dir).kill()
			store, file := filepath.Join(dir, storeFile), filepath.Join(dir, bearerKeyFile)
			older := bytes.Repeat([]byte{7}, 32)
			change(t, store, func(tx storage.Tx) {
				tx.Put(bearerRows, []byte("bearer"), older)
				tx.Put("storage", []byte("version"), []byte{0, 0, 0, 9}) // before the step that takes it out
			})
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			stop(store, file)
			s := startServer(t, dir)
			s.bearer(t)
			s.kill()
			if key, err := os.ReadFile(file); err != nil || len(key) != 32 || bytes.Equal(key, older) {
				t.Errorf("%x %v", key, err)
			}
			change(t, store, func(tx storage.Tx) {
				if _, err := tx.Get(bearerRows, []byte("bearer")); !errors.Is(err, storage.ErrNotFound) {
					t.Errorf("the store still has it: %v", err)
				}
			})
		})
	}
}
