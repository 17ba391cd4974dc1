package main

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// filesIn returns what is in a directory: of each file its permissions, the time it was changed, and its bytes.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		said := fmt.Sprint(info.Mode(), info.ModTime())
		if entry.IsDir() {
			said = info.Mode().String()
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o400 != 0 {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			said += " " + digest.FromBytes(content).String()
		}
		found[path] = said
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// wantSame wants a directory as it was.
func wantSame(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	after := filesIn(t, dir)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if before[path] != after[path] {
			t.Errorf("%s was %q, and is %q", path, before[path], after[path])
		}
	}
	if len(after) < len(before) {
		t.Errorf("there were %d files, and are %d", len(before), len(after))
	}
}

// hallmarkOn runs a verb on a data directory, and returns what it says.
func hallmarkOn(t *testing.T, dir string, args ...string) (said string, status int) {
	t.Helper()
	cmd := verb(t, append(args, "--data", dir)...)
	cmd.Env = append(os.Environ(), "HALLMARK_URL=https://another.example", ownConfig(dir))
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestReadingChangesNothing runs what only asks on the files of a registry whose server was killed.
func TestReadingChangesNothing(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := insecure(t)
	dir := s.dir
	for _, tag := range []string{"1.0", "2.0"} {
		repo := s.repository("team/app")
		repo.PlainHTTP = true
		if _, err := pushTo(t.Context(), repo, tag, "layer "+tag, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	before := filesIn(t, dir)
	aside := t.TempDir()
	for _, verb := range [][]string{
		{"fsck"},
		{"fsck", "--deep"},
		{"records"},
		{"show", "team/app:1.0"},
		{"history", "team/app:1.0"},
		{"user", "list"},
		{"grants"},
		{"key", "list"},
		{"log", "checkpoint"},
		{"access", "export"},
		{"backup", filepath.Join(aside, "backup")},
	} {
		if said, status := hallmarkOn(t, dir, verb...); status != 0 {
			t.Errorf("%s: status %d\n%s", verb, status, said)
		}
		wantSame(t, dir, before)
	}
	if said, status := hallmarkOn(t, dir, "team", "add", "testers"); status != 0 {
		t.Errorf("what changes something: status %d\n%s", status, said)
	}
	if said, status := hallmarkOn(t, dir, "fsck"); status != 0 {
		t.Errorf("fsck after it: status %d\n%s", status, said)
	}
}

// TestReadingOlderChangesNothing checks a registry that an older version wrote: it is not brought up to date for that.
func TestReadingOlderChangesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-xzf", "testdata/layout1.tar.gz", "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := filesIn(t, dir)
	said, status := hallmarkOn(t, dir, "fsck")
	if status != exitAsk || !strings.Contains(said, "older version") || !strings.Contains(said, "hallmark serve") {
		t.Errorf("status %d\n%s", status, said)
	}
	wantSame(t, dir, before)
}
