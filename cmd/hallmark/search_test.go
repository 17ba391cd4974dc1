package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSearchSaysMore wants each list of a search that is cut to be named as cut, once, and none that is whole.
func TestSearchSaysMore(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
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
			Records []any             `json:"records"`
			More    map[string]string `json:"more"`
		}
		if status, _, body := s.do("PUT", fmt.Sprintf("/v2/app-00/manifests/bob-%d", i), "bob:wonderland-1", manifest, "Content-Type", header.Get("Content-Type")); status != 201 {
			t.Fatal(status, body)
		}
		if s.readJSON("/api/v1/search?q=bob", &answer); (answer.More["records"] != "") != (i >= 20) || len(answer.Records) != min(i+1, 20) {
			t.Errorf("of %d records of bob, %d are shown, and more of %q", i+1, len(answer.Records), answer.More)
		}
	}
	for q, want := range map[string]string{"git.example/many": "images", "app": "repositories", "app-00": ""} {
		var answer struct {
			More map[string]string `json:"more"`
		}
		if s.readJSON("/api/v1/search?q="+q, &answer); strings.Join(slices.Sorted(maps.Keys(answer.More)), " ") != want {
			t.Errorf("%s: more of %q, and it should be %q", q, answer.More, want)
		}
	}
}

// TestSearchPages wants a search that goes on to find everything in the end, each once, and others to be told of nothing that they
// may not see.
func TestSearchPages(t *testing.T) {
	t.Parallel()
	s := startPlain(t, filepath.Join(t.TempDir(), "data"))
	const commit = "c0ffee00112233445566778899aabbccddeeff00"
	for i := range 5 {
		repo := fmt.Sprintf("team/app-%d", i)
		if i == 4 {
			repo = "secret/app-4"
		}
		s.push(repo, fmt.Sprintf("v1.%d", i), "one", map[string]string{
			"org.opencontainers.image.source": "https://git.example/many", "org.opencontainers.image.revision": commit, "i": fmt.Sprint(i),
		})
	}
	s.do("POST", "/api/v1/users", "", `{"name":"bob","password":"wonderland-1"}`, "Content-Type", "application/json")
	if status, _, body := s.do("POST", "/api/v1/access/grants", "", `{"subject":"user:bob","role":"pull","pattern":"team/**"}`, "Content-Type", "application/json"); status/100 != 2 {
		t.Fatal(status, body)
	}
	s.want(202, "DELETE", "/v2/team/app-3/manifests/v1.3")
	for _, asked := range []struct {
		q, kind string
		admin   int
		bob     int
	}{
		{"app", "repositories", 5, 4},
		{"APP", "repositories", 5, 4},
		{"v1", "tags", 4, 3},
		{"app 1", "tags", 4, 3},
		{"team/app-2:v", "tags", 1, 1},
		{"git.example/many", "images", 5, 4},
		{commit[:7], "images", 5, 4},
		{"secret", "repositories", 1, 0},
		{"v1.4", "tags", 1, 0},
		{"v1.3", "tags", 0, 0},
		{"admin", "records", 6, 5},
		{"user:admin", "records", 6, 5},
		{"robot:admin", "records", 0, 0},
		{"admin", "people", 1, 1},
		{"team:none", "people", 0, 0},
	} {
		for login, want := range map[string]int{"": asked.admin, "bob:wonderland-1": asked.bob} {
			found := s.searchAll(login, asked.q, asked.kind)
			if asked.kind == "records" { // others things are on record, too
				if len(found) < want || want == 0 && len(found) > 0 {
					t.Errorf("%q of %q finds %d records for %q, want %d", asked.kind, asked.q, len(found), login, want)
				}
			} else if len(found) != want {
				t.Errorf("%q of %q finds %q for %q, want %d", asked.kind, asked.q, found, login, want)
			}
			if login != "" && strings.Contains(fmt.Sprint(found), "secret") {
				t.Errorf("%q of %q tells bob %q", asked.kind, asked.q, found)
			}
		}
	}
}

// searchAll follows a list to its end, two entries a page.
func (s *testServer) searchAll(login, q, kind string) (found []string) {
	s.t.Helper()
	seen := map[string]bool{}
	for next := "/api/v1/search?limit=2&kind=" + kind + "&q=" + strings.ReplaceAll(q, " ", "+"); next != ""; {
		status, _, body := s.do("GET", next, login, "")
		if status != 200 {
			s.t.Fatal(next, status, body)
		}
		var answer map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			s.t.Fatal(err)
		}
		next = ""
		_ = json.Unmarshal(answer["next"], &next) // absent at the end
		var list []json.RawMessage
		_ = json.Unmarshal(answer[kind], &list) // absent where there is none
		if len(list) > 2 {
			s.t.Errorf("%s of %s: a page of %d", kind, q, len(list))
		}
		for _, one := range list {
			if seen[string(one)] {
				s.t.Errorf("%s of %s has %s twice", kind, q, one)
			}
			seen[string(one)] = true
			found = append(found, string(one))
		}
	}
	return found
}
