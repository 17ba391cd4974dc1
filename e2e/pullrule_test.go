//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestPullRuleLetsSignersIn has a rule that lets nobody pull what is not signed, and wants the tools with which people
// sign, attach, tag, copy and delete to work all the same for anyone who may push. Who may only pull is refused before,
// and not after.
func TestPullRuleLetsSignersIn(t *testing.T) {
	dockerHome(t)
	dir, key := t.TempDir(), cosignKey(t)
	write(t, filepath.Join(dir, "policy.yaml"), `rules:
  - {name: signed-pull, repositories: "prod/**", at: pull, require: report.signedBy("release"), owner: "#platform"}
`)
	write(t, filepath.Join(dir, "trust.yaml"), fmt.Sprintf("keys:\n  - name: release\n    file: %s.pub\n    repositories: [\"**\"]\n", key))
	write(t, filepath.Join(dir, "hallmark.yaml"), fmt.Sprintf("policy:\n  file: %s\ntrust:\n  file: %s\n", filepath.Join(dir, "policy.yaml"), filepath.Join(dir, "trust.yaml")))
	write(t, filepath.Join(dir, "predicate.json"), "{}")
	s := start(t, "--config", filepath.Join(dir, "hallmark.yaml"))
	s.trust("podman") // skopeo's
	s.systemCA()
	s.addUser("bob", bobPassword)
	mustRun(t, s.hallmark("grant", "user:bob", "**", "pull"))
	s.login("alice", alicePassword)

	crane, oras, regctl := tool(t, "crane"), tool(t, "oras"), tool(t, "regctl")
	app := s.host + "/prod/app"
	mustRun(t, exec.Command(crane, "push", archiveOfRights(t), app+":1.0"))
	digest, err := exec.Command(crane, "digest", app+":1.0").Output() // without the rule's warning, which crane prints beside it
	if err != nil {
		t.Fatal(err)
	}
	ref := app + "@" + strings.TrimSpace(string(digest))
	asBob := func(of string) *exec.Cmd {
		return exec.Command("skopeo", "inspect", "--creds", "bob:"+bobPassword, "docker://"+of)
	}
	mustFail(t, asBob(app+":1.0"), "rule signed-pull")
	attach := exec.Command(oras, "attach", ref, "--artifact-type", "application/x", "predicate.json:application/json")
	attach.Dir = dir
	mustRun(t, attach)
	mustRun(t, exec.Command(regctl, "artifact", "put", "--subject", ref, "--artifact-type", "application/x", "-m", "application/json", "-f", filepath.Join(dir, "predicate.json")))
	mustRun(t, exec.Command(crane, "tag", ref, "2.0"))
	mustRun(t, exec.Command("skopeo", "copy", "docker://"+app+":2.0", "docker://"+app+":3.0"))
	mustFail(t, asBob(app+":2.0"), "rule signed-pull") // what was attached is no signature

	flags := []string{"--key", key + ".key", "--tlog-upload=false", "--use-signing-config=false", "--yes"}
	cosign := func(verb string, more ...string) *exec.Cmd {
		return cosignWith(t, append(append([]string{verb}, flags...), append(more, ref)...)...)
	}
	mustRun(t, cosign("attest", "--type", "custom", "--predicate", filepath.Join(dir, "predicate.json")))
	mustRun(t, cosign("sign", "--new-bundle-format=false"))
	mustRun(t, cosign("sign"))
	mustRun(t, asBob(app+":1.0"))

	// With its signatures it goes into an empty repository, of which nothing was signed before.
	mustRun(t, exec.Command(oras, "cp", "-r", app+":1.0", s.host+"/prod/copy:1.0"))
	mustRun(t, asBob(s.host+"/prod/copy:1.0"))
	mustRun(t, exec.Command("skopeo", "delete", "docker://"+app+":2.0"))
	s.wantClean()
}
