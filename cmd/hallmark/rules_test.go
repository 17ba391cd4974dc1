package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRulesWithoutKey starts a registry that can sign nothing, with other rules than before: it serves what it has, by
// these rules, and puts them on record as soon as it can.
func TestRulesWithoutKey(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	dir := filepath.Join(t.TempDir(), "data")
	s := startServer(t, dir)
	s.push("team/app", "1", "one", nil)
	s.kill()
	key := filepath.Join(dir, keysDir, "receipt.pem")
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	rules := writeFile(t, "rules:\n- {name: never, repositories: [secret/*], at: [pull], require: 'false', owner: ops}\n")
	s = startServer(t, dir, "--config", writeFile(t, "policy: {file: "+rules+"}\n"))
	s.want(200, "GET", "/v2/team/app/manifests/1")
	if said := s.hallmark("policy", "show"); !strings.Contains(said, "never") {
		t.Errorf("the rules in force are %s", said)
	}
	s.hallmark("key", "rotate", "--lost")
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.hallmark("records"), "policy sha256:"); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the rules are not on record")
		}
	}
}
