package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
	"oras.land/oras-go/v2"
)

// TestActsElsewhere copies images from one registry to another that trusts its word, with all that refers to them. There, too, a login
// proves an act: nothing says that the job built what it pushed.
func TestActsElsewhere(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	b := a.mirror()
	for name, c := range map[string]struct {
		do   func(repo string)
		from bool // where the job ran is told
	}{
		"ci": {func(repo string) { a.image(ci, repo, "1.0", repo) }, true},
		"tags": {func(repo string) {
			a.image("alice", repo, "", repo)
			a.image(ci, repo, "1.0", repo)
		}, true},
		"staging": {func(repo string) {
			a.image("alice", "staging/app", "1.0", repo)
			a.image(ci, repo, "1.0", repo)
		}, true},
		"joined": {func(repo string) {
			a.index(ci, repo, "1.0", map[string]digest.Digest{"amd64": a.image("alice", repo, "", repo+"amd64"), "arm64": a.image("alice", repo, "", repo+"arm64")})
		}, true},
		"comment": {func(repo string) { a.image("job issue_comment", repo, "1.0", repo) }, false},
	} {
		c.do("team/" + name)
		copyAll(t, a.testServer, b, "team/"+name, "mirror/team/"+name)
		for rule, want := range map[string]bool{
			`report.facts("source").exists(f, f.class == "attested" || f.by != "")`:                             false,
			`report.facts("revision").exists(f, f.class == "attested" || f.by != "")`:                           false,
			`report.facts("pushed-by").exists(f, f.by == "a" && f.value == "ci:octo/app")`:                      true,
			`report.facts("pushed-from").exists(f, f.by == "a" && f.value.under("octo/app"))`:                   c.from,
			`report.facts("pushed-revision").exists(f, f.by == "a" && f.value == "` + jobHead + `")`:            c.from,
			`has(image.first.job) && image.first.job.counts || report.check("source-known").points > 4`:         false,
			`report.facts("pushed-from").exists(f, f.by == "a" && f.class != "attested" || f.by == "upstream")`: false,
		} {
			if got := b.passes("mirror/team/"+name, "1.0", rule); got != want {
				t.Errorf("%s: %s: %t", name, rule, got)
			}
		}
		b.wantWordOfA(name, a.issuer.URL+onlyAct)
	}
}

// mirror is another registry that trusts this one's word.
func (a *acting) mirror() *testServer {
	a.t.Helper()
	dir := a.t.TempDir()
	for _, name := range []string{"logs.json", "receipts.json"} {
		status, _, body := a.do("GET", "/keys/"+name, "", "")
		if status != 200 {
			a.t.Fatalf("%s: %d: %s", name, status, body)
		}
		writeIn(a.t, dir, name, body)
	}
	writeIn(a.t, dir, "trust.yaml", "registries:\n  - name: a\n    logs: logs.json\n    receipts: receipts.json\n    repositories: [{theirs: '**', ours: 'mirror/**'}]\n")
	b := startServer(a.t, filepath.Join(dir, "data"), "--config", writeIn(a.t, dir, "hallmark.yaml", "trust:\n  file: trust.yaml\n"))
	return b
}

// copyAll copies an image and what refers to it, as `oras cp -r` does.
func copyAll(t *testing.T, from, to *testServer, theirs, ours string) {
	t.Helper()
	src, err := repository(from.client, addressOf(from.url), "admin:"+adminPassword, theirs)
	if err != nil {
		t.Fatal(err)
	}
	dst, err := repository(to.client, addressOf(to.url), "admin:"+adminPassword, ours)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := oras.ExtendedCopy(context.Background(), src, "1.0", dst, "1.0", oras.DefaultExtendedCopyOptions); err != nil {
		t.Fatal(err)
	}
}

// wantWordOfA wants everything that tells of a record of the other registry to say what a login is worth.
func (s *testServer) wantWordOfA(name, says string) {
	s.t.Helper()
	query := "?repo=mirror/team/" + name + "&ref=1.0"
	for _, path := range []string{"/api/v1/image", "/api/v1/report"} {
		if status, _, body := s.do("GET", path+query, "admin:"+adminPassword, ""); status != 200 || !strings.Contains(body, says) {
			s.t.Errorf("%s: %s does not say %q: %d: %s", name, path, says, status, body)
		}
	}
	if shown := s.hallmark("show", "mirror/team/"+name+":1.0"); !strings.Contains(shown, says) {
		s.t.Errorf("%s: show does not say %q:\n%s", name, says, shown)
	}
}

// TestActsPushed has images that a job was the first to push, and that claim no source, or another one: they have 6 points.
func TestActsPushed(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	for name, c := range map[string]struct {
		labels map[string]string
		says   string
	}{
		"silent":         {nil, "It claims no source itself."},
		"elsewhere":      {map[string]string{"org.opencontainers.image.source": "https://github.com/octo/web", "org.opencontainers.image.revision": jobHead}, "What it claims itself is not the same."},
		"another commit": {map[string]string{"org.opencontainers.image.source": jobSource, "org.opencontainers.image.revision": strings.Repeat("f", 40)}, "What it claims itself is not the same."},
	} {
		repo := "prod/" + strings.ReplaceAll(name, " ", "-")
		if _, err := pushTo(context.Background(), a.as(ci, repo), "1.0", repo, c.labels); err != nil {
			t.Fatal(err)
		}
		if points, says := a.sourceKnown("admin", repo); points != 6 || says != firstJob+". "+c.says {
			t.Errorf("%s: %d points: %s", name, points, says)
		}
	}
}

// sourceKnown is what the report says of the source of an image.
func (s *testServer) sourceKnown(who, repo string) (points int, says string) {
	s.t.Helper()
	var report struct {
		Checks []struct {
			ID, Says string
			Points   int
		}
	}
	status, _, body := s.do("GET", "/api/v1/report?ref=1.0&repo="+repo, who+":"+adminPassword, "")
	if err := json.Unmarshal([]byte(body), &report); status != 200 || err != nil {
		s.t.Fatalf("%d, %v: %s", status, err, body)
	}
	for _, c := range report.Checks {
		if c.ID == "source-known" {
			points, says = c.Points, c.Says
		}
	}
	return points, says
}

// TestActsOfGitLab has a job of GitLab sign in with a token of the documented form, push, and count as the first to do so.
func TestActsOfGitLab(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	issuer := oidctest.Start(t)
	config := fmt.Sprintf("oidc:\n  - issuer: %s\n    audience: hallmark\n    kind: gitlab\n    ca: %s\n", issuer.URL, issuer.CA())
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, config))
	s.hallmark("grant", "ci:"+issuer.URL+":project_id=20,ref=main", "team/**", "push")
	push := func(repo string, changes map[string]any) error {
		target, err := repository(s.client, addressOf(s.url), "oidc:"+issuer.Token(issuer.GitLab("hallmark", time.Now(), changes)), repo)
		if err != nil {
			t.Fatal(err)
		}
		_, err = pushTo(context.Background(), target, "1.0", repo, map[string]string{
			"org.opencontainers.image.source": issuer.URL + "/octo/app.git", "org.opencontainers.image.revision": jobHead,
		})
		return err
	}
	if err := push("team/app", nil); err != nil {
		t.Fatal(err)
	}
	for name, changes := range map[string]map[string]any{
		"another project": {"project_id": "42"}, "another branch": {"ref": "topic"}, "another audience": {"aud": "https://elsewhere.example"},
	} {
		if err := push("team/other", changes); err == nil {
			t.Errorf("%s: it was let in", name)
		}
	}
	want := "First pushed here by a job of " + issuer.URL + "/octo/app at " + jobHead + onlyAct + ". It claims the same source."
	if points, says := s.sourceKnown("admin", "team/app"); points != 8 || says != want {
		t.Errorf("%d points: %s\nwant %s", points, says, want)
	}
	if !s.passes("team/app", "1.0", `image.first.means == "CI" && image.first.job.counts && image.first.job.event == "push"`) {
		t.Error("rules see no job that counts")
	}
	for run, found := range map[string]bool{"/octo/app/-/jobs/302": true, "/octo/app/-/pipelines/574": true, "/octo/app/-/jobs/303": false, "/octo/other/-/jobs/302": false} {
		q := "?q=" + url.QueryEscape(issuer.URL+run)
		if answer := s.want(200, "GET", "/api/v1/search"+q); strings.Contains(answer, `"job_id":"302"`) != found {
			t.Errorf("a search for the run %s says %s", run, answer)
		}
		_, _, page := s.do("GET", "/search"+q, "admin:"+adminPassword, "", "Accept", "text/html")
		if strings.Contains(page, "pushed as 1.0") != found {
			t.Errorf("the page about the run %s says %s", run, page)
		}
	}
	if shown := s.hallmark("show", "team/app:1.0"); strings.Contains(shown, "mona") || !strings.Contains(shown, "a job of "+issuer.URL+"/octo/app") {
		t.Errorf("show says\n%s", shown)
	}
}

// writeIn writes a file into a directory, and returns its path.
func writeIn(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
