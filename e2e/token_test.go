//go:build e2e

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTokens lets each client sign in with a personal access token, push and pull within it, and be
// refused beyond; and pull without any login what strangers may.
func TestTokens(t *testing.T) {
	home := dockerHome(t)
	s := start(t)
	s.trust("docker")
	s.trust("podman")
	s.systemCA()
	image := archive(t)
	mustRun(t, s.hallmark("grant", "anonymous", "public/**", "pull"))
	secret := s.addToken("team/** push", "public/** push")
	crane, oras := tool(t, "crane"), tool(t, "oras")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hello.txt"), "hello")
	for _, c := range []struct {
		name, login []string // login gets the host, and the secret on its input
		push, pull  func(ref string) *exec.Cmd
	}{
		{
			name: []string{"docker"}, login: []string{"docker", "login", "-u", "alice", "--password-stdin"},
			push: func(ref string) *exec.Cmd {
				return exec.Command("sh", "-c", "docker load -q -i "+image+" && docker tag hallmark-e2e-archive:1 "+ref+" && docker push "+ref)
			},
			pull: func(ref string) *exec.Cmd {
				return exec.Command("sh", "-c", "docker rmi -f "+ref+" >/dev/null 2>&1; docker pull "+ref)
			},
		},
		{
			name: []string{"skopeo"}, login: []string{"skopeo", "login", "-u", "alice", "--password-stdin"},
			push: func(ref string) *exec.Cmd {
				return exec.Command("skopeo", "copy", "docker-archive:"+image, "docker://"+ref)
			},
			pull: func(ref string) *exec.Cmd { return exec.Command("skopeo", "inspect", "docker://"+ref) },
		},
		{
			name: []string{"podman"}, login: []string{"podman", "login", "-u", "alice", "--password-stdin"},
			push: func(ref string) *exec.Cmd {
				return exec.Command("sh", "-c", "podman load -q -i "+image+" && podman tag localhost/hallmark-e2e-archive:1 "+ref+" && podman push "+ref)
			},
			pull: func(ref string) *exec.Cmd {
				return exec.Command("sh", "-c", "podman rmi -f "+ref+" >/dev/null 2>&1; podman pull "+ref)
			},
		},
		{
			name: []string{"crane"}, login: []string{crane, "auth", "login", "-u", "alice", "--password-stdin"},
			push: func(ref string) *exec.Cmd { return exec.Command(crane, "push", image, ref) },
			pull: func(ref string) *exec.Cmd { return exec.Command(crane, "validate", "--remote", ref) },
		},
		{
			name: []string{"oras"}, login: []string{oras, "login", "-u", "alice", "--password-stdin"},
			push: func(ref string) *exec.Cmd {
				cmd := exec.Command(oras, "push", ref, "hello.txt:text/plain")
				cmd.Dir = dir
				return cmd
			},
			pull: func(ref string) *exec.Cmd { return exec.Command(oras, "manifest", "fetch", ref) },
		},
	} {
		t.Run(c.name[0], func(t *testing.T) {
			forget := func() { write(t, filepath.Join(home, "config.json"), "{}") } // podman wants a file
			forget()
			mustFail(t, c.pull(s.host+"/team/none:1.0"), "")
			mustRun(t, command(secret, c.login[0], append(c.login[1:], s.host)...))
			for _, repo := range []string{"team", "public"} {
				ref := s.host + "/" + repo + "/" + c.name[0] + ":1.0"
				mustRun(t, c.push(ref))
				mustRun(t, c.pull(ref))
			}
			mustFail(t, c.push(s.host+"/other/"+c.name[0]+":1.0"), "")
			forget()
			mustRun(t, c.pull(s.host+"/public/"+c.name[0]+":1.0"))
			mustFail(t, c.pull(s.host+"/team/"+c.name[0]+":1.0"), "")
			mustFail(t, c.push(s.host+"/public/"+c.name[0]+":2.0"), "")
		})
	}
	s.wantClean()
}

// addToken makes a personal access token of alice, and returns its secret.
func (s *server) addToken(scopes ...string) string {
	s.t.Helper()
	args := []string{"token", "add", "e2e", "--server", s.url, "--ca", filepath.Join(s.dir, "certs/ca.pem"), "--user", "alice", "--password-stdin", "--json"}
	for _, scope := range scopes {
		args = append(args, "--scope", scope)
	}
	cmd := command(alicePassword, tool(s.t, "hallmark"), args...)
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("token add: %v", err)
	}
	var made struct{ Secret string }
	if err := json.Unmarshal(out, &made); err != nil {
		s.t.Fatal(err)
	}
	return made.Secret
}

// TestDockerKeepsNoPassword wants docker to keep a refresh token in place of the password, others to be able
// to use it, and the end of its session to be the end of it.
func TestDockerKeepsNoPassword(t *testing.T) {
	home := dockerHome(t)
	s := start(t)
	s.trust("docker")
	s.trust("podman")
	s.systemCA()
	mustRun(t, command(alicePassword, "docker", "login", s.host, "-u", "alice", "--password-stdin"))
	config, err := os.ReadFile(filepath.Join(home, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(config), "identitytoken") {
		t.Errorf("docker keeps\n%s", config)
	}
	dockerPush(t, s.host+"/team/hello:1.0")
	sh(t, tool(t, "crane"), "digest", s.host+"/team/hello:1.0")
	sh(t, tool(t, "oras"), "manifest", "fetch", s.host+"/team/hello:1.0")
	sh(t, "skopeo", "inspect", "docker://"+s.host+"/team/hello:1.0")
	list := mustRun(t, s.hallmark("session", "list", "--of", "alice"))
	id := ""
	for field := range strings.FieldsSeq(list) {
		if strings.HasPrefix(field, "login-") {
			id = field
		}
	}
	mustRun(t, s.hallmark("session", "remove", id))
	mustFail(t, exec.Command(tool(t, "crane"), "digest", s.host+"/team/hello:1.0"), "ended")
}
