package registry

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
)

// undelete brings an image back as alice.
func (s *server) undelete(repo, ref string) (Undeleted, error) {
	s.t.Helper()
	return s.undeleteAs("alice", repo, ref)
}

func (s *server) undeleteAs(user, repo, ref string) (Undeleted, error) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/v1/trash/undelete", nil)
	r.SetBasicAuth(user, password)
	caller, err := s.gate.Begin(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.Undelete(background, caller.Who, r, repo, ref)
}

// wantBack brings an image back, and wants records of so many manifests.
func (s *server) wantBack(repo, ref string, manifests int) Undeleted {
	s.t.Helper()
	u, err := s.undelete(repo, ref)
	if err != nil || len(u.Records) != manifests {
		s.t.Fatalf("%d manifests came back, want %d: %v", len(u.Records), manifests, err)
	}
	return u
}

// wantMeans wants a tag to mean an image, or nothing.
func (s *server) wantMeans(repo, tag string, d digest.Digest) {
	s.t.Helper()
	got := s.do("GET", "/v2/"+repo+"/manifests/"+tag, nil)
	if is := digest.Digest(got.header.Get("Docker-Content-Digest")); is != d || (got.status == 200) != (d != "") {
		s.t.Errorf("%s:%s means %q, want %q", repo, tag, is, d)
	}
}

// TestUndelete brings images back, before and after the lease of their blobs has ended: each is what it was, with its tags and
// the same provenance.
func TestUndelete(t *testing.T) {
	for name, after := range map[string]time.Duration{"at once": 0, "when its blobs are hidden": 2 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			s := startTrash(t)
			one := s.pushImage("app", "1", "one")
			s.pushManifest("app", "2", one.body)
			s.pushManifest("app", "3", one.body)
			shown := s.provenanceOf("app", one.digest)
			s.delete("app", one.digest.String())
			two := s.pushImage("app", "2", "two")
			s.later(after)
			s.wantCollected()

			u := s.wantBack("app", one.digest.String(), 1)
			r := u.Records[0]
			if r.Action != provenance.Undelete || r.Manifest != provenance.ManifestAdded || !slices.Equal(namesOf(r.Tags), []string{"1", "3"}) || r.Actor.Handle != "alice" {
				t.Errorf("its record: %s", marshal(r))
			}
			if !slices.Equal(u.Left, []string{"2"}) {
				t.Errorf("it left %v", u.Left)
			}
			s.wantMeans("app", "1", one.digest)
			s.wantMeans("app", "2", two.digest)
			s.wantMeans("app", "3", one.digest)
			s.wantBlobsIn("app", true, "one")
			if again := s.provenanceOf("app", one.digest); again.Digest != shown.Digest {
				t.Errorf("its provenance is %s, and was %s", again.Digest, shown.Digest)
			}
			s.wantNoTrash()
			s.later(48 * time.Hour)
			s.wantCollected()
			s.wantBlobsIn("app", true, "one")
			if _, err := s.undelete("app", one.digest.String()); !errors.Is(err, ErrUnknown) {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

// TestUndeleteByTag brings back what a tag meant last.
func TestUndeleteByTag(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.wantBack("app", "1", 1)
	s.wantMeans("app", "1", one.digest)
	if _, err := s.undelete("app", "1"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("a tag that means something: %v", err)
	}
	s.delete("app", "1") // the tag alone
	s.wantMeans("app", "1", "")
	s.wantBack("app", "1", 1)
	s.wantMeans("app", "1", one.digest)
	for _, ref := range []string{"never", digest.FromString("x").String()} {
		if _, err := s.undelete("app", ref); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", ref, err)
		}
	}
	s.wantClean()
}

// TestUndeleteFamily deletes an index with a platform and signatures in both forms, and brings it back with all of them.
func TestUndeleteFamily(t *testing.T) {
	s := startTrash(t)
	child := s.pushImage("app", "", "one")
	list := listing(ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: child.digest, Size: int64(len(child.body))})
	index := s.pushManifest("app", "1", list, typeOf(list))
	note := s.artifact("app", index.digest, "application/vnd.example.note", "a note")
	beside := s.artifact("app", note.digest, "application/vnd.example.note", "a note about it")
	signed := s.pushImage("app", "sha256-"+child.digest.Encoded()+".sig", "signature")
	other := s.pushImage("app", "other", "other")
	all := []image{beside, note, index, child, signed}
	for _, m := range append(all, other) {
		s.delete("app", m.digest.String())
	}
	s.later(2 * time.Hour)
	s.wantCollected()
	u := s.wantBack("app", "1", len(all))
	at := func(d digest.Digest) int {
		return slices.IndexFunc(u.Records, func(r *provenance.Record) bool { return r.Digest == d })
	}
	if at(child.digest) > at(index.digest) || at(index.digest) > at(beside.digest) || at(beside.digest) > at(note.digest) {
		t.Errorf("they came back in the order %s", marshal(u.Records))
	}
	for _, m := range all {
		s.want(s.do("GET", "/v2/app/manifests/"+m.digest.String(), nil), 200, "")
	}
	s.wantMeans("app", "other", "")
	if found, _ := s.listReferrers("app", index.digest, ""); len(found) != 2 {
		t.Errorf("its referrers: %s", marshal(found))
	}
	s.wantClean()
}

// TestUndeleteLarge brings back a manifest that is kept as a file.
func TestUndeleteLarge(t *testing.T) {
	s := startTrash(t)
	s.pushBlob("app", "held")
	body := largeIndex()
	large := s.pushManifest("app", "1", body, typeOf(body))
	s.delete("app", large.digest.String())
	for n := 1; n > 0; {
		var err error
		if n, err = s.endDeletions(background); err != nil {
			t.Fatal(err)
		}
	}
	s.later(2 * time.Hour)
	s.wantCollected()
	s.wantBack("app", "1", 1)
	if got := s.want(s.do("GET", "/v2/app/manifests/1", nil), 200, ""); got.body != body {
		t.Error("it has other bytes")
	}
	if !s.hasBlob("app", "held") {
		t.Error("what it held is not there")
	}
	s.wantNoTrash()
}

// TestUndeleteManyTags brings back an image with more tags than a record has room for, and stops after the first of them.
func TestUndeleteManyTags(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startTrash(t)
	one := s.pushImage("app", "", "one")
	tags := s.tagMany("app", one, 2*provenance.MaxTags+50)
	s.delete("app", one.digest.String())
	u := s.wantBack("app", one.digest.String(), 1)
	s.wantMeans("app", tags[0], one.digest)
	s.wantMeans("app", tags[len(tags)-1], one.digest)
	if n := s.rows(taggedTable); n != len(tags) {
		t.Errorf("%d tags came back", n)
	}
	if r := s.record("1"); r == nil || u.Records[0].Manifest != provenance.ManifestAdded {
		t.Error("its record")
	}
	s.wantNoTrash()
}

// TestUndeleteRefused asks who may not, and wants nothing to have changed.
func TestUndeleteRefused(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.later(2 * time.Hour)
	s.wantCollected()
	records := s.records()
	s.only("app pull", "other push")
	for repo, want := range map[string]int{"app": http.StatusForbidden, "secret": http.StatusNotFound, "other": http.StatusNotFound} {
		var f *failure
		if _, err := s.undeleteAs("bob", repo, "1"); !errors.As(err, &f) || f.status != want {
			t.Errorf("bob in %s: %v, want %d", repo, err, want)
		}
	}
	if s.records() != records {
		t.Error("a refusal is on record")
	}
	s.wantTrashed(1, oneBytes)
}

// TestUndeleteDamaged wants bytes that are not those of the digest to stay where they are.
func TestUndeleteDamaged(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.harmManifest("app", one.digest)
	s.delete("app", one.digest.String())
	if _, err := s.undelete("app", one.digest.String()); err == nil {
		t.Error("a damaged manifest came back")
	}
	s.pushManifest("app", "1", one.body)
	s.wantNoTrash()
}

// TestUndeleteOthersHold has bob delete all of a repository, which others hold by then: he may not bring it back, and is not told what is there; alice,
// who may push now, brings it back in her own name, and her tags stay as they are.
func TestUndeleteOthersHold(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	two := s.pushImage("app", "2", "two")
	for _, m := range []image{one, two} {
		s.want(s.do("DELETE", "/v2/app/manifests/"+m.digest.String(), nil, as("bob")), 202, "")
	}
	s.later(2 * time.Hour)
	s.wantCollected()
	s.only("bob/** push")
	hers := s.pushImage("app", "1", "hers")
	records := s.records()
	for _, ref := range []string{"2", two.digest.String()} {
		var f *failure
		if _, err := s.undeleteAs("bob", "app", ref); !errors.As(err, &f) || f.status != http.StatusNotFound {
			t.Errorf("bob: %v", err)
		}
	}
	if s.records() != records {
		t.Error("a refusal is on record")
	}
	u, err := s.undelete("app", one.digest.String())
	if err != nil || len(u.Records) != 1 || u.Records[0].Actor.Handle != "alice" || !slices.Equal(u.Left, []string{"1"}) {
		t.Errorf("alice: %+v, %v", u, err)
	}
	got := s.want(s.do("HEAD", "/v2/app/manifests/1", nil), 200, "")
	if d := got.header.Get("Docker-Content-Digest"); d != hers.digest.String() {
		t.Errorf("her tag means %s now", d)
	}
	s.want(s.do("GET", "/v2/app/blobs/"+digest.FromString("layer one").String(), nil), 200, "")
	s.want(s.do("GET", "/v2/app/blobs/"+digest.FromString("layer two").String(), nil), 404, "BLOB_UNKNOWN")
	s.wantClean()
}
