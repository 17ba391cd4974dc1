package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSearchSaysMore wants each list of a search that is cut to be named as cut, once, and none that is whole.
func TestSearchSaysMore(t *testing.T) {
	t.Parallel()
	s := startPlain(t, filepath.Join(t.TempDir(), "data"))
	if status, _, body := s.do("POST", "/api/v1/users", "", `{"name":"bob","password":"wonderland-1"}`, "Content-Type", "application/json"); status != 201 {
		t.Fatal(status, body)
	}
	if status, _, body := s.do("POST", "/api/v1/access/grants", "", `{"subject":"user:bob","role":"push","pattern":"app-*"}`, "Content-Type", "application/json"); status/100 != 2 {
		t.Fatal(status, body)
	}
	for i := range 22 {
		s.push(fmt.Sprintf("app-%02d", i), "1.0", "one", map[string]string{"org.opencontainers.image.source": "https://git.example/many"})
	}
	_, header, manifest := s.do("GET", "/v2/app-00/manifests/1.0", "", "", "Accept", "*/*")
	for i := range 21 {
		var answer struct {
			Records []any    `json:"records"`
			More    []string `json:"more"`
		}
		if status, _, body := s.do("PUT", fmt.Sprintf("/v2/app-00/manifests/bob-%d", i), "bob:wonderland-1", manifest, "Content-Type", header.Get("Content-Type")); status != 201 {
			t.Fatal(status, body)
		}
		if s.readJSON("/api/v1/search?q=bob", &answer); slices.Contains(answer.More, "records") != (i >= 20) || len(answer.Records) != min(i+1, 20) {
			t.Errorf("of %d records of bob, %d are shown, and more of %q", i+1, len(answer.Records), answer.More)
		}
	}
	for q, want := range map[string]string{"git.example/many": "images", "app": "repositories", "app-00": ""} {
		var answer struct {
			More []string `json:"more"`
		}
		if s.readJSON("/api/v1/search?q="+q, &answer); strings.Join(answer.More, " ") != want {
			t.Errorf("%s: more of %q, and it should be %q", q, answer.More, want)
		}
	}
}
