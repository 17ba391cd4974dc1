package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-260924e6/hallmark/e2e/independent"
)

// TestIndependentEvidence has a reader that shares no code with the registry read an evidence file, in ten years too, and refuse it
// when it was changed.
func TestIndependentEvidence(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	labels := map[string]string{"org.opencontainers.image.source": "https://git.example/team/app"}
	image := s.push("team/app", "1.0", "one", labels)
	s.push("team/app", "2.0", "two", nil)
	s.hallmark("key", "rotate")
	s.push("team/app", "1.0", "two", nil)
	s.push("team/app", "1.0", "one", labels)
	path := filepath.Join(t.TempDir(), "app.evidence.tar")
	s.hallmark("evidence", "team/app:1.0", "--layers", "-o", path)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	auditor := &independent.Auditor{
		TrustedRoot: []byte(s.want(200, "GET", "/trusted_root.json")), Receipts: []byte(s.want(200, "GET", "/keys/receipts.json")),
		Logs: []byte(s.want(200, "GET", "/keys/logs.json")),
	}
	found, err := auditor.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if found.Image != image || !slices.Equal(found.Pushed, []uint64{1, 5}) || len(found.Records) != 5 || found.Blobs < 4 {
		t.Errorf("it finds %+v", found)
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2036, 12, 1, 0, 0, 0, 0, time.UTC)))
		if _, err := auditor.Read(file); err != nil {
			t.Errorf("in %d: %v", time.Now().Year(), err)
		}
	})
	for at := 700; at < len(file); at += 997 {
		changed := bytes.Clone(file)
		changed[at] ^= 4
		if _, err := auditor.Read(changed); !errors.Is(err, independent.ErrRefused) {
			t.Errorf("byte %d of %d is changed: %v", at, len(file), err)
		}
	}
	other := *auditor
	other.TrustedRoot = []byte(startServer(t, filepath.Join(t.TempDir(), "data")).want(200, "GET", "/trusted_root.json"))
	if _, err := other.Read(file); !errors.Is(err, independent.ErrRefused) {
		t.Errorf("by the trusted root of another registry: %v", err)
	}
}
