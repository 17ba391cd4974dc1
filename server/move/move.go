// Package move takes the blobs of a registry from its data directory into an object store, or its store into a database, or either back,
// while no server runs on it.
//
// Blobs keep their locations, so only a setting of the data directory changes, at the end and at once: until then the registry
// is where it was, and its blobs there are only read, before and behind it. A move that broke off is gone on with by the next.
package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/server/backup"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/archive"
	"github.com/seed-260924e6/hallmark/storage/s3"
)

// Move takes blobs elsewhere.
type Move struct {
	// Dir is the data directory.
	Dir string
	// From is the object store that the blobs are in, To the one that they are to be in; nil is the data directory.
	From, To *s3.Config
	// Database is the URL of the database that the store is in, or "" where it is in the data directory. It stays where it is.
	Database string
	// All has every blob be read again where it came to. Default: a sample.
	All bool
	// Copying and Checking are told of how much there is to do, and of each that is done, from several goroutines.
	Copying, Checking Shown
	// Say is told what is done to a store of an older version.
	Say func(sentence string)
}

// Shown shows how far something has come.
type Shown struct {
	Expect, Done func(size int64)
}

// Moved is what came of a move.
type Moved struct {
	Blobs  int   `json:"blobs"` // in the registry
	Bytes  int64 `json:"bytes"`
	Copied int   `json:"copied"` // by this run; what an earlier one copied was there
	Read   int   `json:"read"`   // whose bytes were compared with their digests where they came to
	// Damaged are the labels of blobs that are lost or damaged where they were. They are not where the others are now.
	Damaged []string `json:"damaged,omitempty"`
	// Again says that the blobs were there already.
	Again bool `json:"again,omitempty"`
}

// sample is the least number of blobs whose bytes are read again, and every how manieth is.
const (
	sampleLeast = 100
	sampleEvery = 20
)

// run is a move under way.
type run struct {
	*Move
	data  *datadir.Dir
	to    datadir.Target
	blobs []archive.Blob

	mu      sync.Mutex
	moved   Moved           // guarded by mu, but for what list says
	damaged map[string]bool // guarded by mu; the labels of what is lost or damaged where it was
}

// ErrSame says that blobs are to be moved from one object store to another.
var ErrSame = errors.New("the blobs are in an object store, and are to be in another one: move them into the data directory first")

// Run moves the blobs. Errors: those of datadir.Open; ErrSame; storage.ErrAway; storage.ErrFull; storage.ErrCorrupt, where the target is
// another registry's. If it ends anywhere before Use, the registry's blobs are where they were, and the next run goes on.
func (m *Move) Run(ctx context.Context) (moved Moved, err error) {
	o := datadir.Options{Say: m.Say, Database: m.Database, S3: func() (*s3.Config, error) { return m.From, nil }}
	d, err := datadir.OpenToMove(m.Dir, o)
	if err != nil {
		return moved, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if again, err := m.isThere(ctx, d); err != nil || again {
		return Moved{Again: again}, err
	}
	if err := d.Source(ctx, o); err != nil {
		return moved, err
	}
	r := &run{Move: m, data: d, damaged: map[string]bool{}}
	if r.to, err = d.Target(ctx, m.To, o); err != nil {
		return moved, fmt.Errorf("where the blobs are to be: %w", err)
	}
	if remote, ok := r.to.(*s3.Store); ok { // those of moves that broke off
		if err := remote.DropUploads(ctx); err != nil {
			return moved, err
		}
	}
	for _, step := range []func(context.Context) error{r.list, r.copyAll, r.checkAll} {
		if err := step(ctx); err != nil {
			return r.moved, err
		}
	}
	r.moved.Damaged = slices.Sorted(maps.Keys(r.damaged))
	return r.moved, d.Use(ctx, m.To)
}

// isThere says whether the blobs are where they are to be: then an earlier move has come to its end.
func (m *Move) isThere(ctx context.Context, d *datadir.Dir) (bool, error) {
	remote, err := d.Remote(ctx)
	if err != nil || remote != (m.To != nil) {
		return false, err
	}
	if remote && m.From != nil && !m.From.SamePlace(*m.To) {
		return false, ErrSame
	}
	return true, nil
}

// list lists the blobs that rows name.
func (r *run) list(ctx context.Context) error {
	return r.data.Rows().View(ctx, func(tx storage.Reader) error {
		r.blobs, r.moved.Bytes = nil, 0
		err := registry.EachBlob(tx, func(size int64, at storage.Location) error {
			r.blobs = append(r.blobs, archive.Blob{Size: size, At: at})
			r.moved.Bytes += size
			return nil
		})
		r.moved.Blobs = len(r.blobs)
		return err
	})
}

// copyAll copies what is not there yet.
func (r *run) copyAll(ctx context.Context) error {
	for _, b := range r.blobs {
		r.Copying.Expect(b.Size)
	}
	return backup.InParallel(ctx, backup.Copiers, r.blobs, func(b archive.Blob) error {
		defer r.Copying.Done(b.Size)
		there, err := datadir.Holds(ctx, r.to, b.At, b.Size)
		if err == nil && !there {
			err = r.copy(ctx, b)
		}
		return err
	})
}

// missing says that a blob is lost or damaged.
func missing(err error) bool {
	return errors.Is(err, storage.ErrNotFound) || errors.Is(err, storage.ErrCorrupt)
}

// copy copies a blob, and compares it with its digest as it goes. One that is damaged where it was is noted: it must not keep the
// others from being moved.
func (r *run) copy(ctx context.Context, b archive.Blob) error {
	from, err := r.data.Blobs.Open(ctx, b.At)
	if err == nil {
		defer from.Close() //nolint:errcheck // it was only read
		err = r.to.Import(ctx, b.At, func(w io.Writer) error { return b.Copy(w, source{ctx, from}) })
	} else if missing(err) {
		err = fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.Is(err, archive.ErrDamaged):
		r.damaged[b.Label()] = true
		return nil
	case err == nil:
		r.moved.Copied++
	}
	return err
}

// source is a blob that is read where it was. Its errors are told from those of where it goes.
type source struct {
	ctx context.Context
	io.Reader
}

func (s source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.Reader.Read(p)
	if missing(err) {
		err = fmt.Errorf("%w: %w", archive.ErrDamaged, err)
	}
	return n, err
}

// checkAll wants every blob that was not damaged to be there, with its length, and some or all to have the bytes that their digests say.
func (r *run) checkAll(ctx context.Context) error {
	wanted := slices.DeleteFunc(r.blobs, func(b archive.Blob) bool { return r.damaged[b.Label()] })
	whole := r.sample(len(wanted))
	for _, b := range wanted {
		r.Checking.Expect(b.Size)
	}
	type one struct {
		archive.Blob
		whole bool
	}
	all := make([]one, len(wanted))
	for i, b := range wanted {
		all[i] = one{b, whole(i)}
	}
	return backup.InParallel(ctx, backup.Copiers, all, func(o one) error {
		defer r.Checking.Done(o.Size)
		if err := r.check(ctx, o.Blob, o.whole); err != nil {
			return fmt.Errorf("check %s where it came to: %w", o.Label(), err)
		}
		return nil
	})
}

// sample returns which of n are read.
func (r *run) sample(n int) func(i int) bool {
	if r.All || n <= sampleLeast {
		return func(int) bool { return true }
	}
	begin, every := rand.IntN(sampleEvery), min(sampleEvery, n/sampleLeast)
	return func(i int) bool { return (i+begin)%every == 0 }
}

// check reads a blob where it came to. One that is not right there, as an earlier run may have left it, is copied again, once.
func (r *run) check(ctx context.Context, b archive.Blob, whole bool) error {
	err := r.looksRight(ctx, b, whole)
	if missing(err) || errors.Is(err, archive.ErrDamaged) {
		if err := r.copy(ctx, b); err != nil {
			return err
		}
		if r.isDamaged(b) {
			return nil
		}
		err = r.looksRight(ctx, b, true)
	}
	return err
}

func (r *run) isDamaged(b archive.Blob) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.damaged[b.Label()]
}

func (r *run) looksRight(ctx context.Context, b archive.Blob, whole bool) error {
	f, err := r.to.Open(ctx, b.At)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	if f.Size() != b.Size {
		return fmt.Errorf("%w: it has %d bytes, and should have %d", storage.ErrCorrupt, f.Size(), b.Size)
	}
	if !whole {
		return nil
	}
	if err := b.Copy(io.Discard, source{ctx, f}); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved.Read++
	return nil
}
