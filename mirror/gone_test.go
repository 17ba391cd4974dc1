package mirror_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// rule writes another file of rules, and starts the server again.
func (m *mirrored) rule(text string) {
	m.t.Helper()
	m.Stop()
	write(m.t, m.file, []byte(text))
	m.startAgain()
}

// TestRepositoriesGone has a repository go from the upstream's catalog, and wants of its tags what the rule says; where they are many, a person
// has to run the mirror.
func TestRepositoriesGone(t *testing.T) {
	t.Parallel()
	for name, many := range map[string]bool{"few": false, "many": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			for i := range 5 {
				if many {
					u.move(fmt.Sprint("n", i), u.one)
				}
			}
			var others atomic.Bool
			u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == "/v2/_catalog" {
					fmt.Fprintf(w, `{"repositories":[%q]}`, map[bool]string{false: "team/app", true: "other/app"}[others.Load()])
					return true
				}
				return false
			}
			m := newMirrored(t, strings.Replace(ruleOf(u, "deleted: delete"), "[team/app]", `["team/*"]`, 1))
			m.settled()
			if m.means("1.0") == "" {
				t.Fatal("it did not come")
			}
			others.Store(true)
			m.again()
			s := m.settled()
			if got := m.means("1.0") != ""; got != many {
				t.Errorf("its tag is there: %t; %+v", got, s.Last)
			}
			if !many {
				return
			}
			if len(s.Last.Left) != 1 || !strings.Contains(s.Last.Left[0].Why, "8 of its 8 tags are gone upstream") || s.Last.Counts.Refused != 0 {
				t.Errorf("%+v", s.Last)
			}
			if _, report, said := m.run(); report.Removed != 8 || m.means(u.one.Digest.String()) != "" {
				t.Error(said)
			}
		})
	}
}

// TestNamedRepositoryGone has the list of tags of a repository that the rule names be 404. A schedule leaves that to a person, and says so; where tags that
// are gone stay, it is refused.
func TestNamedRepositoryGone(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		refused, removed int64
		left             int
	}{"keep": {refused: 1}, "untag": {left: 1, removed: 3}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			var gone atomic.Bool
			u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
				if gone.Load() && strings.HasSuffix(r.URL.Path, "/tags/list") {
					w.WriteHeader(http.StatusNotFound)
					fmt.Fprint(w, `{"errors":[{"code":"NAME_UNKNOWN"}]}`)
					return true
				}
				return false
			}
			m := newMirrored(t, ruleOf(u, "deleted: "+kind))
			m.settled()
			gone.Store(true)
			m.again()
			if s := m.settled(); s.Last.Counts.Refused != c.refused || len(s.Last.Left) != c.left || s.Last.Removed != 0 || m.means("1.0") == "" {
				t.Errorf("%+v", s.Last)
			}
			if _, report, said := m.run(); report.Counts.Refused != c.refused || report.Removed != c.removed {
				t.Error(said)
			}
		})
	}
}

// dry runs the mirror and changes nothing.
func (m *mirrored) dry() (report mirror.Followed) {
	m.t.Helper()
	before, status := m.records(), m.settled()
	code, body, err := m.Do("POST", "/api/v1/mirrors/hub/run", servertest.Login, []byte(`{"dryRun":true}`), "Content-Type", "application/json")
	if err != nil || code != http.StatusOK {
		m.t.Fatalf("%d %s, %v", code, body, err)
	}
	report = reportIn(body)
	if !report.DryRun {
		m.t.Errorf("it is no dry run: %s", body)
	}
	if after := m.settled(); len(m.records()) != len(before) || !after.Ended.Equal(status.Ended.Time) || len(after.Waiting) != len(status.Waiting) {
		m.t.Errorf("a dry run changed something: %+v, and before %+v", after, status)
	}
	return report
}

// TestDryRun wants a dry run to count what a run then does.
func TestDryRun(t *testing.T) {
	t.Parallel()
	for kind, hold := range map[string]string{"free": "rate: 1000", "held": "hold: {until: approved}"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			m := newMirrored(t, ruleOf(u, "deleted: untag", hold))
			m.settled()
			u.move("1.0", u.image(t, "amd64", nil, "a", "f"))
			u.move("latest", ocispec.Descriptor{})
			would := m.dry()
			_, did, said := m.run()
			if would.Removed != did.Removed || would.Came != did.Came || would.Held != did.Held || would.Blobs != did.Blobs || would.Bytes != did.Bytes || would.Images != did.Images {
				t.Errorf("it would be %+v, and was %s", would, said)
			}
			if again := m.dry(); again.Came != 0 || again.Bytes != 0 || again.Removed != 0 {
				t.Errorf("behind the run: %+v", again)
			}
		})
	}
}

// TestPlatformsOfRule brings one platform of an index, and the other once the rule is for all: the index has one record.
func TestPlatformsOfRule(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u, "platforms: linux/amd64"))
	m.settled()
	arm := u.arm.Digest.String()
	if s := m.settled(); s.Last.LeftOut == 0 || m.means(u.multi.Digest.String()) == "" || m.means(u.amd.Digest.String()) == "" || m.means(arm) != "" {
		t.Fatalf("one platform: %+v", s.Last)
	}
	if _, report, said := m.run(); report.Came != 0 {
		t.Errorf("without news: %s", said)
	}
	m.rule(ruleOf(u, "platforms: [linux/amd64, linux/arm64]"))
	if _, report, said := m.run(); report.Came != 1 || m.means(arm) == "" {
		t.Errorf("another platform: %s", said)
	}
	records := 0
	for _, r := range m.records() {
		if r.Digest == u.multi.Digest {
			records++
		}
	}
	if records != 1 {
		t.Errorf("the index has %d records", records)
	}
	if _, report, said := m.run(); report.Came != 0 {
		t.Errorf("without news: %s", said)
	}
}

// TestWaitingOfOthers wants what waits in a repository that the rule does not name any more to wait no longer, and the run to say so; and the number of what
// is held to be that of now.
func TestWaitingOfOthers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u, "hold: {until: approved}"))
	if s := m.settled(); s.Last.Held != 3 || len(s.Waiting) != 3 {
		t.Fatalf("%+v", s)
	}
	status, body, err := m.Do("POST", "/api/v1/mirrors/approve", servertest.Login, []byte(`{"repository":"mirror/hub/team/app","reference":"1.0"}`), "Content-Type", "application/json")
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	if s := m.settled(); s.Last.Held != 2 || len(s.Waiting) != 2 {
		t.Errorf("%+v %+v", s, s.Last)
	}
	m.rule(strings.Replace(ruleOf(u, "hold: {until: approved}"), "team/app", "team/other", 1))
	_, report, said := m.run()
	if len(report.Left) != 2 || !strings.Contains(report.Left[0].Why, "waits no longer") || report.Held != 0 {
		t.Error(said)
	}
	if s := m.settled(); len(s.Waiting) != 0 || s.Last.Held != 0 {
		t.Errorf("%+v %+v", s, s.Last)
	}
	if m.means(u.one.Digest.String()) == "" && m.means("1.0") == "" {
		t.Error("what was let through is gone")
	}
}
