//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const bobPassword = "looking-glass-2"

// rightsOf is a client, and what it says when it may not.
type rightsOf struct {
	name             string
	pull, push       func(ref string) *exec.Cmd
	mayNot, notThere string
	anonymous        bool // it pulls without a login where the challenge is Basic
}

func rightsClients(t *testing.T, archive string) []rightsOf {
	crane, oras, dir := tool(t, "crane"), tool(t, "oras"), t.TempDir()
	return []rightsOf{
		{
			"docker", func(ref string) *exec.Cmd { return exec.Command("docker", "pull", ref) },
			func(ref string) *exec.Cmd {
				return exec.Command("sh", "-ec", `docker load -q -i "$1" >/dev/null; docker tag hallmark-rights:1.0 "$2"; docker push "$2"`, "sh", archive, ref)
			},
			"may pull from", "may not see it", false,
		},
		{
			"podman", func(ref string) *exec.Cmd { return exec.Command("podman", "pull", ref) },
			func(ref string) *exec.Cmd {
				return exec.Command("sh", "-ec", `podman load -q -i "$1" >/dev/null; podman push hallmark-rights:1.0 "$2"`, "sh", archive, ref)
			},
			"may pull from", "may not see it", true,
		},
		{
			"skopeo", func(ref string) *exec.Cmd {
				return exec.Command("skopeo", "copy", "docker://"+ref, "oci:"+filepath.Join(dir, "skopeo")+":1.0")
			},
			func(ref string) *exec.Cmd {
				return exec.Command("skopeo", "copy", "docker-archive:"+archive, "docker://"+ref)
			},
			"may pull from", "may not see it", true,
		},
		{
			"crane", func(ref string) *exec.Cmd { return exec.Command(crane, "pull", ref, filepath.Join(dir, "crane.tar")) },
			func(ref string) *exec.Cmd { return exec.Command(crane, "push", archive, ref) },
			"may pull from", "NAME_UNKNOWN", true,
		},
		{
			"oras", func(ref string) *exec.Cmd {
				return exec.Command(oras, "pull", "--include-subject=false", "-o", filepath.Join(dir, "oras"), ref)
			},
			func(ref string) *exec.Cmd {
				return exec.Command("sh", "-ec", `cd "$1"; echo hello > hello.txt; "$2" push "$3" hello.txt:text/plain`, "sh", dir, oras, ref)
			},
			"may pull from", "not found", true,
		},
	}
}

// archiveOfRights is an image as a file, that docker and podman load as hallmark-rights:1.0.
func archiveOfRights(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	sh(t, "docker", "build", "-q", "-t", "hallmark-rights:1.0", scratch(t, source, revision))
	t.Cleanup(func() {
		_ = exec.Command("docker", "rmi", "-f", "hallmark-rights:1.0").Run()           // it may be gone
		_ = exec.Command("podman", "rmi", "-f", "localhost/hallmark-rights:1.0").Run() // likewise
	})
	sh(t, "docker", "save", "-o", path, "hallmark-rights:1.0")
	return path
}

func (s *server) login(user, password string) {
	s.t.Helper()
	mustRun(s.t, command(password, tool(s.t, "oras"), "login", s.host, "-u", user, "--password-stdin"))
}

func (s *server) addUser(name, password string) {
	s.t.Helper()
	add := s.hallmark("user", "add", name, "--password-stdin")
	add.Stdin = strings.NewReader(password)
	mustRun(s.t, add)
}

// TestRightsOfClients lets real clients do what they may, and reads what they show of a refusal.
func TestRightsOfClients(t *testing.T) {
	home := dockerHome(t)
	s := start(t)
	s.trust("docker")
	s.trust("podman")
	s.systemCA()
	archive := archiveOfRights(t)
	s.login("alice", alicePassword)
	for _, repo := range []string{"team/hello", "secret/hello", "open/hello"} {
		sh(t, tool(t, "crane"), "push", archive, s.host+"/"+repo+":1.0")
	}
	s.addUser("bob", bobPassword)
	for _, g := range [][]string{
		{"user:bob", "team/**", "pull"}, {"user:bob", "bob/**", "push"}, {"anonymous", "open/**", "pull"},
	} {
		mustRun(t, s.hallmark(append([]string{"grant"}, g...)...))
	}
	s.login("bob", bobPassword)
	for _, c := range rightsClients(t, archive) {
		t.Run(c.name, func(t *testing.T) {
			mustRun(t, c.pull(s.host+"/team/hello:1.0"))
			mustFail(t, c.push(s.host+"/team/hello:2.0"), c.mayNot)
			mustFail(t, c.pull(s.host+"/secret/hello:1.0"), c.notThere)
			mustFail(t, c.push(s.host+"/secret/"+c.name+":1.0"), "")
			mustRun(t, c.push(s.host+"/bob/"+c.name+":1.0"))
		})
	}
	write(t, filepath.Join(home, "config.json"), "{}")
	for _, c := range rightsClients(t, archive) {
		t.Run(c.name+" without a login", func(t *testing.T) {
			if c.anonymous {
				mustRun(t, c.pull(s.host+"/open/hello:1.0"))
			}
			mustFail(t, c.pull(s.host+"/team/hello:1.0"), "")
			mustFail(t, c.push(s.host+"/open/hello:2.0"), "")
		})
	}
	s.wantClean()
}

// TestAccountsWithDocker signs in as a robot, and as a user who is renamed, removed and made again.
func TestAccountsWithDocker(t *testing.T) {
	dockerHome(t)
	s := start(t)
	s.trust("docker")
	login := func(user, password string) *exec.Cmd {
		return command(password, "docker", "login", s.host, "-u", user, "--password-stdin")
	}
	secret := s.hallmark("robot", "add", "builder", "--expires", "1h")
	secret.Stderr = os.Stderr
	out, err := secret.Output()
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, s.hallmark("grant", "robot:builder", "team/**", "push"))
	mustRun(t, login("builder", string(out)))
	ref := s.host + "/team/hello:1.0"
	dockerPush(t, ref)
	mustRun(t, s.hallmark("robot", "rotate", "builder"))
	mustFail(t, exec.Command("docker", "push", ref), "unauthorized")

	s.addUser("bob", bobPassword)
	mustRun(t, s.hallmark("grant", "user:bob", "team/**", "push"))
	mustRun(t, s.hallmark("user", "rename", "bob", "robert"))
	mustFail(t, login("bob", bobPassword), "the user name or the password is wrong")
	mustRun(t, login("robert", bobPassword))
	sh(t, "docker", "push", ref)
	mustRun(t, s.hallmark("user", "remove", "robert"))
	mustFail(t, exec.Command("docker", "pull", ref), "unauthorized")
	s.addUser("robert", bobPassword)
	mustFail(t, exec.Command("docker", "pull", ref), "sign in again") // the former login is not the new account's
	mustRun(t, login("robert", bobPassword))
	mustFail(t, exec.Command("docker", "pull", ref), "may not see it")
	if records := mustRun(t, s.hallmark("records", "--repo", "team/hello", "--json")); strings.Count(records, `"handle": "robert"`) != 1 || strings.Count(records, `"handle": "builder"`) != 1 {
		t.Errorf("the records of the removed user changed:\n%s", records)
	}
}
