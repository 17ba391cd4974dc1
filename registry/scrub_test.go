package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"golang.org/x/sys/unix"
)

// scrubOnce runs a pass to its end, and returns it.
func (s *server) scrubOnce() ScrubPass {
	s.t.Helper()
	s.ScrubNow()
	ctx, stop := context.WithCancel(background)
	var group sync.WaitGroup
	group.Go(func() { s.Scrub(ctx) })
	defer group.Wait()
	defer stop()
	return s.wantPass()
}

// wantPass waits until no pass is under way, and returns the last.
func (s *server) wantPass() ScrubPass {
	s.t.Helper()
	for range 3000 {
		if st := s.scrubStatus(); st.Running == nil {
			return *st.Last
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatal("the scrub does not come to its end")
	return ScrubPass{}
}

func (s *server) scrubStatus() ScrubStatus {
	s.t.Helper()
	st, err := s.ScrubStatus(background)
	if err != nil {
		s.t.Fatal(err)
	}
	return st
}

// wantDamaged wants exactly these digests to be marked.
func (s *server) wantDamaged(want ...digest.Digest) {
	s.t.Helper()
	found := map[digest.Digest]Damage{}
	for _, d := range s.scrubStatus().Damaged {
		found[d.Digest] = d
	}
	for _, d := range want {
		if found[d].Repository != "team/app" || found[d].What == "" {
			s.t.Errorf("%s is not marked as it should be: %+v", d, found[d])
		}
	}
	if len(found) != len(want) {
		s.t.Errorf("marked are %v, want %v", found, want)
	}
}

// TestScrub damages blobs and manifests. The scrub marks each; what is marked is not served and nobody can rely on it,
// also after a restart, until it is pushed again.
func TestScrub(t *testing.T) {
	t.Parallel()
	for name, harm := range harms {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, t.TempDir(), Config{})
			content := strings.Repeat("x", 300_000)
			one := s.pushImage("team/app", "1.0", content)
			padded := strings.Replace(imageManifest(descriptorOf(configOf(content))), `{`, `{"annotations":{"x":"`+strings.Repeat("x", maxInline)+`"},`, 1)
			large := s.pushManifest("team/app", "large", padded)
			if p := s.scrubOnce(); p.Damaged != 0 || p.Blobs != 3 || p.Manifests != 1 || p.Unread != 0 {
				t.Errorf("a scrub of what is whole: %+v", p)
			}
			s.wantDamaged()

			layer := digest.FromString("layer " + content)
			s.harm(layer, harm)
			s.harm(large.digest, harm)
			s.harmManifest("team/app", one.digest)
			if p := s.scrubOnce(); p.Damaged != 3 {
				t.Errorf("the scrub finds %+v", p)
			}
			s = s.restart()
			s.wantDamaged(layer, large.digest, one.digest)

			path := "/v2/team/app/blobs/" + layer.String()
			s.want(s.do("GET", path, nil), 404, "BLOB_UNKNOWN")
			s.want(s.do("GET", path, nil, header("Range", "bytes=0-1")), 404, "BLOB_UNKNOWN")
			s.want(s.do("HEAD", path, nil), 404, "")
			s.want(s.do("POST", "/v2/other/uploads/blobs/uploads/?mount="+layer.String()+"&from=team/app", nil), 202, "")
			s.want(s.putManifest("team/app", "2.0", one.body), 400, "MANIFEST_BLOB_UNKNOWN")
			s.want(s.do("GET", "/v2/team/app/manifests/large", nil), 404, "MANIFEST_UNKNOWN")
			s.want(s.do("GET", "/v2/team/app/manifests/1.0", nil), 404, "MANIFEST_UNKNOWN")

			s.pushBlob("other", "layer "+content)
			s.pushManifest("team/app", "1.0", one.body)
			s.pushManifest("team/app", "large", padded)
			s.wantDamaged()
			if got := s.want(s.do("GET", path, nil), 200, ""); got.body != "layer "+content {
				t.Error("other bytes are served")
			}
			if p := s.scrubOnce(); p.Damaged != 0 {
				t.Errorf("after all is pushed again: %+v", p)
			}
			s.wantFiles(3)
		})
	}
}

// TestScrubRestored puts the file of a marked blob back: it is served again, without a push.
func TestScrubRestored(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("team/app", "1.0", "one")
	layer := digest.FromString("layer one")
	s.harm(layer, flipped)
	s.scrubOnce()
	s.wantDamaged(layer)
	s.harm(layer, func([]byte) []byte { return []byte("layer one") })
	s.want(s.do("GET", "/v2/team/app/blobs/"+layer.String(), nil), 404, "BLOB_UNKNOWN")
	if p := s.scrubOnce(); p.Damaged != 0 {
		t.Errorf("%+v", p)
	}
	s.wantDamaged()
	s.want(s.do("GET", "/v2/team/app/blobs/"+layer.String(), nil), 200, "")
	s.wantClean()
}

// TestScrubCollected lets the collector take what is marked: the mark goes with it.
func TestScrubCollected(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	s.pushImage("team/app", "1.0", "one")
	d := s.pushBlob("team/app", "nobody needs it").Digest
	s.harm(d, flipped)
	s.scrubOnce()
	s.wantDamaged(d)
	s.later(2 * time.Hour)
	s.wantFiles(2)
	s.wantDamaged()
}

// TestSuspect asks for what is lost: it is marked without a pass.
func TestSuspect(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("team/app", "1.0", "one")
	layer := digest.FromString("layer one")
	s.harm(layer, harms["lost"])
	s.harmManifest("team/app", one.digest)
	s.want(s.do("HEAD", "/v2/team/app/blobs/"+layer.String(), nil), 404, "")
	s.want(s.do("HEAD", "/v2/team/app/manifests/1.0", nil), 404, "")
	ctx, stop := context.WithCancel(background)
	var group sync.WaitGroup
	group.Go(func() { s.Scrub(ctx) })
	for range 3000 {
		if len(s.scrubStatus().Damaged) == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	group.Wait()
	s.wantDamaged(layer, one.digest)
	if n := s.Scrubbed(background).Damaged; n != 2 {
		t.Errorf("the metrics show %d", n)
	}
	if st := s.scrubStatus(); st.Last != nil || st.Running != nil {
		t.Errorf("a pass was made: %+v", st)
	}
	s.stop() // and the store cannot be read
	if n := s.Scrubbed(background).Damaged; n != 2 {
		t.Errorf("the metrics show %d where the store cannot be read", n)
	}
}

// TestScrubGoesOn stops a scrub in its middle. The next process goes on where it was.
func TestScrubGoesOn(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	const blobs = 40
	for i := range blobs {
		s.pushBlob("app", fmt.Sprint("blob ", i))
	}
	slow := ScrubConfig{Every: units.Duration(time.Hour), Rate: 50 * perFile}
	if err := s.UseScrub(background, slow); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(background)
	var group sync.WaitGroup
	group.Go(func() { s.Scrub(ctx) })
	var running *ScrubPass
	for running == nil || running.Blobs < 5 {
		running = s.scrubStatus().Running
		time.Sleep(time.Millisecond)
	}
	stop()
	group.Wait()
	before := s.scrubStatus()
	if before.Running == nil || before.Done <= 0 || before.Done >= 1 {
		t.Fatalf("it was stopped at %+v", before)
	}
	s = s.restart()
	if err := s.UseScrub(background, ScrubConfig{Every: units.Duration(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if st := s.scrubStatus(); *st.Running != *before.Running || st.Done != before.Done {
		t.Errorf("a restart leaves %+v of %+v", st, before)
	}
	ctx, stop = context.WithCancel(background)
	group.Go(func() { s.Scrub(ctx) })
	last := s.wantPass()
	stop()
	group.Wait()
	if last.Blobs != blobs || !last.Started.Equal(before.Running.Started.Time) {
		t.Errorf("the pass ends as %+v", last)
	}
	if read := s.scrub.blobs.Load(); read != blobs-before.Running.Blobs {
		t.Errorf("the second process read %d blobs after the %d of the first", read, before.Running.Blobs)
	}
	if st := s.scrubStatus(); st.Next == nil || !st.Next.Equal(last.Started.Add(time.Hour)) {
		t.Errorf("the next is at %v", st.Next)
	}
}

// TestScrubDue says when the next pass begins, also for a clock that was wrong, and that it can be turned off.
func TestScrubDue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	day := ScrubConfig{Every: units.Duration(24 * time.Hour)}
	lastAt := func(at time.Time) scrubState {
		return scrubState{Last: &ScrubPass{Started: provenance.At(at)}}
	}
	running := scrubState{Pass: &ScrubPass{}}
	for name, c := range map[string]struct {
		config ScrubConfig
		state  scrubState
		due    bool
	}{
		"never before":     {day, scrubState{}, true},
		"an hour ago":      {day, lastAt(now.Add(-time.Hour)), false},
		"two days ago":     {day, lastAt(now.Add(-48 * time.Hour)), true},
		"in a year":        {day, lastAt(now.Add(365 * 24 * time.Hour)), true},
		"in 1970":          {day, lastAt(time.Unix(0, 0)), true},
		"under way":        {day, running, true},
		"off":              {ScrubConfig{}, scrubState{}, false},
		"turned off":       {ScrubConfig{}, running, false},
		"off, but asked":   {ScrubConfig{}, scrubState{Pass: &ScrubPass{Asked: true}}, true},
		"off since a year": {ScrubConfig{}, lastAt(now.Add(-365 * 24 * time.Hour)), false},
	} {
		s := newScrub()
		s.config, s.state = c.config, c.state
		if got := s.due(now); got != c.due {
			t.Errorf("%s: due is %v", name, got)
		}
		if wait := s.wait(now); wait < 0 || wait > time.Hour {
			t.Errorf("%s: it waits %s", name, wait)
		}
	}
}

// failing is Blobs whose files cannot be read, for a reason of the system's.
type failing struct {
	storage.Blobs
	err error
}

func (f failing) Open(ctx context.Context, at storage.Location) (storage.Blob, error) {
	b, err := f.Blobs.Open(ctx, at)
	return failingBlob{b, f.err}, err
}

type failingBlob struct {
	storage.Blob
	err error
}

func (f failingBlob) Read([]byte) (int, error)          { return 0, f.err }
func (f failingBlob) ReadAt([]byte, int64) (int, error) { return 0, f.err }

// TestScrubUnread tells what a disk cannot read from what passes: only the former is damage.
func TestScrubUnread(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{SmallBlobs: 1})
	s.pushImage("team/app", "1.0", "one")
	whole := s.blobs
	for _, passes := range []error{unix.EMFILE, unix.ENOMEM, unix.EACCES} {
		s.blobs = failing{whole, &os.PathError{Op: "read", Err: passes}}
		if p := s.scrubOnce(); p.Unread != 2 || p.Damaged != 0 {
			t.Errorf("%v: %+v", passes, p)
		}
	}
	s.wantDamaged()
	s.blobs = failing{whole, fmt.Errorf("%w: the disk cannot read it: %w", storage.ErrCorrupt, unix.EIO)}
	if p := s.scrubOnce(); p.Unread != 0 || p.Damaged != 2 {
		t.Errorf("EIO: %+v", p)
	}
	s.wantDamaged(digest.FromString("layer one"), digest.FromString(configOf("one")))
	if what := s.scrubStatus().Damaged[0].What; !strings.Contains(what, "input/output error") {
		t.Errorf("it says %q", what)
	}
	s.blobs = whole // the disk was replaced
	s.scrubOnce()
	s.wantDamaged()
}

// TestScrubNoDisk takes the whole directory of blobs away, or the bucket, as when its disk is not mounted any more: nothing is
// known of any blob, so nothing is marked, and nothing is told to be unknown.
func TestScrubNoDisk(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{SmallBlobs: 1})
	s.pushImage("team/app", "1.0", "one")
	blobs, method, unread, code := s.dir+"/blobs", "HEAD", 500, ""
	if s3test.Wanted() { // there it is the prefix, with its marker, and HEAD does not ask for it
		blobs, method, unread, code = filepath.Join(s3test.For(t, s.dir).Objects, s3test.Prefix(s.dir)), "GET", 503, "UNAVAILABLE"
	}
	elsewhere := filepath.Clean(blobs) + "-elsewhere"
	if err := os.Rename(blobs, elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(blobs, 0o700); err != nil {
		t.Fatal(err)
	}
	if p := s.scrubOnce(); p.Unread != 2 || p.Damaged != 0 {
		t.Errorf("%+v", p)
	}
	layer := "/v2/team/app/blobs/" + digest.FromString("layer one").String()
	s.want(s.do(method, layer, nil), unread, code)
	if err := errors.Join(os.Remove(blobs), os.Rename(elsewhere, blobs)); err != nil {
		t.Fatal(err)
	}
	s.want(s.do(method, layer, nil), 200, "")
	s.wantDamaged()
}

// TestScrubAskedAgain asks for a pass while a scheduled one is under way: it begins anew; and once more, which joins.
func TestScrubAskedAgain(t *testing.T) {
	t.Parallel()
	s := newScrub()
	s.config.Every = units.Duration(time.Hour)
	g := &Registry{scrub: s}
	s.begin(time.Now())
	due, _, _ := s.position()
	if !s.advance(due, []byte{1}, took{blobs: 1}) {
		t.Error("a pass does not go on")
	}
	g.ScrubNow()
	if s.advance(due, []byte{2}, took{blobs: 1}) {
		t.Error("a pass goes on though another was asked for")
	}
	asked, _, from := s.position()
	if asked == due || !asked.Asked || from != nil {
		t.Errorf("the next is %+v from %x", asked, from)
	}
	s.advance(asked, []byte{3}, took{blobs: 1})
	g.ScrubNow()
	if joined, _, from := s.position(); joined != asked || !bytes.Equal(from, []byte{3}) {
		t.Error("a pass that was asked for begins anew")
	}
}

// TestScrubBesidePushes scrubs while images are pushed, deleted, collected and pushed again: nothing is marked.
func TestScrubBesidePushes(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Millisecond)})
	ctx, stop := context.WithCancel(background)
	var group sync.WaitGroup
	group.Go(func() { s.Scrub(ctx) })
	group.Go(func() { s.Collect(ctx) })
	for writer := range 2 {
		group.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				body, ok := s.tryPush("team/app", fmt.Sprint(writer, i%3))
				if ok && i%2 == 0 {
					s.do("DELETE", "/v2/team/app/manifests/"+digest.FromString(body).String(), nil)
				}
			}
		})
	}
	for range 20 {
		s.ScrubNow()
		if p := s.wantPass(); p.Damaged != 0 || p.Unread != 0 {
			t.Errorf("a false alarm: %+v", p)
		}
	}
	stop()
	group.Wait()
	s.wantDamaged()
}
