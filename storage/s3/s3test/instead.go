package s3test

import (
	"context"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// Variable says, where it is s3, that the tests of registries keep blobs in an object store, which is started for them: the same tests, over
// the other engine. `make e2e` runs them so.
const Variable = "HALLMARK_TEST_BLOBS"

// Wanted says whether tests keep blobs in an object store.
func Wanted() bool { return os.Getenv(Variable) == "s3" }

// OnFiles skips a test that is about the files of blobs where there are none.
func OnFiles(t testing.TB) {
	t.Helper()
	if Wanted() {
		t.Skip("this is about the files of blobs")
	}
}

// shared are the object stores of tests by the directories of their registries.
var shared struct {
	sync.Mutex
	of map[string]*Server // guarded by the mutex
}

// For is the object store of a registry with its data in a directory, which a test may open again. It ends with the test that asked first.
func For(t testing.TB, dir string) *Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if s := shared.of[dir]; s != nil {
		return s
	}
	if shared.of == nil {
		shared.of = map[string]*Server{}
	}
	s := Start(t)
	shared.of[dir] = s
	t.Cleanup(func() {
		shared.Lock()
		defer shared.Unlock()
		delete(shared.of, dir)
	})
	return s
}

// Prefix is what the names of the objects of a registry in a directory begin with.
func Prefix(dir string) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(dir)) // which never fails
	return fmt.Sprintf("r%x/", h.Sum64())
}

// Blobs opens blobs in an object store, as those of a registry in a directory whose store has their rows.
func Blobs(t testing.TB, dir string, rows storage.Store) storage.Blobs {
	t.Helper()
	c, id := For(t, dir).Config(Prefix(dir)), "of "+dir
	c.Keep = 1
	must(t, s3.Claim(context.Background(), c, id))
	free := func() (free, size uint64, err error) { return 1 << 40, 1 << 41, nil }
	blobs, err := s3.Open(context.Background(), c, id, s3.Options{Rows: rows, Free: free})
	must(t, err)
	return blobs
}

// Files are the paths of a registry's objects that begin with a name below blobs/, in the directory of the object store.
func (s *Server) Files(t testing.TB, prefix, name string) (paths []string) {
	t.Helper()
	dir := filepath.Join(s.Objects, prefix, "blobs")
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && strings.HasPrefix(strings.TrimPrefix(path, dir+"/"), name) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return paths
}

// Environ has a process keep its blobs below a prefix.
func (s *Server) Environ(prefix string) []string {
	return []string{
		"HALLMARK_BLOBS_S3_ENDPOINT=" + s.Endpoint, "HALLMARK_BLOBS_S3_CA=" + s.CA, "HALLMARK_BLOBS_S3_CREDENTIALS=" + s.Keys,
		"HALLMARK_BLOBS_S3_BUCKET=" + Bucket, "HALLMARK_BLOBS_S3_PREFIX=" + prefix,
	}
}
