//go:build e2e

package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// TestRedirects has real clients pull layers from an object store to which the registry redirects them, and which refuses, as S3 does, a login
// beside a signed URL. crane does not follow to an address of this machine, so the rule by agents has it served as ever.
func TestRedirects(t *testing.T) {
	dockerHome(t)
	remote := s3test.Start(t)
	var fetched atomic.Int64
	remote.Suffer(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Query().Get("X-Amz-Signature") != "" {
			fetched.Add(1)
		}
		s3test.Strict(w, r, next)
	})
	s := startWith(t, append(remote.Environ("e2e/"), "HALLMARK_BLOBS_S3_REDIRECT=true",
		"HALLMARK_BLOBS_S3_REDIRECT_AGENTS=docker/,skopeo/,containers/,libpod/,oras/"))
	roots := s.alsoTrust(remote.CA)
	mustRun(t, command(alicePassword, "docker", "login", s.host, "-u", "alice", "--password-stdin"))
	ref := s.host + "/team/hello:1.0"
	dockerPush(t, ref)
	for _, c := range []struct {
		name    string
		follows bool
		pull    func(dir string)
	}{
		{"docker", true, func(string) {
			sh(t, "docker", "rmi", "-f", ref)
			sh(t, "docker", "pull", ref)
			if out := sh(t, "docker", "run", "--rm", ref); !strings.Contains(out, "hello from "+revision) {
				t.Errorf("what was pulled says %q", out)
			}
		}},
		{"skopeo", true, func(dir string) { sh(t, "skopeo", "copy", "docker://"+ref, "dir:"+dir) }},
		{"podman", true, func(string) { sh(t, "podman", "pull", ref); sh(t, "podman", "rmi", "-f", ref) }},
		{"crane", false, func(dir string) { withRoots(t, roots, tool(t, "crane"), "pull", ref, filepath.Join(dir, "image.tar")) }},
		{"oras", true, func(dir string) { withRoots(t, roots, tool(t, "oras"), "copy", ref, "--to-oci-layout", dir+":1.0") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := fetched.Load()
			c.pull(t.TempDir())
			if got := fetched.Load() > before; got != c.follows {
				t.Errorf("it was redirected: %v; want %v", got, c.follows)
			}
		})
	}
	s.wantClean()
}

// alsoTrust makes clients trust the registry, and an object store beside it. It returns a file with the authorities of both.
func (s *server) alsoTrust(ca string) (roots string) {
	s.t.Helper()
	pem, err := os.ReadFile(ca)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, client := range []string{"docker", "podman"} {
		s.trust(client)
	}
	for _, dir := range []string{"/etc/docker/certs.d", "/etc/containers/certs.d"} {
		write(s.t, filepath.Join(dir, s.host, "object-store.crt"), string(pem))
	}
	own, err := os.ReadFile(filepath.Join(s.dir, "certs/ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	roots = filepath.Join(s.t.TempDir(), "roots.pem")
	write(s.t, roots, string(own)+string(pem))
	return roots
}

func withRoots(t *testing.T, roots, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+roots)
	mustRun(t, cmd)
}
