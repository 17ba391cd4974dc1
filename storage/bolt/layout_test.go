package bolt_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// migratingDir and migratingKill, in the environment, make this test binary a process that changes a store's
// layout and kills itself at the given moment.
const (
	migratingDir  = "HALLMARK_TEST_MIGRATING"
	migratingKill = "HALLMARK_TEST_MIGRATING_KILL"
)

const numbers = 10 // rows of the store of layout 1

// steps are two changes: layout 2 doubles each number, layout 3 adds one to each. Every few rows are an
// Update of their own, and how far a step came is a row. moment is called at everything that can be told apart.
func steps(moment func()) []storage.Step {
	change := func(does string, to uint64, fn func(uint64) uint64) storage.Step {
		return storage.Step{Does: does, Run: func(s storage.Store) error {
			for more := true; more; {
				moment()
				err := s.Update(background, func(tx storage.Tx) (err error) {
					more, err = changeSome(tx, to, fn)
					return err
				})
				if err != nil {
					return err
				}
			}
			moment()
			return nil
		}}
	}
	return []storage.Step{
		change("double the numbers", 2, func(n uint64) uint64 { return 2 * n }),
		change("add one to them", 3, func(n uint64) uint64 { return n + 1 }),
	}
}

func changeSome(tx storage.Tx, to uint64, fn func(uint64) uint64) (more bool, err error) {
	progress := fmt.Appendf(nil, "come in %d", to)
	from, err := tx.Get("progress", progress)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return false, err
	}
	n := 0
	for item, err := range tx.Scan(table, from, nil) {
		if err != nil {
			return false, err
		}
		if n++; n > 3 {
			tx.Put("progress", progress, item.Key)
			return true, nil
		}
		tx.Put(table, item.Key, binary.BigEndian.AppendUint64(nil, fn(binary.BigEndian.Uint64(item.Value))))
	}
	tx.Put("progress", progress, []byte("z"))
	return false, nil
}

// layout1 makes a store of layout 1.
func layout1(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "store.db")
	s, err := bolt.Open(path, bolt.Config{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(background, func(tx storage.Tx) error {
		for i := range numbers {
			tx.Put(table, fmt.Appendf(nil, "n%d", i), binary.BigEndian.AppendUint64(nil, uint64(i)))
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantNumbers opens a store with n steps, and wants each number as fn gives it.
func wantNumbers(t *testing.T, path string, n int, fn func(uint64) uint64) {
	t.Helper()
	s := open(t, path, bolt.Config{Steps: steps(func() {})[:n]})
	defer s.Close()
	err := s.View(background, func(r storage.Reader) error {
		i := uint64(0)
		for item, err := range r.Scan(table, nil, nil) {
			if err != nil {
				return err
			}
			if got := binary.BigEndian.Uint64(item.Value); got != fn(i) {
				t.Errorf("number %d has become %d", i, got)
			}
			i++
		}
		if i != numbers {
			t.Errorf("there are %d numbers", i)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func same(n uint64) uint64    { return n }
func changed(n uint64) uint64 { return 2*n + 1 }

func TestLayoutChanges(t *testing.T) {
	t.Parallel()
	path := layout1(t, t.TempDir())
	var said strings.Builder
	config := bolt.Config{Steps: steps(func() {}), Say: func(s string) { said.WriteString(s + "\n") }}
	if err := open(t, path, config).Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"double the numbers", "add one", "layout 3 now", "mv " + path + ".layout1 " + path} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, said.String())
		}
	}
	wantNumbers(t, path, 2, changed)
	said.Reset()
	if err := open(t, path, config).Close(); err != nil || said.Len() > 0 {
		t.Errorf("opened again: %v, it says %q", err, said.String())
	}
	wantOlderRefused(t, path)

	// Going back, as it was said, and on again: the copy of another day is not taken for this one's.
	if err := os.Rename(bolt.Aside(path, 1), path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bolt.Aside(path, 1), []byte("of another day"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantNumbers(t, path, 0, same)
	wantNumbers(t, path, 2, changed)
	wantNumbers(t, bolt.Aside(path, 1), 0, same)
}

func wantOlderRefused(t *testing.T, path string) {
	t.Helper()
	_, err := bolt.Open(path, bolt.Config{})
	if !errors.Is(err, storage.ErrNewer) || !strings.Contains(err.Error(), "mv "+bolt.Aside(path, 1)+" "+path) {
		t.Errorf("an older program is told: %v", err)
	}
}

// TestLayoutStepFails wants the store refused to older programs, and the next start to go on.
func TestLayoutStepFails(t *testing.T) {
	t.Parallel()
	path := layout1(t, t.TempDir())
	broken := errors.New("a number is broken")
	failing := steps(func() {})
	failing[1].Run = func(storage.Store) error { return broken }
	if _, err := bolt.Open(path, bolt.Config{Steps: failing}); !errors.Is(err, broken) || !strings.Contains(err.Error(), "To go back") {
		t.Fatalf("open: %v", err)
	}
	wantOlderRefused(t, path)
	wantNumbers(t, path, 2, changed)
}

// TestLayoutNoRoom wants a store untouched that cannot be kept aside.
func TestLayoutNoRoom(t *testing.T) {
	t.Parallel()
	path := layout1(t, t.TempDir())
	if err := os.MkdirAll(filepath.Join(bolt.Aside(path, 1), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(path, bolt.Config{Steps: steps(func() {})}); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
		t.Fatalf("open: %v", err)
	}
	wantNumbers(t, path, 0, same)
}

// TestLayoutKilled kills a process at each moment of the change in turn. Whatever is left, the next start
// ends the change, and the copy is the store as it was.
func TestLayoutKilled(t *testing.T) {
	t.Parallel()
	path := layout1(t, t.TempDir())
	original, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for {
		dir := t.TempDir()
		path := filepath.Join(dir, "store.db")
		if err := os.WriteFile(path, original, 0o600); err != nil {
			t.Fatal(err)
		}
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), migratingDir+"="+dir, migratingKill+"="+strconv.Itoa(kills))
		out, err := child.CombinedOutput()
		if err == nil {
			break // there was no such moment
		}
		if status, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() {
			t.Fatalf("kill %d: %v\n%s", kills, err, out)
		}
		kills++
		wantNumbers(t, path, 2, changed)
		wantNumbers(t, bolt.Aside(path, 1), 0, same)
	}
	if kills < 12 { // sentences, and rows in groups, of two steps
		t.Errorf("the process was killed at %d moments only", kills)
	}
}

func migratingChild(dir string) {
	left, err := strconv.Atoi(os.Getenv(migratingKill))
	if err != nil {
		panic(err)
	}
	moment := func() {
		if left--; left < 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	_, err = bolt.Open(filepath.Join(dir, "store.db"), bolt.Config{Steps: steps(moment), Say: func(string) { moment() }})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}
