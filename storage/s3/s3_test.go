package s3_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/s3"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

// registries are the rows of some registries, each in a directory, over one object store.
type registries struct {
	t      *testing.T
	remote *s3test.Server

	several bool // processes work on the rows of each

	mu   sync.Mutex
	rows map[string]storage.Store // guarded by mu
}

func newRegistries(t *testing.T) *registries {
	return &registries{t: t, remote: s3test.Start(t), rows: map[string]storage.Store{}}
}

// open opens the blobs of the registry in a directory, as one more process over the same rows.
func (r *registries) open(dir string) (storage.Blobs, error) { return r.openS3(dir) }

func (r *registries) openS3(dir string) (*s3.Store, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	config := r.remote.Config(strings.TrimPrefix(dir, "/") + "/")
	if r.rows[dir] == nil {
		rows, err := bolt.Open(filepath.Join(dir, "rows"), bolt.Config{})
		if err != nil {
			return nil, err
		}
		r.t.Cleanup(func() { rows.Close() })
		r.rows[dir] = rows
		if err := s3.Claim(context.Background(), config, "id of "+dir); err != nil {
			return nil, err
		}
	}
	free := func() (free, size uint64, err error) { return 1 << 30, 1 << 40, nil }
	return s3.Open(context.Background(), config, "id of "+dir, s3.Options{Rows: r.rows[dir], Free: free, Several: r.several})
}

func TestBlobs(t *testing.T) { storagetest.Blobs(t, newRegistries(t).open) }
