package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// byHand returns the commands of "By hand" in docs/verify.md, as a script that ends at the first failure.
func byHand(t *testing.T) string {
	t.Helper()
	_, section, ok := strings.Cut(readDoc(t, "docs/verify.md"), "## By hand\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !ok || len(blocks) < 7 {
		t.Fatalf("docs/verify.md has %d blocks of commands", len(blocks))
	}
	script := "set -eu\n"
	for _, b := range blocks {
		script += b[1]
	}
	return script
}

// auditor is someone with a shell, the documentation, and files from a day when the registry was trusted.
type auditor struct {
	t      *testing.T
	s      *testServer
	script string
	dir    string
}

// wantTools leaves out a test on a machine that lacks a tool, but not in CI.
func wantTools(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("without %s nobody checks by hand", tool)
		}
	}
}

func newAuditor(t *testing.T, s *testServer) *auditor {
	t.Helper()
	wantTools(t, "curl", "jq", "openssl", "sh", "base64", "od")
	a := &auditor{t, s, byHand(t), t.TempDir()}
	for _, name := range []string{"logs.json", "receipts.json"} {
		a.write(name, s.want(200, "GET", "/keys/"+name))
	}
	return a
}

func (a *auditor) write(name, content string) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), []byte(content), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// run runs the commands for a record.
func (a *auditor) run(record, witness, script string) (string, error) {
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = a.dir
	cmd.Env = append(os.Environ(), "URL="+a.s.url, "CA="+filepath.Join(a.s.dir, certsDir, "ca.pem"), "LOGIN=admin:"+adminPassword, "N="+record, "WITNESS="+witness)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestByHand runs the commands of docs/verify.md against a real server, as an auditor does, and then on
// receipts that were changed: the commands find it.
func TestByHand(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	cosigner := newCosigner(t)
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", cosigner.config)
	for _, tag := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		s.push("team/app", tag, "layer "+tag, nil)
	}
	text, _, _ := strings.Cut(s.want(200, "GET", "/log/checkpoint"), "\n\n")
	if status, _, body := s.do("POST", "/log/cosignature", "none", cosigner.cosign(text+"\n"), "Content-Type", "application/json"); status != 200 {
		t.Fatal(body)
	}
	a := newAuditor(t, s)
	for _, record := range []string{"4", "6"} {
		out, err := a.run(record, cosigner.vkey, a.script)
		if err != nil || !strings.Contains(out, "record "+record+" is leaf "+record+" of ") {
			t.Fatalf("record %s: %v\n%s", record, err, out)
		}
		if n := strings.Count(out, "Verified"); n != 3 {
			t.Errorf("record %s: %d signatures are verified, want those of the registry, the log and the witness\n%s", record, n, out)
		}
	}
	a.wantFound(cosigner.vkey)
}

// wantFound changes a receipt in several ways before the commands see it.
func (a *auditor) wantFound(witness string) {
	good := a.s.want(200, "GET", "/api/v1/records/4/receipt")
	other := a.s.want(200, "GET", "/api/v1/records/5/receipt")
	part := func(receipt, name string) string {
		a.t.Helper()
		found := regexp.MustCompile(`"` + name + `":("[^"]*"|\[[^]]*\])`).FindStringSubmatch(receipt)
		if found == nil {
			a.t.Fatalf("a receipt has no %s", name)
		}
		return found[1]
	}
	for _, name := range []string{"payload", "sig", "hashes", "envelope"} {
		with := part(other, name)
		if name == "envelope" { // a larger size
			with = regexp.MustCompile(`^("[^\\]*\\n)([0-9]+)`).ReplaceAllString(part(good, name), "${1}1${2}")
		}
		if with == part(good, name) {
			a.t.Fatalf("both receipts have the same %s", name)
		}
		a.write("changed.json", strings.ReplaceAll(good, part(good, name), with))
		script := strings.Replace(a.script, `curl -sSf --cacert "$CA" -u "$LOGIN" "$URL/api/v1/records/$N/receipt" -o receipt.json`, "cp changed.json receipt.json", 1)
		if script == a.script {
			a.t.Fatal("the commands begin in another way")
		}
		if out, err := a.run("4", witness, script); err == nil {
			a.t.Errorf("a receipt with another %s is taken:\n%s", name, out)
		}
	}
}

// TestStockTakesIsDocumented wants the page to name what stock tools let pass.
func TestStockTakesIsDocumented(t *testing.T) {
	t.Parallel()
	source := readDoc(t, "provenance/receipt/flip_test.go")
	_, list, _ := strings.Cut(source, "var stockTakes = []string{")
	list, _, _ = strings.Cut(list, "}")
	page := readDoc(t, "docs/verify.md")
	var names []string
	if err := json.Unmarshal([]byte("["+strings.TrimSuffix(strings.TrimSpace(list), ",")+"]"), &names); err != nil || len(names) < 10 {
		t.Fatalf("%d names: %v", len(names), err)
	}
	for _, name := range names {
		if name = strings.TrimSuffix(name, " (spelling)"); !strings.Contains(page, "`"+name+"`") {
			t.Errorf("docs/verify.md does not say that stock tools take another %s", name)
		}
	}
}

// TestVerifyFindsAll pushes an image more often than the page about it shows, and wants every record verified.
func TestVerifyFindsAll(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	const pushes = 105
	for range pushes {
		s.push("team/app", "1.0", "one", nil)
	}
	var found struct {
		Verified bool
		Receipts []struct{ Record uint64 }
	}
	if err := json.Unmarshal([]byte(s.hallmark("verify", "team/app:1.0", "--json")), &found); err != nil || !found.Verified {
		t.Fatal(err, found)
	}
	seen := map[uint64]bool{}
	for _, r := range found.Receipts {
		seen[r.Record] = true
	}
	if len(seen) != pushes || len(found.Receipts) != pushes {
		t.Errorf("%d receipts of %d records, want %d", len(found.Receipts), len(seen), pushes)
	}
}
