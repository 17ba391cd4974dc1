// Package engines opens the stores of tests by whichever engine they are run over: a file, or a database of a PostgreSQL server that
// ends with the tests.
package engines

import (
	"context"
	"os"
	"testing"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"github.com/seed-260924e6/hallmark/storage/postgres/pgtest"
)

// Variable says, where it is postgres, that the tests of registries keep their stores in a database: the same tests, over the other
// engine. `make e2e` runs them so.
const Variable = "HALLMARK_TEST_STORE"

// InDatabase says whether tests keep stores in a database.
func InDatabase() bool { return os.Getenv(Variable) == "postgres" }

// OnFile skips a test that is about the file of a store where there is none.
func OnFile(t testing.TB) {
	t.Helper()
	if InDatabase() {
		t.Skip("this is about the file of a store")
	}
}

// Open opens the store whose file has a path, or its stand-in in a database. The test closes it, and may open it again.
func Open(t testing.TB, path string, steps ...storage.Step) storage.Store {
	t.Helper()
	store, err := open(t, path, steps)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func open(t testing.TB, path string, steps []storage.Step) (storage.Store, error) {
	t.Helper()
	if !InDatabase() {
		return bolt.Open(path, bolt.Config{Steps: steps})
	}
	c := postgres.Config{URL: Database(t, path), Process: "test", Connections: 4, Steps: steps}
	return postgres.Open(context.Background(), c)
}

// New opens a new store, and closes it with the test.
func New(t testing.TB) storage.Store {
	t.Helper()
	store := Open(t, t.TempDir()+"/store.db")
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Database is the URL of the database that stands in for the file of a store, as the tests of a process share a server.
func Database(t testing.TB, path string) string {
	t.Helper()
	return pgtest.Shared(t).Schema(path)
}
