package registry

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// The scrub reads everything that a digest names, in the background and no faster than it may, and marks what is
// lost or damaged (scrub_mark.go). It goes through the blobs in the order of their digests, then through the
// manifests that are kept in the store. How far it has come is a row, written now and then: if we stop, the next
// process goes on from there, and reads again what was read since.
//
// Whatever is pushed, collected or replaced meanwhile is no alarm: a mark is made in a transaction that finds the
// row as it was when its file was read, and a location never comes to mean other bytes.

// ScrubConfig says how often everything is read, and how fast. The zero value never does.
type ScrubConfig struct {
	// Every is how long after the beginning of one scrub the next begins. 0 turns it off; one can then still be
	// asked for. Default: 7d.
	Every units.Duration `yaml:"every"`
	// Rate is how many bytes a second a scrub reads, at most. Default: 50MB.
	Rate units.Size `yaml:"rate"`
}

const (
	scrubStep    = 100              // rows that are read in one View
	scrubContent = 1 << 20          // bytes of manifests that are read in one View
	scrubSave    = 10 * time.Second // how often it is written down how far a scrub has come
	scrubRetry   = time.Minute      // how long it waits where the store fails
)

// Scrub reads everything each time that it is due or asked for, and what others found damaged at once, until ctx
// ends.
func (g *Registry) Scrub(ctx context.Context) {
	s := g.scrub
	pace := &pace{rate: float64(s.config.Rate)}
	g.lookAgain(ctx, pace)
	for ctx.Err() == nil {
		if s.due(time.Now()) {
			if err := g.scrubPass(ctx, pace); err != nil && ctx.Err() == nil {
				g.log.Error("the scrub could not go on; it tries again", "err", err)
				sleep(ctx, scrubRetry)
			}
			continue
		}
		wait := time.NewTimer(s.wait(time.Now()))
		select {
		case <-ctx.Done():
		case <-wait.C:
		case <-s.asked:
		case one := <-s.suspects:
			g.lookAt(ctx, one, pace)
		}
		wait.Stop()
	}
}

// scrubPass goes on with a pass, or begins one, until its end, or that of ctx.
func (g *Registry) scrubPass(ctx context.Context, pace *pace) error {
	g.scrub.begin(time.Now())
	defer func() { // also when we stop
		if err := g.saveScrub(context.WithoutCancel(ctx)); err != nil {
			g.log.Warn("how far the scrub came was not written down", "err", err)
		}
	}()
	for {
		if g.scrub.isNew() {
			g.lookAgain(ctx, pace)
		}
		more, err := g.scrubSome(ctx, pace)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if more {
			continue
		}
		if last := g.scrub.end(time.Now()); last != nil {
			g.log.Info("scrubbed", "blobs", last.Blobs, "manifests", last.Manifests, "bytes", last.Bytes, "damaged", last.Damaged, "unread", last.Unread)
			return nil
		}
	}
}

// scrubSome reads what some rows name, and says whether there is more.
func (g *Registry) scrubSome(ctx context.Context, pace *pace) (more bool, err error) {
	pass, table, from := g.scrub.position()
	rows, err := g.scrubRows(ctx, table, from)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		took, err := g.scrubRow(ctx, row, pace)
		if err != nil {
			return false, err
		}
		if !g.scrub.advance(pass, row.next(), took) {
			return true, nil // another pass was asked for
		}
		if err := g.betweenRows(ctx, pace); err != nil {
			return false, err
		}
	}
	if len(rows) > 0 {
		return true, nil
	}
	return g.scrub.nextTable(pass), nil
}

// betweenRows writes down how far the pass has come, when it is time, and looks at what others found damaged.
func (g *Registry) betweenRows(ctx context.Context, pace *pace) error {
	select {
	case one := <-g.scrub.suspects:
		g.lookAt(ctx, one, pace)
	default:
	}
	if !g.scrub.unsaved(time.Now()) {
		return ctx.Err()
	}
	return errors.Join(g.saveScrub(ctx), ctx.Err())
}

// scrubbed is a row whose bytes are read.
type scrubbed struct {
	key     []byte
	repo    string // of a manifest
	digest  digest.Digest
	blob    blobRow
	content []byte // of a manifest that is kept in the store
}

// next is the first key behind the row.
func (r scrubbed) next() []byte { return append(bytes.Clone(r.key), 0) }

// scrubRows returns the next rows of a table whose bytes are to be read, none at its end. Those of large manifests
// are read as blobs.
func (g *Registry) scrubRows(ctx context.Context, table storage.Table, from []byte) (rows []scrubbed, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		rows = nil
		size := 0
		for item, err := range tx.Scan(table, from, nil) {
			if err != nil {
				return err
			}
			row, err := scrubbedOf(table, item)
			if err != nil {
				g.log.Error("a row is damaged; hallmark fsck says more", "table", table, "err", err)
			}
			rows = append(rows, row)
			if size += len(row.content); len(rows) == scrubStep || size >= scrubContent {
				return nil
			}
		}
		return nil
	})
	return rows, err
}

// scrubbedOf reads a row. What cannot be read has no digest.
func scrubbedOf(table storage.Table, item storage.Item) (row scrubbed, err error) {
	row = scrubbed{key: bytes.Clone(item.Key)}
	if table == blobTable {
		blob, err := decodeBlobRow(item.Value)
		if err != nil {
			return row, err
		}
		row.blob = blob
		row.digest, _, err = cutDigest(item.Key)
		return row, err
	}
	manifest, err := decodeManifestRow(item.Value)
	if err != nil || len(manifest.content) == 0 {
		return row, err
	}
	repo, key := cutRepo(item.Key)
	row.repo, row.content = repo, bytes.Clone(manifest.content)
	row.digest, _, err = cutDigest(key)
	return row, err
}

// took is what the reading of a row took.
type took struct {
	blobs, manifests, bytes, damaged, unread int64
}

// scrubRow reads what a row names, and marks it where it is damaged. Its error is the store's.
func (g *Registry) scrubRow(ctx context.Context, row scrubbed, pace *pace) (t took, err error) {
	switch {
	case row.digest == "":
		return t, nil
	case row.content != nil:
		t.manifests, t.bytes = 1, int64(len(row.content))
		if err := compare(row.digest, row.content); err != nil {
			t.damaged = 1
			return t, g.markManifest(ctx, row.repo, row.digest, err)
		}
		return t, pace.spend(ctx, len(row.content))
	case row.blob.damaged: // lookAgain was there
		t.blobs, t.damaged = 1, 1
		return t, nil
	}
	t.blobs, t.bytes = 1, row.blob.size
	err = g.readFile(ctx, row.digest, row.blob, pace)
	if errors.Is(err, storage.ErrCorrupt) { // once more, because what passes through memory can come wrong just once
		err = g.readFile(ctx, row.digest, row.blob, pace)
	}
	switch {
	case err == nil, ctx.Err() != nil:
		return t, ctx.Err()
	case !errors.Is(err, storage.ErrCorrupt):
		g.log.Warn("the scrub could not read a blob", "digest", row.digest, "err", err)
		t.unread = 1
		return t, nil
	}
	marked, err := g.markBlob(ctx, row.digest, row.blob, err)
	if marked {
		t.damaged = 1
	}
	return t, err
}

// readFile reads the file of a blob, and wants it to be what the digest says. Error: storage.ErrCorrupt, also where
// the file is lost or the disk cannot read it; any other says that it could not be told.
func (g *Registry) readFile(ctx context.Context, d digest.Digest, row blobRow, pace *pace) error {
	if err := pace.spend(ctx, perFile); err != nil {
		return err
	}
	f, err := g.openBytes(ctx, d, row)
	if errors.Is(err, storage.ErrNotFound) {
		return damaged("%s", row.absent())
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if f.Size() != row.size {
		return wrongSize(f.Size(), row)
	}
	return newCompared(d, paced{f, ctx, pace}).end(ctx)
}

// suspect has somebody look at a blob, or a manifest that is kept in the store, that was found lost or damaged by
// who wanted it: no request waits for that.
func (g *Registry) suspect(repo string, d digest.Digest) {
	select {
	case g.scrub.suspects <- RepoDigest{repo, d}:
	default: // the next pass comes by
	}
}

// lookAt reads what is suspected. The repository is that of a manifest which is kept in the store.
func (g *Registry) lookAt(ctx context.Context, one RepoDigest, pace *pace) {
	row := scrubbed{digest: one.Digest, repo: one.Repository}
	var err error
	if one.Repository == "" {
		row.blob, err = g.blobRow(ctx, one.Digest)
		if row.blob.at == "" || row.blob.damaged {
			return
		}
	} else if row.content, err = g.manifestContent(ctx, one); row.content == nil {
		return
	}
	if err == nil {
		_, err = g.scrubRow(ctx, row, pace)
	}
	if err != nil && ctx.Err() == nil {
		g.log.Error("what was found damaged could not be looked at", "digest", one.Digest, "err", err)
	}
}

// perFile is what a file costs beside its bytes, in bytes: many small ones are as much work as a large one.
const perFile = 16 << 10

// pace bounds how many bytes a second are read. One goroutine uses it.
type pace struct {
	rate float64   // bytes a second; 0 is as fast as it goes
	free time.Time // when what was spent is paid
}

// spend waits until so many bytes may be read.
func (p *pace) spend(ctx context.Context, n int) error {
	if p.rate == 0 {
		return ctx.Err()
	}
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	sleep(ctx, p.free.Sub(now))
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// paced is a blob that is read no faster than it may.
type paced struct {
	storage.Blob
	ctx  context.Context
	pace *pace
}

func (p paced) Read(b []byte) (int, error) {
	n, err := p.Blob.Read(b)
	if ended := p.pace.spend(p.ctx, n); ended != nil {
		err = ended
	}
	return n, err
}

// A ScrubPass is one reading of everything.
type ScrubPass struct {
	Started   provenance.Time  `json:"started"`
	Finished  *provenance.Time `json:"finished,omitempty"` // absent while it is under way
	Asked     bool             `json:"asked"`              // by an administrator, and not begun because it was due
	Blobs     int64            `json:"blobs"`
	Manifests int64            `json:"manifests"` // that are kept in the store
	Bytes     int64            `json:"bytes"`
	Damaged   int64            `json:"damaged"` // of both
	Unread    int64            `json:"unread"`  // blobs that could not be read now, for another reason than damage
}
