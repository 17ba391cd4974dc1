//go:build e2e

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestHelm lets the real helm sign in with a personal access token, push a chart and pull it, and be refused beyond
// the token; and pull without any login what strangers may.
func TestHelm(t *testing.T) {
	s := start(t)
	s.systemCA()
	mustRun(t, s.hallmark("grant", "anonymous", "public/**", "pull"))
	secret := s.addToken("team/** push", "public/** push")
	dir := t.TempDir()
	for _, name := range []string{"HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"} {
		t.Setenv(name, filepath.Join(dir, name))
	}
	write(t, filepath.Join(dir, "hello/Chart.yaml"), "apiVersion: v2\nname: hello\nversion: 0.1.0\n")
	write(t, filepath.Join(dir, "hello/templates/hello.yaml"), "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\n")
	helm := func(input string, args ...string) *exec.Cmd {
		cmd := command(input, tool(t, "helm"), args...)
		cmd.Dir = dir
		return cmd
	}
	mustRun(t, helm("", "package", "hello"))
	chart, err := os.ReadFile(filepath.Join(dir, "hello-0.1.0.tgz"))
	if err != nil {
		t.Fatal(err)
	}
	pull := func(repo string) *exec.Cmd {
		return helm("", "pull", "oci://"+s.host+"/"+repo+"/hello", "--version", "0.1.0", "--destination", t.TempDir())
	}
	push := func(repo string) *exec.Cmd { return helm("", "push", "hello-0.1.0.tgz", "oci://"+s.host+"/"+repo) }
	mustFail(t, push("team"), "")
	mustFail(t, helm("wrong-password", "registry", "login", s.host, "-u", "alice", "--password-stdin"), "")
	mustRun(t, helm(secret, "registry", "login", s.host, "-u", "alice", "--password-stdin"))
	for _, repo := range []string{"team", "public"} {
		mustRun(t, push(repo))
		s.wantKind(repo+"/hello", "0.1.0", "chart")
		cmd := pull(repo)
		mustRun(t, cmd)
		got, err := os.ReadFile(filepath.Join(cmd.Args[len(cmd.Args)-1], "hello-0.1.0.tgz"))
		if err != nil || !bytes.Equal(got, chart) {
			t.Errorf("%s: %d bytes were pulled, want %d; %v", repo, len(got), len(chart), err)
		}
	}
	mustFail(t, push("other"), "")
	mustRun(t, helm("", "registry", "logout", s.host))
	mustRun(t, pull("public"))
	mustFail(t, pull("team"), "")
	mustFail(t, push("public"), "")
	s.wantClean()
}
