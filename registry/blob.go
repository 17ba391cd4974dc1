package registry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// storeBlob makes the bytes of an upload, whose digest was checked, a blob of the repository. The upload
// is gone afterwards, whatever happens.
//
// Small ones become durable with the row that names them: small.go. Those of a file are durable before. If we stop between the two,
// they are a stray, which sweep.go removes; if we stop after, the client was not told, and its next try finds the blob there.
//
// Where there is a blob already whose file is lost or has other bytes, these bytes take its place, and what is
// left of the file is to be removed from the same transaction on: anyone who has it open reads on.
func (g *Registry) storeBlob(ctx context.Context, c *call, d digest.Digest, up storage.Upload) error {
	linked, lost, err := g.linkPresent(ctx, c, d, up)
	if err != nil || linked {
		return errors.Join(err, up.Cancel())
	}
	made := blobRow{size: up.Size(), at: inStore}
	content, err := g.smallBytes(up)
	if err != nil {
		return errors.Join(err, up.Cancel())
	}
	if content == nil {
		if made.at, err = up.Seal(ctx, label(d)); err != nil {
			return err
		}
	}
	defer up.Cancel() //nolint:errcheck // what is left of one that was sealed is nothing, and of a small one an idle upload
	var row blobRow
	var late bool
	err = g.update(ctx, c, func() []storage.Read { return g.linkReads(c.repo, d) }, func(tx storage.Tx) error {
		if row, err = putBlob(tx, d, made, content, lost); err != nil {
			return err
		}
		late, err = g.putLink(tx, c.repo, d, "")
		return err
	})
	if err == nil || errors.Is(err, storage.ErrUnknownOutcome) {
		g.arrived(d, late)
	}
	switch {
	case errors.Is(err, storage.ErrUnknownOutcome):
		return err // the row may name the bytes
	case content == nil && (err != nil || row.at != made.at): // a parallel push of the same bytes was first
		err = errors.Join(err, g.blobs.Remove(context.WithoutCancel(ctx), made.at))
	case err == nil && lost != "":
		g.log.Info("a blob that was lost or damaged is whole again: it was pushed", "digest", d, "repository", c.repo)
		g.wakeCollector()
	}
	return err
}

// putBlob puts the row of bytes that came, and content where they live in the store, unless there is a row of bytes that are right: of some
// that are not lost. It returns the row that is there then.
func putBlob(tx storage.Tx, d digest.Digest, came blobRow, content []byte, lost storage.Location) (blobRow, error) {
	row, err := readBlobRow(tx, d)
	switch {
	case errors.Is(err, storage.ErrNotFound):
	case err != nil:
		return row, err
	case row.at != lost && !row.damaged:
		return row, nil
	default:
		dropFile(tx, d, row)
	}
	tx.Put(blobTable, digestKey(d), came.encode())
	if came.inStore() {
		tx.Put(smallTable, digestKey(d), content)
	}
	return came, nil
}

// linkPresent links a blob that is here already, in this or another repository, and says whether it is.
// If its file is lost, or has other bytes than have come now, it says where that is.
func (g *Registry) linkPresent(ctx context.Context, c *call, d digest.Digest, up storage.Upload) (linked bool, lost storage.Location, err error) {
	if c.absent == d { // or it was pushed since, as putBlob will see
		return false, "", nil
	}
	var seen blobRow
	err = g.store.View(ctx, func(tx storage.Reader) error {
		seen, err = readBlobRow(tx, d)
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return false, "", nil
	}
	if err != nil {
		return false, "", err
	}
	if !g.holds(ctx, d, seen, up) {
		return false, seen.at, nil
	}
	var late bool
	err = g.update(ctx, c, func() []storage.Read { return g.linkReads(c.repo, d) }, func(tx storage.Tx) error {
		row, err := readBlobRow(tx, d)
		if linked = err == nil && row.at == seen.at; linked {
			if row.damaged { // it was marked just now, and its bytes were right just now
				unmark(tx, d, row)
			}
			late, err = g.putLink(tx, c.repo, d, "")
		}
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		return err
	})
	g.arrived(d, late)
	return linked, "", err
}

// readLinked returns the row of a blob of a repository. Error: storage.ErrNotFound, also where only others have it.
func readLinked(tx storage.Reader, repo string, d digest.Digest) (blobRow, error) {
	if _, err := tx.Get(linkTable, repoKey(repo, digestKey(d))); err != nil {
		return blobRow{}, err
	}
	return readBlobRow(tx, d)
}

// readBlobRow returns the row of a blob, whoever has it. What it says may be told only in a repository that links the blob.
func readBlobRow(tx storage.Reader, d digest.Digest) (blobRow, error) {
	value, err := tx.Get(blobTable, digestKey(d))
	if err != nil {
		return blobRow{}, err
	}
	return decodeBlobRow(value)
}

// getBlob serves a blob, or a range of it, from its open file. No transaction lasts that long.
//
// distribution's own costs a multiple of it: facts in docs/performance.md.
func (g *Registry) getBlob(w http.ResponseWriter, c *call) error {
	ctx := c.r.Context()
	f, link, err := g.findBlob(ctx, c.view, c.repo, c.digest, g.opening(c))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if c.r.Method == http.MethodHead && link != (linkRow{}) {
		err := g.renew(ctx, c, link)
		if errors.Is(err, ErrUnknown) {
			return err
		}
		if err != nil {
			g.log.Warn("renewing the lease of a blob failed", "digest", c.digest, "err", err)
		}
	}
	h := w.Header()
	h.Set("Docker-Content-Digest", c.digest.String())
	h.Set("Etag", `"`+c.digest.String()+`"`)
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "private, max-age=31536000, immutable")
	if f, ok := f.(elsewhere); ok {
		redirect(w, f.url)
		return nil
	}
	return serveContent(w, c.r, watched{f, func(err error) { _ = g.lost(ctx, c.digest, blobRow{}, err) }})
}

// opener opens the file of a blob's row. Error: errMoved.
type opener func(context.Context, digest.Digest, blobRow) (storage.Blob, error)

// findBlob opens a blob of a repository. Between the look into the store and that for the file the blob
// may have been collected, and pushed again: then it looks once more.
func (g *Registry) findBlob(ctx context.Context, in view, repo string, d digest.Digest, open opener) (f storage.Blob, link linkRow, err error) {
	key := digestKey(d)
	of := repoKey(repo, key)
	reads := func() []storage.Read {
		return []storage.Read{storage.Row(linkTable, of), storage.Row(blobTable, key), storage.Row(smallTable, key)}
	}
	for range 3 {
		var row blobRow
		var content []byte
		err = in(ctx, reads, func(tx storage.Reader) error {
			f, content = nil, nil
			value, err := tx.Get(linkTable, of)
			if errors.Is(err, storage.ErrNotFound) {
				f, err = renderedAsBlob(tx, repo, d)
				return err
			}
			if err != nil {
				return err
			}
			if link, err = decodeLinkRow(value); err != nil {
				return err
			}
			if row, err = readBlobRow(tx, d); err == nil && row.inStore() && !row.damaged {
				content, err = getOrNil(tx, smallTable, key)
				content = bytes.Clone(content)
			}
			return err
		})
		if errors.Is(err, storage.ErrNotFound) {
			err = errBlobUnknown(repo, d)
		}
		if err == nil && content != nil {
			if f, err = inMemory(d, row, content); err != nil {
				err = g.lost(ctx, d, row, err)
			}
		}
		if err != nil || f != nil {
			return f, link, err
		}
		if f, err = open(ctx, d, row); !errors.Is(err, errMoved) {
			return f, link, err
		}
	}
	return nil, link, errBlobUnknown(repo, d)
}

// errMoved: a blob's row has changed or gone since it was read.
var errMoved = errors.New("the blob was collected meanwhile")

// openBlob is an opener to read with.
func (g *Registry) openBlob(ctx context.Context, d digest.Digest, row blobRow) (storage.Blob, error) {
	if row.damaged {
		return nil, errLost(d)
	}
	if content, ok := g.small.Get(row.at); ok {
		return memory{bytes.NewReader(content)}, nil
	}
	f, err := g.openBytes(ctx, d, row)
	if err != nil {
		return nil, g.lost(ctx, d, row, err)
	}
	if f.Size() != row.size {
		return nil, g.lost(ctx, d, row, errors.Join(wrongSize(f.Size(), row), f.Close()))
	}
	if row.size <= maxSmall {
		return g.remember(ctx, d, row, f)
	}
	return f, nil
}

// measureBlob is an opener for who asks for no bytes: it opens no file.
func (g *Registry) measureBlob(ctx context.Context, d digest.Digest, row blobRow) (storage.Blob, error) {
	if err := g.there(ctx, d, row); err != nil {
		return nil, err
	}
	return measured{size: row.size}, nil
}

// measured is a blob whose bytes nobody asks for.
type measured struct {
	storage.Blob
	size int64
}

func (m measured) Size() int64  { return m.size }
func (m measured) Close() error { return nil }

// Small blobs are configs, which every pull and every push reads. Those that an older version put into files are kept in memory by
// location, which never comes to mean other bytes.
const (
	maxSmall   = 16 << 10 // bytes; more of it in the store would make every commit beside it write that much
	smallBlobs = 256      // 4 MiB in all, at most
)

// memory is a blob that is kept in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// remember reads a small blob, compares it with its digest, and closes it.
func (g *Registry) remember(ctx context.Context, d digest.Digest, row blobRow, f storage.Blob) (storage.Blob, error) {
	content, err := readWhole(f)
	if err == nil {
		err = compare(d, content)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, g.lost(ctx, d, row, err)
	}
	if !row.inStore() {
		g.small.Add(row.at, content)
	}
	return memory{bytes.NewReader(content)}, nil
}

// blobRow returns the row of a blob as it is now, or a zero one.
func (g *Registry) blobRow(ctx context.Context, d digest.Digest) (row blobRow, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		row, err = readBlobRow(tx, d)
		if errors.Is(err, storage.ErrNotFound) {
			row, err = blobRow{}, nil
		}
		return err
	})
	return row, err
}

// unmark says that the file of a blob is right again.
func unmark(tx storage.Tx, d digest.Digest, row blobRow) {
	row.damaged = false
	tx.Put(blobTable, digestKey(d), row.encode())
	tx.Delete(damagedTable, digestKey(d))
}

// readSmall returns a whole blob of at most limit bytes, which are those of its digest. Errors: errMoved; a failure
// that says the blob is lost.
func (g *Registry) readSmall(ctx context.Context, d digest.Digest, row blobRow, limit int64) ([]byte, error) {
	if row.size > limit {
		return nil, nil
	}
	f, err := g.openBlob(ctx, d, row)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	content, err := readWhole(f)
	if _, known := f.(memory); err == nil && !known {
		err = compare(d, content)
	}
	if err != nil {
		return nil, g.lost(ctx, d, row, err)
	}
	return content, nil
}

// readWhole reads a small blob at once: io.ReadAll, which does not know its size, asks the system a dozen times.
func readWhole(f storage.Blob) ([]byte, error) {
	content := make([]byte, f.Size())
	_, err := io.ReadFull(f, content)
	return content, err
}

// deleteBlob takes a blob out of a repository, unless a manifest there needs it.
func (g *Registry) deleteBlob(ctx context.Context, c *call, d digest.Digest) error {
	err := g.update(ctx, c, noReads, func(tx storage.Tx) error {
		value, err := tx.Get(linkTable, repoKey(c.repo, digestKey(d)))
		if errors.Is(err, storage.ErrNotFound) {
			_, err := renderedAsBlob(tx, c.repo, d)
			switch {
			case err == nil:
				return errRendered(d)
			case errors.Is(err, storage.ErrNotFound):
				return errBlobUnknown(c.repo, d)
			}
			return err
		}
		if err != nil {
			return err
		}
		manifest, err := neededBy(tx, c.repo, digestKey(d), nil)
		if err != nil {
			return err
		}
		if manifest != "" {
			return errNeeded(tx, c.repo, manifest, "blob")
		}
		if err := mustBeComplete(tx, c.repo); err != nil {
			return err
		}
		row, err := decodeLinkRow(value)
		if err != nil {
			return err
		}
		_, err = g.takeAway(tx, c.repo, d, row, false)
		return err
	})
	if err == nil {
		g.wakeCollector()
	}
	return err
}
