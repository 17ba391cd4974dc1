package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// Small blobs live in the store: configs, the empty JSON, signatures, attestations. A push waits for no file of theirs, because their
// bytes are made durable by the transaction that links them, and a pull asks the blobs for layers alone.
//
// What an older version put into a file stays there and is read there, until it is pushed again after it was lost. A row of blobTable says
// where the bytes are. If we stop between the transaction and the end of the upload that the bytes came in, an upload is left
// that nobody goes on with, which the sweep removes.

// inStore is where a blob is whose bytes are a row of smallTable. It is no location of a file.
const inStore = storage.Location("store")

// removedFromStore is what locations begin with that stand for a blob which was in the store. Its bytes went in the transaction
// that gave it up; its removal is there to be counted.
const removedFromStore = "store."

func (b blobRow) inStore() bool { return b.at == inStore }

// smallBytes returns the bytes of an upload that are to live in the store, and nil of any other.
func (g *Registry) smallBytes(up storage.Upload) ([]byte, error) {
	if up.Size() > min(int64(g.c.SmallBlobs), maxSmall) {
		return nil, nil
	}
	if summed, ok := up.(storage.Summed); ok {
		return summed.Held()
	}
	back, readable := up.(storage.Readable)
	if !readable {
		return nil, nil
	}
	content := make([]byte, up.Size())
	if !readsFull(back, content, 0) {
		return nil, errors.New("read an upload back: it is shorter than it was")
	}
	return content, nil
}

// dropFile gives up the bytes of a blob, and what is known of their damage. The row is about to be removed, or to
// name others.
func dropFile(tx storage.Tx, d digest.Digest, row blobRow) {
	at := row.at
	if row.inStore() {
		tx.Delete(smallTable, digestKey(d))
		at = storage.Location(removedFromStore + label(d))
	}
	tx.Put(removalTable, []byte(at), binary.AppendUvarint(nil, uint64(row.size)))
	if row.damaged {
		tx.Delete(damagedTable, digestKey(d))
	}
}

// isFile says whether a removal names a file.
func isFile(at storage.Location) bool { return !strings.HasPrefix(string(at), removedFromStore) }

// removeFile removes the file that a removal names, if it names one.
func (g *Registry) removeFile(ctx context.Context, at storage.Location) error {
	if !isFile(at) {
		return nil
	}
	return g.blobs.Remove(ctx, at)
}

// inMemory is a small blob of the store, which is compared with its digest as whatever is read whole.
func inMemory(d digest.Digest, row blobRow, content []byte) (storage.Blob, error) {
	if int64(len(content)) != row.size {
		return nil, wrongSize(int64(len(content)), row)
	}
	if err := compare(d, content); err != nil {
		return nil, err
	}
	return memory{bytes.NewReader(content)}, nil
}

// openBytes opens the bytes of a blob, wherever they are. Error: storage.ErrNotFound.
func (g *Registry) openBytes(ctx context.Context, d digest.Digest, row blobRow) (storage.Blob, error) {
	if !row.inStore() {
		return g.blobs.Open(ctx, row.at)
	}
	content, err := g.readInStore(ctx, d)
	return memory{bytes.NewReader(content)}, err
}

// lengthOf is how many bytes of a blob are there. Error: storage.ErrNotFound.
func (g *Registry) lengthOf(ctx context.Context, d digest.Digest, row blobRow) (int64, error) {
	if !row.inStore() {
		return g.blobs.Length(ctx, row.at)
	}
	content, err := g.readInStore(ctx, d)
	return int64(len(content)), err
}

func (g *Registry) readInStore(ctx context.Context, d digest.Digest) (content []byte, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		found, err := tx.Get(smallTable, digestKey(d))
		content = bytes.Clone(found)
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		if content := g.waiting.get(d); content != nil {
			return content, nil
		}
	}
	return content, err
}

// smallRow wants the bytes of a blob in the store to be named by its row, whose own check reads them.
func (c *checker) smallRow(_ context.Context, tx storage.Reader, item storage.Item) error {
	d, rest, err := cutDigest(item.Key)
	if err != nil {
		return err
	}
	row, err := readBlobRow(tx, d)
	if len(rest) > 0 || errors.Is(err, storage.ErrNotFound) || err == nil && !row.inStore() {
		return damaged("the store holds %d bytes under %s, which belong to no blob", len(item.Value), d)
	}
	return err
}
