package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// TestLayout1 opens a data directory of an older version: testdata/layout1.tar.gz was made by one, with two
// users, pushes by tag and digest, a mount and a removed tag. Whatever has changed since in how things are
// kept, its images and records are there, and fit each other.
func TestLayout1(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xzf", "testdata/layout1.tar.gz", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := freeAddress(t)
	s := startServer(t, dir, "--listen", address, "--url", "https://"+address)
	for _, image := range []string{"team/app:2.0", "team/app:latest", "other/copy:2.0"} {
		repo := s.repository(image)
		if layer, err := pullFrom(t.Context(), repo, repo.Reference.Reference); err != nil || layer == "" {
			t.Errorf("%s has the layer %q, %v", image, layer, err)
		}
	}
	s.push("team/new", "1", "layer", nil)
	var page struct {
		Records []struct {
			Index  uint64 `json:"index"`
			Action string `json:"action"`
			Actor  struct{ Handle string }
		}
	}
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/api/v1/records?order=asc")), &page); err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, r := range page.Records {
		said = append(said, r.Action+" by "+r.Actor.Handle)
	}
	before := []string{"push by alice", "push by alice", "push by alice", "push by alice", "untag by admin"}
	if len(said) < 6 || !slices.Equal(said[:5], before) {
		t.Errorf("the records are %q", said)
	}
	program, err := exec.LookPath("hallmark")
	if err != nil {
		t.Fatal(err)
	}
	waitForClean(t, program, dir)
}
