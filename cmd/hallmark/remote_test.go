package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// TestKilledOverRemote kills a server whose blobs are in an object store, again and again. Then its machine is lost: a new one
// with a backup of the data directory, which has no blobs, serves every image that was there when it was made.
func TestKilledOverRemote(t *testing.T) {
	remote := s3test.Start(t)
	v := newVictimOf(t, plainProgram(t), remote.Environ("hallmark/")...)
	done := v.suffer(3, func(ctx context.Context, w, i int) {
		v.push(ctx, acknowledged{repo: fmt.Sprintf("team/app%d", i%3), tag: fmt.Sprintf("w%d-%d", w, i), layer: layerOf(w, i)})
	})
	for _, a := range done {
		verify(t, v.address, v.dir, a)
	}
	waitForClean(t, v.program, v.dir)
	saved := filepath.Join(t.TempDir(), "saved")
	if out := v.run(t, "backup", saved, "--data", v.dir); !strings.Contains(out, "not in it") {
		t.Errorf("backup says %s", out)
	}
	late := acknowledged{repo: "team/late", tag: "1", layer: "after the backup"}
	if !v.push(t.Context(), late) {
		t.Fatal("the push after the backup failed")
	}
	v.kill()
	if err := os.RemoveAll(v.dir); err != nil {
		t.Fatal(err)
	}

	v.dir = filepath.Join(t.TempDir(), "restored")
	v.run(t, "restore", saved, "--data", v.dir)
	v.run(t, "fsck", "--deep", "--data", v.dir)
	v.start()
	for _, a := range done {
		verify(t, v.address, v.dir, a)
	}
	if v.push(t.Context(), late); !v.push(t.Context(), late) {
		t.Error("what was lost cannot be pushed again")
	}
}

// run runs a verb with the environment of the server, and wants it to succeed.
func (v *victim) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := v.command(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// command is a verb with the environment of the server.
func (v *victim) command(args ...string) *exec.Cmd {
	cmd := exec.Command(v.program, args...)
	cmd.Env = append(os.Environ(), v.env...)
	return cmd
}
