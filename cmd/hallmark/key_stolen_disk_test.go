package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// failStore makes calls on the store's file fail from now on, as strace's inject has it. The returned function waits for
// strace, which ends with the server.
func (s *testServer) failStore(t *testing.T, inject string) (ended func()) {
	t.Helper()
	s.waitQuiet(t)
	call, _, _ := strings.Cut(inject, ":")
	strace := exec.Command("strace", "-f", "-p", fmt.Sprint(s.cmd.Process.Pid), "-o", os.DevNull,
		"-P", filepath.Join(s.dir, storeFile), "-e", "trace="+call, "-e", "inject="+inject)
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	waitTraced(t, s.cmd.Process.Pid)
	return func() { _ = strace.Wait() }
}

// waitQuiet waits until what goes on in the background has been committed: the calls of the next commit are counted.
func (s *testServer) waitQuiet(t *testing.T) {
	t.Helper()
	var written time.Time
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Second) {
		info, err := os.Stat(filepath.Join(s.dir, storeFile))
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().Equal(written) {
			return
		}
		if written = info.ModTime(); time.Now().After(deadline) {
			t.Fatal("the store is written all the time")
		}
	}
}

// TestStolenDiskFails reports stolen keys while the disk fails under the commit: before anything happened, when it happened
// although it failed, and where it is full. After a restart the log and the keys agree with each other, whatever happened: a thief's
// bearer token is of use only where the report was plainly refused, and the report can be made again.
func TestStolenDiskFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		inject        string
		status, token int // of the report, and of a request with an older token after it
		closed        int // logs, after a restart
	}{
		"it did not happen": {"fdatasync:error=EIO:when=1+", 500, 401, 0}, // no page of it is durable
		"it happened":       {"fdatasync:error=EIO:when=2+", 500, 401, 1}, // its root was written, and is there after a restart
		"there was no room": {"pwrite64:error=ENOSPC", 507, 200, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, address := filepath.Join(t.TempDir(), "data"), freeAddress(t)
			s := startPlain(t, dir, "--listen", address, "--url", "https://"+address)
			s.push("team/app", "1.0", "layer", nil)
			token := s.bearer(t)
			s.wantBearer(t, 200, token)
			ended := s.failStore(t, c.inject)
			if status := s.reportStolen(t); status != c.status {
				t.Errorf("the report: %d, want %d", status, c.status)
			}
			s.wantBearer(t, c.token, token)
			s.kill()
			ended()

			s = startPlain(t, dir, "--listen", address)
			s.wantParts("/readyz?write")
			s.wantBearer(t, c.token, token)
			s.wantBearer(t, 200, s.bearer(t))
			s.wantClosed(t, c.closed)
			s.push("team/app", "2.0", "another layer", nil) // which the keys in force sign
			s.want(200, "GET", "/v2/team/app/manifests/1.0")
			if status := s.reportStolen(t); status != 201 {
				t.Errorf("the report, made again: %d", status)
			}
			s.wantClosed(t, c.closed+1)
			s.wantBearer(t, 401, token)
			s.push("team/app", "3.0", "one more layer", nil)
			s.kill()
			for name := range keyFiles(t, dir) {
				if strings.Contains(name, "-next") {
					t.Errorf("%s is left", name)
				}
			}
			waitForClean(t, plainProgram(t), dir)
		})
	}
}

// reportStolen reports the keys as stolen, and returns the answer's status.
func (s *testServer) reportStolen(t *testing.T) int {
	t.Helper()
	status, _, _ := s.do("POST", "/api/v1/keys", "", `{"reason":"stolen"}`, "Content-Type", "application/json")
	return status
}

// wantClosed wants so many logs to be closed as stolen, and one more to be open.
func (s *testServer) wantClosed(t *testing.T, want int) {
	t.Helper()
	var file receipt.LogFile
	if err := json.Unmarshal([]byte(s.want(200, "GET", "/keys/logs.json")), &file); err != nil {
		t.Fatal(err)
	}
	closed := 0
	for _, l := range file.Logs {
		if l.Closed != nil && l.Closed.Reason == receipt.Stolen {
			closed++
		}
	}
	if closed != want || len(file.Logs) != want+1 {
		t.Errorf("%d of %d logs are closed as stolen, want %d", closed, len(file.Logs), want)
	}
}
