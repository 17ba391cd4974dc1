package registry

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/storage"
)

// startAt lets the store of a server have its first clock at a time that the machine's clock shows.
func (s *server) startAt(machine time.Time) {
	s.t.Helper()
	err := s.store.Update(background, func(tx storage.Tx) error {
		tx.Delete(clockTable, clockKey)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.goOnAt(machine)
}

// goOnAt starts a server on its store while the machine's clock shows a time.
func (s *server) goOnAt(machine time.Time) {
	s.t.Helper()
	clock, err := openClock(background, s.store, machine)
	if err != nil {
		s.t.Fatal(err)
	}
	s.clock, s.now = clock, clock.now
}

// TestWrongClock starts with every machine's clock that may be: leases last as long as they are to last, counted
// while the registry runs.
func TestWrongClock(t *testing.T) {
	for name, machine := range map[string]time.Time{
		"before 1970": time.Unix(-1e6, 0), "1970": time.Unix(0, 0), "an hour later": time.Unix(3600, 0), "2099": time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		s := startServer(t, t.TempDir(), Config{Lease: units.Duration(24 * time.Hour)})
		s.startAt(machine)
		s.pushBlob("app", "alone")
		s.wantFiles(1)
		s.later(23 * time.Hour)
		s.wantFiles(1)
		s.later(2 * time.Hour)
		if s.wantFiles(0); t.Failed() {
			t.Fatalf("the machine's clock shows %s", name)
		}
	}
}

// TestClockAhead restarts with a clock that is years ahead, or behind. No lease is shorter, and none is forgotten.
func TestClockAhead(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(24 * time.Hour)})
	s.pushBlob("app", "alone")
	s.later(20 * time.Hour)
	s.keepTime(background)
	for _, machine := range []time.Time{time.Now().AddDate(10, 0, 0), time.Unix(0, 0)} {
		s.goOnAt(machine)
		s.wantFiles(1)
	}
	s.later(25 * time.Hour)
	s.wantFiles(0)
}

// TestClockOfOlderVersion takes the leases of an older version, which counts by the machine's clock: it may have been
// wrong then, or be wrong now.
func TestClockOfOlderVersion(t *testing.T) {
	for _, machine := range []time.Time{time.Now().AddDate(10, 0, 0), time.Unix(3600, 0)} {
		s := startServer(t, t.TempDir(), Config{Lease: units.Duration(24 * time.Hour)})
		begun := uint64(time.Now().UnixMicro())
		s.now = func() uint64 { return begun }
		s.pushBlob("app", "alone")
		s.now = func() uint64 { return uint64(time.Now().AddDate(5, 0, 0).UnixMicro()) } // it was wrong for a moment
		s.pushBlob("app", "another")
		s.startAt(machine)
		s.wantFiles(2)
		s.later(23 * time.Hour)
		s.wantFiles(2)
		s.later(2 * time.Hour)
		s.wantFiles(0)
	}
}

// TestClockGoesOn keeps the time that a registry has run over restarts: what nothing needs goes in the end.
func TestClockGoesOn(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(24 * time.Hour)})
	s.pushBlob("app", "alone")
	for range 3 {
		s.clock.base.Add(uint64((9 * time.Hour).Microseconds()))
		s.keepTime(background)
		s = s.restart()
	}
	s.wantFiles(0)
}

// TestUploadAcrossJump has an upload whose file was written, as the machine's clock says, a year ago or in a year: it
// goes on.
func TestUploadAcrossJump(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{UploadKeep: units.Duration(24 * time.Hour)})
	s.startAt(time.Now().AddDate(-1, 0, 0))
	location := s.patch(s.begin("app"), "hello ")
	sweep := func(want int) {
		t.Helper()
		if n, err := s.removeAbandoned(background); n != want || err != nil {
			t.Errorf("removed %d uploads, %v; want %d", n, err, want)
		}
	}
	s.later(30 * time.Hour) // without a sweep that has seen it so
	sweep(0)
	s.later(20 * time.Hour)
	sweep(0)
	location = s.patch(location, "world")
	s.later(20 * time.Hour)
	sweep(0) // there was another chunk
	s.later(20 * time.Hour)
	sweep(0)
	s.want(s.do("PUT", withDigest(location, digest.FromString("hello world")), nil), 201, "")
	s.begin("app")
	sweep(0)
	s.later(25 * time.Hour)
	sweep(1)
	if seen, err := s.seenIdle(background); len(seen) > 0 || err != nil {
		t.Errorf("what was seen of uploads that are gone is kept: %v, %v", seen, err)
	}
}
