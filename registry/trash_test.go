package registry

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
)

// startTrash starts a server that keeps what is deleted for a day, and blobs that nothing needs for an hour.
func startTrash(t testing.TB) *server {
	t.Helper()
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	s.UseTrash(aDay)
	return s
}

var aDay = TrashConfig{Keep: units.Duration(24 * time.Hour)}

// oneBytes are those of the blobs of an image "one".
var oneBytes = int64(len(configOf("one")) + len("layer one"))

// delete deletes a tag or a manifest.
func (s *server) delete(repo, ref string) *provenance.Record {
	s.t.Helper()
	got := s.want(s.do("DELETE", "/v2/"+repo+"/manifests/"+ref, nil), 202, "")
	return s.record(got.header.Get("Hallmark-Record"))
}

// wantTrashed wants the trash to have so many manifests, and so many bytes that nothing else needs.
func (s *server) wantTrashed(manifests, bytes int64) {
	s.t.Helper()
	s.wantCollected()
	if got, err := s.Trashed(background); err != nil || got.Manifests != manifests || got.Bytes != bytes {
		s.t.Errorf("the trash has %+v, %v; want %d manifests, %d bytes", got, err, manifests, bytes)
	}
}

// wantCollected collects, and wants everything to fit.
func (s *server) wantCollected() {
	s.t.Helper()
	if err := s.collect(background); err != nil {
		s.t.Fatal(err)
	}
	s.wantClean()
}

// wantNoTrash wants no row of the trash to be left.
func (s *server) wantNoTrash() {
	s.t.Helper()
	s.wantTrashed(0, 0)
	if n := s.rows(trashTable) + s.rows(trashEndTable) + s.rows(trashTagTable) + s.rows(trashHoldTable) + s.rows(trashHeldTable) +
		s.rows(leavingTable) + s.rows(hiddenTable) + s.rows(hiddenInTable); n != 0 {
		s.t.Errorf("%d rows of the trash are left", n)
	}
}

// TestTrash deletes an image: it is gone at once, and its blobs when their lease ends; the trash keeps their bytes until its
// time is over.
func TestTrash(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	r := s.delete("app", one.digest.String())
	if r.Observed.KeptUntil == nil || !r.Observed.KeptUntil.After(r.Time.Add(23*time.Hour)) {
		t.Errorf("it is kept until %v", r.Observed.KeptUntil)
	}
	s.want(s.do("GET", "/v2/app/manifests/"+one.digest.String(), nil), 404, "MANIFEST_UNKNOWN")
	s.want(s.do("GET", "/v2/app/manifests/1", nil), 404, "MANIFEST_UNKNOWN")
	s.wantTrashed(1, 0)
	s.wantBlobsIn("app", true, "one")

	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	s.wantBlobsIn("app", false, "one")
	s.want(s.do("POST", "/v2/any/blobs/uploads/?mount="+descriptorOf("layer one").Digest.String(), nil), 202, "")
	s.wantFiles(2)
	s.restartKeepingTime(func() {
		s.wantTrashed(1, oneBytes)
	})
	s.later(23 * time.Hour)
	s.wantNoTrash()
	s.wantFiles(0)
}

// wantBlobsIn wants the blobs of an image to be readable in a repository and mountable from it, or neither.
func (s *server) wantBlobsIn(repo string, there bool, content string) {
	s.t.Helper()
	for i, blob := range []string{configOf(content), "layer " + content} {
		d := descriptorOf(blob).Digest.String()
		for _, method := range []string{"GET", "HEAD"} {
			if got := s.do(method, "/v2/"+repo+"/blobs/"+d, nil).status == 200; got != there {
				s.t.Errorf("%s of %q in %s: found %t, want %t", method, blob, repo, got, there)
			}
		}
		if there {
			continue
		}
		s.want(s.do("POST", fmt.Sprintf("/v2/mounting%d/blobs/uploads/?mount=%s&from=%s", i, d, repo), nil), 202, "")
	}
}

// restartKeepingTime is for what must be so behind a restart too.
func (s *server) restartKeepingTime(then func()) {
	s.t.Helper()
	now, machine := s.now, s.machine
	*s = *s.restart()
	s.now, s.machine = now, machine
	s.UseTrash(aDay)
	then()
}

// TestTrashShares deletes images that share blobs with others: only what nothing else needs counts, and what another
// repository has is neither hidden there nor removed.
func TestTrashShares(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.pushImage("other", "1", "one")
	third := s.pushImage("third", "1", "one")
	s.delete("app", one.digest.String())
	s.delete("third", third.digest.String())
	s.later(2 * time.Hour)
	s.wantTrashed(2, 0)
	s.wantBlobsIn("app", false, "one")
	s.wantBlobsIn("other", true, "one")
	s.delete("other", one.digest.String())
	s.later(2 * time.Hour)
	bytes := oneBytes
	s.wantTrashed(3, bytes)
	s.wantFiles(2)
	s.later(21 * time.Hour) // that of other stays some more
	s.wantTrashed(1, bytes)
	s.wantFiles(2)
	s.later(2 * time.Hour)
	s.wantNoTrash()
	s.wantFiles(0)
}

// TestTrashPushedAgain pushes what is in the trash: it is there again, and not in the trash.
func TestTrashPushedAgain(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	s.want(s.putManifest("app", "2", one.body), 400, "MANIFEST_BLOB_UNKNOWN") // its blobs are not there
	s.pushBlob("app", "layer one")
	s.wantTrashed(1, oneBytes-int64(len("layer one")))
	s.pushImage("app", "2", "one")
	s.wantNoTrash()
	s.later(48 * time.Hour)
	s.wantFiles(2)
	s.wantBlobsIn("app", true, "one")
	s.want(s.do("GET", "/v2/app/manifests/1", nil), 404, "MANIFEST_UNKNOWN")

	s.delete("app", one.digest.String()) // and once more, before what it held the first time is removed
	s.pushImage("app", "3", "one")
	s.delete("app", one.digest.String())
	s.wantTrashed(1, 0)
	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	s.later(23 * time.Hour)
	s.wantNoTrash()
	s.wantFiles(0)
}

// TestTrashKeepsNothing deletes where no trash is kept.
func TestTrashKeepsNothing(t *testing.T) {
	s := startTrash(t)
	s.UseTrash(TrashConfig{})
	one := s.pushImage("app", "1", "one")
	if r := s.delete("app", one.digest.String()); r.Observed.KeptUntil != nil {
		t.Errorf("it is kept until %v", r.Observed.KeptUntil)
	}
	s.later(2 * time.Hour)
	s.wantNoTrash()
	s.wantFiles(0)
}

// TestTrashHoldsEverything deletes manifests that name blobs in every way: what was there is kept.
func TestTrashHoldsEverything(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	for name, holder := range holders {
		t.Run(name, func(t *testing.T) {
			s := startTrash(t)
			config := s.pushBlob("app", "config")
			s.pushBlob("app", "held")
			s.pushBlob("app", "held too")
			body := holder(config)
			s.delete("app", s.pushManifest("app", "1", body, typeOf(body)).digest.String())
			for n := 1; n > 0; {
				var err error
				if n, err = s.endDeletions(background); err != nil {
					t.Fatal(err)
				}
			}
			s.later(2 * time.Hour)
			s.wantCollected()
			if n := s.rows(hiddenTable); n < 2 {
				t.Errorf("%d blobs are hidden", n)
			}
			s.later(23 * time.Hour)
			s.wantNoTrash()
			s.wantFiles(0)
		})
	}
}

// TestTrashDeletedBlob deletes a blob that an image in the trash needs: it is not seen, and not lost.
func TestTrashDeletedBlob(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	for _, blob := range []string{configOf("one"), "layer one"} {
		s.want(s.do("DELETE", "/v2/app/blobs/"+descriptorOf(blob).Digest.String(), nil), 202, "")
	}
	s.wantBlobsIn("app", false, "one")
	s.wantTrashed(1, oneBytes)
	s.wantFiles(2)
}

// TestTrashSubject deletes an artifact whose subject is a blob.
func TestTrashSubject(t *testing.T) {
	s := startTrash(t)
	blob := s.pushBlob("app", "a blob")
	about := s.artifact("app", blob.Digest, "application/vnd.example.note", "a note")
	s.delete("app", about.digest.String())
	s.later(2 * time.Hour)
	s.wantCollected()
	if s.hasBlob("app", "a blob") {
		t.Error("the blob can be read")
	}
	if _, err := s.blobRow(blob.Digest); err != nil {
		t.Errorf("the blob: %v", err)
	}
	s.later(23 * time.Hour)
	s.wantNoTrash()
}

// TestTrashGoing stops a deletion after its first transaction, and lets the time of the trash pass meanwhile.
func TestTrashGoing(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "", "one")
	s.tagMany("app", one, 2*provenance.MaxTags+50)
	s.half("app", one.digest)
	s.wantTrashed(1, 0)
	s.later(25 * time.Hour)
	s.wantTrashed(1, oneBytes) // it is deleted first
	if n := s.rows(trashTagTable); n != provenance.MaxTags {
		t.Errorf("%d tags are in the trash", n)
	}
	if n, err := s.endDeletions(background); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n := s.rows(trashTagTable); n != 2*provenance.MaxTags+50 {
		t.Errorf("%d tags are in the trash", n)
	}
	s.wantClean()
	s.wantNoTrash()
}
