package storage_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
)

// A room names its tables, writes in one transaction, and reads in another.
func Example() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	store, err := bolt.Open(filepath.Join(dir, "store.db"), bolt.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	const tags = storage.Table("example/tag")
	ctx := context.Background()
	err = store.Update(ctx, func(tx storage.Tx) error { // all of it, or nothing
		tx.Put(tags, []byte("team/app\x001.0"), []byte("sha256:1f0c"))
		tx.Put(tags, []byte("team/app\x002.0"), []byte("sha256:2a2b"))
		tx.Put(tags, []byte("team/web\x001.0"), []byte("sha256:3c4d"))
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	err = store.View(ctx, func(tx storage.Reader) error {
		prefix := []byte("team/app\x00")
		for item, err := range tx.Scan(tags, prefix, storage.PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			fmt.Printf("%s means %s\n", item.Key[len(prefix):], item.Value)
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1.0 means sha256:1f0c
	// 2.0 means sha256:2a2b
}
