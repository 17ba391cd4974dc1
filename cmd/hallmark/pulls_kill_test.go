package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
)

// TestKilledBeforePullsAreWritten kills a server before it has written what was pulled, and wants a rule that keeps what was pulled lately
// to let nothing go: that nothing is known of a pull does not say that there was none.
func TestKilledBeforePullsAreWritten(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, config, file := filepath.Join(top, "data"), filepath.Join(top, "hallmark.yaml"), filepath.Join(top, "rules.yaml")
	for path, text := range map[string]string{
		file:   "rules: [{name: used, repositories: team/**, keep: {pulled: 30d}}]\n",
		config: "retention: {file: " + file + "}\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantPlan := func(goes, stays int) {
		t.Helper()
		out, status := hallmarkOn(t, dir, "retention", "plan")
		if want := fmt.Sprintf("%s and 0 manifests would go, %s and", number(goes, "tag"), number(stays, "tag")); status != 0 || !strings.Contains(out, want) {
			t.Errorf("the plan says\n%s\nand not %q", out, want)
		}
	}
	s := startPlain(t, dir, "--config", config)
	for _, tag := range []string{"1", "2", "3"} {
		s.push("team/app", tag, "layer "+tag, nil)
	}
	wantPlan(0, 3) // counting has not lasted for 30 days
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-s.done
	s.cmd = nil
	change(t, filepath.Join(dir, storeFile), func(tx storage.Tx) { // now it has
		table, key := storage.Table("registry/pullState"), []byte("state")
		row, err := tx.Get(table, key)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(row), ",")
		tx.Put(table, key, []byte(`{"began":1,`+rest))
	})

	s = startPlain(t, dir, "--config", config)
	wantPlan(3, 0)
	s.want(200, "GET", "/v2/team/app/manifests/1")
	wantPlan(2, 1) // it writes what was pulled
	s.want(200, "GET", "/v2/team/app/manifests/2")
	s.kill()
	s = startPlain(t, dir, "--config", config)
	wantPlan(0, 3)
	s.want(200, "GET", "/v2/team/app/manifests/2")
}
