package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

// startCounting starts a server that counts pulls, as the one of a process does.
func startCounting(t *testing.T, dir string) *server {
	t.Helper()
	s := startServer(t, dir, Config{})
	if err := s.CountPulls(background); err != nil {
		t.Fatal(err)
	}
	return s
}

// stopInOrder stops counting and the server.
func (s *server) stopInOrder() {
	s.t.Helper()
	if err := s.StopPulls(background); err != nil {
		s.t.Fatal(err)
	}
	s.stop()
}

func (s *server) pull(repo, ref string, options ...option) answer {
	s.t.Helper()
	return s.do("GET", "/v2/"+repo+"/manifests/"+ref, nil, options...)
}

func (s *server) flush() {
	s.t.Helper()
	if err := s.FlushPulls(background); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) pullsOf(repo, ref string) Pulls {
	s.t.Helper()
	list, err := s.PullsOf(background, []PullRef{{repo, ref}})
	if err != nil {
		s.t.Fatal(err)
	}
	return list[0]
}

// total are all pulls that are counted.
func (p Pulls) total() (n uint64) {
	for _, d := range p.Days {
		n += d.Pulls
	}
	return n
}

// wantPulls wants so many pulls to be counted of things of a repository.
func (s *server) wantPulls(repo string, want map[string]uint64) {
	s.t.Helper()
	for ref, n := range want {
		got := s.pullsOf(repo, ref)
		if got.total() != n || got.Last.IsZero() != (n == 0) {
			s.t.Errorf("%s %.20s: %d pulls, the last %v; want %d", repo, ref, got.total(), got.Last, n)
		}
	}
}

// pushIndex pushes an index of some manifests.
func (s *server) pushIndex(repo, tag string, of ...image) image {
	s.t.Helper()
	list := []ocispec.Descriptor{}
	for _, m := range of {
		list = append(list, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: m.digest, Size: int64(len(m.body))})
	}
	return s.pushManifest(repo, tag, marshal(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": list}))
}

func TestPullsCounted(t *testing.T) {
	s := startCounting(t, t.TempDir())
	a := s.pushImage("app", "1.0", "a")
	b := s.pushImage("app", "2.0", "b")
	etag := header("If-None-Match", `"`+a.digest.String()+`"`)
	s.want(s.pull("app", "1.0"), 200, "")
	s.want(s.pull("app", "1.0"), 200, "")
	for what, got := range map[string]answer{
		"a HEAD":                        s.do("HEAD", "/v2/app/manifests/2.0", nil),
		"a GET of what the client has":  s.pull("app", "1.0", etag),
		"a GET of what is not there":    s.pull("app", "3.0"),
		"a GET of a blob":               s.do("GET", "/v2/app/blobs/"+digest.FromString(configOf("a")).String(), nil),
		"a GET of somebody without it":  s.pull("app", "2.0", as("nobody")),
		"a GET of rendered provenance":  s.pull("app", s.renderedOf("app", b.digest)),
		"a GET of the referrers":        s.do("GET", "/v2/app/referrers/"+b.digest.String(), nil),
		"a GET of the list of its tags": s.do("GET", "/v2/app/tags/list", nil),
	} {
		if got.status == 0 {
			t.Error(what, "was not answered")
		}
	}
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 2, "1.0": 2, a.digest.String(): 2, "2.0": 0, b.digest.String(): 0, "3.0": 0})
	s.want(s.pull("app", b.digest.String()), 200, "")
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 3, "1.0": 2, "2.0": 1, b.digest.String(): 1})
	s.wantClean()
}

// renderedOf is the digest of the provenance that the registry renders of an image.
func (s *server) renderedOf(repo string, d digest.Digest) string {
	s.t.Helper()
	found, err := s.ReferrersOf(background, repo, d, 1)
	if err != nil || len(found) != 1 {
		s.t.Fatal(found, err)
	}
	return found[0].Digest.String()
}

// TestPullsOfIndexes wants a pull of a platform to count for its indexes and their tags, and one pull of an index to be one.
func TestPullsOfIndexes(t *testing.T) {
	s := startCounting(t, t.TempDir())
	amd, arm := s.pushImage("app", "", "amd"), s.pushImage("app", "", "arm")
	index := s.pushIndex("app", "1.0", amd, arm)
	other := s.pushImage("app", "other", "o")
	for range 3 { // as docker does
		s.want(s.pull("app", "1.0"), 200, "")
		s.want(s.pull("app", amd.digest.String()), 200, "")
	}
	for range 2 { // as containerd does, behind a HEAD
		s.want(s.pull("app", index.digest.String()), 200, "")
		s.want(s.pull("app", arm.digest.String()), 200, "")
	}
	s.flush()
	s.wantPulls("app", map[string]uint64{
		"": 5, "1.0": 5, index.digest.String(): 5, amd.digest.String(): 3, arm.digest.String(): 2,
		"other": 0, other.digest.String(): 0,
	})
	nested := s.pushIndex("app", "all", index)
	s.want(s.pull("app", amd.digest.String()), 200, "")
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 6, "1.0": 6, index.digest.String(): 6, "all": 1, nested.digest.String(): 1})
	s.wantClean()
}

// TestPullsOfMany wants the pulls of a manifest with many tags to count for all of them, and to be written in small transactions.
func TestPullsOfMany(t *testing.T) {
	s := startCounting(t, t.TempDir())
	m := s.pushImage("app", "", "m")
	const tags = 3*pullStep + 7
	err := s.store.Update(background, func(tx storage.Tx) error {
		for i := range tags {
			tx.Put(taggedTable, repoKey("app", digestKey(m.digest), fmt.Appendf(nil, "t%04d", i)), nil)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.want(s.pull("app", m.digest.String()), 200, "")
		if err := s.flushNoted(background); err != nil {
			t.Fatal(err)
		}
	}
	s.wantPulls("app", map[string]uint64{m.digest.String(): 2, "t0000": 0})
	s.flush()
	s.flush() // which has nothing left to do
	s.wantPulls("app", map[string]uint64{m.digest.String(): 2, "t0000": 2, "t0300": 2, fmt.Sprintf("t%04d", tags-1): 2})
}

// TestPullsSince wants counting to go on behind a stop in order alone.
func TestPullsSince(t *testing.T) {
	dir := t.TempDir()
	s := startCounting(t, dir)
	m := s.pushImage("app", "1.0", "m")
	s.want(s.pull("app", "1.0"), 200, "")
	began := s.pullsOf("app", "").Since
	s.stopInOrder()

	s = startCounting(t, dir)
	s.wantPulls("app", map[string]uint64{"1.0": 1, m.digest.String(): 1})
	if got := s.pullsOf("app", "1.0"); !got.Since.Equal(began) || got.NoneAfter() != got.Last {
		t.Errorf("behind a stop in order, counting began %v; want %v", got.Since, began)
	}
	s.want(s.pull("app", "1.0"), 200, "")
	s.stop() // as a kill does: the pull is lost

	last := func(s *server) Pulls {
		s.wantPulls("app", map[string]uint64{"1.0": 1})
		return s.pullsOf("app", "1.0")
	}
	s = startServer(t, dir, Config{}) // which counts nothing, as a command
	if got := last(s); !got.Since.After(got.Last) {
		t.Errorf("behind a kill, a command says that counting began %v", got.Since)
	}
	s.stop()
	s = startCounting(t, dir)
	got := last(s)
	if !got.Since.After(got.Last) || got.NoneAfter() != got.Since {
		t.Errorf("behind a kill, counting began %v, and the last pull was %v", got.Since, got.Last)
	}
	s.stopInOrder()

	s = startServer(t, dir, Config{}) // an older version, which serves, and keeps the time
	s.keepTime(background)
	s.stop()
	s = startCounting(t, dir)
	if next := last(s); !next.Since.After(got.Since) {
		t.Errorf("behind a version that does not count, counting began %v", next.Since)
	}
	got = last(s)
	s.stopInOrder()

	store := engines.Open(t, filepath.Join(dir, "store.db"))
	if err := errors.Join(RestartPulls(background, store), store.Close()); err != nil { // as a restore does
		t.Fatal(err)
	}
	s = startCounting(t, dir)
	if next := last(s); !next.Since.After(got.Since) {
		t.Errorf("behind a restore, counting began %v", next.Since)
	}
}

// TestPullsForgotten wants nothing to be known of pulls that are forgotten, from that moment on, and their rows to be erased.
func TestPullsForgotten(t *testing.T) {
	s := startCounting(t, t.TempDir())
	for _, repo := range []string{"app", "app/b", "c"} {
		s.pushImage(repo, "1.0", "m")
		s.want(s.pull(repo, "1.0"), 200, "")
	}
	s.flush()
	for _, repo := range []string{"app", "c"} {
		s.want(s.pull(repo, "1.0"), 200, "") // which is in memory still
	}
	before := s.pullsOf("app", "")
	if err := s.ForgetPulls(background, "app"); err != nil {
		t.Fatal(err)
	}
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 0, "1.0": 0})
	s.wantPulls("app/b", map[string]uint64{"": 1, "1.0": 1})
	s.wantPulls("c", map[string]uint64{"": 2, "1.0": 2})
	if got := s.pullsOf("app", "1.0"); !got.Since.After(before.Last) {
		t.Errorf("pulls were forgotten behind %v, and counting began %v", before.Last, got.Since)
	}
	s.want(s.pull("app", "1.0"), 200, "") // and is counted upon what is not erased yet
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 1, "1.0": 1})
	if err := s.ForgetPulls(background, ""); err != nil {
		t.Fatal(err)
	}
	s.wantPulls("c", map[string]uint64{"": 0, "1.0": 0})
	s.wantSwept(time.Now(), 9)
	if got := s.pullRows(); len(got) > 0 {
		t.Errorf("rows are left: %q", got)
	}
	if err := s.ForgetPulls(background, "NO/../NAME"); !errors.Is(err, ErrUnknown) {
		t.Errorf("forgetting the pulls of no name: %v", err)
	}
}

func (s *server) wantSwept(now time.Time, want int) {
	s.t.Helper()
	if n, err := s.sweepPulls(background, now); err != nil || n != want {
		s.t.Errorf("%d rows erased, %v; want %d", n, err, want)
	}
}

// pullRows are the keys of all rows of pulls.
func (s *server) pullRows() (keys []string) {
	s.t.Helper()
	for _, table := range []storage.Table{pullTable, duePullTable} {
		err := storage.EachRow(background, s.store, table, func(_ storage.Reader, item storage.Item) error {
			keys = append(keys, string(item.Key))
			return nil
		})
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return keys
}

// TestPullsForgottenWhileDue wants pulls that are due to be forgotten with the others.
func TestPullsForgottenWhileDue(t *testing.T) {
	s := startCounting(t, t.TempDir())
	m := s.pushImage("app", "1.0", "m")
	err := s.store.Update(background, func(tx storage.Tx) error {
		return putPulls(tx, newPullStates(tx), duePullTable, map[string]pullsToAdd{
			string(repoKey("app", digestKey(m.digest))): {last: micros(time.Now()), direct: 1, listed: 1},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ForgetPulls(background, "app"); err != nil {
		t.Fatal(err)
	}
	s.flush()
	s.wantPulls("app", map[string]uint64{"1.0": 0})
	if got := s.pullRows(); len(got) > 0 {
		t.Errorf("rows are left: %q", got)
	}
}

// TestPullsOfTheGone wants the pulls of what is gone to be kept for a while, since it may come back.
func TestPullsOfTheGone(t *testing.T) {
	s := startCounting(t, t.TempDir())
	s.pushImage("app", "1.0", "m")
	gone := s.pushImage("app", "2.0", "n")
	for _, tag := range []string{"1.0", "2.0"} {
		s.want(s.pull("app", tag), 200, "")
	}
	s.flush()
	s.want(s.do("DELETE", "/v2/app/manifests/"+gone.digest.String(), nil), 202, "")
	s.wantSwept(time.Now(), 0)
	s.wantSwept(time.Now().Add(2*gonePulls), 2)
	s.wantPulls("app", map[string]uint64{"": 2, "1.0": 1, "2.0": 0, gone.digest.String(): 0})
	s.wantClean()
}

// TestPullsIgnored wants the pulls of scanners not to count.
func TestPullsIgnored(t *testing.T) {
	s := startCounting(t, t.TempDir())
	s.pushImage("app", "1.0", "m")
	if err := s.IgnorePulls(PullConfig{Ignore: []string{"robot:alice", "user:bob"}}); err != nil {
		t.Fatal(err)
	}
	s.want(s.pull("app", "1.0", as("bob")), 200, "")
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 0, "1.0": 0})
	s.want(s.pull("app", "1.0"), 200, "") // alice is a user
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 1, "1.0": 1})
	for _, bad := range []string{"team:scanners", "everyone", "anonymous", "bob"} {
		if err := (PullConfig{Ignore: []string{bad}}).Check(); err == nil {
			t.Errorf("%s is taken for an account", bad)
		}
	}
}

// TestPullsDenied wants a pull that a rule refuses not to count.
func TestPullsDenied(t *testing.T) {
	s := startCounting(t, t.TempDir())
	s.pushImage("app", "1.0", "m")
	s.SetPolicy(refusing{})
	s.only("app pull")
	s.want(s.pull("app", "1.0", as("bob")), http.StatusForbidden, "DENIED")
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 0, "1.0": 0})
	s.want(s.pull("app", "1.0"), 200, "") // with a warning, to who may push
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 1, "1.0": 1})
}

// refusing are rules that let nobody pull.
type refusing struct{ Policy }

func (refusing) Decided(string, digest.Digest) (warnings []string, refusal error, known bool) {
	return nil, Refuse("none", "no image may be pulled"), true
}

// TestPullsClockBack wants no pull to look older than one before it, where the machine's clock was ahead once and is not any more.
func TestPullsClockBack(t *testing.T) {
	s := startCounting(t, t.TempDir())
	s.pushImage("app", "1.0", "m")
	s.pushImage("app", "2.0", "n")
	ahead := time.Now().Add(1000 * time.Hour).UTC().Truncate(time.Microsecond)
	b := &pullBatch{g: s.Registry}
	b.add("app", []byte("1.0"), pullsToAdd{last: micros(ahead), direct: 1})
	if err := b.write(background); err != nil {
		t.Fatal(err)
	}
	s.want(s.pull("app", "2.0"), 200, "")
	s.flush()
	if got := s.pullsOf("app", "2.0"); !got.Last.Equal(ahead) {
		t.Errorf("the last pull was %v, before that of another at %v", got.Last, ahead)
	}
	if err := s.ForgetPulls(background, ""); err != nil {
		t.Fatal(err)
	}
	s.want(s.pull("app", "2.0"), 200, "")
	s.flush()
	if got := s.pullsOf("app", "2.0"); !got.Last.Before(ahead) || got.Last.Before(got.Since) {
		t.Errorf("all is forgotten, the last pull was %v, and counting began %v", got.Last, got.Since)
	}
}

// TestPullsFull wants a full buffer to keep no pull waiting: counting begins anew.
func TestPullsFull(t *testing.T) {
	s := startCounting(t, t.TempDir())
	s.pushImage("app", "1.0", "m")
	fill := func() {
		for i := range fullNoted {
			s.pulls.add(pulledAs{"full", digest.FromString("m"), fmt.Sprintf("t%04d", i)}, noted{1, time.Now()})
		}
	}
	s.want(s.pull("app", "1.0"), 200, "")
	s.flush()
	s.wantPulls("app", map[string]uint64{"": 1})

	fill()
	before := s.pullsOf("app", "1.0")
	whole := s.store
	s.store = broken{whole}
	s.want(s.pull("app", "1.0"), 200, "")
	s.store = whole
	lost := s.pullsOf("app", "1.0")
	if !lost.Since.After(before.Last) || lost.total() != 1 {
		t.Errorf("a pull was lost, and counting began %v", lost.Since)
	}
	s.flush()
	s.wantPulls("full", map[string]uint64{"t0000": 1, fmt.Sprintf("t%04d", fullNoted-1): 1, "": fullNoted})
	if kept := s.pullsOf("app", "1.0"); !kept.Since.After(before.Last) {
		t.Errorf("a pull was lost, and the store says that counting began %v", kept.Since)
	}
}

// TestPullsUnread wants a row that cannot be read to hinder nobody: what it counted may have been pulled just now, until the row is
// written anew, erased or forgotten; and then counting begins anew.
func TestPullsUnread(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	bad := []byte{0, 1, 5}
	for name, row := range map[string]struct {
		table storage.Table
		key   func(m image) []byte
	}{
		"of a tag":         {pullTable, func(image) []byte { return pullKey("app", []byte("1.0")) }},
		"that are due":     {duePullTable, func(m image) []byte { return repoKey("app", digestKey(m.digest)) }},
		"of no digest":     {duePullTable, func(image) []byte { return repoKey("app", []byte{sha256Byte, 1}) }},
		"that are forgot":  {pullStateTable, func(image) []byte { return repoKey("app") }},
		"of everything":    {pullStateTable, func(image) []byte { return pullStateKey }},
		"of what is gone":  {pullTable, func(image) []byte { return pullKey("app", []byte("gone")) }},
		"of another thing": {pullTable, func(image) []byte { return pullKey("app", nil) }},
	} {
		for how, mend := range map[string]func(s *server){
			"another pull":   func(s *server) { s.want(s.pull("app", "1.0"), 200, ""); s.flush() },
			"erasing":        func(s *server) { s.flush() },
			"forgetting it":  func(s *server) { s.forget("app") },
			"forgetting all": func(s *server) { s.forget("") },
			"a stop and a start": func(s *server) {
				if err := errors.Join(s.StopPulls(background), s.CountPulls(background)); err != nil {
					t.Fatal(err)
				}
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				s := startCounting(t, t.TempDir())
				m := s.pushImage("app", "1.0", "m")
				s.forget("app")
				s.forget("app")
				s.want(s.pull("app", "1.0"), 200, "")
				s.flush()
				before := s.pullState()
				s.put(row.table, row.key(m), bad)
				damage := time.Now().Truncate(time.Microsecond)
				s.wantDamage("hallmark pulls forget app", row.table == pullStateTable || name == "of no digest")
				_ = s.pullsOf("app", "1.0") // which is an answer

				mend(s)
				if _, err := s.sweepPulls(background, time.Now()); err != nil {
					t.Error(err)
				}
				s.flush()
				if got := s.pullsOf("app", "1.0"); got.NoneAfter().Before(damage) {
					t.Errorf("it was not pulled behind %v, which was before a row was damaged at %v", got.NoneAfter(), damage)
				}
				s.wantClean()
				if now := s.pullState(); now.Forgets < before.Forgets {
					t.Errorf("pulls were forgotten %d times, and then %d times", before.Forgets, now.Forgets)
				}
				began := s.pullsOf("app", "1.0").Since
				s.want(s.pull("app", "1.0"), 200, "")
				s.flush()
				if got := s.pullsOf("app", "1.0"); !got.Since.Equal(began) || !got.Last.After(began) {
					t.Errorf("counting began %v, and then %v; the last pull was %v", began, got.Since, got.Last)
				}
			})
		}
	}
}

func (s *server) forget(repo string) {
	s.t.Helper()
	if err := s.ForgetPulls(background, repo); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) pullState() pullState {
	s.t.Helper()
	state, err := s.pullStateNow(background)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

// put writes a row past the registry.
func (s *server) put(table storage.Table, key, value []byte) {
	s.t.Helper()
	if err := s.store.Update(background, func(tx storage.Tx) error { tx.Put(table, key, value); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

// wantDamage wants fsck to find one fault, and to say what to do, or to say nothing of that.
func (s *server) wantDamage(says string, silent bool) {
	s.t.Helper()
	var found []error
	_, err := s.Check(background, false, func(err error) { found = append(found, err) })
	if err != nil || len(found) != 1 || !silent && !strings.Contains(found[0].Error(), says) {
		s.t.Errorf("fsck finds %v, %v", found, err)
	}
}

// broken is a store that takes nothing.
type broken struct{ storage.Store }

func (broken) Update(context.Context, func(storage.Tx) error) error { return storage.ErrFull }

func TestPullRow(t *testing.T) {
	day := uint64((24 * time.Hour).Microseconds())
	var p pullRow
	for i := range uint64(40) {
		p.add(pullsToAdd{last: (100+i)*day + 5, direct: 1})
	}
	p.add(pullsToAdd{last: 120*day + 7, direct: 2, listed: 9})
	if len(p.days) != pullDays || p.days[0].day != 139 || p.days[pullDays-1].day != 110 || p.last != 139*day+5 {
		t.Errorf("%d days, from %v to %v", len(p.days), p.days[pullDays-1], p.days[0])
	}
	if got := p.days[19]; got != (dayCount{120, 3, 9}) || got.pulls() != 9 {
		t.Errorf("day 120: %v", got)
	}
	back, err := decodePullRow(p.encode())
	if err != nil || fmt.Sprint(back) != fmt.Sprint(p) {
		t.Errorf("read back: %v, %v", back, err)
	}
	for name, bad := range map[string][]byte{
		"nothing":       {},
		"cut short":     p.encode()[:30],
		"too many days": append(p.encode(), 1, 1, 1),
		"a day twice":   {0, 9, 5, 1, 1, 5, 1, 1},
	} {
		if _, err := decodePullRow(bad); !errors.Is(err, storage.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
