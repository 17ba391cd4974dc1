//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestoredPulls loses a registry, restores its backup, and pulls what was in it with every client that checks
// each byte.
func TestRestoredPulls(t *testing.T) {
	dockerHome(t)
	s := start(t)
	s.systemCA()
	s.signIn()
	crane := tool(t, "crane")
	ref := s.host + "/team/app:1.0"
	sh(t, crane, "push", archive(t), ref)
	digest := s.digestOf("team/app", "1.0")
	copies := filepath.Join(t.TempDir(), "copies")
	mustRun(t, s.hallmark("backup", copies))
	sh(t, crane, "tag", ref, "lost")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait() // it was killed
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	mustRun(t, s.hallmark("restore", copies))
	s.run()

	sh(t, crane, "validate", "--remote", ref)
	if got := strings.TrimSpace(sh(t, crane, "digest", ref)); got != digest {
		t.Errorf("crane finds %s, want %s", got, digest)
	}
	dir := t.TempDir()
	sh(t, "skopeo", "copy", "--preserve-digests", "docker://"+ref, "dir:"+filepath.Join(dir, "skopeo"))
	sh(t, tool(t, "oras"), "copy", ref, "--to-oci-layout", filepath.Join(dir, "oras")+":1.0")
	mustFail(t, exec.Command(crane, "digest", s.host+"/team/app:lost"), "MANIFEST_UNKNOWN")
	sh(t, crane, "tag", ref, "again")
	mustRun(t, s.hallmark("verify", "team/app:again"))
	s.wantClean()
}
