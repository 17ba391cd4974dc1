package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// deletable asks what a deletion would do.
func (s *server) deletable(repo string, d digest.Digest) Deletable {
	s.t.Helper()
	x, err := s.Deletable(background, repo, d)
	if err != nil {
		s.t.Fatal(err)
	}
	return x
}

func (s *server) deleteAlong(repo string, d, id digest.Digest) answer {
	s.t.Helper()
	return s.do("DELETE", "/v2/"+repo+"/manifests/"+d.String(), nil, header("Hallmark-Along", id.String()))
}

// wantAlong wants exactly these to go along with an image.
func wantAlong(t *testing.T, x Deletable, want ...image) {
	t.Helper()
	var is, should []string
	for _, b := range x.Along {
		is = append(is, b.Digest.String())
	}
	for _, m := range want {
		should = append(should, m.digest.String())
	}
	slices.Sort(is)
	slices.Sort(should)
	if !slices.Equal(is, should) || x.AlongRefused != "" {
		t.Errorf("%v go along, want %v; refused: %q", is, should, x.AlongRefused)
	}
}

// signedIndex is an index of two platforms, of which one is also tagged, with everything that tools put beside it.
func (s *server) signedIndex() (index image, along []image, stays image) {
	s.t.Helper()
	child, tagged := s.pushImage("app", "", "one"), s.pushImage("app", "amd64", "two")
	index = s.pushIndex("app", "1", child, tagged)
	note := s.artifact("app", index.digest, "application/vnd.example.note", "a note")
	about := s.artifact("app", note.digest, "application/vnd.example.note", "a note about it")
	signed := s.pushImage("app", "sha256-"+child.digest.Encoded()+".sig", "signature")
	sbom := s.pushImage("app", "sha256-"+index.digest.Encoded()+".sbom", "sbom")
	list := s.pushIndex("app", "sha256-"+index.digest.Encoded(), note)
	return index, []image{child, note, about, signed, sbom, list}, tagged
}

// TestDeleteAlong deletes an index with all that belongs to it, and brings all of it back.
func TestDeleteAlong(t *testing.T) {
	s := startTrash(t)
	index, along, tagged := s.signedIndex()
	other := s.pushImage("app", "other", "other")
	of := s.artifact("app", tagged.digest, "application/vnd.example.note", "about the platform that stays")
	x := s.deletable("app", index.digest)
	wantAlong(t, x, along...)
	s.want(s.deleteAlong("app", index.digest, digest.FromString("")), 412, "DENIED")
	got := s.want(s.deleteAlong("app", index.digest, x.AlongID), 202, "")
	if r := s.record(got.header.Get("Hallmark-Record")); r.Digest != index.digest || r.Action != provenance.Delete {
		t.Errorf("its record: %s", marshal(r))
	}
	for _, m := range append(along, index) {
		s.wantMeans("app", m.digest.String(), "")
		page, err := s.book.Find(background, provenance.Query{Action: provenance.Delete, Digest: m.digest, Limit: 2})
		if err != nil || len(page.Records) != 1 {
			t.Errorf("%s has %d records of its deletion, %v", m.digest, len(page.Records), err)
		}
	}
	for _, m := range []image{tagged, other, of} {
		s.wantMeans("app", m.digest.String(), m.digest)
	}
	s.later(2 * time.Hour)
	s.wantCollected()
	s.wantBack("app", "1", len(along)+1)
	for _, m := range append(along, index) {
		s.wantMeans("app", m.digest.String(), m.digest)
	}
	s.wantMeans("app", "sha256-"+index.digest.Encoded(), along[5].digest)
	s.wantNoTrash()
	x = s.deletable("app", index.digest)
	wantAlong(t, x, along...)
	s.want(s.deleteAlong("app", index.digest, x.AlongID), 202, "")
	s.later(26 * time.Hour)
	s.wantNoTrash()
}

// TestDeleteAlongAll deletes everything that is in a repository: nothing of it is left, and no blob that several of them need.
func TestDeleteAlongAll(t *testing.T) {
	s := startTrash(t)
	s.UseTrash(TrashConfig{})
	one := s.pushImage("app", "1", "one")
	s.pushImage("app", "sha256-"+one.digest.Encoded()+".sig", "one's signature")
	s.artifact("app", one.digest, "application/vnd.example.note", "a note")
	s.artifact("app", one.digest, "application/vnd.example.note", "another")
	s.want(s.deleteAlong("app", one.digest, s.deletable("app", one.digest).AlongID), 202, "")
	s.want(s.do("GET", "/v2/app/tags/list", nil), 404, "NAME_UNKNOWN")
	s.later(2 * time.Hour)
	s.wantFiles(0)
	if used := s.used("app"); used != (Usage{}) {
		t.Errorf("it uses %+v", used)
	}
}

// TestDeleteAlongRefused wants everything to stay where a part has to stay, and the dry answer to say so.
func TestDeleteAlongRefused(t *testing.T) {
	s := startTrash(t)
	index, along, _ := s.signedIndex()
	refused := func(what, why string) {
		t.Helper()
		records := s.records()
		x := s.deletable("app", index.digest)
		got := s.want(s.deleteAlong("app", index.digest, x.AlongID), 403, "DENIED")
		if x.AlongRefused != got.message() || !strings.Contains(x.AlongRefused, why) || x.Refused != "" {
			t.Errorf("%s: %q beforehand, and %q", what, x.AlongRefused, got.message())
		}
		for _, m := range append(along, index) {
			s.wantMeans("app", m.digest.String(), m.digest)
		}
		if s.records() != records {
			t.Errorf("%s: a refusal is on record", what)
		}
	}
	note := along[1]
	if _, err := s.Hold(background, access.Operator, "app", note.digest, s.machine().Add(time.Hour), "an audit"); err != nil {
		t.Fatal(err)
	}
	refused("a hold", "held until")
	if _, err := s.Release(background, access.Operator, "app", note.digest); err != nil {
		t.Fatal(err)
	}
	lists := s.pushIndex("app", "lists", note, along[0])
	refused("an index that stays", "delete it first")
	s.delete("app", lists.digest.String())
	body := listing(s.provenanceOf("app", along[3].digest))
	lists = s.pushManifest("app", "", body, typeOf(body))
	refused("an index that lists a record", "record: delete it first")
	s.delete("app", lists.digest.String())
	s.pushManifest("app", "v1", along[2].body)
	s.fix("app", "v*")
	refused("an immutable tag", "immutable")
	s.wantClean()
}

// TestDeleteAlongKilled stops after the transaction in which everything is deleted: the next start removes the rest.
func TestDeleteAlongKilled(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "", "one")
	s.tagMany("app", one, 2*provenance.MaxTags+50)
	note := s.artifact("app", one.digest, "application/vnd.example.note", "a note")
	c := s.backCall("app")
	c.right, c.digest, c.ref = access.Delete, one.digest, one.digest.String()
	c.r.Header.Set("Hallmark-Along", s.deletable("app", one.digest).AlongID.String())
	f := &familyDeletion{call: c, looked: map[digest.Digest]checked{}}
	state, err := s.checkTags(background, "app", one.digest)
	if f.looked[one.digest] = state; err != nil {
		t.Fatal(err)
	}
	if err := s.beginFamily(background, f); err != nil {
		t.Fatal(err)
	}
	s.restartKeepingTime(func() {
		s.wantMeans("app", one.digest.String(), "")
		s.wantMeans("app", note.digest.String(), "")
		s.wantClean()
		if n, err := s.endDeletions(background); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		s.wantCollected()
		s.wantBack("app", one.digest.String(), 2)
		s.wantNoTrash()
	})
}

// TestDeleteAlongMany deletes an index that refers to more than goes in one transaction, with platforms that it lists first and last.
func TestDeleteAlongMany(t *testing.T) {
	s := startTrash(t)
	var along []image
	var listed []ocispec.Descriptor
	for i := range 5 {
		m := s.pushImage("app", "", fmt.Sprint("platform ", i))
		along, listed = append(along, m), append(listed, typed(ocispec.MediaTypeImageManifest, m.body))
	}
	for i := range 2 * goingStep {
		listed = append(listed, descriptorOf(fmt.Sprint("absent ", i)))
	}
	body := listing(listed...)
	index := s.pushManifest("app", "1", body, typeOf(body))
	x := s.deletable("app", index.digest)
	wantAlong(t, x, along...)
	s.want(s.deleteAlong("app", index.digest, x.AlongID), 202, "")
	for _, m := range append(along, index) {
		s.wantMeans("app", m.digest.String(), "")
	}
	s.wantClean()
	s.wantBack("app", "1", len(along)+1)
	s.wantNoTrash()
}

// TestDeleteAlongShared wants an image to stay whose record has a part that something else lists, if all whose records have it would go.
func TestDeleteAlongShared(t *testing.T) {
	s := startTrash(t)
	next, err := receipt.GenerateSigner()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.book.Rotate(background, access.Operator, next); err != nil {
		t.Fatal(err)
	}
	one := s.pushImage("app", "1", "one")
	s.pushImage("app", "sha256-"+one.digest.Encoded()+".sig", "signature")
	layers := s.layersOf(s.provenanceOf("app", one.digest).Digest)
	body := listing(layers[len(layers)-1])
	s.pushManifest("app", "", body, typeOf(body))
	x := s.deletable("app", one.digest)
	got := s.want(s.deleteAlong("app", one.digest, x.AlongID), 403, "DENIED")
	if x.AlongRefused != got.message() || !strings.Contains(x.AlongRefused, "record: delete it first") {
		t.Errorf("%q beforehand, and %q", x.AlongRefused, got.message())
	}
	s.want(s.do("GET", "/v2/app/blobs/"+layers[len(layers)-1].Digest.String(), nil), 200, "")
	s.wantClean()
}
