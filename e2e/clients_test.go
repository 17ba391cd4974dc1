//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// archive is an image as a file, for clients that have no builder.
func archive(t *testing.T) string {
	t.Helper()
	const ref = "hallmark-e2e-archive:1"
	sh(t, "docker", "build", "-q", "-t", ref, scratch(t, source, revision))
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", ref).Run() }) // it may be gone
	path := filepath.Join(t.TempDir(), "image.tar")
	sh(t, "docker", "save", "-o", path, ref)
	return path
}

// digestOf asks the registry what a tag means.
func (s *server) digestOf(repo, tag string) string {
	s.t.Helper()
	var img struct{ Descriptor struct{ Digest string } }
	cmd := s.hallmark("show", repo+":"+tag, "--json")
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("show %s:%s: %v", repo, tag, err)
	}
	if err := json.Unmarshal(out, &img); err != nil {
		s.t.Fatal(err)
	}
	return img.Descriptor.Digest
}

func TestSkopeo(t *testing.T) {
	dockerHome(t)
	s := start(t)
	image := "docker://" + s.host + "/team/hello:1.0"
	copyIn := exec.Command("skopeo", "copy", "--dest-creds", "alice:"+alicePassword, "docker-archive:"+archive(t), image)
	mustFail(t, copyIn, "certificate signed by unknown authority")
	s.trust("podman")
	mustRun(t, command(alicePassword, "skopeo", "login", s.host, "-u", "alice", "--password-stdin"))
	sh(t, "skopeo", "copy", "docker-archive:"+archive(t), image)
	s.wantHistory("team/hello:1.0", s.digestOf("team/hello", "1.0"), "alice", source, revision)
	if out := sh(t, "skopeo", "list-tags", "docker://"+s.host+"/team/hello"); !strings.Contains(out, `"1.0"`) {
		t.Errorf("list-tags: %s", out)
	}
	if out := sh(t, "skopeo", "inspect", image); !strings.Contains(out, revision) {
		t.Errorf("inspect: %s", out)
	}
	sh(t, "skopeo", "copy", image, "docker://"+s.host+"/team/copied:1.0") // mounts the layers
	layout := "oci:" + filepath.Join(t.TempDir(), "layout") + ":1.0"
	sh(t, "skopeo", "copy", image, layout)
	sh(t, "skopeo", "copy", layout, "docker://"+s.host+"/team/oci:1.0")
	sh(t, "skopeo", "delete", "docker://"+s.host+"/team/copied:1.0")
	mustFail(t, exec.Command("skopeo", "inspect", "docker://"+s.host+"/team/copied:1.0"), "there is no manifest")
	s.wantClean()
}

func TestPodman(t *testing.T) {
	dockerHome(t)
	s := start(t)
	ref := s.host + "/team/hello:1.0"
	t.Cleanup(func() { _ = exec.Command("podman", "rmi", "-f", ref).Run() }) // it may be gone
	sh(t, "podman", "build", "-t", ref, scratch(t, source, revision))
	login := func() *exec.Cmd {
		return command(alicePassword, "podman", "login", s.host, "-u", "alice", "--password-stdin")
	}
	mustFail(t, login(), "certificate signed by unknown authority")
	s.trust("podman")
	mustRun(t, login())
	sh(t, "podman", "push", ref)
	s.wantHistory("team/hello:1.0", s.digestOf("team/hello", "1.0"), "alice", source, revision)
	sh(t, "podman", "rmi", "-f", ref)
	sh(t, "podman", "pull", ref)
	if out := sh(t, "podman", "image", "inspect", ref); !strings.Contains(out, revision) {
		t.Errorf("inspect: %s", out)
	}
	s.wantClean()
}

// systemCA lets Go programs trust the registry the way that their users would: by a file of roots.
func (s *server) systemCA() {
	s.t.Helper()
	s.t.Setenv("SSL_CERT_FILE", filepath.Join(s.dir, "certs/ca.pem"))
}

func TestCrane(t *testing.T) {
	dockerHome(t)
	s := start(t)
	crane := tool(t, "crane")
	ref := s.host + "/team/hello:1.0"
	mustFail(t, exec.Command(crane, "ls", s.host+"/team/hello"), "certificate")
	s.systemCA()
	mustRun(t, command(alicePassword, crane, "auth", "login", s.host, "-u", "alice", "--password-stdin"))
	sh(t, crane, "push", archive(t), ref)
	digest := strings.TrimSpace(sh(t, crane, "digest", ref))
	s.wantHistory("team/hello:1.0", digest, "alice", source, revision)
	sh(t, crane, "copy", ref, s.host+"/team/copied:1.0")
	sh(t, crane, "tag", ref, "latest")
	if out := sh(t, crane, "ls", s.host+"/team/hello"); out != "1.0\nlatest\n" {
		t.Errorf("ls: %q", out)
	}
	if out := sh(t, crane, "catalog", s.host); out != "team/copied\nteam/hello\n" {
		t.Errorf("catalog: %q", out)
	}
	sh(t, crane, "validate", "--remote", ref)
	sh(t, crane, "pull", ref, filepath.Join(t.TempDir(), "pulled.tar"))
	sh(t, crane, "delete", s.host+"/team/hello@"+digest)
	mustFail(t, exec.Command(crane, "digest", ref), "MANIFEST_UNKNOWN")
	s.wantClean()
}

func TestOras(t *testing.T) {
	dockerHome(t)
	s := start(t)
	oras := tool(t, "oras")
	ca := "--ca-file=" + filepath.Join(s.dir, "certs/ca.pem")
	ref := s.host + "/team/files:1.0"
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hello.txt"), "hello")
	login := func(more ...string) *exec.Cmd {
		return command(alicePassword, oras, append([]string{"login", s.host, "-u", "alice", "--password-stdin"}, more...)...)
	}
	mustFail(t, login(), "certificate")
	mustRun(t, login(ca))
	push := exec.Command(oras, "push", ca, ref, "--annotation", "org.opencontainers.image.source="+source,
		"--annotation", "org.opencontainers.image.revision="+revision, "hello.txt:text/plain")
	push.Dir = dir
	mustRun(t, push)
	s.wantHistory("team/files:1.0", s.digestOf("team/files", "1.0"), "alice", source, revision)
	out := t.TempDir()
	sh(t, oras, "pull", ca, "-o", out, ref)
	if got, err := os.ReadFile(filepath.Join(out, "hello.txt")); err != nil || string(got) != "hello" {
		t.Errorf("pulled %q, %v", got, err)
	}
	if out := sh(t, oras, "repo", "tags", ca, s.host+"/team/files"); out != "1.0\n" {
		t.Errorf("tags: %q", out)
	}
	sh(t, oras, "cp", "--from-ca-file", filepath.Join(s.dir, "certs/ca.pem"), "--to-ca-file", filepath.Join(s.dir, "certs/ca.pem"), ref, s.host+"/team/copied:1.0")
	sh(t, oras, "manifest", "delete", ca, "--force", ref)
	mustFail(t, exec.Command(oras, "manifest", "fetch", ca, ref), "not found")
	s.wantClean()
}

// TestContainerd pulls with containerd, through the hosts.toml that `cert trust` writes.
func TestContainerd(t *testing.T) {
	dockerHome(t)
	s := start(t)
	s.trust("podman")
	ref := s.host + "/team/hello:1.0"
	sh(t, "skopeo", "copy", "--dest-creds", "alice:"+alicePassword, "docker-archive:"+archive(t), "docker://"+ref)
	address := containerd(t)
	pull := func(more ...string) *exec.Cmd {
		args := append([]string{"--address", address, "images", "pull", "--user", "alice:" + alicePassword}, more...)
		return exec.Command("ctr", append(args, ref)...)
	}
	mustFail(t, pull(), "certificate signed by unknown authority")
	s.trust("containerd")
	mustRun(t, pull("--hosts-dir", "/etc/containerd/certs.d"))
}

// containerd starts a containerd of the test's own, and returns its address.
func containerd(t *testing.T) string {
	t.Helper()
	dir := shortDir(t)
	config := filepath.Join(dir, "config.toml")
	write(t, config, fmt.Sprintf("version = 2\nroot = %q\nstate = %q\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = %q\n",
		dir+"/root", dir+"/state", dir+"/sock"))
	daemon(t, exec.Command("containerd", "--config", config))
	eventually(t, time.Minute, "containerd is ready", func() error {
		return exec.Command("ctr", "--address", dir+"/sock", "version").Run()
	})
	return dir + "/sock"
}

// TestDebian trusts the registry in the system's own store, and asks it with curl.
func TestDebian(t *testing.T) {
	s := start(t)
	ask := func() *exec.Cmd {
		cmd := exec.Command("curl", "-sS", "--fail", "-u", "alice:"+alicePassword, s.url+"/v2/")
		for _, v := range os.Environ() { // without what other tests or the machine set
			if !strings.HasPrefix(v, "SSL_CERT") && !strings.HasPrefix(v, "CURL_CA") {
				cmd.Env = append(cmd.Env, v)
			}
		}
		return cmd
	}
	mustFail(t, ask(), "SSL certificate problem")
	t.Cleanup(func() {
		matches, _ := filepath.Glob("/usr/local/share/ca-certificates/hallmark-" + name + "*")
		for _, path := range matches {
			_ = os.Remove(path) // update-ca-certificates says what is wrong
		}
		sh(t, "update-ca-certificates", "--fresh")
	})
	mustRun(t, s.hallmark("cert", "trust", "debian"))
	if out := mustRun(t, ask()); out != "{}" {
		t.Errorf("it says %s", out)
	}
}
