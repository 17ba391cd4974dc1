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

// systemCA lets Go programs trust the registry the way that their users would: by a file of roots.
func (s *server) systemCA() {
	s.t.Helper()
	s.t.Setenv("SSL_CERT_FILE", filepath.Join(s.dir, "certs/ca.pem"))
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
