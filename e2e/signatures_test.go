//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCosignVerdicts signs and attests with cosign and a key, in its older form and in its newer: what the registry
// found when that came is on record, and the report goes by it.
func TestCosignVerdicts(t *testing.T) {
	crane := tool(t, "crane")
	dir, in := cosignDir(t)
	write(t, filepath.Join(dir, "trust.yaml"), `keys:
  - name: release-key
    file: cosign.pub
    repositories: [team/*]
builders:
  - id: https://ci.example/*
    by: release-key
`)
	write(t, filepath.Join(dir, "slsa.json"), `{"buildDefinition":{"buildType":"https://ci.example/type","externalParameters":{"configSource":
		{"uri":"git+https://git.example/team/app","digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}},"internalParameters":{},"resolvedDependencies":[]},
		"runDetails":{"builder":{"id":"https://ci.example/builder"},"metadata":{}}}`)
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	s := start(t)
	s.systemCA()
	dockerHome(t)
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	offline := []string{"--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false"}
	for name, c := range map[string]struct {
		flags []string
		forms string
	}{
		"older": {[]string{"--new-bundle-format=false"}, "dsse, simple signing"},
		"newer": {nil, "sigstore bundle, sigstore bundle"},
	} {
		write(t, filepath.Join(dir, name), name)
		sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, name+".tar"), name)
		ref := s.host + "/team/" + name + ":1.0"
		sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, name+".tar"), "-t", ref)
		digest := strings.TrimSpace(sh(t, crane, "digest", ref))
		image := s.host + "/team/" + name + "@" + digest
		flags := append(offline[:len(offline):len(offline)], c.flags...)
		mustRun(t, in(append(append([]string{"sign"}, flags...), image)...))
		mustRun(t, in(append(append([]string{"attest", "--type", "slsaprovenance1", "--predicate", "slsa.json"}, flags...), image)...))
		s.wantVerdicts("team/"+name, digest, c.forms)
	}
	s.wantClean()
}

// wantVerdicts wants two good verdicts about an image, what was attested of it, and the checks that go by that.
func (s *server) wantVerdicts(repo, digest, forms string) {
	s.t.Helper()
	out := s.get("/api/v1/records?action=attest&repo=" + repo)
	var page struct {
		Records []struct {
			Digest   string
			Verdict  struct{ Result, Form, Signer string }
			Attested []struct{ Fact, Value, Signer string }
		}
	}
	if err := json.Unmarshal([]byte(out), &page); err != nil || len(page.Records) != 2 {
		s.t.Fatalf("%s: the records are %s", repo, out)
	}
	var found []string
	facts := map[string]string{}
	for _, r := range page.Records {
		found = append(found, r.Verdict.Form)
		if r.Digest != digest || r.Verdict.Result != "good" || r.Verdict.Signer != "release-key" {
			s.t.Errorf("%s: %+v", repo, r)
		}
		for _, a := range r.Attested {
			facts[a.Fact] = a.Value
		}
	}
	if got := strings.Join(found, ", "); got != forms {
		s.t.Errorf("%s: the forms are %s, want %s", repo, got, forms)
	}
	if facts["source"] != "git+https://git.example/team/app" || facts["revision"] != "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d" || facts["builder"] != "https://ci.example/builder" {
		s.t.Errorf("%s: attested is %v", repo, facts)
	}
	report := mustRun(s.t, s.hallmark("inspect", "image", repo+":1.0"))
	for _, want := range []string{"pass  12/12  signature", "pass  12/12  source-known", "pass  10/10  build-provenance"} {
		if !strings.Contains(report, want) {
			s.t.Errorf("%s: the report does not say %q:\n%s", repo, want, report)
		}
	}
	if shown := mustRun(s.t, s.hallmark("show", repo+":1.0")); !strings.Contains(shown, "by release-key") || !strings.Contains(shown, "attested:") {
		s.t.Errorf("%s: show prints %s", repo, shown)
	}
}

// TestCosignImmutable signs an image twice, and attests it twice, in cosign's older form, where a rule keeps all tags: refused
// by the rule alone, and taken with the exception that the command offers. The image's own tag stays.
func TestCosignImmutable(t *testing.T) {
	crane := tool(t, "crane")
	dir, in := cosignDir(t)
	write(t, filepath.Join(dir, "predicate.json"), "{}")
	s := start(t)
	s.systemCA()
	dockerHome(t)
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	push := func(repo, content string) *exec.Cmd {
		write(t, filepath.Join(dir, content), content)
		sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, content+".tar"), content)
		return exec.Command(crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, content+".tar"), "-t", s.host+"/"+repo+":1.0")
	}
	flags := []string{"--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"}
	for _, c := range []struct {
		repo, exception string
		again           func(*testing.T, *exec.Cmd)
	}{
		{"team/strict", "", func(t *testing.T, cmd *exec.Cmd) { t.Helper(); mustFail(t, cmd, "immutable") }},
		{"team/signed", "--except-signatures", func(t *testing.T, cmd *exec.Cmd) { t.Helper(); mustRun(t, cmd) }},
	} {
		mustRun(t, s.hallmark(strings.Fields("tags immutable "+c.repo+" * "+c.exception)...))
		mustRun(t, push(c.repo, "one"))
		image := s.host + "/" + c.repo + "@" + strings.TrimSpace(sh(t, crane, "digest", s.host+"/"+c.repo+":1.0"))
		sign := append(append([]string{"sign"}, flags...), "-a", "for=one", image)
		attest := append(append([]string{"attest", "--type", "custom", "--predicate", "predicate.json"}, flags...), image)
		mustRun(t, in(sign...))
		mustRun(t, in(attest...))
		sign[len(sign)-2] = "for=two"
		c.again(t, in(sign...))
		c.again(t, in(attest...))
		mustFail(t, push(c.repo, "two"), "immutable")
	}
	s.wantClean()
}
