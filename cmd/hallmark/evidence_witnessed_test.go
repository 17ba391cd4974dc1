package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	others "github.com/seed-260924e6/hallmark/trust/word"
)

// TestWitnessedByEvidence demands a witness of another registry's word. What comes with an image has no cosignatures, and is claimed; the
// receipt in an evidence file is proved by the cosigned checkpoint, and counts where it is attached.
func TestWitnessedByEvidence(t *testing.T) {
	t.Parallel()
	cosigner := newCosigner(t)
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", cosigner.config)
	image := s.push("team/app", "1.0", "one", nil)
	s.push("team/app", "2.0", "two", nil)
	text, _, _ := strings.Cut(s.want(200, "GET", "/log/checkpoint"), "\n\n")
	if status, _, body := s.do("POST", "/log/cosignature", "none", cosigner.cosign(text+"\n"), "Content-Type", "application/json"); status != 200 {
		t.Fatal(body)
	}
	path := filepath.Join(t.TempDir(), "app.evidence.tar")
	s.hallmark("evidence", "team/app:1.0", "-o", path)
	policy := fmt.Sprintf("log %s\nwitness w %s\nquorum w\n", strings.TrimSpace(s.want(200, "GET", "/keys/log.vkey")), cosigner.vkey)
	mapping, err := others.NewMapping("team/**", "mirror/team/**")
	if err != nil {
		t.Fatal(err)
	}
	a, err := others.NewRegistry("a", []byte(s.want(200, "GET", "/keys/logs.json")), []byte(s.want(200, "GET", "/keys/receipts.json")), []byte(policy), []others.Mapping{mapping})
	if err != nil {
		t.Fatal(err)
	}
	trust, err := others.NewTrust([]*others.Registry{a})
	if err != nil {
		t.Fatal(err)
	}
	weigh := func(bundle []byte) provenance.WeighedWord {
		t.Helper()
		layer := others.Layer{MediaType: receipt.LayerType, Digest: digest.FromBytes(bundle), Body: bundle}
		w, err := trust.Look(t.Context(), others.Artifact{Subject: digest.Digest(image), Layers: []others.Layer{layer}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return trust.Weigh(w, "mirror/team/app")
	}
	if w := weigh([]byte(s.want(200, "GET", "/api/v1/records/1/receipt?at=2"))); w.Class != provenance.Claimed || w.Standing.Reason != provenance.NotCosigned {
		t.Errorf("at its own size: %s, %s", w.Says, w.Standing.Detail)
	}
	if w := weigh(fileIn(t, path, "records/000000000001.json")); w.Class != provenance.Attested || w.Facts()[provenance.FactPushedBy].Value != "admin" {
		t.Errorf("from the evidence file: %s, %s", w.Says, w.Standing.Detail)
	}
}

// fileIn returns a file in a tar.
func fileIn(t *testing.T, path, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if h.Name == name {
			body, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return body
		}
	}
}
