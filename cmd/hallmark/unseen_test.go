package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestUnseenIsNotSigned changes the store of a stopped registry as somebody would who has no key, and starts it: it
// serves what it has, says what contradicts what, and neither the start nor a check signs what was put there.
func TestUnseenIsNotSigned(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	for _, tag := range []string{"1", "2", "3"} {
		s.push("team/app", tag, tag, nil)
	}
	before := s.want(200, "GET", "/log/checkpoint")
	s.kill()
	if err := os.Remove(filepath.Join(dir, socketFile)); err != nil {
		t.Fatal(err)
	}
	const records, head = storage.Table("provenance/record"), storage.Table("provenance/head")
	for name, c := range map[string]struct {
		tamper func(*testing.T, storage.Tx)
		says   string
	}{
		"a record appended": {func(t *testing.T, tx storage.Tx) {
			forged := bytes.Replace(statement(t, tx, 3), []byte(`"index":3,`), []byte(`"index":4,`), 1)
			forged = bytes.Replace(forged, []byte(`"leaf":3}`), []byte(`"leaf":4}`), 1)
			tx.Put(records, recordKey(4), bytes.ReplaceAll(forged, []byte(`"handle":"admin"`), []byte(`"handle":"alice"`)))
			putHead(t, tx, 5)
		}, "the records go up to 5, and the log"},
		"a record changed, and the log's head put back": {func(t *testing.T, tx storage.Tx) {
			tx.Put(records, recordKey(3), bytes.ReplaceAll(statement(t, tx, 3), []byte(`"handle":"admin"`), []byte(`"handle":"alice"`)))
			rewind(t, tx)
		}, "the records go up to 4, and the log"},
		"the newest record taken away": {func(t *testing.T, tx storage.Tx) {
			tx.Delete(records, recordKey(3))
			tx.Delete("provenance/signature", recordKey(3))
			putHead(t, tx, 3)
			rewind(t, tx)
		}, "and its newest signed checkpoint says 4"},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(copied, storeFile), func(tx storage.Tx) { c.tamper(t, tx) })
			if said, status := hallmarkOn(t, copied, "user", "add", "carol"); status == 0 {
				t.Errorf("a change on the files: %s", said)
			}
			if said, status := hallmarkOn(t, copied, "fsck"); status != exitNo || !strings.Contains(said, c.says) {
				t.Errorf("fsck: %d %s", status, said)
			}
			s := startServer(t, copied)
			s.wantParts("/readyz", "log")
			s.wantParts("/readyz?read")
			if _, _, body := s.do("GET", "/readyz", "none", ""); !strings.Contains(body, c.says) {
				t.Errorf("/readyz says %s", body)
			}
			s.want(200, "GET", "/v2/team/app/manifests/1")
			if _, err := pushTo(t.Context(), s.repository("team/app"), "4", "4", nil); err == nil || !strings.Contains(err.Error(), "contradict each other") {
				t.Errorf("a push: %v", err)
			}
			if after := s.want(200, "GET", "/log/checkpoint"); after != before {
				t.Errorf("the checkpoint was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// putHead says that there are so many records.
func putHead(t *testing.T, tx storage.Tx, next uint64) {
	t.Helper()
	value, err := tx.Get("provenance/head", []byte("head"))
	if err != nil {
		t.Fatal(err)
	}
	tx.Put("provenance/head", []byte("head"), append(recordKey(next), value[8:]...))
}

// rewind puts the head of a log of four leaves back to three, with the hashes that are there.
func rewind(t *testing.T, tx storage.Tx) {
	t.Helper()
	head := append(make([]byte, 4), recordKey(3)...)
	for _, at := range []uint64{2, 3} { // of the first two leaves together, and of the third
		hash, err := tx.Get("log/hash", binary.BigEndian.AppendUint64(make([]byte, 4), at))
		if err != nil {
			t.Fatal(err)
		}
		head = append(head, hash...)
	}
	tx.Put("log/head", []byte("head"), head)
}

// TestNoAdministratorByAMark takes the mark away that the first administrator was made, and the document: a start
// makes no other one.
func TestNoAdministratorByAMark(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	s.kill()
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		tx.Delete(settingsTable, []byte(adminSetting))
		user, err := tx.Get("access/user", []byte("admin"))
		if err != nil {
			t.Fatal(err)
		}
		tx.Delete("access/user", []byte("admin"))
		tx.Put("access/user", []byte("mallory"), bytes.Replace(bytes.Replace(user, []byte("{"), []byte(`{"admin":true,`), 1), []byte(`"admin",`), []byte(`"mallory",`), 1))
		tx.Delete("access/document", []byte("document"))
		tx.Delete("access/document", []byte("version"))
	})
	s = startServer(t, dir)
	for _, name := range []string{"admin", "mallory"} {
		if status, _, body := s.do("GET", "/api/v1/users", name+":"+adminPassword, ""); status != 401 && status != 403 {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if said := s.hallmark("records"); strings.Count(said, "operator") != 1 {
		t.Errorf("the records are\n%s", said)
	}
	if said, status := hallmarkOn(t, dir, "access", "adopt"); status == 0 || !strings.Contains(said, "which is gone") {
		t.Errorf("adopted by hand: %d %s", status, said)
	}
}
