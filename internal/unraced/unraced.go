// Package unraced runs a test in a process without the race detector.
//
// The detector makes code five to ten times slower, and finds nothing in sequential code. A long test of
// sequential code begins with
//
//	if unraced.Test(t) {
//		return
//	}
//
// and concurrent tests keep the detector. A package whose tests do this ends its TestMain with [Clean].
package unraced

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Raced says whether this process has the race detector.
func Raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// Build writes the tests of the package in the working directory, without the detector, to a file. Flags are more of go build's.
func Build(path string, flags ...string) error {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the tests without the race detector: %w\n%s", err, out)
	}
	return nil
}

// made is the directory of what this process has built, if it has: set once, and read when no test runs any more.
var made string

// built builds the tests when one first asks for them.
var built = sync.OnceValues(func() (program string, err error) {
	if made, err = os.MkdirTemp("", "unraced-"); err != nil {
		return "", err
	}
	program = filepath.Join(made, "test")
	return program, Build(program)
})

// Test runs a test without the detector and says that it did, unless this process has none: then the test goes on here.
func Test(t *testing.T) bool {
	t.Helper()
	if !Raced() {
		return false
	}
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	Run(t, program)
	return true
}

// Run runs a test by its name in what Build made. A test that did not pass there, or was not found, fails here.
func Run(t *testing.T, program string) {
	t.Helper()
	cmd := exec.Command(program, "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "20m")
	cmd.Args[0] = "unraced.test" // cmd/hallmark's tests are hallmark itself, by that name
	if said, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()+" ") {
		t.Errorf("%v\n%s", err, said)
	}
}

// Clean removes what Test built.
func Clean() {
	if made != "" {
		_ = os.RemoveAll(made) // a temporary directory
	}
}
