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
)

// TestCosignVerifiesReceipts has the real cosign check receipts of a real server, offline, good ones and
// changed ones. docs/verify.md says what it lets pass.
func TestCosignVerifiesReceipts(t *testing.T) {
	s := start(t)
	s.systemCA()
	sh(t, tool(t, "crane"), "auth", "login", s.host, "-u", "admin", "-p", adminPassword)
	sh(t, tool(t, "crane"), "push", archive(t), s.host+"/team/app:1.0")
	sh(t, tool(t, "crane"), "tag", s.host+"/team/app:1.0", "2.0")
	dir := t.TempDir()
	var found struct{ Records []struct{ Index int } }
	if err := json.Unmarshal([]byte(sh(t, tool(t, "hallmark"), "records", "--data", s.dir, "--repo", "team/app", "--json")), &found); err != nil || len(found.Records) != 2 {
		t.Fatalf("%d records, %v", len(found.Records), err)
	}
	receipt := func(i int) string { return fmt.Sprintf("/api/v1/records/%d/receipt", found.Records[i].Index) }
	for path, name := range map[string]string{
		receipt(0): "0.json", receipt(1): "1.json",
		"/trusted_root.json": "root.json", "/keys/receipts.pem": "key.pem",
	} {
		sh(t, "curl", "-sSf", "--cacert", filepath.Join(s.dir, "certs/ca.pem"), "-u", "admin:"+adminPassword, "-o", filepath.Join(dir, name), s.url+path)
	}
	cosign := func(receipt string) error {
		cmd := exec.Command(tool(t, "cosign"), "verify-blob-attestation", "--bundle", receipt, "--trusted-root", "root.json", "--key", "key.pem",
			"--type", "https://github.com/seed-260924e6/hallmark/record/v1",
			"--digest", strings.TrimPrefix(s.digestOf("team/app", "1.0"), "sha256:"), "--digestAlg", "sha256")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		t.Logf("%s: %v\n%s", receipt, err, out)
		return err
	}
	for _, name := range []string{"0.json", "1.json"} {
		if err := cosign(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for change, takes := range map[string]bool{
		`.dsseEnvelope.payload |= (@base64d | sub("team/app"; "team/xpp") | @base64)`:              false,
		`.verificationMaterial.tlogEntries[0].logIndex = "1"`:                                      false,
		`.verificationMaterial.tlogEntries[0].inclusionProof.hashes[0] |= ("A" + .[1:])`:           false,
		`.verificationMaterial.tlogEntries[0].inclusionProof.checkpoint.envelope |= sub("2"; "3")`: false,
		`.verificationMaterial.tlogEntries[0].inclusionProof.rootHash |= ("A" + .[1:])`:            true,
		`.verificationMaterial.tlogEntries[0].inclusionProof.treeSize = "9"`:                       true,
		`.verificationMaterial.tlogEntries[0].kindVersion.version = "0.0.9"`:                       true,
	} {
		changed, err := exec.Command("jq", "-c", change, filepath.Join(dir, "0.json")).Output()
		if err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "changed.json"), changed, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := cosign("changed.json"); (err == nil) != takes {
			t.Errorf("%s: %v, want it taken: %v", change, err, takes)
		}
		verify := exec.Command(tool(t, "hallmark"), "verify", filepath.Join(dir, "changed.json"),
			"--trusted-root", filepath.Join(dir, "root.json"), "--key", filepath.Join(dir, "key.pem"))
		if err := verify.Run(); verify.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: hallmark verify ends with %v", change, err)
		}
	}
}
