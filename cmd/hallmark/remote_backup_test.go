package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// TestRemoteBackupWithBlobs makes a backup of a registry whose blobs are in an object store, with them, and restores it: beside the object store,
// after all objects are lost, and into a data directory without any.
func TestRemoteBackupWithBlobs(t *testing.T) {
	remote := s3test.Start(t)
	v := newVictimOf(t, plainProgram(t), remote.Environ("hallmark/")...)
	for i := range 5 {
		a := acknowledged{repo: "team/app", tag: fmt.Sprint(i), layer: strings.Repeat(fmt.Sprintf("layer %d ", i), 4000+i/4*700_000)}
		if !v.push(t.Context(), a) {
			t.Fatal("the push failed")
		}
	}
	saved := filepath.Join(t.TempDir(), "saved")
	if out := v.run(t, "backup", saved, "--with-blobs", "--data", v.dir); strings.Contains(out, "not in it") {
		t.Errorf("backup says %s", out)
	}
	if out := v.run(t, "backup", saved, "--with-blobs", "--data", v.dir); !strings.Contains(out, "copied 0 blobs") {
		t.Errorf("a second backup says %s", out)
	}
	v.kill()
	withS3 := v.env
	for name, c := range map[string]struct {
		env  []string
		lose bool
	}{
		"beside its objects":     {withS3, false},
		"into a data directory":  {nil, false},
		"after all objects went": {withS3, true},
	} {
		t.Run(name, func(t *testing.T) {
			if c.lose {
				if err := os.RemoveAll(filepath.Join(remote.Objects, "hallmark")); err != nil {
					t.Fatal(err)
				}
			}
			v.env, v.dir = c.env, filepath.Join(t.TempDir(), "restored")
			v.run(t, "restore", saved, "--data", v.dir)
			v.run(t, "fsck", "--deep", "--data", v.dir)
			v.start()
			for _, a := range v.done {
				verify(t, v.address, v.dir, a)
			}
			waitForClean(t, v.program, v.dir)
			v.kill()
		})
	}
}
