//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProvenanceReferrer looks at the registry's own record of an image with the tools that people have.
func TestProvenanceReferrer(t *testing.T) {
	s := start(t)
	s.systemCA()
	dockerHome(t)
	crane, oras, regctl := tool(t, "crane"), tool(t, "oras"), tool(t, "regctl")
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hello.txt"), "hello")
	sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, "layer.tar"), "hello.txt")
	ref := s.host + "/team/app:1.0"
	sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, "layer.tar"), "-t", ref)
	digest := strings.TrimSpace(sh(t, crane, "digest", ref))
	image := s.host + "/team/app@" + digest

	for _, tree := range []string{
		sh(t, oras, "discover", "--format", "tree", "-v", image),
		sh(t, regctl, "artifact", "tree", image),
	} {
		if !strings.Contains(tree, provenanceType) {
			t.Errorf("it is not shown:\n%s", tree)
		}
	}
	var found struct {
		Referrers []struct {
			Reference   string
			Annotations map[string]string
		}
	}
	if err := json.Unmarshal([]byte(sh(t, oras, "discover", "--format", "json", "--artifact-type", provenanceType, image)), &found); err != nil || len(found.Referrers) != 1 {
		t.Fatalf("oras discovers %+v, %v", found, err)
	}
	if by := found.Referrers[0].Annotations["vnd.hallmark.pushed-by"]; by != "alice" {
		t.Errorf("pushed by %q", by)
	}
	own := found.Referrers[0].Reference
	sh(t, oras, "copy", own, "--to-oci-layout", filepath.Join(dir, "layout"))
	sh(t, crane, "pull", "--format", "oci", own, filepath.Join(dir, "pulled"))
	if envelope := sh(t, regctl, "artifact", "get", "-m", "application/vnd.dsse.envelope.v1+json", own); !strings.Contains(envelope, "application/vnd.in-toto+json") {
		t.Errorf("its first layer is %s", envelope)
	}
	write(t, filepath.Join(dir, "receipt.json"), sh(t, regctl, "artifact", "get", "-m", "application/vnd.hallmark.receipt.v1+json", own))
	write(t, filepath.Join(dir, "root.json"), s.get("/trusted_root.json"))
	write(t, filepath.Join(dir, "key.pem"), s.get("/keys/receipts.pem"))
	sh(t, tool(t, "cosign"), "verify-blob-attestation", "--bundle", filepath.Join(dir, "receipt.json"), "--trusted-root", filepath.Join(dir, "root.json"),
		"--key", filepath.Join(dir, "key.pem"), "--type", "https://github.com/seed-260924e6/hallmark/record/v1",
		"--digest", strings.TrimPrefix(digest, "sha256:"), "--digestAlg", "sha256")
	mustFail(t, exec.Command(crane, "delete", own), "goes with the image")
	mustFail(t, exec.Command(oras, "manifest", "delete", "--force", own), "goes with the image")
	// Copied with all that refers to it: onto itself, and elsewhere, where it is but a claim.
	sh(t, oras, "cp", "-r", image, s.host+"/team/app:again")
	sh(t, oras, "cp", "-r", image, s.host+"/team/copy:1.0")
	if said := sh(t, regctl, "image", "copy", "--referrers", image, s.host+"/team/another:1.0"); strings.Contains(said, "mount") {
		t.Errorf("what the registry renders cannot be mounted:\n%s", said)
	}
	s.wantClean()
	sh(t, crane, "delete", image)
	mustFail(t, exec.Command(crane, "manifest", own), "MANIFEST_UNKNOWN")
}

const provenanceType = "application/vnd.hallmark.provenance.v1"

// TestProvenanceBesideSignatures signs one image in the older way, which is a tag, and one in the newer, which
// is a referrer, each alone. The registry's record beside them is in nobody's way.
func TestProvenanceBesideSignatures(t *testing.T) {
	s := start(t)
	s.systemCA()
	dockerHome(t)
	crane := tool(t, "crane")
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	dir, in := cosignDir(t)
	for name, flags := range map[string][]string{"older": {"--new-bundle-format=false"}, "newer": nil} {
		write(t, filepath.Join(dir, name), name)
		sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, name+".tar"), name)
		ref := s.host + "/team/" + name + ":1.0"
		sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, name+".tar"), "-t", ref)
		image := s.host + "/team/" + name + "@" + strings.TrimSpace(sh(t, crane, "digest", ref))
		mustFail(t, in("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", image), "no") // signatures, yet
		mustRun(t, in(append([]string{"sign", "--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false"}, append(flags, image)...)...))
		if out := mustRun(t, in("verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", image)); !strings.Contains(out, "signatures were verified") {
			t.Errorf("%s: %s", name, out)
		}
		if list := s.get("/v2/team/" + name + "/referrers/" + image[strings.Index(image, "@")+1:]); !strings.Contains(list, provenanceType) {
			t.Errorf("%s: the record is not beside it: %s", name, list)
		}
	}
	s.wantClean()
}
