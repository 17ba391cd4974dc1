package registry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/storage"
)

// later sets the clock of leases forward, as seen from now on.
func (s *server) later(d time.Duration) {
	before, machine := s.now, s.machine
	s.now = func() uint64 { return before() + uint64(d.Microseconds()) }
	s.machine = func() time.Time { return machine().Add(d) }
}

// wantFiles collects, and wants so many blobs to be left.
func (s *server) wantFiles(n int) {
	s.t.Helper()
	if err := s.collect(background); err != nil {
		s.t.Fatal(err)
	}
	if _, sealed := s.leftovers(); sealed != n {
		s.t.Errorf("%d files are left, want %d", sealed, n)
	}
	s.wantClean()
}

func (s *server) hasBlob(repo, content string) bool {
	s.t.Helper()
	return s.do("HEAD", "/v2/"+repo+"/blobs/"+digest.FromString(content).String(), nil).status == 200
}

func TestCollect(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	one := s.pushImage("app", "1.0", "one")
	two := s.pushImage("app", "2.0", "two")
	s.pushManifest("other", "", s.pushImage("other", "1.0", "one").body)
	s.pushBlob("app", "of no image")
	s.wantFiles(5)
	s.later(2 * time.Hour)
	s.wantFiles(4) // that of no image is gone
	if s.hasBlob("app", "of no image") {
		t.Error("a blob that was collected is there")
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+two.digest.String(), nil), 202, "")
	s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 202, "")
	s.wantFiles(4) // the lease begins with the delete
	if !s.hasBlob("app", "layer two") {
		t.Error("a blob went before its lease was over")
	}
	s.later(2 * time.Hour)
	s.wantFiles(2) // the other repository needs those of image one
	if s.hasBlob("app", "layer one") || !s.hasBlob("other", "layer one") {
		t.Error("the blobs of one are not where they should be")
	}
	if got := s.Collected(); got.Blobs != 3 || got.Bytes != int64(len("of no image")+len("layer two")+len(configOf("two"))) {
		t.Errorf("collected %+v", got)
	}
	s.pushImage("app", "2.0", "two") // from the beginning
	s.wantFiles(4)
}

// TestLease wants a blob to stay for anyone who was told that it is there.
func TestLease(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	blob := s.pushBlob("app", "content")
	s.later(40 * time.Minute)
	if !s.hasBlob("app", "content") { // renews it
		t.Fatal("it is gone")
	}
	s.later(40 * time.Minute)
	s.wantFiles(1)
	s.pushBlob("app", "content") // and so does a push of what is there
	s.later(50 * time.Minute)
	s.wantFiles(1)
	s.want(s.do("POST", "/v2/two/blobs/uploads/?from=app&mount="+blob.Digest.String(), nil), 201, "")
	s.later(50 * time.Minute)
	s.wantFiles(1) // by the mount
	if s.do("GET", "/v2/app/blobs/"+blob.Digest.String(), nil).status != 404 {
		t.Error("the first link is not gone")
	}
	s.later(20 * time.Minute)
	s.wantFiles(0)
	if n := s.rows(leaseTable) + s.rows(linkTable) + s.rows(linkedTable) + s.rows(blobTable) + s.rows(removalTable); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// TestLeaseBehind wants a HEAD to keep a blob before its renewal is committed: the collector waits for that, or leaves all blobs where they
// are. Where too little is left of the lease to wait for it, who may push is to send the blob.
func TestLeaseBehind(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	s.pushBlob("app", "asked for")
	s.later(40 * time.Minute)
	s.pushBlob("app", "pushed later")
	whole := s.store
	s.store = broken{whole}
	if !s.hasBlob("app", "asked for") {
		t.Error("the store takes no changes, and a blob is not there")
	}
	s.later(30 * time.Minute)
	if err := s.collect(background); err == nil {
		t.Error("leases ended before their renewal is committed")
	}
	s.store = whole
	s.wantFiles(2)
	s.later(25 * time.Minute) // 55 of both
	for _, content := range []string{"asked for", "pushed later"} {
		if s.hasBlob("app", content) {
			t.Errorf("%s: less is left of its lease than is promised", content)
		}
		s.want(s.do("GET", "/v2/app/blobs/"+digest.FromString(content).String(), nil), 200, "")
	}
	s.pushBlob("app", "pushed later")
	s.later(10 * time.Minute)
	s.wantFiles(1)
}

func (s *server) rows(table storage.Table) (n int) {
	s.t.Helper()
	err := s.store.View(background, func(tx storage.Reader) error {
		n = 0
		for _, err := range tx.Scan(table, nil, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// TestDeletedBlob wants the room of a blob that somebody deletes by name at once.
func TestDeletedBlob(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("app", "content")
	s.want(s.do("DELETE", "/v2/app/blobs/"+blob.Digest.String(), nil), 202, "")
	s.wantFiles(0)
}

// TestManyLeases ends more leases than one transaction does, of which many have the same blob.
func TestManyLeases(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	blob := s.pushBlob("app", "content")
	for i := range 2 * collectStep {
		s.want(s.do("POST", fmt.Sprintf("/v2/app%d/blobs/uploads/?from=app&mount=%s", i, blob.Digest), nil), 201, "")
	}
	s.later(2 * time.Hour)
	s.wantFiles(0)
}

// TestTrashAfterCrash stops between the commit that trashes a blob and the removal of its file.
func TestTrashAfterCrash(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("app", "content")
	s.want(s.do("DELETE", "/v2/app/blobs/"+blob.Digest.String(), nil), 202, "")
	s = s.restart()
	s.wantClean()
	if n, err := s.sweepStrays(background); n != 0 || err != nil {
		t.Errorf("the sweep took %d files that the trash names, %v", n, err)
	}
	s.pushBlob("app", "content") // under another location
	s.wantFiles(1)
	s.want(s.do("GET", "/v2/app/blobs/"+blob.Digest.String(), nil), 200, "")
}

// TestCollectWhilePushing lets many clients push and delete images of the same few blobs while the
// collector ends leases as fast as it can. What was acknowledged and not deleted has to be whole.
func TestCollectWhilePushing(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(5 * time.Millisecond)})
	ctx, stop := context.WithCancel(background)
	var collector, clients sync.WaitGroup
	collector.Go(func() { s.Collect(ctx) })
	collector.Go(func() {
		for ctx.Err() == nil {
			s.wantClean()
		}
	})
	var pushes, refused atomic.Int64
	for w := range 6 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for i := 0; i < 100 || s.Collected().Blobs < 50 && i < 10_000; i++ {
				repo, content := fmt.Sprintf("app%d", random.IntN(2)), fmt.Sprint(random.IntN(3))
				body, ok := s.tryPush(repo, content)
				if !ok {
					refused.Add(1)
					continue
				}
				pushes.Add(1)
				if got := s.do("GET", "/v2/"+repo+"/blobs/"+digest.FromString("layer "+content).String(), nil); got.status != 200 && got.status != 404 {
					t.Errorf("pull: %d %s", got.status, got.body)
				}
				if random.IntN(4) > 0 {
					got := s.do("DELETE", "/v2/"+repo+"/manifests/"+digest.FromString(body).String(), nil)
					if got.status != 202 && got.status != 404 {
						t.Errorf("delete: %d %s", got.status, got.body)
					}
				}
			}
		})
	}
	clients.Wait()
	stop()
	collector.Wait()
	t.Logf("%d pushes, %d whose blobs were collected under way, %+v", pushes.Load(), refused.Load(), s.Collected())
	if pushes.Load() < 100 || s.Collected().Blobs < 10 {
		t.Error("the test tries too little")
	}
	s.wantClean()
	for _, repo := range []string{"app0", "app1"} {
		for _, content := range []string{"0", "1", "2"} {
			s.do("DELETE", "/v2/"+repo+"/manifests/"+digest.FromString(bodyOf(content)).String(), nil)
		}
	}
	s.later(time.Second)
	s.wantFiles(0)
}

func bodyOf(content string) string {
	config, layer := configOf(content), "layer "+content
	return imageManifest(descriptorOf(config), descriptorOf(layer))
}

// tryPush pushes an image as clients do that ask for each blob first. It fails where a blob's lease ends
// on the way.
func (s *server) tryPush(repo, content string) (body string, ok bool) {
	for _, blob := range []string{configOf(content), "layer " + content} {
		if !s.hasBlob(repo, blob) {
			s.want(s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromString(blob).String(), strings.NewReader(blob)), 201, "")
		}
	}
	body = bodyOf(content)
	got := s.putManifest(repo, "latest", body)
	if got.status != 201 && got.code() != "MANIFEST_BLOB_UNKNOWN" {
		s.t.Errorf("push: %d %s", got.status, got.body)
	}
	return body, got.status == 201
}

// TestCollectHiddenAtOnce ends the leases of a blob in two repositories in one transaction. The trash holds it in the first, so the
// blob stays.
func TestCollectHiddenAtOnce(t *testing.T) {
	s := startTrash(t)
	one := s.pushImage("app", "1", "one")
	s.delete("app", one.digest.String())
	s.pushBlob("other", configOf("one"))
	s.pushBlob("other", "layer one")
	s.later(2 * time.Hour)
	s.wantTrashed(1, oneBytes)
	s.wantFiles(2)
	s.wantBack("app", one.digest.String(), 1)
	s.wantBlobsIn("app", true, "one")
	s.wantBlobsIn("other", false, "one")
}
