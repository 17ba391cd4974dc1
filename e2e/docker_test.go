//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	source   = "https://git.example/team/hello"
	revision = "0123456789abcdef0123456789abcdef01234567"
)

var pushedDigest = regexp.MustCompile(`digest: (sha256:[0-9a-f]{64})`)

// dockerPush builds an image and pushes it with the Docker engine, and returns its digest.
func dockerPush(t *testing.T, ref string) string {
	t.Helper()
	sh(t, "docker", "build", "-q", "-t", ref, scratch(t, source, revision))
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", ref).Run() }) // it may be gone
	found := pushedDigest.FindStringSubmatch(sh(t, "docker", "push", ref))
	if found == nil {
		t.Fatal("docker push prints no digest")
	}
	return found[1]
}

// TestDocker is the main job: login, push and pull over verified TLS, and the answer to who pushed this,
// from which source.
func TestDocker(t *testing.T) {
	dockerHome(t)
	s := start(t)
	login := func(password string) *exec.Cmd {
		return command(password, "docker", "login", s.host, "-u", "alice", "--password-stdin")
	}
	mustFail(t, login(alicePassword), "certificate signed by unknown authority")
	s.trust("docker")
	mustFail(t, login("wrong-password"), "the user name or the password is wrong")
	mustRun(t, login(alicePassword))

	ref := s.host + "/team/hello:1.0"
	digest := dockerPush(t, ref)
	s.wantHistory("team/hello:1.0", digest, "alice", source, revision)

	sh(t, "docker", "rmi", "-f", ref)
	sh(t, "docker", "pull", ref)
	if out := sh(t, "docker", "run", "--rm", ref); !strings.Contains(out, "hello from "+revision) {
		t.Errorf("what was pulled says %q", out)
	}
	sh(t, "docker", "rmi", "-f", ref)
	sh(t, "docker", "pull", s.host+"/team/hello@"+digest)
	sh(t, "docker", "tag", s.host+"/team/hello@"+digest, ref)
	if out := sh(t, "docker", "push", ref); !strings.Contains(out, digest) {
		t.Errorf("pushed again as another digest than %s:\n%s", digest, out)
	}

	sh(t, "docker", "logout", s.host)
	sh(t, "docker", "rmi", ref)
	mustFail(t, exec.Command("docker", "pull", ref), "sign in first")
	s.wantClean()
}

// TestDockerPullCounts has docker pull an index by its tag, and wants that to be the last pull of the tag, and of the platform that docker takes.
// Asking with HEAD is none.
func TestDockerPullCounts(t *testing.T) {
	dockerHome(t)
	s := start(t)
	s.trust("docker")
	mustRun(t, command(alicePassword, "docker", "login", s.host, "-u", "alice", "--password-stdin"))
	platform := dockerPush(t, s.host+"/team/hello:platform")
	accept := "Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
	manifest := s.curl("/v2/team/hello/manifests/platform", "-H", accept)
	var m struct{ MediaType string }
	if err := json.Unmarshal([]byte(manifest), &m); err != nil {
		t.Fatal(err)
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%[1]q,"manifests":[{"mediaType":%[2]q,"digest":%[3]q,"size":%[4]d,"platform":{"os":"linux","architecture":%[5]q}}]}`,
		"application/vnd.oci.image.index.v1+json", m.MediaType, platform, len(manifest), runtime.GOARCH)
	s.curl("/v2/team/hello/manifests/1.0", "-X", "PUT", "-H", "Content-Type: application/vnd.oci.image.index.v1+json", "--data-binary", index)
	mustRun(t, s.hallmark("pulls", "forget", "--all"))

	s.curl("/v2/team/hello/manifests/1.0", "--head", "-H", "Accept: application/vnd.oci.image.index.v1+json")
	s.wantPulled(map[string]int{"1.0": 0, "platform": 0})
	sh(t, "docker", "rmi", "-f", s.host+"/team/hello:platform")
	sh(t, "docker", "pull", s.host+"/team/hello:1.0")
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", s.host+"/team/hello:1.0").Run() }) // it may be gone
	s.wantPulled(map[string]int{"1.0": 1, "platform": 1})
	s.wantClean()
}

// wantPulled restarts the server, which writes what was pulled, and wants tags of team/hello to have so many pulls.
func (s *server) wantPulled(want map[string]int) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	_ = s.cmd.Wait() // its status is that of the signal
	s.run()
	var found struct {
		Tags []struct {
			Name  string
			Pulls struct {
				Last   string
				Lately int
			}
		}
	}
	if err := json.Unmarshal([]byte(s.get("/api/v1/tags?repo=team/hello")), &found); err != nil || len(found.Tags) != len(want) {
		s.t.Fatal(found, err)
	}
	for _, tag := range found.Tags {
		if n := want[tag.Name]; tag.Pulls.Lately != n || (tag.Pulls.Last == "") != (n == 0) {
			s.t.Errorf("%s: %d pulls, the last %q; want %d", tag.Name, tag.Pulls.Lately, tag.Pulls.Last, n)
		}
	}
}

// curl asks as alice, with more arguments.
func (s *server) curl(path string, args ...string) string {
	s.t.Helper()
	return sh(s.t, "curl", append([]string{"-sS", "--fail", "--cacert", filepath.Join(s.dir, "certs/ca.pem"), "-u", "alice:" + alicePassword, s.url + path}, args...)...)
}

// TestDockerSeesErrors reads what docker shows of a refusal.
func TestDockerSeesErrors(t *testing.T) {
	dockerHome(t)
	s := start(t)
	s.trust("docker")
	mustRun(t, command(alicePassword, "docker", "login", s.host, "-u", "alice", "--password-stdin"))
	mustFail(t, exec.Command("docker", "pull", s.host+"/team/none:1.0"), "there is no manifest 1.0")
}

// TestCompose brings the service up from docker-compose.yml, with compose v1 and with v2, and pushes to it.
func TestCompose(t *testing.T) {
	for version, compose := range map[string]string{"v1": "docker-compose", "v2": tool(t, "compose")} {
		t.Run(version, func(t *testing.T) {
			dockerHome(t)
			port := freePort(t)
			host := fmt.Sprintf("%s:%d", name, port)
			run := func(input string, args ...string) *exec.Cmd {
				cmd := command(input, compose, append([]string{"-p", "hallmark-e2e-" + version}, args...)...)
				cmd.Dir = root(t)
				cmd.Env = append(os.Environ(), "HALLMARK_URL=https://"+host, fmt.Sprintf("HALLMARK_PORT=%d", port), "HALLMARK_ADMIN_PASSWORD="+adminPassword)
				return cmd
			}
			mustRun(t, run("", "config", "-q"))
			t.Cleanup(func() { _ = run("", "down", "-v", "-t", "5").Run() })
			mustRun(t, run("", "up", "-d"))
			id := strings.TrimSpace(mustRun(t, run("", "ps", "-q", "hallmark")))
			eventually(t, time.Minute, "the service becomes healthy", func() error {
				if sh(t, "docker", "inspect", "-f", "{{.State.Health.Status}}", id) != "healthy\n" {
					return errors.New("not yet")
				}
				return nil
			})
			if user := sh(t, "docker", "inspect", "-f", "{{.Config.User}}", id); strings.HasPrefix(user, "0") || strings.TrimSpace(user) == "" {
				t.Errorf("it runs as user %q", user)
			}
			mustRun(t, run(alicePassword, "exec", "-T", "hallmark", "hallmark", "user", "add", "alice", "--password-stdin"))
			mustRun(t, run("", "exec", "-T", "hallmark", "hallmark", "grant", "user:alice", "team/**", "push"))
			trustCompose(t, run, host)
			mustRun(t, command(alicePassword, "docker", "login", host, "-u", "alice", "--password-stdin"))
			digest := dockerPush(t, host+"/team/hello:1.0")
			history := mustRun(t, run("", "exec", "-T", "hallmark", "hallmark", "history", "team/hello:1.0"))
			if !strings.Contains(history, "alice") || !strings.Contains(history, digest[:19]) || !strings.Contains(history, source) {
				t.Errorf("history:\n%s", history)
			}
			// The data is in the volume: another container goes on with it.
			mustRun(t, run("", "up", "-d", "--force-recreate"))
			eventually(t, time.Minute, "the image can be pulled from another container", func() error {
				return exec.Command("docker", "pull", host+"/team/hello:1.0").Run()
			})
		})
	}
}

// TestComposeAsItIs has a directory with docker-compose.yml and nothing else, and the image: no setting but the port, as it may be
// taken on this machine.
func TestComposeAsItIs(t *testing.T) {
	file, err := os.ReadFile(filepath.Join(root(t), "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"v1", "v2"} {
		t.Run(version, func(t *testing.T) {
			compose := "docker-compose"
			if version == "v2" {
				compose = tool(t, "compose")
			}
			dir, port := t.TempDir(), freePort(t)
			if err := os.WriteFile(filepath.Join(dir, "docker-compose.yml"), file, 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) *exec.Cmd {
				cmd := exec.Command(compose, append([]string{"-p", "hallmark-as-it-is-" + version}, args...)...)
				cmd.Dir, cmd.Env = dir, append(os.Environ(), fmt.Sprintf("HALLMARK_PORT=%d", port))
				return cmd
			}
			t.Cleanup(func() { _ = run("down", "-v", "-t", "5").Run() })
			mustRun(t, run("up", "-d"))
			eventually(t, time.Minute, "its first start says that it is ready", func() error {
				if out, err := run("logs", "hallmark").CombinedOutput(); err != nil || !strings.Contains(string(out), "ready at https://localhost:5443") {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
			if got := mustRun(t, run("exec", "-T", "hallmark", "hallmark", "user", "list")); !strings.Contains(got, "admin") {
				t.Errorf("its users:\n%s", got)
			}
		})
	}
}

// trustCompose trusts the CA of the service, fetched from it and checked by its fingerprint, as on another machine.
func trustCompose(t *testing.T, run func(string, ...string) *exec.Cmd, host string) {
	t.Helper()
	shown := mustRun(t, run("", "exec", "-T", "hallmark", "hallmark", "cert", "show"))
	fingerprints := regexp.MustCompile(`([0-9A-F]{2}:){31}[0-9A-F]{2}`).FindAllString(shown, -1)
	if len(fingerprints) != 2 {
		t.Fatalf("cert show:\n%s", shown)
	}
	hallmark := tool(t, "hallmark")
	trust := func(fingerprint string) *exec.Cmd {
		return exec.Command(hallmark, "cert", "trust", "docker", "--server", "https://"+host, "--fingerprint", fingerprint)
	}
	mustFail(t, trust(fingerprints[1]), "what is wanted is that of its authority") // that of the server's certificate
	if _, err := os.Stat(filepath.Join("/etc/docker/certs.d", host)); err == nil {
		t.Error("it wrote something before it checked the fingerprint")
	}
	mustRun(t, trust(fingerprints[0]))
	t.Cleanup(func() { _ = os.RemoveAll(filepath.Join("/etc/docker/certs.d", host)) })
}

// TestSystemd lets systemd read the unit.
func TestSystemd(t *testing.T) {
	unit, err := os.ReadFile(filepath.Join(root(t), "packaging/hallmark.service"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hallmark.service")
	write(t, path, strings.ReplaceAll(string(unit), "/usr/local/bin/hallmark", tool(t, "hallmark")))
	out, err := exec.Command("systemd-analyze", "verify", path).CombinedOutput()
	if err != nil || strings.Contains(string(out), "hallmark.service") {
		t.Errorf("%v\n%s", err, out)
	}
}
