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

// A carrier copies an image with all that refers to it. Those that know no referrers are given each by its digest.
type carrier struct {
	name           string
	knowsReferrers bool
	copy           func(t *testing.T, from, to string, referrers []string)
}

func carriers() []carrier {
	return []carrier{
		{"oras", true, func(t *testing.T, from, to string, _ []string) {
			sh(t, tool(t, "oras"), "cp", "-r", from+":1.0", to+":1.0")
		}},
		{"layout", true, func(t *testing.T, from, to string, _ []string) {
			layout := filepath.Join(t.TempDir(), "layout")
			sh(t, tool(t, "oras"), "cp", "-r", from+":1.0", "--to-oci-layout", layout+":1.0")
			sh(t, tool(t, "oras"), "cp", "-r", "--from-oci-layout", layout+":1.0", to+":1.0")
		}},
		{"regctl", true, func(t *testing.T, from, to string, _ []string) {
			sh(t, tool(t, "regctl"), "image", "copy", "--referrers", from+":1.0", to+":1.0")
		}},
		{"crane", false, func(t *testing.T, from, to string, referrers []string) {
			sh(t, tool(t, "crane"), "copy", from+":1.0", to+":1.0")
			for i, d := range referrers {
				sh(t, tool(t, "crane"), "copy", from+"@"+d, fmt.Sprintf("%s:referrer-%d", to, i))
			}
		}},
		{"skopeo", false, func(t *testing.T, from, to string, referrers []string) {
			copy := []string{"copy", "--preserve-digests"}
			sh(t, "skopeo", append(copy, "docker://"+from+":1.0", "docker://"+to+":1.0")...)
			for i, d := range referrers {
				sh(t, "skopeo", append(copy, "docker://"+from+"@"+d, fmt.Sprintf("docker://%s:referrer-%d", to, i))...)
			}
		}},
	}
}

// TestTravel has each client carry a signed image from one Hallmark by way of upstream's registry to another, which trusts the
// first, and home: what it is, what is known of it, and whether its signature verifies, before and after.
func TestTravel(t *testing.T) {
	dockerHome(t)
	a := start(t)
	dir, cosign := cosignDir(t)
	for _, file := range []string{"logs.json", "receipts.json"} {
		write(t, filepath.Join(dir, file), a.get("/keys/"+file))
	}
	write(t, filepath.Join(dir, "trust.yaml"), "registries: [{name: a, logs: logs.json, receipts: receipts.json, repositories: [{theirs: team/**, ours: mirror/**}]}]\n")
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	b := start(t)
	trustBoth(t, a, b)
	between := a.upstream()
	for _, s := range []*server{a, b} {
		s.login("alice", alicePassword)
	}
	t.Logf("%-8s %-20s %-20s %-8s %s", "client", "digest before", "after", "cosign", "what B says")
	for _, c := range carriers() {
		t.Run(c.name, func(t *testing.T) { travel(t, c, a, b, between, cosign) })
	}
	a.wantClean()
	b.wantClean()
}

func travel(t *testing.T, c carrier, a, b *server, between string, cosign func(...string) *exec.Cmd) {
	home, middle, mirror := a.host+"/team/"+c.name, between+"/"+c.name, b.host+"/mirror/"+c.name
	layer := filepath.Join(t.TempDir(), "layer")
	write(t, layer, c.name)
	sh(t, "tar", "-C", filepath.Dir(layer), "-cf", layer+".tar", "layer")
	sh(t, tool(t, "crane"), "append", "--oci-empty-base", "-f", layer+".tar", "-t", home+":1.0")
	before := strings.TrimSpace(sh(t, tool(t, "crane"), "digest", home+":1.0"))
	mustRun(t, cosign("sign", "--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", home+"@"+before))
	referrers := a.referrersOf("team/"+c.name, before)
	verify := func(image string) string {
		return mustRun(t, cosign("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", image+"@"+before))
	}
	verify(home)

	c.copy(t, home, middle, referrers)
	c.copy(t, middle, mirror, referrers)
	after := strings.TrimSpace(sh(t, tool(t, "crane"), "digest", mirror+":1.0"))
	said := mustRun(t, b.hallmark("show", "mirror/"+c.name+":1.0"))
	if before != after || !strings.Contains(said, "by registry a: pushed by alice at "+a.url+", record ") || strings.Contains(said, "signatures:") {
		t.Errorf("%s came as %s, and B says\n%s", before, after, said)
	}
	verify(mirror)
	t.Logf("%-8s %-20.19s %-20.19s %-8s %s", c.name, before, after, "verifies", lineWith(said, "by registry"))

	// Home it is recognised: in its place it is taken, and makes no record; elsewhere it is this registry's own. The record has no tag
	// there, and cannot be given one, so who copies by tags copies it elsewhere alone.
	if c.knowsReferrers {
		records := a.get("/api/v1/records?action=attest&repo=team/" + c.name)
		c.copy(t, middle, home, referrers)
		if again := a.get("/api/v1/records?action=attest&repo=team/" + c.name); again != records {
			t.Errorf("come home, it made records:\n%s", again)
		}
	}
	c.copy(t, middle, a.host+"/again/"+c.name, referrers)
	if said := mustRun(t, a.hallmark("show", "again/"+c.name+":1.0")); !strings.Contains(said, "this registry's own record, come back: pushed by alice") {
		t.Errorf("A does not recognise its own record:\n%s", said)
	}
	verify(a.host + "/again/" + c.name)
}

func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// referrersOf lists what refers to an image.
func (s *server) referrersOf(repo, image string) (digests []string) {
	s.t.Helper()
	var list struct{ Manifests []struct{ Digest string } }
	if err := json.Unmarshal([]byte(s.get("/v2/"+repo+"/referrers/"+image)), &list); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range list.Manifests {
		digests = append(digests, m.Digest)
	}
	return digests
}

// trustBoth makes clients trust two registries.
func trustBoth(t *testing.T, one, two *server) {
	t.Helper()
	var both []byte
	for _, s := range []*server{one, two} {
		pem, err := os.ReadFile(filepath.Join(s.dir, "certs/ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, pem...)
	}
	path := filepath.Join(t.TempDir(), "both.pem")
	write(t, path, string(both))
	t.Setenv("SSL_CERT_FILE", path)
}

// upstream runs upstream's registry beside this one, with its certificate, and returns its address.
func (s *server) upstream() string {
	s.t.Helper()
	return s.upstreamOn(s.t.TempDir())
}

// upstreamOn is upstream with a directory for its configuration, and for its data in the directory data below it.
func (s *server) upstreamOn(dir string) string {
	s.t.Helper()
	port := freePort(s.t)
	config := filepath.Join(dir, "registry.yml")
	write(s.t, config, fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: '[::1]:%d'\n  tls:\n    certificate: %s\n    key: %s\n",
		filepath.Join(dir, "data"), port, filepath.Join(s.dir, "certs/server.pem"), filepath.Join(s.dir, "certs/server.key")))
	cmd := exec.Command(tool(s.t, "registry"), "serve", config)
	for _, v := range os.Environ() { // it takes what begins with REGISTRY_ for its own configuration
		if !strings.HasPrefix(v, "REGISTRY_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	daemon(s.t, cmd)
	address := fmt.Sprintf("%s:%d", name, port)
	eventually(s.t, 30*time.Second, "upstream's registry answers", func() error {
		return exec.Command("curl", "-sSf", "--cacert", filepath.Join(s.dir, "certs/ca.pem"), "https://"+address+"/v2/").Run()
	})
	return address
}
