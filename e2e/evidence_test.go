//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestEvidenceIsALayout has other clients read an evidence file as what it is, an OCI layout: they find what is attached to the
// image, copy it into a registry with its layers, and cosign checks a receipt that is in it.
func TestEvidenceIsALayout(t *testing.T) {
	s := start(t)
	s.systemCA()
	dockerHome(t)
	crane, oras, regctl := tool(t, "crane"), tool(t, "oras"), tool(t, "regctl")
	sh(t, crane, "auth", "login", s.host, "-u", "admin", "-p", adminPassword)
	sh(t, crane, "push", archive(t), s.host+"/team/app:1.0")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "sbom.json"), `{"spdxVersion":"SPDX-2.3"}`)
	sh(t, oras, "attach", "--disable-path-validation", "--artifact-type", "application/spdx+json", s.host+"/team/app:1.0", filepath.Join(dir, "sbom.json"))
	file := filepath.Join(dir, "app.evidence.tar")
	sh(t, tool(t, "hallmark"), "evidence", "team/app:1.0", "--data", s.dir, "--layers", "-o", file)
	layout := filepath.Join(dir, "layout")
	if err := os.Mkdir(layout, 0o700); err != nil {
		t.Fatal(err)
	}
	sh(t, "tar", "xf", file, "-C", layout)
	for name, found := range map[string]string{
		"oras, the tar": sh(t, oras, "discover", "--oci-layout", file+":1.0"),
		"oras":          sh(t, oras, "discover", "--oci-layout", layout+":1.0"),
		"regctl":        sh(t, regctl, "artifact", "list", "ocidir://"+layout+":1.0"),
	} {
		for _, kind := range []string{"application/spdx+json", "application/vnd.hallmark.provenance.v1"} {
			if !strings.Contains(found, kind) {
				t.Errorf("%s finds no %s:\n%s", name, kind, found)
			}
		}
	}
	sh(t, oras, "copy", "--recursive", "--from-oci-layout", layout+":1.0", s.host+"/team/copy:1.0")
	if got, want := s.digestOf("team/copy", "1.0"), s.digestOf("team/app", "1.0"); got != want {
		t.Errorf("the copy is %s, and was %s", got, want)
	}
	var found struct{ Records []struct{ Index int } }
	records := sh(t, tool(t, "hallmark"), "records", "--data", s.dir, "--repo", "team/app", "--digest", s.digestOf("team/app", "1.0"), "--json")
	if err := json.Unmarshal([]byte(records), &found); err != nil || len(found.Records) != 1 {
		t.Fatalf("%s, %v", records, err)
	}
	receipt := filepath.Join(layout, "records", fmt.Sprintf("%012d.json", found.Records[0].Index))
	sh(t, "curl", "-sSf", "--cacert", filepath.Join(s.dir, "certs/ca.pem"), "-o", filepath.Join(dir, "key.pem"), s.url+"/keys/receipts.pem")
	sh(t, tool(t, "cosign"), "verify-blob-attestation", "--bundle", receipt, "--trusted-root", filepath.Join(layout, "keys/trusted_root.json"),
		"--key", filepath.Join(dir, "key.pem"), "--type", "https://github.com/seed-260924e6/hallmark/record/v1",
		"--digest", strings.TrimPrefix(s.digestOf("team/app", "1.0"), "sha256:"), "--digestAlg", "sha256")
}
