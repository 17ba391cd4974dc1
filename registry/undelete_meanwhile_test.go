package registry

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// backCall is a call of alice's that brings something back.
func (s *server) backCall(repo string) *call {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/v1/trash/undelete", nil)
	r.SetBasicAuth("alice", password)
	caller, err := s.gate.Begin(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return &call{request: request{repo: repo, right: access.Push}, who: caller.Who, r: r}
}

// readBack reads what the trash has of an image, as the first step of bringing it back.
func (s *server) readsBack(repo string, d digest.Digest) *back {
	s.t.Helper()
	b, err := s.readBack(background, repo, d)
	if err != nil || b == nil {
		s.t.Fatal(b, err)
	}
	return b
}

// TestUndeleteTagsOfGoing brings an image back whose tags mean, in part, an image that is going: the tags that its first record has no
// room for, too. Nothing of them is lost with the image that goes.
func TestUndeleteTagsOfGoing(t *testing.T) {
	s := startTrash(t)
	one, two := s.pushImage("app", "", "one"), s.pushImage("app", "", "two")
	tags := s.tagMany("app", one, 2*provenance.MaxTags+50)
	s.delete("app", one.digest.String())
	s.tagMany("app", two, 2*provenance.MaxTags+50)
	s.half("app", two.digest)
	s.wantBack("app", one.digest.String(), 1)
	for _, tag := range []string{tags[0], tags[150], tags[len(tags)-1]} {
		s.wantMeans("app", tag, one.digest)
	}
	if n, err := s.endDeletions(background); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	for _, tag := range []string{tags[0], tags[150], tags[len(tags)-1]} {
		s.wantMeans("app", tag, one.digest)
	}
	if n := s.used("app").Tags; n != int64(len(tags)) {
		t.Errorf("%d tags are counted, want %d", n, len(tags))
	}
	s.wantCollected()
}

// TestUndeletePushedMeanwhile pushes an image while it is brought back: it keeps the provenance of that push.
func TestUndeletePushedMeanwhile(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	b := s.readsBack("app", one.digest)
	s.pushManifest("app", "2", one.body)
	shown := s.provenanceOf("app", one.digest)
	if _, _, err := s.pushBack(background, s.backCall("app"), one.digest, b); err != nil {
		t.Fatal(err)
	}
	if now := s.provenanceOf("app", one.digest); now.Digest != shown.Digest {
		t.Errorf("its provenance is %s, and was %s", now.Digest, shown.Digest)
	}
	s.wantNoTrash()
}

// TestUndeleteTaggedMeanwhile sets a tag of an image to another one while it is brought back: the tag is left, and named.
func TestUndeleteTaggedMeanwhile(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.pushManifest("app", "2", one.body)
	s.delete("app", one.digest.String())
	b := s.readsBack("app", one.digest)
	two := s.pushImage("app", "2", "two")
	if _, _, err := s.pushBack(background, s.backCall("app"), one.digest, b); err != nil || !slices.Equal(b.left, []string{"2"}) {
		t.Errorf("it left %v, %v", b.left, err)
	}
	s.wantMeans("app", "1", one.digest)
	s.wantMeans("app", "2", two.digest)
	s.wantCollected()
}

// TestUndeleteQuota brings back what a quota has no room for: it is refused as a whole, before anything has changed.
func TestUndeleteQuota(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "", "one")
	tags := s.tagMany("app", one, 2*provenance.MaxTags+50)
	s.delete("app", one.digest.String())
	s.later(2 * time.Hour)
	s.wantCollected()
	refused := func(what string) {
		t.Helper()
		records := s.records()
		if _, err := s.undelete("app", one.digest.String()); err == nil || !strings.Contains(err.Error(), "hallmark quota set") {
			t.Errorf("%s: %v", what, err)
		}
		if s.records() != records || s.used("app") != (Usage{}) {
			t.Errorf("%s: a refusal changed something: %+v", what, s.used("app"))
		}
	}
	s.setQuota("app", 0, 0, 2*provenance.MaxTags)
	refused("a quota of tags")
	s.setQuota("app", oneBytes+1, 0, 0)
	refused("a quota of bytes")
	s.setQuota("app", 1<<20, 0, 2*provenance.MaxTags+50)
	s.wantBack("app", one.digest.String(), 1)
	s.wantMeans("app", tags[len(tags)-1], one.digest)
	s.wantNoTrash()
}

// TestUndeleteMany brings back an image with more attached to it than comes back at once.
func TestUndeleteMany(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	defer func(n int) { maxBack = n }(maxBack)
	maxBack = 3
	s := startTrash(t)
	child := s.pushImage("app", "", "one")
	index := s.pushIndex("app", "1", child)
	all := []image{index, child}
	for i := range 4 {
		note := s.artifact("app", index.digest, "application/vnd.example.note", fmt.Sprint("a note ", i))
		all = append(all, note, s.artifact("app", child.digest, "application/vnd.example.note", fmt.Sprint("of the child ", i)),
			s.artifact("app", note.digest, "application/vnd.example.note", fmt.Sprint("about note ", i)))
	}
	for _, m := range all {
		s.delete("app", m.digest.String())
	}
	n, calls := 0, 0
	for more := true; more; calls++ {
		u, err := s.undelete("app", index.digest.String())
		if err != nil || len(u.Records) > maxBack || calls > len(all) {
			t.Fatalf("%d manifests came back, %v", len(u.Records), err)
		}
		n, more = n+len(u.Records), u.More
	}
	if n != len(all) || calls != 5 {
		t.Errorf("%d manifests came back in %d calls, want %d", n, calls, len(all))
	}
	s.wantNoTrash()
}

// TestUndeleteTagAlone brings back a tag whose image is there: what was deleted of what is attached to the image stays deleted.
func TestUndeleteTagAlone(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	note := s.artifact("app", one.digest, "application/vnd.example.note", "a wrong note")
	s.delete("app", note.digest.String())
	s.delete("app", "1")
	s.wantBack("app", "1", 1)
	s.wantMeans("app", "1", one.digest)
	if _, err := s.undelete("app", one.digest.String()); !errors.Is(err, ErrUnknown) {
		t.Errorf("an image that is there: %v", err)
	}
	s.wantMeans("app", note.digest.String(), "")
	s.delete("app", one.digest.String())
	s.wantBack("app", "1", 2)
	s.delete("app", note.digest.String()) // again, since the image is back
	if _, err := s.undelete("app", one.digest.String()); !errors.Is(err, ErrUnknown) {
		t.Errorf("an image that is back: %v", err)
	}
	s.wantCollected()
}

// TestEmptyGoing empties the trash of an image whose deletion has not come to its end: that is for another moment.
func TestEmptyGoing(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "", "one")
	s.tagMany("app", one, 2*provenance.MaxTags)
	s.half("app", one.digest)
	_, err := s.Empty(background, Emptying{"app", one.digest.String(), access.Operator})
	if a, _ := AnswerOf(err); a.Status != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "" {
		t.Errorf("%+v, %v", a, err)
	}
	s.wantTrashed(1, 0)
}

// TestCollectDamagedTrash puts a row into the trash that cannot be read: what else there is to do is done.
func TestCollectDamagedTrash(t *testing.T) {
	s := startTrash(t)
	one, two := s.pushImage("app", "1", "one"), s.pushImage("app", "2", "two")
	for _, m := range []image{one, two} {
		s.delete("app", m.digest.String())
	}
	s.later(2 * time.Hour)
	s.wantTrashed(2, 2*oneBytes)
	undo := s.tamper(func(tx storage.Tx) {
		tx.Put(trashEndTable, []byte("bad"), nil)
		tx.Put(leavingTable, []byte("bad"), nil)
	})
	s.later(23 * time.Hour)
	if err := s.collect(background); err == nil {
		t.Error("nobody is told")
	}
	undo()
	if _, sealed := s.leftovers(); sealed != 0 {
		t.Errorf("%d files are left", sealed)
	}
	s.wantNoTrash()
}
