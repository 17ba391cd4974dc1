package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/keyring"
	"github.com/seed-260924e6/hallmark/storage"
)

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
	keys, err := keyring.New(nil, filepath.Join(dir, keysDir), config.Keys{}, nil).Read()
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

// statement returns what was signed. A row may have it as it is, as older versions kept it.
func statement(t *testing.T, tx storage.Reader, index uint64) []byte {
	t.Helper()
	signed, err := provenance.ReadSignedRecord(tx, index)
	if err != nil {
		t.Fatal(err)
	}
	return signed.Payload
}
