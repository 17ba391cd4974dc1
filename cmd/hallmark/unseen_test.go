package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
)

// TestNoAdministratorByAMark takes the mark away that the first administrator was made, and the document: a start
// makes no other one.
func TestNoAdministratorByAMark(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	s.kill()
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		tx.Delete(datadir.SettingsTable, []byte(datadir.SettingAdmin))
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
