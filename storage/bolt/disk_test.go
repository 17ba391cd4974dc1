package bolt_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"golang.org/x/sys/unix"
)

// childDir, in the environment, makes this test binary the process of TestDiskFails.
const childDir = "HALLMARK_TEST_FAILING_DISK"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := failingDiskChild(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv(migratingDir); dir != "" {
		migratingChild(dir)
	}
	os.Exit(m.Run())
}

// TestDiskFails runs a process whose flushes start to fail, for real: the kernel answers each with EIO.
// Then it opens the store again, as the next start does.
func TestDiskFails(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	if out, err := child.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := open(t, filepath.Join(dir, "store.db"), bolt.Config{})
	err := s.View(background, func(r storage.Reader) error {
		if _, err := r.Get(table, []byte("before")); err != nil {
			t.Errorf("what was acknowledged before: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	err = s.Update(background, func(tx storage.Tx) error { tx.Put(table, []byte("again"), nil); return nil })
	if err != nil {
		t.Errorf("after it was opened again: %v", err)
	}
}

func failingDiskChild(dir string) error {
	s, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Config{})
	if err != nil {
		return err
	}
	put := func(key string) error {
		return s.Update(background, func(tx storage.Tx) error { tx.Put(table, []byte(key), nil); return nil })
	}
	if err := put("before"); err != nil {
		return err
	}
	if err := failSyscall(unix.SYS_FDATASYNC, unix.EIO); err != nil {
		return err
	}
	if err := put("during"); !errors.Is(err, storage.ErrUnknownOutcome) || !errors.Is(err, unix.EIO) {
		return fmt.Errorf("an Update whose flush failed: %w", err)
	}
	if err := put("after"); !errors.Is(err, storage.ErrUnknownOutcome) {
		return fmt.Errorf("the next Update: %w", err)
	}
	if err := s.Err(); !errors.Is(err, storage.ErrUnknownOutcome) {
		return fmt.Errorf("Err says %w", err)
	}
	err = s.View(background, func(r storage.Reader) error { _, err := r.Get(table, []byte("before")); return err })
	if err != nil {
		return fmt.Errorf("reads end too: %w", err)
	}
	return s.Close()
}

// failSyscall makes a system call fail in every thread of this process from now on, by a seccomp filter.
func failSyscall(nr uint32, errno unix.Errno) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jt: 0, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program)))
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	return nil
}
