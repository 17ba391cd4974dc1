package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/server/backup"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// backupList is what `hallmark backup --list --json` says.
func backupList(t *testing.T, program, saved string) (names []string) {
	t.Helper()
	out, err := exec.Command(program, "backup", saved, "--list", "--json").Output()
	if err != nil {
		t.Fatalf("list: %v\n%s", err, out)
	}
	var list struct{ Backups []made }
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list.Backups {
		names = append(names, m.Name)
	}
	return names
}

// restored restores a backup into a new directory, and wants everything in it to fit together.
func restored(t *testing.T, program, saved, name string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "restored")
	if out, err := exec.Command(program, "restore", saved, "--backup", name, "--data", dir).CombinedOutput(); err != nil {
		t.Fatalf("restore %s: %v\n%s", name, err, out)
	}
	if out, err := exec.Command(program, "fsck", "--deep", "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("backup %s does not fit together: %v\n%s", name, err, out)
	}
	return dir
}

// TestBackupUnderLoad makes backups while images are pushed and deleted, and what nothing needs is collected
// almost at once. Each must be of one moment, with every blob that it names.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	v := newVictimOf(t, program(t), "HALLMARK_REGISTRY_LEASE=2s", "HALLMARK_TRASH_KEEP=1s") // races count here, and nobody kills it
	stable := acknowledged{repo: "team/stable", tag: "1", layer: "stays"}
	if !v.push(t.Context(), stable) {
		t.Fatal("the first push failed")
	}
	saved := filepath.Join(t.TempDir(), "saved")
	stop := work(func(ctx context.Context, w, i int) {
		a := acknowledged{repo: fmt.Sprintf("team/app%d", w), tag: fmt.Sprintf("t%d", i), layer: strings.Repeat(fmt.Sprintf("layer %d %d", w, i), 1+i%2*2000)} // in the store, and in a file
		if v.push(ctx, a) {
			v.remove(ctx, a)
		}
	})
	for range 5 {
		time.Sleep(50 * time.Millisecond) // so that the moments are spread over what goes on
		if out, err := exec.Command(v.program, "backup", saved, "--data", v.dir).CombinedOutput(); err != nil {
			t.Errorf("backup: %v\n%s", err, out)
		}
	}
	stop()
	names := backupList(t, v.program, saved)
	if len(names) != 5 {
		t.Fatalf("there are the backups %q", names)
	}
	for _, name := range names {
		restored(t, v.program, saved, name)
	}
	if v.pushes < 20 {
		t.Errorf("%d pushes were acknowledged: the test tries too little", v.pushes)
	}
	s := startServer(t, restored(t, v.program, saved, names[0]))
	if layer, err := pullFrom(t.Context(), s.repository("team/stable"), "1"); err != nil || layer != stable.layer {
		t.Errorf("an image from the first backup: %q, %v", layer, err)
	}
}

// TestBackupKilled kills backups at any moment. Those before stay as they were, and the next one goes on.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	for i := range 10 {
		if !v.push(t.Context(), acknowledged{repo: "team/app", tag: fmt.Sprint(i), layer: strings.Repeat(fmt.Sprint("layer ", i), 1+i%2*3000)}) {
			t.Fatal("a push failed")
		}
	}
	saved := filepath.Join(t.TempDir(), "saved")
	killed := 0
	for tries := 0; killed < 5 && tries < 20; tries++ {
		cmd := exec.Command(v.program, "backup", saved, "--data", v.dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(120)) * time.Millisecond) // the moment of the kill
		_ = cmd.Process.Kill()
		if cmd.Wait() != nil {
			killed++
		}
	}
	if out, err := exec.Command(v.program, "backup", saved, "--data", v.dir).CombinedOutput(); err != nil {
		t.Fatalf("the backup after all: %v\n%s", err, out)
	}
	if left, err := filepath.Glob(filepath.Join(saved, "snapshots", "*.part")); err != nil || len(left) > 0 {
		t.Errorf("left is %q, %v", left, err)
	}
	for _, name := range backupList(t, v.program, saved) {
		restored(t, v.program, saved, name)
	}
	// A restore that is killed is gone on with, and until it ends there is no registry.
	dir := filepath.Join(t.TempDir(), "restored")
	for range 3 {
		cmd := exec.Command(v.program, "restore", saved, "--data", dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.IntN(60)) * time.Millisecond) // the moment of the kill
		_ = cmd.Process.Kill()
		if cmd.Wait() == nil {
			return // it was quick; and the directory is not empty any more
		}
		if _, err := os.Stat(filepath.Join(dir, storeFile)); err == nil {
			waitForClean(t, v.program, dir)
			return
		}
	}
	if out, err := exec.Command(v.program, "restore", saved, "--data", dir).CombinedOutput(); err != nil {
		t.Errorf("the restore after all: %v\n%s", err, out)
	}
	waitForClean(t, v.program, dir)
}

// TestBackupServerEnds ends the server while blobs are copied: there must be no backup of it.
func TestBackupServerEnds(t *testing.T) {
	t.Parallel()
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	s.push("team/app", "1", "one", nil)
	cl := connectSocket(s.dir)
	defer cl.close()
	resp, err := cl.open(t.Context(), "GET", backup.SnapshotPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	s.kill()
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("the client does not see that the server has ended")
	}
	if _, err := cl.open(t.Context(), "GET", backup.SnapshotPath, nil); !errors.As(err, new(exitError)) {
		t.Errorf("after that: %v", err)
	}
}

// TestBackupFull makes backups of a registry whose disk has no room for a snapshot, with and without its server.
func TestBackupFull(t *testing.T) {
	t.Parallel()
	disk := storagetest.SmallDisk(t, 16<<20)
	if err := os.Symlink(filepath.Join(t.TempDir(), "log"), filepath.Join(disk, "data.log")); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, filepath.Join(disk, "data"))
	s.push("team/app", "1", "layer", nil)
	full := filepath.Join(disk, "full")
	if err := os.WriteFile(full, make([]byte, 16<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk was to be full now: %v", err)
	}
	for _, running := range []bool{true, false} {
		if !running {
			s.kill()
		}
		out, err := verb(t, "backup", filepath.Join(t.TempDir(), "saved"), "--data", s.dir).CombinedOutput()
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != exitAsk || !strings.Contains(string(out), "no space left") {
			t.Errorf("with its server %v: %v\n%s", running, err, out)
		}
	}
	if said := s.log(); strings.Contains(said, "panic") {
		t.Errorf("the server said\n%s", said)
	}
}
