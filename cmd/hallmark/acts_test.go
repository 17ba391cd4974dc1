package main

import (
	"context"
	"encoding/json"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
)

// acting is a registry with people and jobs that push, tag and delete.
type acting struct {
	*testServer
	issuer *oidctest.Provider
	head   string // the commit that jobs run at
}

const (
	jobSource = "https://github.com/octo/app"
	jobHead   = "0123456789abcdef0123456789abcdef01234567"
	theJob    = "a job of octo/app at " + jobHead
	onlyAct   = " (its login proves that, not the build)"
	firstJob  = "First pushed here by " + theJob + onlyAct
)

// theirOwn are labels as a build in the job makes them.
var theirOwn = map[string]string{"org.opencontainers.image.source": jobSource, "org.opencontainers.image.revision": jobHead}

func newActing(t *testing.T, config string) *acting {
	t.Helper()
	issuer := oidctest.Start(t)
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--config", writeFile(t, jobsOf(issuer)+config))
	a := &acting{s, issuer, jobHead}
	for _, name := range []string{"alice", "bob", "carol"} {
		a.addUser(name)
	}
	for _, g := range []string{"user:alice ** delete", "user:bob ** delete", "user:carol prod/** pull", "ci:" + issuer.URL + ":repository_id=4711 ** push"} {
		s.hallmark(append([]string{"grant"}, strings.Fields(g)...)...)
	}
	return a
}

// login is how somebody signs in: a person by name, or a job by the event that started it.
func (a *acting) login(who string) string {
	if event, isJob := strings.CutPrefix(who, "job "); isJob {
		return "oidc:" + a.issuer.Token(a.issuer.GitHub("hallmark", time.Now(), map[string]any{"event_name": event, "sha": a.head}))
	}
	if who == "admin" {
		return "admin:" + adminPassword
	}
	return who + ":" + tablePassword
}

const ci = "job push"

func (a *acting) as(who, repo string) *remote.Repository {
	a.t.Helper()
	r, err := repository(a.client, addressOf(a.url), a.login(who), repo)
	if err != nil {
		a.t.Fatal(err)
	}
	return r
}

func (a *acting) image(who, repo, tag, layer string) digest.Digest {
	a.t.Helper()
	d, err := pushTo(context.Background(), a.as(who, repo), tag, layer, theirOwn)
	if err != nil {
		a.t.Fatal(err)
	}
	return d
}

// index joins manifests of a repository: each is attestation where its name begins with "att".
func (a *acting) index(who, repo, tag string, parts map[string]digest.Digest) digest.Digest {
	a.t.Helper()
	ctx, r := context.Background(), a.as(who, repo)
	m := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	m.SchemaVersion = 2
	for _, name := range []string{"amd64", "arm64", "attestation"} {
		d, listed := parts[name]
		if !listed {
			continue
		}
		desc, err := r.Resolve(ctx, d.String())
		if err != nil {
			a.t.Fatal(err)
		}
		desc.Platform = &ocispec.Platform{OS: "linux", Architecture: name}
		if name == "attestation" {
			desc.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
			desc.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest"}
		}
		m.Manifests = append(m.Manifests, desc)
	}
	data := mustMarshal(m)
	desc := content.NewDescriptorFromBytes(m.MediaType, data)
	if err := r.PushReference(ctx, desc, strings.NewReader(string(data)), tag); err != nil {
		a.t.Fatal(err)
	}
	return desc.Digest
}

func (a *acting) delete(who, repo string, d digest.Digest) {
	a.t.Helper()
	if status, _, body := a.do("DELETE", "/v2/"+repo+"/manifests/"+d.String(), a.login(who), ""); status != 202 {
		a.t.Fatalf("%d: %s", status, body)
	}
}

// told is what the registry tells of an image, by everything that tells it.
type told struct {
	first, tagged string
	points        int
	says          string // of the report
	shown         string
	counts        bool // by a rule
	body          string
}

func (a *acting) told(who, repo, tag string) (t told) {
	a.t.Helper()
	query := "?" + url.Values{"repo": {repo}, "ref": {tag}}.Encode()
	read := func(path string, into any) string {
		status, _, body := a.do("GET", path+query, a.login(who), "")
		if err := json.Unmarshal([]byte(body), into); status != 200 || err != nil {
			a.t.Fatalf("%s: %d, %v: %s", path, status, err, body)
		}
		return body
	}
	type act struct {
		Action, Repository string
		Actor              struct{ Kind, Handle string }
		Job                struct{ Event string }
	}
	name := func(a *act) string {
		if a == nil {
			return ""
		}
		return strings.TrimPrefix(a.Actor.Kind+":"+a.Actor.Handle, "user:") + " " + a.Repository
	}
	var image struct {
		First, Tagged *act
		Built         struct{ Class, Source string }
	}
	t.body = read("/api/v1/image", &image)
	t.first, t.tagged = name(image.First), name(image.Tagged)
	if image.Built.Class != "claimed" || image.Built.Source != jobSource {
		a.t.Errorf("%s: built %+v", repo, image.Built)
	}
	var report struct {
		Checks []struct {
			ID, Says string
			Points   int
		}
	}
	read("/api/v1/report", &report)
	for _, c := range report.Checks {
		if c.ID == "source-known" {
			t.points, t.says = c.Points, c.Says
		}
	}
	t.shown = a.hallmark("show", repo+":"+tag)
	t.counts = a.passes(repo, tag, "image.first.job.counts") && a.passes(repo, tag, `report.facts("source").exists(f, f.class == "authenticated")`)
	return t
}

// TestActs does what people and jobs do with images, and wants everything that tells of it to tell who did what, and
// to take no act for a build.
func TestActs(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	a := newActing(t, "")
	const claims = "It claims to be built from " + jobSource + " at " + jobHead + "; nothing proves it. "
	for name, c := range map[string]struct {
		do            func(repo string)
		first, tagged string
		points        int
		says          string
	}{
		"ci": {func(repo string) { a.image(ci, repo, "1.0", repo) }, "ci:octo/app prod/ci", "ci:octo/app prod/ci", 8, firstJob + "."},
		"tags": {func(repo string) {
			a.image("alice", repo, "", repo)
			a.image(ci, repo, "1.0", repo)
		}, "alice prod/tags", "ci:octo/app prod/tags", 4, claims + "First pushed here by alice; also pushed by " + theJob + onlyAct + "; tagged by a job of octo/app."},
		"promoted": {func(repo string) {
			a.image(ci, "staging/promoted", "1.0", repo)
			a.image("alice", repo, "1.0", repo)
		}, "ci:octo/app staging/promoted", "alice prod/promoted", 8, firstJob + "; copied by alice; tagged by alice."},
		"later": {func(repo string) {
			a.image("alice", repo, "1.0", repo)
			a.image(ci, repo, "1.0", repo)
		}, "alice prod/later", "ci:octo/app prod/later", 4, "also pushed by " + theJob + onlyAct},
		"platforms": {func(repo string) {
			a.index(ci, repo, "1.0", map[string]digest.Digest{
				"amd64": a.image(ci, repo, "", repo+"amd64"), "arm64": a.image(ci, repo, "", repo+"arm64"), "attestation": a.image("alice", repo, "", "statement"),
			})
		}, "ci:octo/app prod/platforms", "ci:octo/app prod/platforms", 8, firstJob + "."},
		"joined": {func(repo string) {
			a.index(ci, repo, "1.0", map[string]digest.Digest{"amd64": a.image(ci, repo, "", repo+"amd64"), "arm64": a.image("alice", repo, "", repo+"arm64")})
		}, "ci:octo/app prod/joined", "ci:octo/app prod/joined", 4, claims + firstJob + ", which does not count: its platform sha256:"},
		"other-commit": {func(repo string) {
			a.head = strings.Repeat("f", 40)
			d := a.image(ci, repo, "", repo+"arm64")
			a.head = jobHead
			a.index(ci, repo, "1.0", map[string]digest.Digest{"amd64": a.image(ci, repo, "", repo+"amd64"), "arm64": d})
		}, "ci:octo/app prod/other-commit", "ci:octo/app prod/other-commit", 4, "was first pushed by a job of octo/app at " + strings.Repeat("f", 40)},
		"deleted": {func(repo string) {
			a.delete("bob", repo, a.image(ci, repo, "1.0", repo))
			a.image("alice", repo, "1.0", repo)
		}, "ci:octo/app prod/deleted", "alice prod/deleted", 8, firstJob + "; tagged by alice; deleted by bob (record "},
		"comment":  {func(repo string) { a.image("job issue_comment", repo, "1.0", repo) }, "ci:octo/app prod/comment", "ci:octo/app prod/comment", 4, "started by issue_comment"},
		"workflow": {func(repo string) { a.image("job workflow_run", repo, "1.0", repo) }, "ci:octo/app prod/workflow", "ci:octo/app prod/workflow", 4, "started by workflow_run"},
		"copied-by-ci": {func(repo string) { // from where nobody here can know: the docs say so
			a.image(ci, repo, "1.0", repo)
		}, "ci:octo/app prod/copied-by-ci", "ci:octo/app prod/copied-by-ci", 8, firstJob + "."},
	} {
		repo := "prod/" + name
		c.do(repo)
		got := a.told("admin", repo, "1.0")
		if got.first != c.first || got.tagged != c.tagged || got.points != c.points || !strings.Contains(got.says, c.says) {
			t.Errorf("%s: first %q, tagged %q, %d points: %s", name, got.first, got.tagged, got.points, got.says)
		}
		if got.counts != (c.points == 8) {
			t.Errorf("%s: rules see a job that counts: %t", name, got.counts)
		}
		says := strings.TrimSuffix(strings.TrimPrefix(c.says, claims), ".")
		if !strings.Contains(got.shown, says) || !strings.Contains(got.shown, "nobody has proved it") {
			t.Errorf("%s: show does not say %q:\n%s", name, says, got.shown)
		}
		_, arrivals, _ := strings.Cut(got.shown, "oldest first\n")
		if times := regexp.MustCompile(`(?m)^  20\S+`).FindAllString(arrivals, -1); !slices.IsSorted(times) {
			t.Errorf("%s: show has the arrivals in another order:\n%s", name, arrivals)
		}
		if any := a.passes(repo, "1.0", `image.arrivals.exists(a, a.means == "CI" && a.job.source.under("octo/app"))`); !any {
			t.Errorf("%s: rules see no arrival by the job", name)
		}
	}
}

// TestActsUnseen has an image whose first push is where some people may not look: rules see it all the same, and tell
// nobody.
func TestActsUnseen(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	rules := writeFile(t, `rules:
  - {name: attested, repositories: guarded/**, at: tag, require: 'report.facts("source").exists(f, f.class == "attested") && report.check("source-known").points >= 12', owner: bob}
  - {name: of-ci, repositories: prod/**, at: [push, tag, pull], require: 'image.first.job.counts && image.first.job.source.under("octo/app")', owner: bob}
`)
	a := newActing(t, "policy:\n  file: "+rules+"\n")
	a.image(ci, "staging/app", "1.0", "one")
	a.image("alice", "prod/app", "1.0", "one")
	status, _, body := a.do("GET", "/v2/prod/app/manifests/1.0", a.login("carol"), "")
	if status != 200 {
		t.Errorf("a pull of what a job was the first to push: %d: %s", status, body)
	}
	if got := a.told("admin", "prod/app", "1.0"); got.first != "ci:octo/app staging/app" || got.points != 8 {
		t.Errorf("an administrator is told %q, %d points", got.first, got.points)
	}
	got := a.told("carol", "prod/app", "1.0")
	if got.first != "" || got.tagged != "alice prod/app" || got.points != 4 || !strings.Contains(got.says, "Pushed here by alice.") {
		t.Errorf("carol is told %q, %q, %d points: %s", got.first, got.tagged, got.points, got.says)
	}
	for _, secret := range []string{"staging", "a job of"} {
		if strings.Contains(got.body+got.says, secret) {
			t.Errorf("carol is told of %s: %s, %s", secret, got.body, got.says)
		}
	}
	if _, err := pushTo(context.Background(), a.as("bob", "prod/own"), "1.0", "by hand", theirOwn); err == nil || !strings.Contains(err.Error(), "rule of-ci: First pushed here by bob; ") {
		t.Errorf("what no job has pushed: %v", err)
	}
	_, err := pushTo(context.Background(), a.as("alice", "guarded/app"), "1.0", "one", theirOwn)
	if err == nil || !strings.Contains(err.Error(), "rule attested") || strings.Contains(err.Error(), "a job of") || strings.Contains(err.Error(), "login") && !strings.Contains(err.Error(), "another repository") {
		t.Errorf("a refusal that tells too much, or is none: %v", err)
	}
}
