package server_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// retaining is a server with rules of retention in a file.
type retaining struct {
	*servertest.Server
	t    *testing.T
	file string
}

// retain starts a server whose schedule runs all the time, where every says so.
func retain(t *testing.T, rules string, every time.Duration) *retaining {
	t.Helper()
	r := &retaining{t: t, file: filepath.Join(t.TempDir(), "rules.yaml")}
	r.write(rules)
	o := servertest.Options()
	o.Config.Retention.File, o.Config.Retention.Every = r.file, units.Duration(every)
	r.Server = servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
	return r
}

func (r *retaining) write(rules string) {
	r.t.Helper()
	if err := os.WriteFile(r.file, []byte(rules), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// asked asks as the administrator, and wants a status.
func (r *retaining) asked(status int, method, path, body string) string {
	r.t.Helper()
	got, said, err := r.Do(method, path, servertest.Login, []byte(body), "Content-Type", "application/json")
	if err != nil || got != status {
		r.t.Fatalf("%s %s: %d %s, %v", method, path, got, said, err)
	}
	return said
}

func (r *retaining) plan() string { return r.asked(http.StatusOK, "GET", "/api/v1/retention/plan", "") }

func (r *retaining) apply(plan string) string {
	return r.asked(http.StatusOK, "POST", "/api/v1/retention/apply", plan)
}

func (r *retaining) has(ref string) bool {
	r.t.Helper()
	status, _, err := r.Do("HEAD", "/v2/"+strings.Replace(ref, ":", "/manifests/", 1), servertest.Login, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return status == http.StatusOK
}

// schedule is what GET /api/v1/retention/rules says about the schedule.
type schedule struct {
	Approved bool
	LastRun  *struct {
		Time    time.Time
		Tags    int
		Stopped []string
		Failed  string
	}
}

func (r *retaining) schedule() (s schedule) {
	r.t.Helper()
	if err := json.Unmarshal([]byte(r.asked(http.StatusOK, "GET", "/api/v1/retention/rules", "")), &s); err != nil {
		r.t.Fatal(err)
	}
	return s
}

// ran waits for two more runs of the schedule: the second has begun after this was called.
func (r *retaining) ran() schedule {
	r.t.Helper()
	before, runs := time.Time{}, 0
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		s := r.schedule()
		if s.LastRun == nil || s.LastRun.Time.Equal(before) {
			continue
		}
		before = s.LastRun.Time
		if runs++; runs > 2 {
			return s
		}
	}
	r.t.Fatal("the schedule does not run")
	return schedule{}
}

// TestScheduleReloaded reloads rules while a schedule runs all the time: it applies only those of which somebody has applied a plan by hand, and leaves a
// repository alone of which more would go than retention.most.
func TestScheduleReloaded(t *testing.T) {
	t.Parallel()
	rules := "rules: [{name: big, repositories: team/big, keep: {newest: 5}}, {name: small, repositories: team/small, keep: {newest: 1}}]\n"
	r := retain(t, rules, 20*time.Millisecond)
	for i := range 6 {
		r.Push("team/big", fmt.Sprint(i), fmt.Sprint("layer ", i))
	}
	if s := r.ran(); s.Approved || !strings.Contains(s.LastRun.Failed, "apply a plan of these rules once by hand") || !r.has("team/big:0") {
		t.Errorf("nobody has applied the rules: %+v", s.LastRun)
	}
	old := r.plan()
	if said := r.apply(old); !strings.Contains(said, `"tags":1`) || r.has("team/big:0") {
		t.Errorf("by hand: %s", said)
	}
	r.Push("team/small", "0", "layer 0")
	r.Push("team/small", "1", "layer 1")
	r.Push("team/big", "6", "layer 6")
	if s := r.ran(); !s.Approved || s.LastRun.Failed != "" || len(s.LastRun.Stopped) != 1 || s.LastRun.Stopped[0] != "team/small" || r.has("team/big:1") || !r.has("team/small:0") {
		t.Errorf("by schedule: %+v", s.LastRun)
	}

	r.write("rules: [{name: all, repositories: team/**, keep: {newest: 0}}]\n")
	r.Reload(t.Context())
	if s := r.ran(); s.Approved || !strings.Contains(s.LastRun.Failed, "apply a plan of these rules once by hand") || !r.has("team/big:2") || !r.has("team/small:0") {
		t.Errorf("with other rules: %+v", s.LastRun)
	}
	if said := r.asked(http.StatusConflict, "POST", "/api/v1/retention/apply", old); !strings.Contains(said, "other rules") {
		t.Errorf("a plan by the former rules: %s", said)
	}
	r.write("rules: [{name: all, repositories: team/**}]\n") // a mistake leaves in force what was
	r.Reload(t.Context())
	if said := r.asked(http.StatusOK, "GET", "/api/v1/retention/rules", ""); !strings.Contains(said, "newest: 0") {
		t.Errorf("after a mistake: %s", said)
	}
	r.write(rules) // those of before were applied by hand
	r.Reload(t.Context())
	r.Push("team/big", "7", "layer 7")
	if s := r.ran(); !s.Approved || s.LastRun.Failed != "" || r.has("team/big:2") || !r.has("team/small:0") {
		t.Errorf("the former rules again: %+v", s.LastRun)
	}
}

// TestExpressions plans and applies by expressions, which the policy engine asks about images: where one is true its tag stays, and so it does where
// asking fails, with a warning. One that has become true since the plan was made keeps its tag.
func TestExpressions(t *testing.T) {
	t.Parallel()
	r := retain(t, `
untagged: {keep: 0s}
rules:
- {name: mirrored, repositories: team/app, keep: {when: image.first.repository == "origin/app"}}
- {name: twice, repositories: team/lib, keep: {when: image.arrivals.size() > 1}}
- {name: reported, repositories: team/web, keep: {when: 'report.grades["none"].grade == "A"'}}
- {name: graded, repositories: team/api, keep: {when: 'report.kind == "image" && repository.startsWith("team/")'}}
`, 0)
	r.Push("origin/app", "1", "from the origin")
	r.Push("team/app", "kept", "from the origin")
	app := r.Push("team/app", "goes", "made here")
	r.Push("team/lib", "goes", "once")
	r.Push("team/lib", "saved", "soon twice")
	r.Push("team/web", "asked", "a page")
	r.Push("team/api", "kept", "an image")
	plan := r.plan()
	for _, want := range []string{
		`{"goes":{"repository":"team/app","tag":"goes","digest":"` + app.String() + `"`,
		`{"goes":{"repository":"team/lib","tag":"goes"`,
		`{"goes":{"repository":"team/lib","tag":"saved"`,
		`"tag":"asked"`,
		"rule reported: its expression could not be evaluated for some tags (1), which stay: ", "no such key: none",
		"rule graded keeps all of the tags that it covers (1)",
		"rule twice keeps none of the tags that it covers (2)",
	} {
		if !strings.Contains(plan, want) {
			t.Errorf("the plan does not say %s", want)
		}
	}
	r.Push("elsewhere", "1", "soon twice")
	said := r.apply(plan)
	if !strings.Contains(said, `"tags":2,"manifests":2,"skipped":2,"done":true`) || strings.Count(said, `"tag":"saved"`) != 1 || !strings.Contains(said, "it is kept by now: rule twice: ") {
		t.Errorf("it is applied so: %s", said)
	}
	for ref, want := range map[string]bool{
		"team/app:kept": true, "team/app:goes": false, "team/lib:goes": false, "team/lib:saved": true, "team/web:asked": true, "team/api:kept": true,
		"team/app:" + app.String(): false,
	} {
		if r.has(ref) != want {
			t.Errorf("%s is there: %t", ref, !want)
		}
	}
}
