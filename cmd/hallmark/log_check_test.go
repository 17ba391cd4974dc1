package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestLogCheckAgainstWitness has an operator show an auditor, who sees the log for the first time, another history than
// the one that a witness has cosigned, under the witness's own cosignature.
func TestLogCheckAgainstWitness(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	verb := func(args ...string) (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), args, func(string) string { return "" }, nil, &out, &out)
		return strings.TrimSpace(out.String()), err
	}
	state := filepath.Join(dir, "witness.json")
	vkey, err := verb("witness", "--state", state, "--name", "witness.example")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "hallmark.yaml"), []byte("witnesses:\n  - "+vkey+"\n"), 0o600)
	}
	if err != nil {
		t.Fatal(vkey, err)
	}
	shown, hidden := filepath.Join(dir, "shown"), filepath.Join(dir, "hidden")
	s := startServer(t, shown)
	s.push("team/app", "1", "one", nil)
	s.kill()
	if err := os.Remove(filepath.Join(shown, socketFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(hidden, os.DirFS(shown)); err != nil {
		t.Fatal(err)
	}

	s = startServer(t, hidden)
	s.push("team/app", "2", "what the witness sees", nil)
	if said, err := verb("witness", "--state", state, "--ca", filepath.Join(hidden, "certs/ca.pem"), s.url); err != nil {
		t.Fatal(said, err)
	}
	s.kill()
	var cosignatures []storage.Item
	change(t, filepath.Join(hidden, storeFile), func(tx storage.Tx) {
		for row, err := range tx.Scan("log/cosignature", nil, nil) {
			if err != nil {
				t.Error(err)
			}
			cosignatures = append(cosignatures, storage.Item{Key: bytes.Clone(row.Key), Value: bytes.Clone(row.Value)})
		}
	})

	s = startServer(t, shown)
	s.push("team/app", "2", "what the auditor sees", nil)
	s.push("team/app", "3", "and more", nil)
	s.kill()
	change(t, filepath.Join(shown, storeFile), func(tx storage.Tx) {
		for _, row := range cosignatures {
			tx.Put("log/cosignature", row.Key, row.Value)
		}
	})
	startServer(t, shown)
	proof := filepath.Join(dir, "proof.json")
	said, err := verb("log", "check", "--data", shown, "--state", filepath.Join(dir, "seen.json"), "--witness", vkey, "--proof", proof)
	if exitCode(err) != exitNo || !strings.Contains(said, "shows you another history than the one whose 3 leaves its witnesses cosigned") {
		t.Errorf("%v\n%s", err, said)
	}
	text, err := os.ReadFile(proof)
	if err != nil || !bytes.Contains(text, []byte("witness.example")) {
		t.Errorf("the proof has no cosignature: %v\n%s", err, text)
	}
}
