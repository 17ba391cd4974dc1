//go:build soak

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// TestSoakFailingCalls lets one system call at a time fail under a server, at various moments of a few pushes, and
// then starts another server on what there is: what was acknowledged is there, and everything fits.
func TestSoakFailingCalls(t *testing.T) {
	program := plainProgram(t)
	injected := 0
	for _, c := range []struct{ call, err string }{
		{"fdatasync", "EIO"},
		{"fsync", "EIO"},
		{"pwrite64", "EIO"},
		{"pwrite64", "ENOSPC"},
		{"write", "ENOSPC"},
		{"openat", "EMFILE"},
		{"fchmod", "EIO"},
		{"mkdirat", "ENOSPC"},
		{"unlinkat", "EIO"},
		{"close", "EIO"},
		{"pread64", "EIO"},
		{"ftruncate", "EIO"},
	} {
		for _, when := range []int{1, 2, 3, 5, 9} {
			if failOnce(t, program, c.call, c.err, when) {
				injected++
			}
		}
	}
	if injected < 20 {
		t.Errorf("only %d calls were made to fail", injected)
	}
	t.Logf("%d calls failed", injected)
}

// wokeItself finds the call by which Go's runtime wakes a thread of its own. No disk makes that fail, and where strace does the
// runtime ends the process: then it is only shown that nothing was lost.
var wokeItself = regexp.MustCompile(`<anon_inode:\[eventfd\]>.*\(INJECTED\)`)

// failOnce lets the call of a number fail once, and says whether there was one.
func failOnce(t *testing.T, program, call, errno string, when int) (injected bool) {
	t.Helper()
	what := fmt.Sprintf("%s %s, number %d", call, errno, when)
	v := &victim{t: t, program: program, dir: filepath.Join(t.TempDir(), "data"), address: freeAddress(t)}
	v.start()
	t.Cleanup(func() { v.kill() })
	client, err := httpClient(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	v.client = signedIn(client, v.address, "admin:"+adminPassword)
	if !v.push(context.Background(), acknowledged{repo: "old/app", tag: "v", layer: "old"}) {
		t.Fatal("a push to a new registry failed")
	}
	trace := filepath.Join(t.TempDir(), "trace")
	strace := exec.Command("strace", "-f", "-y", "-p", fmt.Sprint(v.cmd.Process.Pid), "-o", trace,
		"-e", "trace="+call, "-e", fmt.Sprintf("inject=%s:error=%s:when=%d", call, errno, when))
	if err := strace.Start(); err != nil {
		t.Fatal(err)
	}
	waitTraced(t, v.cmd.Process.Pid)
	for i := range 6 {
		v.push(context.Background(), acknowledged{repo: fmt.Sprintf("n%d/app", i%2), tag: fmt.Sprint(i), layer: strings.Repeat("layer ", 300+i)})
	}
	var ended error
	select {
	case ended = <-v.process.done:
		v.process.done <- ended // for kill
	default:
	}
	v.kill() // and strace ends with it
	_ = strace.Wait()
	said, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if ended != nil && !wokeItself.Match(said) {
		t.Errorf("%s: the server ended: %v", what, ended)
	}
	v.start()
	for _, a := range v.done {
		verify(t, v.address, v.dir, a)
	}
	waitForClean(t, program, v.dir)
	if v.kill(); t.Failed() {
		t.Fatalf("after %s", what)
	}
	return strings.Contains(string(said), "(INJECTED)")
}

// TestSoakFullDisk fills a small disk to the brim from four clients, with next to no reserve. What was acknowledged is
// there, deletes make room, and then there are pushes again.
func TestSoakFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("it mounts a small disk: run it as root")
	}
	disk := storagetest.SmallDisk(t, 48<<20)
	v := newVictim(t)
	v.kill()
	v.dir, v.env = filepath.Join(disk, "data"), []string{"HALLMARK_REGISTRY_LEASE=2s", "HALLMARK_REGISTRY_RESERVE=1"}
	v.start()
	client, err := httpClient(v.dir)
	if err != nil {
		t.Fatal(err)
	}
	v.client = signedIn(client, v.address, "admin:"+adminPassword)
	random := make([]byte, 1<<20)
	refused := 0
	for i := 0; refused < 40 && i < 2000; i++ {
		size := []int{1 << 20, 20000, 300}[min(i/40, 1+i%2)]
		if _, err := io.ReadFull(rand.Reader, random[:size]); err != nil {
			t.Fatal(err)
		}
		if !v.push(context.Background(), acknowledged{repo: fmt.Sprintf("f%d/app", i%4), tag: fmt.Sprint(i), layer: string(random[:size])}) {
			refused++
		}
	}
	if refused < 40 {
		t.Fatalf("the disk did not become full: %d pushes went through", len(v.done))
	}
	for _, a := range v.done {
		verify(t, v.address, v.dir, a)
	}
	kept := len(v.done)
	for _, a := range v.done[:min(kept, 40)] {
		if status, _, body, err := v.ask(context.Background(), "DELETE", "/v2/"+a.repo+"/manifests/"+a.digest); status != 202 {
			t.Errorf("a delete on a full disk: %d, %v\n%s", status, err, body)
		}
	}
	again := acknowledged{repo: "after/full", tag: "1", layer: strings.Repeat("room again ", 3000)}
	for deadline := time.Now().Add(15 * time.Second); !v.push(context.Background(), again); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("after deletes there is no room for a push")
		}
	}
	waitForClean(t, v.program, v.dir)
	t.Logf("%d pushes were acknowledged on a disk of 48 MB, and %d refused", kept, refused)
}
