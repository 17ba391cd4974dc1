//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
)

// examples are the rules of docs/policy.md, and one that only warns.
const examples = `rules:
  - name: signed-releases
    repositories: release/*
    at: tag
    require: report.signedBy("release")
    owner: release@example.org
  - name: prod-grade
    repositories: prod/*
    at: pull
    require: report.grade.atLeast("B")
    owner: "#platform"
  - name: our-source
    repositories: team/*
    at: tag
    require: report.facts("source").exists(f, f.value.under("git.example/ours"))
    owner: "#platform"
  - name: ci-only
    repositories: prod/*
    at: push
    require: who.kind == "ci"
    owner: "#platform"
  - name: sbom-soon
    repositories: warned/*
    at: [tag, pull]
    effect: warn
    require: report.check("sbom").result == "pass"
    owner: "#platform"
`

// policyClient is a client, and whether it shows a refusal's reason and a warning.
type policyClient struct {
	rightsOf
	pullSays, pushSays, warns bool
}

func policyClients(t *testing.T, archive string) (all []policyClient) {
	shows := map[string][3]bool{ // pull, push, warning
		"docker": {true, true, false}, "podman": {true, true, false}, "skopeo": {true, true, false},
		"crane": {true, true, true}, "oras": {true, true, true}, "buildah": {true, true, false},
	}
	buildah := rightsOf{
		name: "buildah", pull: func(ref string) *exec.Cmd { return exec.Command("buildah", "pull", ref) },
		push: func(ref string) *exec.Cmd {
			return exec.Command("sh", "-ec", `podman load -q -i "$1" >/dev/null; buildah push hallmark-rights:1.0 "docker://$2"`, "sh", archive, ref)
		},
	}
	for _, c := range append(rightsClients(t, archive), buildah) {
		s := shows[c.name]
		all = append(all, policyClient{c, s[0], s[1], s[2]})
	}
	return all
}

// TestPolicy lets real clients meet each of the examples, and reads what they show of it.
func TestPolicy(t *testing.T) {
	dockerHome(t)
	issuer := oidctest.Start(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "policy.yaml"), examples)
	key, stranger := cosignKey(t), cosignKey(t)
	write(t, filepath.Join(dir, "trust.yaml"), fmt.Sprintf("keys:\n  - name: release\n    file: %s.pub\n    repositories: [release/*]\n", key))
	write(t, filepath.Join(dir, "hallmark.yaml"), fmt.Sprintf("policy:\n  file: %s\ntrust:\n  file: %s\noidc:\n  - issuer: %s\n    audience: hallmark\n    kind: github\n    ca: %s\n",
		filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "trust.yaml"), issuer.URL, issuer.CA()))
	s := start(t, "--config", filepath.Join(dir, "hallmark.yaml"))
	s.trust("docker")
	s.trust("podman")
	s.systemCA()
	archive := archiveOfRights(t)

	// Only CI may push to prod/*: a job does, and what it pushed is the image that nobody may pull.
	mustRun(t, s.hallmark("grant", "ci:"+issuer.URL+":repository_id=4711,ref=refs/heads/main", "prod/**", "push"))
	mustRun(t, command(issuer.Token(issuer.GitHub("hallmark", time.Now(), nil)), "docker", "login", s.host, "-u", "oidc", "--password-stdin"))
	for _, c := range rightsClients(t, archive)[:1] {
		mustRun(t, c.push(s.host+"/prod/hello:1.0"))
	}
	s.addUser("bob", bobPassword) // who may only pull: anyone who may push is warned
	mustRun(t, s.hallmark("grant", "user:bob", "**", "pull"))
	s.login("bob", bobPassword)
	for _, c := range policyClients(t, archive) {
		t.Run(c.name+" pulls", func(t *testing.T) {
			s.refused(t, c.pull(s.host+"/prod/hello:1.0"), "rule prod-grade: grade F; worst is ", c.pullSays)
		})
	}
	s.login("alice", alicePassword)
	mustRun(t, exec.Command(tool(t, "crane"), "push", archive, s.host+"/warned/hello:1.0"))
	for _, c := range policyClients(t, archive) {
		t.Run(c.name, func(t *testing.T) {
			mustRun(t, c.pull(s.host+"/prod/hello:1.0"))
			s.refused(t, c.push(s.host+"/prod/"+c.name+":1.0"), "rule ci-only: pushed by user:alice; #platform can change it", c.pushSays)
			s.refused(t, c.push(s.host+"/release/"+c.name+":1.0"), "Push by digest, sign, then tag; release@example.org can change it", c.pushSays)
			s.refused(t, c.push(s.host+"/team/"+c.name+":1.0"), "rule our-source: ", c.pushSays)
			s.warned(t, c.push(s.host+"/warned/"+c.name+":1.0"), c.warns)
			s.warned(t, c.pull(s.host+"/warned/hello:1.0"), c.warns)
		})
	}
	for _, repo := range []string{"release/docker", "release/skopeo", "team/oras"} {
		mustFail(t, s.hallmark("records", "--repo", repo), "no record was found")
	}
	s.signsThenTags(archive, key, stranger)
	s.wantClean()
}

// refused wants a command to fail, and to say why where its client shows that.
func (s *server) refused(t *testing.T, cmd *exec.Cmd, says string, shown bool) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", strings.Join(cmd.Args, " "), out)
	if err == nil || strings.Contains(string(out), says) != shown {
		t.Errorf("%v; that it says %q should be %v", err, says, shown)
	}
}

// warned wants a command to succeed, and to print the warning where its client does.
func (s *server) warned(t *testing.T, cmd *exec.Cmd, shown bool) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", strings.Join(cmd.Args, " "), out)
	if err != nil || strings.Contains(string(out), "rule sbom-soon") != shown {
		t.Errorf("%v; that it prints the warning should be %v", err, shown)
	}
}

// signsThenTags does what the refusal of a push by tag says: by digest it gets in, the signature does too, and then
// the tag. A signature by another key does not help.
func (s *server) signsThenTags(archive, key, stranger string) {
	t := s.t
	t.Helper()
	layout := "oci:" + filepath.Join(t.TempDir(), "layout") + ":1.0"
	sh(t, "skopeo", "copy", "docker-archive:"+archive, layout)
	digest := strings.TrimSpace(sh(t, "skopeo", "inspect", "--format", "{{.Digest}}", layout))
	ref := s.host + "/release/app@" + digest
	sh(t, "skopeo", "copy", layout, "docker://"+ref)
	tag := func() *exec.Cmd { return exec.Command(tool(t, "crane"), "tag", ref, "1.0") }
	mustFail(t, tag(), "rule signed-releases")
	mustRun(t, cosignWith(t, "sign", "--key", stranger+".key", "--tlog-upload=false", "--use-signing-config=false", "--yes", ref))
	mustFail(t, tag(), "rule signed-releases")
	mustRun(t, cosignWith(t, "sign", "--key", key+".key", "--tlog-upload=false", "--use-signing-config=false", "--yes", ref))
	mustRun(t, tag())
	sh(t, "skopeo", "inspect", "docker://"+s.host+"/release/app:1.0")
}

// cosignKey makes a pair of keys, and returns their files' names without .key and .pub.
func cosignKey(t *testing.T) string {
	t.Helper()
	prefix := filepath.Join(t.TempDir(), "signer")
	mustRun(t, cosignWith(t, "generate-key-pair", "--output-key-prefix", prefix))
	return prefix
}

// cosignDir makes a directory with a pair of keys, cosign.key and cosign.pub, and returns it with what runs cosign in it.
func cosignDir(t *testing.T) (dir string, in func(args ...string) *exec.Cmd) {
	t.Helper()
	dir = t.TempDir()
	in = func(args ...string) *exec.Cmd {
		t.Helper()
		cmd := cosignWith(t, args...)
		cmd.Dir = dir
		return cmd
	}
	mustRun(t, in("generate-key-pair"))
	return dir, in
}

func cosignWith(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(tool(t, "cosign"), args...)
	cmd.Env = append(cmd.Environ(), "COSIGN_PASSWORD=")
	return cmd
}
