package registry

import (
	"errors"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
)

// purged returns the newest record, which is of a manifest that was removed from the trash.
func (s *server) wantPurged(d digest.Digest, by provenance.Actor) {
	s.t.Helper()
	page, err := s.book.Find(background, provenance.Query{Action: provenance.Purge, Digest: d, Limit: 1})
	if err != nil || len(page.Records) != 1 || page.Records[0].Actor != by {
		s.t.Errorf("the records of its removal from the trash: %s, %v", marshal(page.Records), err)
	}
}

// TestEmpty empties the trash of one image, of a repository, and of all.
func TestEmpty(t *testing.T) {
	s := startTrash(t)
	one, two := s.pushImage("app", "1", "one"), s.pushImage("app", "2", "two")
	three := s.pushImage("other", "3", "three")
	for _, m := range []struct {
		repo string
		image
	}{{"app", one}, {"app", two}, {"other", three}} {
		s.delete(m.repo, m.digest.String())
	}
	s.later(2 * time.Hour)
	s.wantFiles(6)
	empty := func(repo, ref string, want int) {
		t.Helper()
		if n, err := s.Empty(background, Emptying{repo, ref, access.Operator}); err != nil || n != want {
			t.Errorf("%d were removed, %v; want %d", n, err, want)
		}
	}
	empty("app", "1", 1)
	s.wantPurged(one.digest, access.Operator.Actor)
	s.wantFiles(4)
	if _, err := s.Empty(background, Emptying{"app", one.digest.String(), access.Operator}); !errors.Is(err, ErrUnknown) {
		t.Errorf("once more: %v", err)
	}
	if _, err := s.undelete("app", "1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("it can be brought back: %v", err)
	}
	empty("other", "", 1)
	s.wantFiles(2)
	empty("", "", 1)
	empty("", "", 0)
	s.wantNoTrash()
	s.wantFiles(0)
}

// TestTrashMax bounds the trash: what was deleted first goes first, as soon as the trash alone holds more than it may.
func TestTrashMax(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.later(time.Minute)
	two := s.pushImage("app", "2", "two")
	s.delete("app", two.digest.String())
	both, err := s.Trashed(background)
	if err != nil || both.ManifestBytes < int64(len(one.body)+len(two.body)) {
		t.Fatal(both, err)
	}
	s.UseTrash(TrashConfig{Keep: aDay.Keep, Max: units.Size(both.ManifestBytes + 2*oneBytes - 1)})
	s.wantTrashed(2, 0) // both have a lease still
	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	s.wantPurged(one.digest, systemEnds.Actor)
	s.wantFiles(2)
	s.wantBack("app", "2", 1)
	s.wantNoTrash()
}

// TestTrashMaxCountsManifests bounds the trash: manifests in it count, too.
func TestTrashMaxCountsManifests(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.wantTrashed(1, 0) // its blobs have a lease still
	s.UseTrash(TrashConfig{Keep: aDay.Keep, Max: units.Size(len(one.body) - 1)})
	s.wantTrashed(0, 0)
	s.wantPurged(one.digest, systemEnds.Actor)
}

// TestTrashMaxWaits bounds the trash while somebody keeps files: nothing that is removed would give room, so all stays.
func TestTrashMaxWaits(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	release := s.KeepFiles()
	s.UseTrash(TrashConfig{Keep: aDay.Keep, Max: 1})
	s.wantTrashed(1, oneBytes)
	release()
	s.wantNoTrash()
	s.wantFiles(0)
}

// TestTrashBelowReserve lets the disk fill: the trash gives its room back, and deleting goes on.
func TestTrashBelowReserve(t *testing.T) {
	s := startTrash(t)
	one, two := s.pushImage("app", "1", "one"), s.pushImage("app", "2", "two")
	s.delete("app", one.digest.String())
	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	s.c.Reserve = units.Size(1 << 62)
	s.wantNoTrash()
	s.wantPurged(one.digest, systemEnds.Actor)
	if _, err := s.undelete("app", "1"); err == nil {
		t.Error("a full disk takes an image back")
	}
	s.delete("app", two.digest.String())
	s.wantTrashed(1, 0)
	if n, err := s.Empty(background, Emptying{Who: access.Operator}); err != nil || n != 1 {
		t.Errorf("%d were removed, %v", n, err)
	}
	s.later(2 * time.Hour)
	s.wantFiles(0)
}

// TestTrashPages lists the trash in pages, without what the caller may not see.
func TestTrashPages(t *testing.T) {
	s := startTrash(t)
	want := map[string]bool{}
	for _, repo := range []string{"a", "b/app", "c"} {
		for _, content := range []string{"one", "two", "three"} {
			m := s.pushImage(repo, content, content)
			s.delete(repo, m.digest.String())
			if repo != "b/app" {
				want[repo+"@"+m.digest.String()] = true
			}
		}
	}
	var after []byte
	for first := true; first || after != nil; first = false {
		found, next, err := s.TrashPage(background, TrashQuery{After: after, Limit: 2, Visible: func(repo string) bool { return repo != "b/app" }})
		if err != nil || len(found) == 0 || len(found) > 2 {
			t.Fatalf("%d entries, %v", len(found), err)
		}
		for _, e := range found {
			if name := e.Repository + "@" + e.Digest.String(); !want[name] || len(e.Tags) != 1 {
				t.Errorf("%s with %v", name, e.Tags)
			} else {
				delete(want, name)
			}
		}
		after = next
	}
	if len(want) > 0 {
		t.Errorf("%v are not listed", want)
	}
	// What one may not see is no reason for another page.
	if found, next, err := s.TrashPage(background, TrashQuery{Limit: 3, Visible: func(repo string) bool { return repo == "a" }}); err != nil || len(found) != 3 || next != nil {
		t.Errorf("%d entries, next %q, %v", len(found), next, err)
	}
}
