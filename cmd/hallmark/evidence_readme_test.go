package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestEvidenceReadme runs every command in the page of an evidence file as it is printed there, for each record, with the registry
// gone. On a record that was changed they fail.
func TestEvidenceReadme(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	wantTools(t, "jq", "openssl", "sh", "tar", "sha256sum", "base64")
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	for _, layer := range []string{"one", "two", "three", "two"} {
		s.push("team/app", "1.0", layer, nil)
	}
	s.hallmark("key", "rotate")
	s.push("team/app", "1.0", "four", nil)
	dir := t.TempDir()
	s.hallmark("evidence", "team/app:1.0", "--layers", "-o", filepath.Join(dir, "FILE.tar"))
	for _, name := range []string{"logs.json", "receipts.json"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(s.want(200, "GET", "/keys/"+name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.kill()
	unpacked := filepath.Join(dir, "unpacked")
	sh := func(record, keys, script string) (string, error) {
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir, cmd.Env = unpacked, append(os.Environ(), "N="+record, "KEYS="+keys)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if err := os.Mkdir(unpacked, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := sh("", "", "tar xf ../FILE.tar"); err != nil {
		t.Fatal(err, out)
	}
	page, err := os.ReadFile(filepath.Join(unpacked, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := ""
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		script += block[1]
	}
	if n := strings.Count(script, "openssl"); n < 4 {
		t.Fatalf("the page has %d commands with openssl", n)
	}
	records, err := filepath.Glob(filepath.Join(unpacked, "records/*.json"))
	if err != nil || len(records) != 7 {
		t.Fatal(records, err)
	}
	for _, keys := range []string{dir, "keys"} {
		for _, path := range records {
			n := numberIn(path)
			out, err := sh(n, keys, script)
			if err != nil || !strings.Contains(out, "record "+n+" is leaf "+n+" of ") {
				t.Errorf("record %s by %s: %v\n%s", n, keys, err, out)
			}
		}
	}
	changed := records[2]
	file, err := os.ReadFile(changed)
	if err != nil {
		t.Fatal(err)
	}
	n := numberIn(changed)
	_, sums, _ := strings.Cut(script, "sha256sum -c --quiet sha256sums\n")
	for _, field := range []string{`"payload":"`, `"sig":"`, `"hashes":["`, `"logIndex":"`} {
		at := bytes.Index(file, []byte(field)) + len(field)
		other := bytes.Clone(file)
		other[at] ^= 1
		if err := os.WriteFile(changed, other, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := sh(n, dir, script); err == nil {
			t.Errorf("%s was changed: %s", field, out)
		}
		if out, err := sh(n, dir, sums); err == nil {
			t.Errorf("%s was changed, and the sums as well: %s", field, out)
		}
	}
}

// numberIn is the number of the record in the name of its file.
func numberIn(path string) string {
	return firstOf(strings.TrimLeft(strings.TrimSuffix(filepath.Base(path), ".json"), "0"), "0")
}
