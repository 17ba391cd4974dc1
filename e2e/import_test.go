//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestImport moves images, an index, an artifact and a signature that real clients pushed to upstream's registry: once from its data
// directory, and once over the network. Digests are the same, what is attached is found, the signature verifies, and nothing is wrong here.
func TestImport(t *testing.T) {
	dockerHome(t)
	s, old := start(t), t.TempDir()
	trustBoth(t, s, s)
	from := s.upstreamOn(old)
	_, cosign := cosignDir(t)
	crane, oras := tool(t, "crane"), tool(t, "oras")
	for _, one := range []string{"amd", "arm"} {
		layer := filepath.Join(t.TempDir(), "layer")
		write(t, layer, one)
		sh(t, "tar", "-C", filepath.Dir(layer), "-cf", layer+".tar", "layer")
		sh(t, crane, "append", "--oci-empty-base", "-f", layer+".tar", "-t", from+"/team/app:"+one)
	}
	sh(t, crane, "index", "append", "-m", from+"/team/app:amd", "-m", from+"/team/app:arm", "-t", from+"/team/app:1.0")
	sbom := filepath.Join(t.TempDir(), "sbom.json")
	write(t, sbom, "{}")
	sh(t, oras, "attach", "--disable-path-validation", "--artifact-type", "application/spdx+json", from+"/team/app:1.0", sbom)
	digestOf := func(image string) string { return strings.TrimSpace(sh(t, crane, "digest", image)) }
	mustRun(t, cosign("sign", "--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", from+"/team/app@"+digestOf(from+"/team/app:1.0")))

	mustRun(t, s.hallmark("import", "--into", "disk", filepath.Join(old, "data")))
	net := []string{"import", "--into", "net", "--source-ca", filepath.Join(s.dir, "certs/ca.pem"), from, "team/**"}
	mustFail(t, s.hallmark(net...), "of this machine")
	net = append(net, "--address", "::1")
	mustRun(t, s.hallmark(net...))
	s.login("alice", alicePassword)
	for _, into := range []string{"disk", "net"} {
		here := s.host + "/" + into + "/team/app"
		for _, tag := range []string{"amd", "arm", "1.0"} {
			if was, is := digestOf(from+"/team/app:"+tag), digestOf(here+":"+tag); was != is {
				t.Errorf("%s:%s came as %s, and was %s", here, tag, is, was)
			}
		}
		image := here + "@" + digestOf(here+":1.0")
		mustRun(t, cosign("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", image))
		if found := sh(t, oras, "discover", image); !strings.Contains(found, "application/spdx+json") {
			t.Errorf("what is attached is not found:\n%s", found)
		}
	}
	for _, again := range [][]string{{"import", "--into", "disk", filepath.Join(old, "data")}, net} {
		if said := mustRun(t, s.hallmark(again...)); !strings.Contains(said, " 0 came,") {
			t.Errorf("again: %s", said)
		}
	}
	mustRun(t, s.hallmark("audit"))
	s.wantClean()
}
