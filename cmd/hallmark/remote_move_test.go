package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// remoteFile is a configuration whose blobs are in an object store.
func remoteFile(t *testing.T, remote *s3test.Server) string {
	t.Helper()
	return writeFile(t, fmt.Sprintf("blobs:\n  s3: {endpoint: %q, bucket: %s, prefix: hallmark/, ca: %s, credentials: %s}\n", remote.Endpoint, s3test.Bucket, remote.CA, remote.Keys))
}

// TestRemoteMoveKilled kills moves into an object store, and back, at any moment, also where the move is about to end. What was pushed before is
// there after each, from where the registry's store says that the blobs are.
func TestRemoteMoveKilled(t *testing.T) {
	remote := s3test.Start(t)
	v := newVictimOf(t, plainProgram(t))
	for i := range 20 {
		a := acknowledged{repo: "team/app", tag: fmt.Sprint(i), layer: strings.Repeat(fmt.Sprintf("layer %d ", i), 4000+i/19*700_000)}
		if !v.push(t.Context(), a) {
			t.Fatal("the push failed")
		}
	}
	v.kill()
	withS3, inFiles := remoteFile(t, remote), writeFile(t, "")
	remote.Suffer(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		time.Sleep(10 * time.Millisecond) // so that there are moments to be killed at
		next.ServeHTTP(w, r)
	})
	for _, way := range []struct{ from, to string }{{inFiles, withS3}, {withS3, inFiles}, {inFiles, withS3}} {
		v.movedWithKills(t, way.from, way.to)
		v.env = []string{"HALLMARK_CONFIG=" + way.to}
		v.run(t, "fsck", "--deep", "--data", v.dir)
	}
	v.start()
	for _, a := range v.done {
		verify(t, v.address, v.dir, a)
	}
	waitForClean(t, v.program, v.dir)
}

// movedWithKills kills moves until one comes to its end.
func (v *victim) movedWithKills(t *testing.T, from, to string) {
	t.Helper()
	v.withKills(t, "move", "--config", from, "--to", to, "--data", v.dir)
}

// withKills runs a verb again and again, and kills it, until it comes to its end.
func (v *victim) withKills(t *testing.T, args ...string) {
	t.Helper()
	for killed := 0; ; killed++ {
		cmd := v.command(args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		err := cmd.Start()
		if err == nil {
			if killed < 8 {
				time.AfterFunc(time.Duration(rand.IntN(700))*time.Millisecond, func() { _ = cmd.Process.Kill() }) // it may have ended
			}
			err = cmd.Wait()
		}
		if err == nil {
			t.Logf("killed %d times: %s", killed, &out)
			return
		}
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("%s: %v\n%s", args[0], err, &out)
		}
	}
}
