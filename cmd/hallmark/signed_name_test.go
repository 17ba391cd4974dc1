package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestSignedName signs images by their own names and by others: the name is shown everywhere, and decides where a rule or the
// signer's entry wants it to be the repository's.
func TestSignedName(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	key := newSigner(t)
	s := startPlain(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, "hosts: [registry.example]\ntrust:\n  file: "+key.file+"\n"))
	const named, signed, attested = `report.named("release-key")`, `report.signedBy("release-key")`, `report.named("release-key", "provenance")`
	signedAs := map[string]string{
		"team/app": "registry.example/team/app", "team/copy": "registry.example/team/app", "team/tagged": "registry.example/team/tagged:1.0",
		"team/elsewhere": "registry.example.net/team/elsewhere", "team/unnamed": "",
	}
	own := map[string]bool{"team/app": true, "team/tagged": true}
	for repo, name := range signedAs {
		image := s.push(repo, "1.0", repo, nil)
		key.signAs(s, repo, image, image, name)
		key.attest(s, repo, image)
		for require, want := range map[string]bool{named: own[repo], signed: true, attested: repo == "team/app"} {
			if got := s.passes(repo, "1.0", require); got != want {
				t.Errorf("%s: %s is %v", repo, require, got)
			}
		}
		s.says("/api/v1/records?action=attest&repo="+repo, `"names":["pkg:docker/registry.example/team/app@1.0"]`)
		report, shown := s.hallmark("inspect", "image", repo+":1.0", "--evidence"), s.hallmark("show", repo+":1.0")
		if other := strings.Contains(report, "It is signed by release-key, for another name: "+name+"."); other != (name != "" && !own[repo]) {
			t.Errorf("%s: the report says\n%s", repo, report)
		}
		if name == "" {
			continue
		}
		s.says("/api/v1/image?ref=1.0&repo="+repo, fmt.Sprintf(`"names":[%q]`, name))
		if !strings.Contains(shown, "signed as "+name+"\n") || !strings.Contains(report, name) {
			t.Errorf("%s: the name that was signed is not shown:\n%s\n%s", repo, shown, report)
		}
	}

	key.write("    names: repository\n")
	s.reload("configuration, policy, retention, mirrors and certificate reloaded")
	for repo := range signedAs {
		if got := s.passes(repo, "1.0", signed); got != own[repo] {
			t.Errorf("%s: where the signer's signatures have to name the repository, it is signed: %v", repo, got)
		}
	}
	s.says("/api/v1/image?ref=1.0&repo=team/copy", `"reason":"name"`)
	if shown := s.hallmark("show", "team/copy:1.0"); !strings.Contains(shown, `does not count it was made for "registry.example/team/app"`) {
		t.Errorf("show says\n%s", shown)
	}
	key.write("    names: [\"registry.example/team/app\", \"pkg:docker/**\"]\n")
	s.reload("configuration, policy, retention, mirrors and certificate reloaded")
	if !s.passes("team/copy", "1.0", signed) || s.passes("team/tagged", "1.0", signed) {
		t.Error("the patterns of names do not decide")
	}
}

// passes says whether an image is as a rule wants it, at a pull.
func (s *testServer) passes(repo, tag, require string) bool {
	s.t.Helper()
	rules := fmt.Sprintf("rules:\n  - {name: tried, repositories: %q, at: pull, require: %q, owner: alice}\n", repo, require)
	status, _, body := s.do("POST", "/api/v1/policy/test", "", string(mustMarshal(map[string]any{
		"images": []any{map[string]string{"repository": repo, "tag": tag}}, "file": rules,
	})), "Content-Type", "application/json")
	if status != 200 || strings.Contains(body, `"error"`) {
		s.t.Fatalf("%s: %d: %s", require, status, body)
	}
	return !strings.Contains(body, `"rule":"tried"`)
}
