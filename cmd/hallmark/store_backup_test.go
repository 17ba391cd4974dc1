package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// TestStoreBackup makes backups of a registry with its store in a file and in a database, and restores each into both, while restores are
// killed. The log goes on as behind any restore, and neither is restored over a registry.
func TestStoreBackup(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"file", "database"} {
		t.Run(from, func(t *testing.T) {
			v := newVictimOf(t, plainProgram(t), storeEnv(t, from)...)
			original := v.env
			for i := range 10 {
				if !v.push(t.Context(), acknowledged{repo: "team/app", tag: fmt.Sprint(i), layer: strings.Repeat(fmt.Sprintf("layer %d ", i), 1+i*400)}) {
					t.Fatal("the push failed")
				}
			}
			saved := filepath.Join(t.TempDir(), "saved")
			v.run(t, "backup", saved, "--data", v.dir)
			if err := v.cmd.Process.Signal(syscall.SIGTERM); err != nil { // it gives its lease back
				t.Fatal(err)
			}
			if err := <-v.process.done; err != nil {
				t.Errorf("the server ended: %v", err)
			}
			v.cmd = nil
			if from == "database" {
				mustRefuse(t, v, "there is a registry in this database", "restore", saved, "--data", filepath.Join(t.TempDir(), "restored"))
			}
			for _, into := range []string{"file", "database"} {
				v.env, v.dir = storeEnv(t, into), filepath.Join(t.TempDir(), "restored")
				v.withKills(t, "restore", saved, "--data", v.dir)
				v.run(t, "fsck", "--deep", "--data", v.dir)
				v.start()
				for _, a := range v.done {
					verify(t, v.address, v.dir, a)
				}
				if !v.push(t.Context(), acknowledged{repo: "team/app", tag: into, layer: "behind it"}) {
					t.Error("behind the restore a push fails")
				}
				v.done = v.done[:len(v.done)-1]
				v.run(t, "backup", filepath.Join(t.TempDir(), "again"), "--data", v.dir)
				v.kill()
			}
			v.env = original
		})
	}
}

// storeEnv has a server keep its store in a file of its directory, or in a new database.
func storeEnv(t *testing.T, where string) []string {
	t.Helper()
	if where == "file" {
		return nil
	}
	return []string{"HALLMARK_STORE=" + engines.Database(t, t.TempDir())}
}

// mustRefuse runs a verb that has to fail, and says why.
func mustRefuse(t *testing.T, v *victim, says string, args ...string) {
	t.Helper()
	cmd := v.command(args...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), says) {
		t.Errorf("%s: %v\n%s", args[0], err, out)
	}
}
