package registry

import (
	"context"
	"errors"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// blobs wants the bytes of every blob, in the size of its row; of those in the store, and with deep of all, in its digest. Files are read
// outside of the View; a blob that is gone by then is looked up again.
func (c *checker) blobs(ctx context.Context) error {
	type entry struct {
		d   digest.Digest
		row blobRow
	}
	for from, more := []byte(nil), true; more; {
		var batch []entry
		var next []byte
		err := c.g.store.View(ctx, func(tx storage.Reader) (err error) {
			batch = nil
			next, err = storage.SomeRows(tx, blobTable, from, nil, checkStep, func(item storage.Item) error {
				d, _, err := cutDigest(item.Key)
				if err != nil {
					return err
				}
				row, err := decodeBlobRow(item.Value)
				if err != nil {
					return err
				}
				batch = append(batch, entry{d, row})
				return c.report(wantUsed(tx, d, row))
			})
			return err
		})
		if err != nil {
			return err
		}
		for _, e := range batch {
			if err := c.report(c.blob(ctx, e.d, e.row)); err != nil {
				return err
			}
		}
		from, more = next, next != nil
	}
	return nil
}

// wantUsed wants a blob to be in a repository, and its file not to be among those that are removed.
func wantUsed(tx storage.Reader, d digest.Digest, row blobRow) error {
	value, err := getOrNil(tx, removalTable, []byte(row.at))
	if err != nil {
		return err
	}
	if value != nil {
		return damaged("blob %s: its file %s is among those to be removed, and the next start removes it", d, row.at)
	}
	key := digestKey(d)
	for _, table := range []storage.Table{linkedTable, hiddenInTable} {
		if used, err := anyRow(tx, table, key); err != nil || used {
			return err
		}
	}
	return damaged("blob %s is in no repository", d)
}

func (c *checker) blob(ctx context.Context, d digest.Digest, row blobRow) error {
	c.Blobs++
	err := c.file(ctx, d, row)
	if !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	if now, again := c.g.blobRow(ctx, d); again != nil || now != row {
		return again // removed or replaced meanwhile
	}
	return err
}

func (c *checker) file(ctx context.Context, d digest.Digest, row blobRow) error {
	if row.damaged {
		return c.marked(ctx, d)
	}
	f, err := c.g.openBytes(ctx, d, row)
	if errors.Is(err, storage.ErrNotFound) {
		return damaged("blob %s: %s", d, row.absent())
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if f.Size() != row.size {
		return damaged("blob %s: %s", d, row.ofSize(f.Size()))
	}
	if !c.deep && !row.inStore() {
		return nil
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	h := d.Algorithm().Hash()
	n, err := io.CopyBuffer(h, &contextReader{ctx, f}, *buf)
	c.Bytes += n
	if err != nil {
		return err
	}
	if digest.NewDigest(d.Algorithm(), h) != d {
		return damaged("blob %s: its bytes are not those of its digest", d)
	}
	return nil
}

// marked reports a blob that has a mark. Whether its file is right again is the scrub's to say.
func (c *checker) marked(ctx context.Context, d digest.Digest) error {
	return c.g.store.View(ctx, func(tx storage.Reader) error {
		value, err := tx.Get(damagedTable, digestKey(d))
		if errors.Is(err, storage.ErrNotFound) {
			return damaged("blob %s is marked as damaged, and no row says why", d)
		}
		if err != nil {
			return err
		}
		found, err := readDamage(tx, storage.Item{Key: digestKey(d), Value: value})
		if err != nil {
			return err
		}
		return damaged("blob %s, in repository %s, is marked since %s: %s; push it again, or put its file back and run `hallmark scrub now`",
			d, found.Repository, found.Found, found.What)
	})
}

// mark wants the blob of a mark to have it.
func (c *checker) mark(_ context.Context, tx storage.Reader, item storage.Item) error {
	p, err := cutDamageKey(item.Key)
	if err != nil || p.Repository != "" { // a manifest's own check reports it
		return err
	}
	row, err := readBlobRow(tx, p.Digest)
	if errors.Is(err, storage.ErrNotFound) || err == nil && !row.damaged {
		return damaged("blob %s is said to be damaged, and its row does not say so", p.Digest)
	}
	return err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// stays says whether a file is still there: the collector may have removed it meanwhile.
func (c *checker) stays(ctx context.Context, at storage.Location) bool {
	_, err := c.g.blobs.Length(ctx, at)
	return !errors.Is(err, storage.ErrNotFound)
}

// files reports blobs that no row names. Those of pushes under way are not among them.
func (c *checker) files(ctx context.Context) error {
	for left, err := range c.g.blobs.Leftovers(ctx, c.g.locations(ctx)) {
		if err != nil {
			return err
		}
		if !left.Unused && c.stays(ctx, left.At) {
			c.bad(damaged("the file %s belongs to no blob; the next start removes it", left.At))
		}
	}
	return nil
}
