package datadir

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// Layouts take a store of an older version to what the rooms of this one keep. A step is never changed or
// removed once it was released.
var Layouts = []storage.Step{
	{Does: "index images by what is said of them and by their layers", Run: func(store storage.Store) error {
		ctx := context.Background()
		return errors.Join(provenance.Reindex(ctx, store), registry.IndexLayers(ctx, store))
	}},
	{Does: "pack the records", Run: func(store storage.Store) error { return provenance.Pack(context.Background(), store) }},
	{Does: "note that all records can be found", Run: func(store storage.Store) error { return provenance.MarkIndexed(context.Background(), store) }},
	{Does: "keep new blobs in files that are named ahead; those that are there stay where they are", Run: func(storage.Store) error { return nil }},
	{Does: "note everything that images refer to, so that it stays as long as they do", Run: func(store storage.Store) error {
		return registry.CompleteReferences(context.Background(), store)
	}},
	{Does: "note from where on each record names the one before it", Run: func(store storage.Store) error {
		return provenance.MarkChained(context.Background(), store)
	}},
	// An older version would leave such rows behind when it deletes an image. The server adds those of images that are there.
	{Does: "let images be found by the diff ids of their layers, too", Run: func(storage.Store) error { return nil }},
	{Does: "index images by one spelling of what they were built from", Run: func(store storage.Store) error {
		return provenance.Reindex(context.Background(), store)
	}},
	// It is made anew, beside the keys: who can read a backup of the older store knows this one. If we stop between this step and
	// that file, the next start makes it. Bearer tokens last five minutes, and clients fetch the next by themselves.
	{Does: "take the key of bearer tokens out of the store", Run: func(store storage.Store) error {
		return access.RemoveStoredKey(context.Background(), store)
	}},
	// From here on there is a trash, too: an older version would remove blobs that it holds.
	{Does: "count what each repository uses", Run: func(store storage.Store) error {
		return registry.CountUsage(context.Background(), store)
	}},
	// An older version would look for files of theirs.
	{Does: "keep new small blobs in the store; those that are there stay where they are", Run: func(storage.Store) error { return nil }},
}
