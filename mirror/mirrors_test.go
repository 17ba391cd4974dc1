package mirror_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// mirrored is a registry with a mirror of an upstream.
type mirrored struct {
	*servertest.Server
	t    *testing.T
	file string
}

// newMirrored starts a registry whose rule hub mirrors what text says, after one second by hand.
func newMirrored(t *testing.T, text string) *mirrored {
	t.Helper()
	m := &mirrored{t: t, file: filepath.Join(t.TempDir(), "mirrors.yaml")}
	write(t, m.file, []byte(text))
	o := servertest.Options()
	o.Config.Mirrors.File = m.file
	m.Server = servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
	return m
}

// ruleOf is a file with one mirror of an upstream, and more lines of it.
func ruleOf(u *upstream, more ...string) string {
	return fmt.Sprintf("mirrors:\n- name: hub\n  upstream: %s\n  repositories: [team/app]\n  into: mirror/hub\n  every: 1h\n  %s\n", u.where(), strings.Join(more, "\n  "))
}

// get reads an answer of the API.
func (m *mirrored) get(path string, into any) {
	m.t.Helper()
	status, body, err := m.Do("GET", path, servertest.Login, nil)
	if err != nil || status != http.StatusOK {
		m.t.Fatalf("%s: %d %s, %v", path, status, body, err)
	}
	if err := json.Unmarshal([]byte(body), into); err != nil {
		m.t.Fatal(err)
	}
}

// settled waits until no run goes on and one has ended.
func (m *mirrored) settled() (s mirror.Status) {
	m.t.Helper()
	for range 3000 {
		m.get("/api/v1/mirrors/hub", &s)
		if s.Running == nil && s.Ended != nil {
			return s
		}
		time.Sleep(10 * time.Millisecond)
		s = mirror.Status{}
	}
	m.t.Fatal("no run has come to an end")
	return s
}

// run brings the mirror up to date by hand, behind the schedule's own first run.
func (m *mirrored) run() (status int, report mirror.Followed, said string) {
	m.t.Helper()
	m.settled()
	status, body, err := m.Do("POST", "/api/v1/mirrors/hub/run", servertest.Login, []byte("{}"), "Content-Type", "application/json")
	if err != nil {
		m.t.Fatal(err)
	}
	return status, reportIn(body), body
}

// means is what a tag means to somebody who pulls, or "".
func (m *mirrored) means(ref string) digest.Digest {
	m.t.Helper()
	status, body, err := m.Do("GET", "/v2/mirror/hub/team/app/manifests/"+ref, servertest.Login, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	if status != http.StatusOK {
		return ""
	}
	return digest.FromString(body)
}

// onRecord is what the tests look at of a record.
type onRecord struct {
	Index  uint64
	Action string
	Actor  struct{ Kind, Handle string }
	Reason *struct{ Rule string }
	Tags   []struct {
		Name          string
		Previous, Now digest.Digest
	}
	Digest   digest.Digest
	Observed struct {
		Origin *struct{ Host, Reference string }
	}
}

func (m *mirrored) records() (all []onRecord) {
	m.t.Helper()
	var page struct{ Records []onRecord }
	m.get("/api/v1/records?limit=100&repo=mirror/hub/team/app", &page)
	return page.Records
}

// TestFollows has a mirror follow an upstream whose tags move, and wants each move on record once, with both digests, by the rule or
// by who ran it.
func TestFollows(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u))
	if s := m.settled(); s.Why != "" || s.Last.Came != 3 || s.Succeeded == nil || s.Failures != 0 || s.By != "" {
		t.Fatalf("%+v %+v", s, s.Last)
	}
	for tag, d := range u.tags() {
		if got := m.means(tag); got != d.Digest {
			t.Errorf("%s means %s, want %s", tag, got, d.Digest)
		}
	}
	if m.means(u.attached.Digest.String()) == "" {
		t.Error("what is attached did not come")
	}
	before := m.records()
	for _, r := range before {
		if r.Action != "import" || r.Actor.Kind != "system" || r.Reason == nil || r.Reason.Rule != "hub" || r.Observed.Origin == nil {
			t.Errorf("%+v", r)
		}
	}
	asked := u.asked.Load()
	if status, report, said := m.run(); status != http.StatusOK || report.Came != 0 || report.Present != 3 {
		t.Errorf("%d %s", status, said)
	}
	t.Logf("a run without news asked %d times", u.asked.Load()-asked)
	if after := m.records(); len(after) != len(before) {
		t.Errorf("a run without news made %d records", len(after)-len(before))
	}
	moved := u.image(t, "amd64", nil, "a", "f")
	u.move("1.0", moved)
	if status, report, said := m.run(); status != http.StatusOK || report.Came != 1 {
		t.Errorf("%d %s", status, said)
	}
	r := m.records()[0]
	if len(r.Tags) != 1 || r.Tags[0].Previous != u.one.Digest || r.Tags[0].Now != moved.Digest || r.Actor.Handle != "admin" || r.Reason.Rule != "hub" {
		t.Errorf("%+v", r)
	}
	if s := m.settled(); s.By != "admin" {
		t.Errorf("%+v", s)
	}
}

// TestTakesNothingElse wants a mirror to take nothing from people, by any way in, while its rule is there.
func TestTakesNothingElse(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u))
	m.settled()
	app := "/v2/mirror/hub/team/app/"
	for _, ask := range [][2]string{
		{"POST", app + "blobs/uploads/"},
		{"PUT", app + "manifests/3.0"},
		{"DELETE", app + "manifests/1.0"},
		{"DELETE", app + "manifests/" + u.one.Digest.String()},
		{"POST", "/v2/mirror/hub/new/blobs/uploads/"},
	} {
		status, body, err := m.Do(ask[0], ask[1], servertest.Login, []byte("{}"), "Content-Type", ocispec.MediaTypeImageManifest)
		if err != nil || status != http.StatusForbidden || !strings.Contains(body, "is a mirror of 127.0.0.1:") {
			t.Errorf("%s %s: %d %s, %v", ask[0], ask[1], status, body, err)
		}
	}
	body := fmt.Sprintf(`{"registry":%q,"repositories":["team/app"],"into":"mirror/hub"}`, u.where())
	status, said, err := m.Do("POST", "/api/v1/import", servertest.Login, []byte(body), "Content-Type", "application/json")
	if err != nil || status != http.StatusOK || !strings.Contains(said, "is a mirror of") {
		t.Errorf("import: %d %s, %v", status, said, err)
	}
	m.Push("mirror/hubs/app", "1.0", "beside it")
	m.Push("mirror/hub", "1.0", "above it")
}

// TestPrefixOfOthers wants a mirror whose prefix people have pushed to to bring nothing, and to say why.
func TestPrefixOfOthers(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	s := servertest.Start(t)
	s.Push("mirror/hub/other", "1.0", "mine")
	s.Stop()
	file := filepath.Join(t.TempDir(), "mirrors.yaml")
	write(t, file, []byte(ruleOf(u)))
	o := servertest.Options()
	o.Config.Mirrors.File = file
	m := &mirrored{Server: servertest.StartOn(t, s.Dir, o), t: t, file: file}
	if s := m.settled(); !strings.Contains(s.Why, "people have pushed below the mirror's prefix") || !strings.Contains(s.Why, "mirror/hub/other:1.0") || s.Failures != 1 || s.Succeeded != nil {
		t.Errorf("%+v", s)
	}
	if status, _, said := m.run(); status != http.StatusConflict || !strings.Contains(said, "mirror/hub/other:1.0") {
		t.Errorf("%d %s", status, said)
	}
	if u.asked.Load() != 0 {
		t.Error("the upstream was asked all the same")
	}
}

// TestGoneUpstream has tags go upstream, and wants of them what the rule says, and no more than a person would.
func TestGoneUpstream(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct{ tag, image bool }{"keep": {true, true}, "untag": {false, true}, "delete": {false, false}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			u := newUpstream(t)
			m := newMirrored(t, ruleOf(u, "deleted: "+kind))
			m.settled()
			u.move("latest", ocispec.Descriptor{})
			status, report, said := m.run()
			if status != http.StatusOK || report.Removed == 0 && !c.tag {
				t.Errorf("%d %s", status, said)
			}
			if got := m.means("latest") != ""; got != c.tag {
				t.Errorf("the tag is there: %t", got)
			}
			for _, d := range []ocispec.Descriptor{u.multi, u.amd, u.attached} {
				if got := m.means(d.Digest.String()) != ""; got != c.image {
					t.Errorf("the image is there: %t", got)
				}
			}
			if m.means("1.0") == "" {
				t.Error("another tag has gone")
			}
			if kind == "delete" { // into the trash, not for good
				status, body, err := m.Do("GET", "/api/v1/trash?repo=mirror/hub/team/app", servertest.Login, nil)
				if err != nil || status != http.StatusOK || !strings.Contains(body, u.multi.Digest.String()) {
					t.Errorf("%d %s, %v", status, body, err)
				}
			}
		})
	}
}

// TestMostGone has an upstream forget most of its tags, and wants a schedule to leave them, and a person to be able to have them removed.
func TestMostGone(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	for i := range 5 {
		u.move(fmt.Sprint("n", i), u.one)
	}
	m := newMirrored(t, ruleOf(u, "deleted: untag"))
	m.settled()
	for i := range 5 {
		u.move(fmt.Sprint("n", i), ocispec.Descriptor{})
	}
	m.again()
	if s := m.settled(); s.Last.Removed != 0 || len(s.Last.Left) != 1 || !strings.Contains(s.Last.Left[0].Why, "5 of its 8 tags are gone upstream") {
		t.Errorf("%+v", s.Last)
	}
	if _, report, said := m.run(); report.Removed != 5 {
		t.Error(said)
	}
}

// again starts the server again with an interval that has passed, so that the schedule runs.
func (m *mirrored) again() {
	m.t.Helper()
	m.Stop()
	setNext(m.t, m.Dir, time.Now().Add(-time.Minute))
	m.startAgain()
	for range 3000 {
		var s mirror.Status
		if m.get("/api/v1/mirrors/hub", &s); s.Running == nil && s.Next != nil && s.Next.After(time.Now()) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Fatal("the schedule did not run")
}

// TestUpstreamDown wants a run that can have nothing to count as failed, to say why, and to be tried again later and later.
func TestUpstreamDown(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.Close()
	m := newMirrored(t, ruleOf(u))
	s := m.settled()
	if s.Failures != 1 || s.Succeeded != nil || !strings.Contains(s.Why, "refused") {
		t.Errorf("%+v", s)
	}
	if wait := s.Next.Sub(s.Ended.Time); wait < 50*time.Second || wait > 70*time.Second {
		t.Errorf("it is tried again after %s", wait)
	}
	m.run()
	if s := m.settled(); s.Failures != 2 || s.Next.Sub(s.Ended.Time) < 100*time.Second {
		t.Errorf("%+v", s)
	}
}

// TestUpstreamLimits wants a run to end where an upstream asks for a long pause, and the next one to wait for it.
func TestUpstreamLimits(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/manifests/") {
			return false
		}
		w.Header().Set("Retry-After", "7200")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	m := newMirrored(t, ruleOf(u))
	s := m.settled()
	if !strings.Contains(s.Why, "asks for a pause of 2h") || s.Next.Sub(s.Ended.Time) < 2*time.Hour {
		t.Errorf("%+v", s)
	}
	if n := u.asked.Load(); n > 20 {
		t.Errorf("it was asked %d times", n)
	}
}

// TestNamesThatDoNotFit wants a repository whose name would be too long, or none, to be refused by name, and the others to come.
func TestNamesThatDoNotFit(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/v2/_catalog" {
			fmt.Fprintf(w, `{"repositories":["Team/App","%s","team/app"]}`, strings.Repeat("a", 250))
			return true
		}
		return false
	}
	m := newMirrored(t, strings.Replace(ruleOf(u), "[team/app]", `["**"]`, 1))
	if s := m.settled(); s.Last == nil || s.Last.Counts.Refused != 2 || s.Last.Came != 3 || s.Why != "" {
		t.Errorf("%+v %+v", s, s.Last)
	}
}

// TestRulesOutOfForce wants people to push below a prefix again once its rule is gone.
func TestRulesOutOfForce(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, ruleOf(u))
	m.settled()
	m.Stop()
	if err := os.WriteFile(m.file, []byte("mirrors: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := servertest.Options()
	o.Config.Mirrors.File = m.file
	m.Server = servertest.StartOn(t, m.Dir, o)
	m.Push("mirror/hub/team/app", "mine", "a layer")
	if status, _, err := m.Do("GET", "/api/v1/mirrors/hub", servertest.Login, nil); err != nil || status != http.StatusNotFound {
		t.Errorf("%d, %v", status, err)
	}
}

// setNext writes into a store that no server has open when the mirror hub runs next.
func setNext(t *testing.T, dir string, at time.Time) {
	t.Helper()
	changeRows(t, dir, "mirror/state", func(row map[string]any) { row["next"] = at })
}

// changeRows changes all rows of a table, which are JSON, of a store that no server has open.
func changeRows(t *testing.T, dir string, table storage.Table, change func(map[string]any)) {
	t.Helper()
	updateStore(t, dir, func(tx storage.Tx) error {
		for item, err := range tx.Scan(table, nil, nil) {
			var row map[string]any
			if err := errors.Join(err, json.Unmarshal(item.Value, &row)); err != nil {
				return err
			}
			change(row)
			value, err := json.Marshal(row)
			if err != nil {
				return err
			}
			tx.Put(table, bytes.Clone(item.Key), value)
		}
		return nil
	})
}

// updateStore changes a store that no server has open.
func updateStore(t *testing.T, dir string, fn func(storage.Tx) error) {
	t.Helper()
	store := engines.Open(t, filepath.Join(dir, datadir.StoreFile), datadir.Layouts...)
	err := store.Update(t.Context(), fn)
	if err := errors.Join(err, store.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestQuotaMidway has a quota end in the middle of a run: what came whole stays, the rest is refused by name, and comes when there is room.
func TestQuotaMidway(t *testing.T) {
	t.Parallel()
	u := newUpstream(t)
	m := newMirrored(t, "mirrors: []\n")
	quota := func(tags int) {
		t.Helper()
		body := fmt.Sprintf(`{"pattern":"mirror/**","tags":%d}`, tags)
		if status, said, err := m.Do("PUT", "/api/v1/quota", servertest.Login, []byte(body), "Content-Type", "application/json"); err != nil || status/100 != 2 {
			t.Fatalf("%d %s, %v", status, said, err)
		}
	}
	quota(2)
	write(t, m.file, []byte(ruleOf(u)))
	m.restart()
	s := m.settled()
	if s.Last.Came != 2 || s.Last.Counts.Refused != 1 || !strings.Contains(s.Last.Refused[0].Why, "quota") || s.Why != "" {
		t.Errorf("%+v %+v", s, s.Last)
	}
	quota(10)
	if _, report, said := m.run(); report.Came != 1 || report.Counts.Refused != 0 {
		t.Error(said)
	}
	for tag, d := range u.tags() {
		if got := m.means(tag); got != d.Digest {
			t.Errorf("%s means %s", tag, got)
		}
	}
}

// noState is a store that has no room for what is known of mirrors, and counts what came for it.
type noState struct {
	storage.Store
	tries *atomic.Int64
}

type noStateTx struct {
	storage.Tx
	came bool
}

func (s noState) Update(ctx context.Context, fn func(storage.Tx) error) error {
	return s.Store.Update(ctx, func(tx storage.Tx) error {
		x := &noStateTx{Tx: tx}
		if err := fn(x); err != nil || !x.came {
			return err
		}
		s.tries.Add(1)
		return storage.ErrFull
	})
}

func (x *noStateTx) Put(t storage.Table, key, value []byte) {
	x.came = x.came || t == "mirror/state"
	x.Tx.Put(t, key, value)
}

// TestNoRoomForState has a schedule that cannot note that it begins wait before it tries again: the run is due all the time.
func TestNoRoomForState(t *testing.T) {
	u := newUpstream(t)
	file := filepath.Join(t.TempDir(), "mirrors.yaml")
	write(t, file, []byte(ruleOf(u)))
	var tries atomic.Int64
	o := servertest.Options()
	o.Config.Mirrors.File = file
	o.Wrap = func(s storage.Store) storage.Store { return noState{s, &tries} }
	servertest.StartOn(t, filepath.Join(t.TempDir(), "data"), o)
	for range 3000 {
		if tries.Load() > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(time.Second) // in which it would try thousands of times
	if n := tries.Load(); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
}

// reportIn is the report in the lines that a run answers with.
func reportIn(body string) (report mirror.Followed) {
	for line := range strings.Lines(body) {
		var one struct{ Report *mirror.Followed }
		if json.Unmarshal([]byte(line), &one) == nil && one.Report != nil {
			report = *one.Report
		}
	}
	return report
}
