package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"github.com/seed-260924e6/hallmark/storage/postgres/pgtest"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
)

const table = storage.Table("test")

var background = context.Background()

func TestStore(t *testing.T) {
	open := opening(t, pgtest.Start(t, "fsync=off"))
	storagetest.Store(t, open)
	storagetest.Shared(t, open)
}

// opening opens a database for each directory in which an embedded engine would keep its file, as a process of its own each time.
func opening(t *testing.T, c *pgtest.Cluster) func(dir string) (storage.Store, error) {
	var mu sync.Mutex
	var n int
	urls := map[string]string{}
	return func(dir string) (storage.Store, error) {
		mu.Lock()
		defer mu.Unlock()
		if urls[dir] == "" {
			urls[dir] = c.Database()
		}
		n++
		return postgres.Open(background, postgres.Config{URL: urls[dir], Process: fmt.Sprint(t.Name(), n), Connections: 4})
	}
}
