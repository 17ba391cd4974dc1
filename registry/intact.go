package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// A file that is there need not be a file that is right. Who relies on a blob asks the disk whether its file is
// there, in its size; who reads it whole compares it with its digest; and who pushes it again has its bytes
// compared with those of the file, which go when they are others. What is sent to clients as it is read is not
// hashed, because that would double what it costs: the scrub (scrub.go) reads it in time, and marks it.

// there wants the file of a blob to be there, in the size of its row. It asks the disk also where memory has the
// bytes: those are gone with the next restart. Errors: errMoved; a failure that says the blob is lost.
func (g *Registry) there(ctx context.Context, d digest.Digest, row blobRow) error {
	if row.damaged {
		return errLost(d)
	}
	size, err := g.lengthOf(ctx, d, row)
	if err == nil && size != row.size {
		err = wrongSize(size, row)
	}
	if err != nil {
		return g.lost(ctx, d, row, err)
	}
	return nil
}

func wrongSize(size int64, row blobRow) error { return damaged("%s", row.ofSize(size)) }

// absent and ofSize say what is wrong with the bytes of a blob.
func (b blobRow) absent() string {
	if b.inStore() {
		return "its bytes are lost, which were in the store"
	}
	return fmt.Sprintf("its file %s is lost", b.at)
}

func (b blobRow) ofSize(size int64) string {
	has := "its file has"
	if b.inStore() {
		has = "the store has of it"
	}
	return fmt.Sprintf("%s %d bytes, and should have %d", has, size, b.size)
}

// lost says why a blob could not be opened or read. A lost or damaged one is told as an unknown blob, also to
// HEAD: then the next push of these bytes sends them, and it is whole again. Error: errMoved.
func (g *Registry) lost(ctx context.Context, d digest.Digest, row blobRow, err error) error {
	switch {
	case errors.Is(err, storage.ErrNotFound):
		if now, err := g.blobRow(ctx, d); err != nil || now.at != row.at {
			return errors.Join(errMoved, err)
		}
	case !errors.Is(err, storage.ErrCorrupt):
		return err
	}
	g.suspect("", d)
	g.log.Error("a blob is lost or damaged: push it again, or restore its file from a backup", "digest", d, "file", row.at, "err", err)
	return errLost(d)
}

// errLost is the answer to who wants a blob whose file is lost or damaged.
func errLost(d digest.Digest) error {
	return newFailure(http.StatusNotFound, "BLOB_UNKNOWN", "the registry's copy of %s is lost or damaged; push it again, and it is whole", d)
}

// compare wants content to be what a digest names.
func compare(d digest.Digest, content []byte) error {
	if !isDigestOf(d, content) {
		return errOtherBytes()
	}
	return nil
}

func errOtherBytes() error { return damaged("its bytes are not those of its digest") }

// compared hashes what is read of a blob.
type compared struct {
	storage.Blob
	digest digest.Digest
	hash   digest.Digester
}

func newCompared(d digest.Digest, f storage.Blob) *compared {
	return &compared{f, d, d.Algorithm().Digester()}
}

func (c *compared) Read(p []byte) (int, error) {
	n, err := c.Blob.Read(p)
	c.hash.Hash().Write(p[:n])
	return n, err
}

// end reads what is left, and wants all to be what the digest names. Error: storage.ErrCorrupt, and those of reading.
func (c *compared) end(ctx context.Context) error {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	if _, err := io.CopyBuffer(io.Discard, onlyReader{&contextReader{ctx, c}}, *buf); err != nil {
		return err
	}
	if c.hash.Digest() != c.digest {
		return errOtherBytes()
	}
	return nil
}

// onlyReader hides from io.Copy how else something could be read.
type onlyReader struct{ io.Reader }

// watched is a blob on its way to a client. Where the disk fails to give it, the client sees that by its length, and
// somebody has to look.
type watched struct {
	storage.Blob
	failed func(error)
}

func (w watched) ReadAt(p []byte, at int64) (int, error) {
	n, err := w.Blob.ReadAt(p, at)
	if errors.Is(err, storage.ErrCorrupt) {
		w.failed(err)
	}
	return n, err
}

// holds says whether the file of a blob has the bytes of an upload. What cannot be read has not: the upload,
// whose bytes were hashed as they came, takes its place. To compare bytes costs less than to hash them. In an object
// store, which gives each object an ETag, it is enough that the object is there as it was made.
func (g *Registry) holds(ctx context.Context, d digest.Digest, row blobRow, up storage.Upload) bool {
	if row.damaged || row.size != up.Size() {
		return false
	}
	f, err := g.openBytes(storage.InPieces(ctx), d, row)
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // it was only read
	back, readable := up.(storage.Readable)
	switch {
	case f.Size() != up.Size():
		return false
	case readable:
		return sameBytes(ctx, f, back, up.Size())
	case f.Size() > maxInline: // an object store says itself whether its object is the one that was made
		return true
	}
	content, err := readWhole(f)
	return err == nil && compare(d, content) == nil
}

// sameBytes says whether two readers have the same first n bytes.
func sameBytes(ctx context.Context, a, b io.ReaderAt, n int64) bool {
	bufA, bufB := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer buffers.Put(bufA)
	defer buffers.Put(bufB)
	for at := int64(0); at < n && ctx.Err() == nil; {
		part := min(n-at, int64(len(*bufA)))
		partA, partB := (*bufA)[:part], (*bufB)[:part]
		if !readsFull(a, partA, at) || !readsFull(b, partB, at) || !bytes.Equal(partA, partB) {
			return false
		}
		at += part
	}
	return ctx.Err() == nil
}

func readsFull(r io.ReaderAt, p []byte, at int64) bool {
	n, _ := r.ReadAt(p, at) // whatever the reason, the content is not there whole
	return n == len(p)
}

// relied is a blob that a manifest relies on, as it was seen.
type relied struct {
	digest digest.Digest
	row    blobRow
	here   bool // its bytes were seen in the store, as many as its row says
}

// relyOn wants a blob to be there, and returns its bytes where they are in the store. They are valid as long as the transaction.
func (p *push) relyOn(tx storage.Reader, d digest.Digest, row blobRow) (content []byte, err error) {
	r := relied{digest: d, row: row}
	if row.inStore() && !row.damaged {
		content, err = getOrNil(tx, smallTable, digestKey(d))
		r.here = int64(len(content)) == row.size
	}
	p.relied = append(p.relied, r)
	return content, err
}

// rely wants the files of blobs to be there, or says which is not.
func (g *Registry) rely(ctx context.Context, blobs []relied) (absent digest.Digest, err error) {
	for _, b := range blobs {
		if b.here {
			continue
		}
		err := g.there(ctx, b.digest, b.row)
		for range 3 { // it was replaced or collected meanwhile
			if !errors.Is(err, errMoved) {
				break
			}
			if b.row, err = g.blobRow(ctx, b.digest); err == nil && b.row.at != "" {
				err = g.there(ctx, b.digest, b.row)
			} else if err == nil {
				return b.digest, errManifestBlobUnknown(b.digest)
			}
		}
		if err := asNeeded(b.digest, err); err != nil {
			return b.digest, err
		}
	}
	return "", nil
}

// asNeeded tells the one who pushes a manifest that a blob that it needs is lost.
func asNeeded(d digest.Digest, err error) error {
	switch {
	case errors.Is(err, errMoved):
		return errManifestBlobUnknown(d)
	case errors.Is(err, ErrUnknown):
		return newFailure(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN",
			"the manifest needs %s, and the registry's copy of it is lost or damaged: push it again first", d)
	case err != nil:
		return fmt.Errorf("blob %s: %w", d, err)
	}
	return nil
}
