package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// tagRows are the rows that say what tags mean.
func tagRows(t *testing.T, dir string) (rows []storage.Item) {
	t.Helper()
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		for row, err := range tx.Scan("registry/tag", nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			rows = append(rows, storage.Item{Key: bytes.Clone(row.Key), Value: bytes.Clone(row.Value)})
		}
	})
	return rows
}

// TestVerifyChain moves a tag in several ways, and then changes a stopped registry's store: what is served has to follow from
// the newest record, and that from those before it.
func TestVerifyChain(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	stop := func(s *testServer) {
		t.Helper()
		s.kill()
		if err := os.Remove(filepath.Join(dir, socketFile)); err != nil {
			t.Fatal(err)
		}
	}
	check := func(dir, says string) {
		t.Helper()
		var out bytes.Buffer
		err := run(t.Context(), []string{"verify", "team/app:1", "--data", dir}, func(string) string { return "" }, nil, &out, &out)
		said := out.String()
		if err != nil {
			said += err.Error()
		}
		good := strings.HasPrefix(says, "good: ")
		if good != (err == nil) || !good && exitCode(err) != exitNo || !strings.Contains(said, strings.TrimPrefix(says, "good: ")) {
			t.Errorf("%v, want %q\n%s", err, says, said)
		}
	}
	s := startServer(t, dir)
	s.push("team/app", "1", "one", nil)
	s.push("team/app", "2", "another tag", nil)
	stop(s)
	first := tagRows(t, dir)
	s = startServer(t, dir)
	s.push("team/app", "1", "two", nil)
	s.push("team/app", "1", "two", nil)
	s.push("team/app", "1", "three", nil)
	s.push("team/app", "1", "one", nil)
	stop(s)
	check(dir, "good: 5 moves of the tag 1, back to record 1: it meant nothing before")

	tampered := func(says string, tamper func(storage.Tx)) {
		t.Helper()
		copied := filepath.Join(t.TempDir(), "data")
		if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		change(t, filepath.Join(copied, storeFile), tamper)
		check(copied, says)
	}
	putBack := func(tx storage.Tx) {
		for _, row := range first {
			tx.Put("registry/tag", row.Key, row.Value)
		}
	}
	tampered("which record 1 set, and record 6 set it to "+string(digestOf(t, dir, 6))+" since", putBack)
	tampered("record 1, which set what it meant before record 3: ", func(tx storage.Tx) { forge(t, tx, dir, 1) })
	tampered("record 3, which set what it meant before record 4: refused", func(tx storage.Tx) { forge(t, tx, dir, 3) })

	// Removed, and put back.
	s = startServer(t, dir)
	if status, _, body := s.do(http.MethodDelete, "/v2/team/app/manifests/1", "admin:"+adminPassword, ""); status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	stop(s)
	tampered("which record 1 set, and record 7 removed it since", putBack)

	// Set again after it was removed, it has no former meaning.
	s = startServer(t, dir)
	s.push("team/app", "1", "four", nil)
	stop(s)
	check(dir, "good: 1 move of the tag 1, back to record 8: it meant nothing before")
}

// digestOf returns the digest that a record is about.
func digestOf(t *testing.T, dir string, index uint64) (d digest.Digest) {
	t.Helper()
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) {
		r, err := provenance.ParseStatement(statement(t, tx, index))
		if err != nil {
			t.Fatal(err)
		}
		d = r.Digest
	})
	return d
}
