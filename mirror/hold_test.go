package mirror_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
)

// newPuller makes an account that may pull, and returns its login.
func (m *mirrored) newPuller() string {
	m.t.Helper()
	for _, ask := range [][2]string{
		{"/api/v1/users", `{"name":"bob","password":"wonderland-1"}`},
		{"/api/v1/access/grants", `{"subject":"user:bob","pattern":"mirror/**","role":"pull"}`},
	} {
		if status, said, err := m.Do("POST", ask[0], servertest.Login, []byte(ask[1]), "Content-Type", "application/json"); err != nil || status/100 != 2 {
			m.t.Fatalf("%d %s, %v", status, said, err)
		}
	}
	return "bob:wonderland-1"
}

// restart starts the server again.
func (m *mirrored) restart() {
	m.t.Helper()
	m.Stop()
	m.startAgain()
}

func (m *mirrored) startAgain() {
	m.t.Helper()
	o := servertest.Options()
	o.Config.Mirrors.File = m.file
	m.Server = servertest.StartOn(m.t, m.Dir, o)
}

// age has everything that waits have been seen so much earlier.
func (m *mirrored) age(by time.Duration) {
	m.t.Helper()
	m.Stop()
	changeRows(m.t, m.Dir, "mirror/waiting", func(row map[string]any) { row["seen"] = max(row["seen"].(float64)-float64(by.Microseconds()), 0) })
	m.startAgain()
}

// pull is what somebody is answered who pulls.
func (m *mirrored) pull(login, ref string) (status int, said string) {
	m.t.Helper()
	status, said, err := m.Do("GET", "/v2/mirror/hub/team/app/manifests/"+ref, login, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return status, said
}

func (m *mirrored) approve(login, ref string) (status int, said string) {
	m.t.Helper()
	body := fmt.Sprintf(`{"repository":"mirror/hub/team/app","reference":%q}`, ref)
	status, said, err := m.Do("POST", "/api/v1/mirrors/approve", login, []byte(body), "Content-Type", "application/json")
	if err != nil {
		m.t.Fatal(err)
	}
	return status, said
}

// TestHeldUntilApproved holds what is new upstream until a person lets it through. Until then, nobody else pulls it or what belongs to
// it, by whatever digest, and the former image stays served; also over a restart.
func TestHeldUntilApproved(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u))
	m.settled()
	bob := m.newPuller()
	write(t, m.file, []byte(ruleOf(u, "hold: {until: approved}")))
	m.restart()
	child := u.image(t, "s390x", nil, "g")
	index := u.putJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{u.amd, child},
	})
	u.move("latest", index)
	status, report, said := m.run()
	if status != http.StatusOK || report.Held != 1 || report.Counts.Refused != 0 {
		t.Fatalf("%d %s", status, said)
	}
	held := func(when string) {
		t.Helper()
		for _, d := range []digest.Digest{index.Digest, child.Digest} {
			if status, said := m.pull(bob, d.String()); status != http.StatusForbidden || !strings.Contains(said, "is new upstream, and held") {
				t.Errorf("%s: %s: %d %s", when, d, status, said)
			}
			if status, said := m.pull(servertest.Login, d.String()); status != http.StatusOK {
				t.Errorf("%s: an administrator: %d %s", when, status, said)
			}
		}
		for _, ref := range []string{"latest", u.multi.Digest.String(), u.amd.Digest.String()} { // what was let through stays so
			if status, said := m.pull(bob, ref); status != http.StatusOK || strings.Contains(said, child.Digest.String()) {
				t.Errorf("%s: %s: %d %s", when, ref, status, said)
			}
		}
	}
	held("after the run")
	m.restart()
	held("after a restart")
	if _, report, said := m.run(); report.Held != 1 || report.Came != 0 {
		t.Error(said)
	}
	s := m.settled()
	if len(s.Waiting) != 1 || s.Waiting[0].Tag != "latest" || s.Waiting[0].Digest != index.Digest || s.Hold != "until approved" {
		t.Errorf("%+v", s)
	}
	if status, said := m.approve(bob, "latest"); status != http.StatusForbidden {
		t.Errorf("%d %s", status, said)
	}
	if status, said := m.approve(servertest.Login, "1.0"); status != http.StatusNotFound {
		t.Errorf("%d %s", status, said)
	}
	status, said = m.approve(servertest.Login, index.Digest.String())
	var done struct{ Approved []mirror.Approved }
	if err := json.Unmarshal([]byte(said), &done); err != nil || status != http.StatusOK || len(done.Approved) != 1 || done.Approved[0].Record == nil {
		t.Fatalf("%d %s, %v", status, said, err)
	}
	for _, ref := range []string{"latest", index.Digest.String(), child.Digest.String()} {
		if status, said := m.pull(bob, ref); status != http.StatusOK {
			t.Errorf("%s: %d %s", ref, status, said)
		}
	}
	r := m.records()[0]
	if r.Action != "import" || r.Actor.Handle != "admin" || r.Reason == nil || r.Reason.Rule != "hub" || r.Tags[0].Previous != u.multi.Digest || r.Tags[0].Now != index.Digest {
		t.Errorf("%+v", r)
	}
	if s := m.settled(); len(s.Waiting) != 0 {
		t.Errorf("%+v", s.Waiting)
	}
	if _, report, said := m.run(); report.Held != 0 || report.Came != 0 {
		t.Error(said)
	}
}

// TestManyHeld lets through a tag, by its name or its digest, behind more that wait in its repository than are shown, and forgets all of
// those that are gone upstream.
func TestManyHeld(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u, "hold: {until: approved}"))
	if s := m.settled(); len(s.Waiting) != len(u.tags()) {
		t.Fatalf("%+v", s)
	}
	m.Stop()
	const many = 2500
	table := storage.Table("mirror/waiting")
	updateStore(t, m.Dir, func(tx storage.Tx) error {
		for n := range many {
			tx.Put(table, fmt.Appendf(nil, "mirror/hub/team/app\x000%05d", n), fmt.Appendf(nil, `{"rule":"hub","digest":%q}`, digest.FromString(fmt.Sprint(n))))
		}
		return nil
	})
	m.startAgain()
	if s := m.settled(); len(s.Waiting) != 1000 {
		t.Errorf("%d are shown", len(s.Waiting))
	}
	for _, ref := range []string{"latest", u.two.Digest.String()} {
		if status, said := m.approve(servertest.Login, ref); status != http.StatusOK {
			t.Errorf("%s: %d %s", ref, status, said)
		}
	}
	if _, _, said := m.run(); m.means("latest") != u.multi.Digest || m.means("2.0") != u.two.Digest {
		t.Error(said)
	}
	if s := m.settled(); len(s.Waiting) != len(u.tags())-2 {
		t.Errorf("%d go on waiting", len(s.Waiting))
	}
}

// TestGoneWithHold forgets a tag that waited and is gone upstream, also where the rule holds nothing any more.
func TestGoneWithHold(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u, "hold: {until: approved}"))
	if s := m.settled(); len(s.Waiting) != len(u.tags()) {
		t.Fatalf("%+v", s)
	}
	u.move("1.0", ocispec.Descriptor{})
	write(t, m.file, []byte(ruleOf(u)))
	m.restart()
	if _, _, said := m.run(); m.means("latest") != u.multi.Digest {
		t.Error(said)
	}
	if s := m.settled(); len(s.Waiting) != 0 {
		t.Errorf("%+v", s.Waiting)
	}
	if status, said := m.approve(servertest.Login, "1.0"); status != http.StatusNotFound {
		t.Errorf("%d %s", status, said)
	}
}

// TestHeldForTime lets an image through that was seen long enough ago by the registry's clock, and begins anew where the tag moves again
// meanwhile: what it moved away from stays held.
func TestHeldForTime(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u, "hold: {for: 24h}"))
	if s := m.settled(); s.Last.Held != 3 || len(s.Waiting) != 3 || s.Waiting[0].Left == "" {
		t.Fatalf("%+v", s)
	}
	bob := m.newPuller()
	next := u.image(t, "amd64", nil, "a", "h")
	m.age(25 * time.Hour)
	u.move("1.0", next) // it moves before it was let through
	if _, report, said := m.run(); report.Held != 1 {
		t.Error(said)
	}
	for ref, want := range map[string]int{
		"latest": http.StatusOK, "2.0": http.StatusOK, "1.0": http.StatusNotFound,
		u.one.Digest.String(): http.StatusForbidden, next.Digest.String(): http.StatusForbidden, u.arm.Digest.String(): http.StatusOK, u.attached.Digest.String(): http.StatusOK,
	} {
		if status, said := m.pull(bob, ref); status != want {
			t.Errorf("%s: %d %s", ref, status, said)
		}
	}
	m.age(25 * time.Hour)
	if _, report, said := m.run(); report.Held != 0 {
		t.Error(said)
	}
	if got := m.means("1.0"); got != next.Digest {
		t.Errorf("1.0 means %s", got)
	}
	u.move("2.0", u.one) // which was never let through
	if _, report, said := m.run(); report.Held != 1 {
		t.Error(said)
	}
	u.move("2.0", u.two)
	if _, report, said := m.run(); report.Held != 0 {
		t.Error(said)
	}
	if s := m.settled(); len(s.Waiting) != 0 {
		t.Errorf("%+v", s.Waiting)
	}
	write(t, m.file, []byte(ruleOf(u))) // without a hold, all comes through
	m.restart()
	u.move("2.0", u.one)
	m.run()
	if status, said := m.pull(bob, "2.0"); status != http.StatusOK {
		t.Errorf("%d %s", status, said)
	}
}
