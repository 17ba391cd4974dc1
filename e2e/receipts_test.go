//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	data, err := os.ReadFile(filepath.Join(dir, "0.json"))
	if err != nil {
		t.Fatal(err)
	}
	var takes []string
	for path, changed := range eachLeafChanged(t, data) {
		write(t, filepath.Join(dir, "changed.json"), changed)
		if cosign("changed.json") == nil && !strings.HasSuffix(path, ".canonicalizedBody") { // which is taken where it is still JSON of the kind
			takes = append(takes, path)
		}
		verify := exec.Command(tool(t, "hallmark"), "verify", filepath.Join(dir, "changed.json"),
			"--trusted-root", filepath.Join(dir, "root.json"), "--key", filepath.Join(dir, "key.pem"))
		if err := verify.Run(); verify.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: hallmark verify ends with %v", path, err)
		}
	}
	slices.Sort(takes)
	if !slices.Equal(takes, cosignTakes) {
		t.Errorf("cosign takes changes of\n%q, want\n%q", takes, cosignTakes)
	}
}

// cosignTakes are the fields of a receipt whose change cosign takes, and nothing else: as docs/verify.md says.
var cosignTakes = []string{
	".verificationMaterial.publicKey.hint",
	".verificationMaterial.tlogEntries.0.inclusionProof.logIndex",
	".verificationMaterial.tlogEntries.0.inclusionProof.rootHash",
	".verificationMaterial.tlogEntries.0.inclusionProof.treeSize",
	".verificationMaterial.tlogEntries.0.kindVersion.kind",
	".verificationMaterial.tlogEntries.0.kindVersion.version",
}

// eachLeafChanged yields the path of each value in a document of JSON, and the document with it changed.
func eachLeafChanged(t *testing.T, data []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		visit := func(path string) bool {
			changed, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			return yield(path, string(changed))
		}
		changeLeaves(doc, "", visit)
	}
}

// changeLeaves changes the strings under a value one by one while visit is called; a bundle has no other leaves.
func changeLeaves(v any, path string, visit func(string) bool) bool {
	change := func(s, at string, set func(string)) bool {
		set(otherThan(s))
		defer set(s)
		return visit(at)
	}
	switch v := v.(type) {
	case map[string]any:
		for name, inner := range v {
			if s, ok := inner.(string); ok && !change(s, path+"."+name, func(s string) { v[name] = s }) || !changeLeaves(inner, path+"."+name, visit) {
				return false
			}
		}
	case []any:
		for i, inner := range v {
			at := fmt.Sprintf("%s.%d", path, i)
			if s, ok := inner.(string); ok && !change(s, at, func(s string) { v[i] = s }) || !changeLeaves(inner, at, visit) {
				return false
			}
		}
	}
	return true
}

// otherThan is another number, or a text with another letter in the middle.
func otherThan(s string) string {
	if n, err := strconv.Atoi(s); err == nil {
		return strconv.Itoa(n + 1)
	}
	b := []byte(s)
	if at := len(b) / 2; b[at] != 'A' {
		b[at] = 'A'
	} else {
		b[at] = 'B'
	}
	return string(b)
}
