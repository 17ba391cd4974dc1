//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMissingImage asks containerd for what is not there, and for what one may not see: it says so, and nothing of
// certificates.
func TestMissingImage(t *testing.T) {
	s := start(t)
	s.trust("containerd")
	pull := func(ref string) *exec.Cmd {
		return exec.Command("ctr", "--address", containerd(t), "images", "pull", "--user", "alice:"+alicePassword,
			"--hosts-dir", "/etc/containerd/certs.d", s.host+ref)
	}
	mustFail(t, pull("/no/such:tag"), "not found")
}

// TestListsOfPeople lists repositories with clients that wait to be asked for a login, while strangers may see one.
func TestListsOfPeople(t *testing.T) {
	s := start(t)
	s.systemCA()
	dockerHome(t)
	crane, oras, regctl := tool(t, "crane"), tool(t, "oras"), tool(t, "regctl")
	lists := map[string]func() string{
		"crane":  func() string { return sh(t, crane, "catalog", s.host) },
		"oras":   func() string { return sh(t, oras, "repo", "ls", s.host) },
		"regctl": func() string { return sh(t, regctl, "repo", "ls", s.host) },
	}
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hello.txt"), "hello")
	sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, "layer.tar"), "hello.txt")
	for _, repo := range []string{"open/app", "team/app"} {
		sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, "layer.tar"), "-t", s.host+"/"+repo+":1.0")
	}
	mustRun(t, s.hallmark("grant", "anonymous", "open/**", "pull"))
	for name, list := range lists {
		if got := list(); !strings.Contains(got, "open/app") || !strings.Contains(got, "team/app") {
			t.Errorf("%s lists for alice:\n%s", name, got)
		}
	}
	dockerHome(t) // without a login
	for name, list := range lists {
		if got := list(); !strings.Contains(got, "open/app") || strings.Contains(got, "team/app") {
			t.Errorf("%s lists for a stranger:\n%s", name, got)
		}
	}
}
