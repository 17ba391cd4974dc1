package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
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
	wantOldReferrer(t, s, "team/app", "latest")
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

// wantOldReferrer waits until an image from before records were signed has its record as a referrer, which can be
// pulled.
func wantOldReferrer(t *testing.T, s *testServer, repo, tag string) {
	t.Helper()
	_, header, _ := s.do("HEAD", "/v2/"+repo+"/manifests/"+tag, "", "")
	path := "/v2/" + repo + "/referrers/" + header.Get("Docker-Content-Digest") + "?artifactType=application/vnd.hallmark.provenance.v1"
	var list struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	for deadline := time.Now().Add(30 * time.Second); len(list.Manifests) == 0; time.Sleep(50 * time.Millisecond) {
		if err := json.Unmarshal([]byte(s.want(200, "GET", path)), &list); err != nil || time.Now().After(deadline) {
			t.Fatal("the image has no referrer", err)
		}
	}
	if len(list.Manifests) != 1 || list.Manifests[0].Annotations["vnd.hallmark.pushed-by"] != "alice" {
		t.Errorf("referrers %+v", list.Manifests)
	}
	s.want(200, "GET", "/v2/"+repo+"/manifests/"+list.Manifests[0].Digest)
}
