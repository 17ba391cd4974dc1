package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestLayout1 opens a data directory of an older version: testdata/layout1.tar.gz was made by one, with two
// users, pushes by tag and digest, a mount and a removed tag. Whatever has changed since in how things are
// kept, its images and records are there, and fit each other. Nobody saw its records happen, nor who made whom an
// administrator: until its operator takes them over it can be read, by the operator alone, and nothing is signed.
func TestLayout1(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xzf", "testdata/layout1.tar.gz", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := freeAddress(t)
	s := startServer(t, dir, "--listen", address, "--url", "https://"+address)
	s.wantParts("/readyz?write", "log")
	s.wantParts("/readyz")
	s.want(404, "GET", "/v2/team/app/manifests/2.0") // nobody was granted anything
	s.want(404, "GET", "/keys/log.vkey")
	if said := s.hallmark("records"); !strings.Contains(said, "alice") {
		t.Errorf("the operator reads %s", said)
	}
	if said, status := hallmarkOn(t, dir, "access", "adopt"); status == 0 || !strings.Contains(said, "hallmark log adopt") {
		t.Errorf("accounts before the log: %d %s", status, said)
	}
	if said, status := hallmarkOn(t, dir, "fsck"); status != exitNo || !strings.Contains(said, "hallmark log adopt") {
		t.Errorf("fsck: %d %s", status, said)
	}
	if said := s.hallmark("log", "adopt"); !strings.Contains(said, "record 5: 5 records were found, with the digest sha256:") {
		t.Errorf("log adopt says %s", said)
	}
	if said := s.hallmark("access", "adopt"); !strings.Contains(said, "+ grant user:admin ** admin\n2 accounts taken over, 1 rights granted") {
		t.Errorf("access adopt says %s", said)
	}
	for _, verb := range []string{"log", "access"} {
		if said, status := hallmarkOn(t, dir, verb, "adopt"); status == 0 {
			t.Errorf("%s adopt again: %s", verb, said)
		}
	}
	s.wantParts("/readyz?write")
	for _, image := range []string{"team/app:2.0", "team/app:latest", "other/copy:2.0"} {
		repo := s.repository(image)
		if layer, err := pullFrom(t.Context(), repo, repo.Reference.Reference); err != nil || layer == "" {
			t.Errorf("%s has the layer %q, %v", image, layer, err)
		}
	}
	s.want(404, "GET", "/api/v1/records/0/receipt") // what nobody saw is not signed
	s.want(200, "GET", "/api/v1/records/5/receipt")
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
	state := filepath.Join(t.TempDir(), "state")
	for range 2 {
		if said := s.hallmark("audit", "--all", "--state", state); !strings.Contains(said, "5 records are from before there was a log") {
			t.Errorf("the audit says\n%s", said)
		}
	}
	waitForClean(t, plainProgram(t), dir)
}
