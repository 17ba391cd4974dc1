package main

import (
	"bytes"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestErrorsOfOthers asks a server whose error would clear the screen, and turn the direction of writing.
func TestErrorsOfOthers(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"title":"no\u001b[2J","detail":"it \u202eis\u001b[2J\u009b2J\u0007 not"}`))
	}))
	defer s.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, said bytes.Buffer
	getenv := func(name string) string {
		return map[string]string{"HALLMARK_USER": "alice", "HALLMARK_PASSWORD": "wonderland-1"}[name]
	}
	err := run(t.Context(), []string{"records", "--server", s.URL, "--ca", ca}, getenv, strings.NewReader(""), &out, &said)
	if err == nil {
		t.Fatal("it is no error")
	}
	complain(&said, err)
	if text := said.String(); !strings.Contains(text, "not") || strings.ContainsAny(text, "\x1b\u202e\u009b\a") {
		t.Errorf("it prints %q", text)
	}
}

// TestSourceOf wants one source in several spellings to be one, and any other to be said.
func TestSourceOf(t *testing.T) {
	const commit = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"
	for want, claims := range map[string][][2]string{
		"https://git.example/team/app@aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d": {
			{"source", "https://git.example/team/app"},
			{"revision", commit},
			{"source", "git+ssh://git@git.example/team/app.git"},
			{"revision", commit[:7]},
			{"source", "https://git.example/team/app"},
		},
		"https://git.example/team/app (and others)": {
			{"source", "https://git.example/team/app"}, {"source", "https://git.example/team/other"}, {"source", "https://git.example/team/app.git"},
		},
		"@aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d (and others)": {{"revision", commit}, {"revision", commit + "-dirty"}},
		"": {{"builder", "x"}},
	} {
		var all []provenance.Claim
		for _, c := range claims {
			all = append(all, provenance.Claim{Fact: c[0], Value: c[1]})
		}
		if got := sourceOf(all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
