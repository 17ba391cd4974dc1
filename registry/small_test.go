package registry

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
)

// wantKept wants so many blobs to be files, and so many to be in the store.
func (s *server) wantKept(files, inStore int) {
	s.t.Helper()
	if got := s.sealedFiles(); got != files || s.inStore() != inStore {
		s.t.Errorf("%d blobs are files and %d are in the store, want %d and %d", got, s.inStore(), files, inStore)
	}
}

// TestSmallBlobs pushes blobs around the bound: small ones have no file, and are served as others are.
func TestSmallBlobs(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	for _, size := range []int{0, 1, 500, maxSmall - 1, maxSmall, maxSmall + 1} {
		content := strings.Repeat("s", size)
		path := "/v2/app/blobs/" + s.pushBlob("app", content).Digest.String()
		for range 2 {
			if got := s.want(s.do("GET", path, nil), 200, ""); got.body != content {
				t.Errorf("%d bytes are served of %d", len(got.body), size)
			}
		}
		if got := s.want(s.do("HEAD", path, nil), 200, ""); got.header.Get("Content-Length") != strconv.Itoa(size) {
			t.Errorf("HEAD of %d bytes: %v", size, got.header)
		}
		if size > 2 {
			if got := s.want(s.do("GET", path, nil, header("Range", "bytes=1-2")), 206, ""); got.body != "ss" {
				t.Errorf("a range of %d bytes: %q", size, got.body)
			}
		}
	}
	s.wantKept(1, 5)
	if uploads, _ := s.leftovers(); uploads != 0 {
		t.Errorf("%d uploads are left", uploads)
	}
	s.wantClean()
	s = s.restart()
	s.wantClean()
	s.later(2 * time.Hour)
	s.wantFiles(0)
	if got := s.Collected(); got.Blobs != 6 || got.Bytes != 501+3*maxSmall {
		t.Errorf("collected %+v", got)
	}
	s.wantClean()
}

// TestSmallBlobsOfOlderVersion has files of small blobs: they are served, mounted, healed and collected as they are.
func TestSmallBlobsOfOlderVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, dir, Config{SmallBlobs: 1})
	one := s.pushImage("app", "1.0", "one")
	s.wantKept(2, 0)
	s.stop()
	s = startServer(t, dir, Config{Lease: units.Duration(time.Hour)})
	config := digest.FromString(configOf("one"))
	if got := s.want(s.do("GET", "/v2/app/blobs/"+config.String(), nil), 200, ""); got.body != configOf("one") {
		t.Errorf("served %q", got.body)
	}
	s.want(s.do("POST", "/v2/other/blobs/uploads/?mount="+config.String()+"&from=app", nil), 201, "")
	s.pushBlob("app", "layer one")
	s.pushImage("app", "2.0", "two")
	s.wantKept(2, 2)
	s.harm(config, harms["lost"])
	s.small.Purge() // as another process would find it
	s.pushBlob("app", configOf("one"))
	if s3test.Wanted() {
		s.wantKept(2, 3) // of an object that is lost there is a row, until it is removed
	} else {
		s.wantKept(1, 3)
	}
	s.wantClean()
	s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 202, "")
	s.later(2 * time.Hour)
	s.wantFiles(2)
	s.wantKept(0, 2)
	s.wantClean()
}

// TestSmallBlobsChecked wants a check to find what is wrong with bytes in the store.
func TestSmallBlobsChecked(t *testing.T) {
	t.Parallel()
	s := startServer(t, t.TempDir(), Config{})
	key := digestKey(s.pushBlob("app", "some bytes").Digest)
	for what, c := range map[string]struct {
		how  func(storage.Tx)
		says string
	}{
		"lost":     {func(tx storage.Tx) { tx.Delete(smallTable, key) }, "its bytes are lost"},
		"cut":      {func(tx storage.Tx) { tx.Put(smallTable, key, []byte("some")) }, "has of it 4 bytes, and should have 10"},
		"flipped":  {func(tx storage.Tx) { tx.Put(smallTable, key, []byte("sOme bytes")) }, "not those of its digest"},
		"nobody's": {func(tx storage.Tx) { tx.Put(smallTable, digestKey(digest.FromString("x")), []byte("x")) }, "belong to no blob"},
	} {
		undo := s.tamper(c.how)
		said := s.said()
		if !slices.ContainsFunc(said, func(one string) bool { return strings.Contains(one, c.says) }) {
			t.Errorf("%s: %q", what, said)
		}
		undo()
	}
	s.wantClean()
}
