package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/internal/powerloss"
)

// TestMain makes this binary the program whose calls are recorded: it does what $OPERATIONS lists, in $DIR.
func TestMain(m *testing.M) {
	dir := os.Getenv("DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	for name := range strings.FieldsSeq(os.Getenv("OPERATIONS")) {
		if err := operations[name](dir); err != nil {
			fmt.Fprintln(os.Stderr, name, err)
			os.Exit(1)
		}
	}
}

var operations = map[string]func(dir string) error{
	"mkdir": func(dir string) error { return durable.MkdirAll(dir+"/a/b/c", 0o700) },
	"write": func(dir string) error { return durable.WriteFile(dir+"/file", []byte("content"), 0o600) },
	"replace": func(dir string) error {
		return durable.WriteFile(dir+"/file", []byte("other content"), 0o400)
	},
	"rename": func(dir string) error { return durable.Rename(dir+"/file", dir+"/renamed") },
	"remove": func(dir string) error { return durable.Remove(dir + "/renamed") },
	"open": func(dir string) error {
		f, err := durable.OpenFile(dir+"/lock", 0o600)
		return errors.Join(err, f.Close())
	},
	"killed": func(dir string) error { // between names and their flushes
		return errors.Join(os.MkdirAll(dir+"/a/b", 0o700), os.WriteFile(dir+"/a/b/empty", nil, 0o600))
	},
	"settle": func(dir string) error { return durable.Settle(dir+"/a/b", 0o700) },
	"tree":   func(dir string) error { return durable.SyncTree(dir) },
}

// record does operations in a new directory, and returns their calls.
func record(t *testing.T, names string) (dir string, events []powerloss.Event) {
	t.Helper()
	dir, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "DIR="+dir, "OPERATIONS="+names)
	powerloss.Command(t, cmd, trace)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", names, err, out)
	}
	events, err := powerloss.Read(trace)
	if err != nil {
		t.Fatal(err)
	}
	return dir, events
}

func apply(t *testing.T, dir string, events []powerloss.Event) *powerloss.Disk {
	t.Helper()
	disk := powerloss.NewDisk(dir)
	for _, e := range events {
		if err := disk.Apply(e); err != nil {
			t.Fatal(err)
		}
	}
	return disk
}

// TestNothingIsLost wants everything to be durable that was done, and every flush on the way to be needed: without
// any of them something would be lost.
func TestNothingIsLost(t *testing.T) {
	for names, needed := range map[string]int{
		"mkdir": 3, "write": 2, "write replace": 4, "write rename": 3, "write rename remove": 4, "open": 1, "killed settle": 3, "killed tree": 3,
	} {
		dir, events := record(t, names)
		disk := apply(t, dir, events)
		if err := disk.Compare(); err != nil {
			t.Errorf("%s: %v", names, err)
		}
		if lost := disk.NotDurable(); len(lost) > 0 {
			t.Errorf("%s: a power loss takes %v", names, lost)
		}
		flushes := 0
		for n, e := range events {
			if e.Flush() {
				flushes++
				lost := apply(t, dir, powerloss.Without(events, n)).NotDurable()
				if single := !strings.Contains(names, " "); single && len(lost) == 0 { // else a later one may make up for it
					t.Errorf("%s: nobody notices that a flush is left out", names)
				}
			}
		}
		if flushes < needed {
			t.Errorf("%s: %d flushes, want %d", names, flushes, needed)
		}
	}
}

// TestReplaced has a power loss at every moment of replacing a file: the one or the other is there, whole.
func TestReplaced(t *testing.T) {
	dir, events := record(t, "write replace")
	found := map[string]bool{}
	err := powerloss.NewDisk(dir).Replay(events, powerloss.Moments(events, -1, 200, 1), func(n int, _ float64, loss powerloss.Loss, d *powerloss.Disk) error {
		left := filepath.Join(t.TempDir(), "left")
		if err := d.Build(left, loss.Keep); err != nil {
			return err
		}
		content, err := os.ReadFile(filepath.Join(left, "file"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if !slices.Contains([]string{"", "content", "other content"}, string(content)) {
			return fmt.Errorf("before event %d, %s: it holds %q", n, loss.Name, content)
		}
		found[string(content)] = true
		return nil
	})
	if err != nil || len(found) != 3 {
		t.Errorf("%v; found %v", err, found)
	}
}

// TestWriteFails keeps the old file, and leaves nothing else.
func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := durable.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := durable.Write(path, 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(err, broken)
	})
	content, readErr := os.ReadFile(path)
	left, listErr := os.ReadDir(dir)
	if !errors.Is(err, broken) || string(content) != "old" || len(left) != 1 || readErr != nil || listErr != nil {
		t.Errorf("%v; it holds %q, %v; %v are there, %v", err, content, readErr, left, listErr)
	}
}
