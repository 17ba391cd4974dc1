package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// TestTampering changes the store of a stopped registry as somebody would who has the disk, and wants fsck
// to say what and where. Going back to an older copy of everything is not here: that is what
// `hallmark log check` and witnesses are for.
func TestTampering(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	for _, tag := range []string{"1", "2", "3"} {
		s.push("team/app", tag, tag, nil)
	}
	s.kill()
	if err := os.Remove(filepath.Join(dir, socketFile)); err != nil {
		t.Fatal(err)
	}
	const records, signatures = storage.Table("provenance/record"), storage.Table("provenance/signature")
	for name, c := range map[string]struct {
		damage func(*testing.T, storage.Tx)
		says   []string // each on a line of its own
	}{
		"nothing": {damage: func(*testing.T, storage.Tx) {}},
		"a record": {
			damage: func(t *testing.T, tx storage.Tx) {
				changed := bytes.Replace(statement(t, tx, 2), []byte(`"handle":"admin"`), []byte(`"handle":"alice"`), 1)
				tx.Put(records, recordKey(2), changed)
			},
			says: []string{"record 2 is not what the receipt key", "entry 2 is not what the log was given as its leaf 2"},
		},
		"a record with its signature": {
			damage: func(t *testing.T, tx storage.Tx) { forge(t, tx, dir, 2) },
			says:   []string{"entry 2 is not what the log was given as its leaf 2"},
		},
		"one dropped": {
			damage: func(_ *testing.T, tx storage.Tx) {
				tx.Delete(records, recordKey(2))
				tx.Delete(signatures, recordKey(2))
			},
			says: []string{"record 2: there is no such record"},
		},
		"two swapped": {
			damage: func(t *testing.T, tx storage.Tx) {
				for _, table := range []storage.Table{records, signatures} {
					one, two := row(t, tx, table, 1), row(t, tx, table, 2)
					tx.Put(table, recordKey(1), two)
					tx.Put(table, recordKey(2), one)
				}
			},
			says: []string{"record 1 says that it is record 2", "entry 1 is not what", "entry 2 is not what"},
		},
		"the key": {
			damage: func(t *testing.T, tx storage.Tx) {
				tx.Put("provenance/key", recordKey(0), newKeys(t).Receipts[0].Key().DER())
			},
			says: []string{"record 1 is not what the receipt key", "the receipt key in force is not the last of the keys"},
		},
		"rights": {
			damage: func(t *testing.T, tx storage.Tx) {
				document, err := tx.Get("access/document", []byte("document"))
				if err != nil {
					t.Fatal(err)
				}
				tx.Put("access/document", []byte("document"), bytes.Replace(document, []byte(`"grants":[`), []byte(`"grants":[{"subject":"anonymous","pattern":"**","role":"pull"},`), 1))
			},
			says: []string{"is in force, and the newest record of who may do what (0) is of sha256:"},
		},
		"an account": {
			damage: func(_ *testing.T, tx storage.Tx) { tx.Put("access/account", []byte("stray"), []byte("user:admin")) },
			says:   []string{"account stray is of user:admin, which has the account"},
		},
		"the checkpoint": {
			damage: func(t *testing.T, tx storage.Tx) {
				signed, err := tx.Get("log/checkpoint", make([]byte, 4))
				if err != nil {
					t.Fatal(err)
				}
				tx.Put("log/checkpoint", make([]byte, 4), bytes.Replace(signed, []byte("\n4\n"), []byte("\n3\n"), 1))
			},
			says: []string{"its checkpoint: "},
		},
	} {
		t.Run(name, func(t *testing.T) {
			copied := filepath.Join(t.TempDir(), "data")
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			change(t, filepath.Join(copied, storeFile), func(tx storage.Tx) { c.damage(t, tx) })
			var out bytes.Buffer
			err := run(t.Context(), []string{"fsck", "--data", copied}, func(string) string { return "" }, nil, &out, &out)
			if (exitCode(err) == exitNo) != (len(c.says) > 0) {
				t.Errorf("%v\n%s", err, out.String())
			}
			for _, words := range c.says {
				if !strings.Contains(out.String(), words) {
					t.Errorf("fsck does not say %q\n%s", words, out.String())
				}
			}
		})
	}
}

func recordKey(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func row(t *testing.T, tx storage.Reader, table storage.Table, index uint64) []byte {
	t.Helper()
	value, err := tx.Get(table, recordKey(index))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(value)
}

// statement returns what was signed. A row may have it as it is, as older versions kept it.
func statement(t *testing.T, tx storage.Reader, index uint64) []byte {
	t.Helper()
	sealed, err := provenance.ReadSealed(tx, index)
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Payload
}

func newKeys(t *testing.T) provenance.Keys {
	t.Helper()
	keys, err := provenance.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// forge changes a record and signs it again, as the operator can.
func forge(t *testing.T, tx storage.Tx, dir string, index uint64) {
	t.Helper()
	keys, err := newKeyring(nil, filepath.Join(dir, keysDir), KeysConfig{}, nil).read()
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(statement(t, tx, index), []byte(`"size":`), []byte(`"size":1`), 1)
	if !json.Valid(changed) {
		t.Fatalf("%s", changed)
	}
	signature, err := keys.Receipts[0].Sign(changed)
	if err != nil {
		t.Fatal(err)
	}
	tx.Put("provenance/record", recordKey(index), changed)
	tx.Put("provenance/signature", recordKey(index), signature)
}

func change(t *testing.T, path string, fn func(storage.Tx)) {
	t.Helper()
	store, err := bolt.Open(path, bolt.Config{Steps: layoutSteps})
	if err != nil {
		t.Fatal(err)
	}
	err = store.Update(t.Context(), func(tx storage.Tx) error { fn(tx); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}
