package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// The collector gives back the disk that nothing needs, beside everything else that goes on, and walks
// over nothing but leases that have ended.
//
// A blob's row becomes a removal, the name of a file to remove, in one transaction, and every push that wants to use the blob sees in its
// own transaction whether the row is still there. Files are removed after that: a location is never used
// again, so removing one twice hurts nobody. If we stop before the file is gone, the removal names it, and the
// next start removes it; if we stop before the removal is deleted, the file is removed once more.

// collectStep is how many leases end in one transaction: all who push wait for it.
const collectStep = 100

// collectInterval is the longest time between two looks for leases that have ended, each of which keeps the time.
const collectInterval = 5 * time.Minute

// Collected counts what the collector gave back.
type Collected struct {
	Blobs int64
	Bytes int64
}

// Collected returns what was given back since the start.
func (g *Registry) Collected() Collected {
	return Collected{g.collected.blobs.Load(), g.collected.bytes.Load()}
}

// Collect gives back, until ctx ends, the room of blobs whose leases have ended.
func (g *Registry) Collect(ctx context.Context) {
	tick := time.NewTicker(min(max(time.Duration(g.c.Lease)/4, 10*time.Millisecond), collectInterval))
	defer tick.Stop()
	for {
		before := g.Collected()
		err := g.collect(ctx)
		if err != nil && ctx.Err() == nil {
			g.log.Error("giving back the room of unneeded blobs failed", "err", err)
		}
		if after := g.Collected(); after != before {
			g.log.Info("gave back the room of blobs that nothing needed", "blobs", after.Blobs-before.Blobs, "bytes", after.Bytes-before.Bytes)
		}
		select {
		case <-ctx.Done():
			g.keepTime(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			g.keepTime(ctx)
		case <-g.wake:
		}
	}
}

// keepTime keeps what the clock shows, so that leases go on where they are.
func (g *Registry) keepTime(ctx context.Context) {
	if err := g.clock.save(ctx, g.store); err != nil && ctx.Err() == nil {
		g.log.Error("the time that leases have lasted was not kept: they last longer", "err", err)
	}
}

// wakeCollector tells the collector that there is something to remove.
func (g *Registry) wakeCollector() {
	select {
	case g.wake <- struct{}{}:
	default: // it has been told
	}
}

func (g *Registry) collect(ctx context.Context) error {
	if err := g.complete(ctx); err != nil {
		return fmt.Errorf("what manifests of an older version refer to is not known yet: %w", err)
	}
	// Somebody may rely on a blob whose lease is renewed in memory alone.
	unkept := g.FlushNotes(ctx)
	due := binary.BigEndian.AppendUint64(nil, g.clock.before(g.now(), time.Duration(g.c.Lease)))
	more := false
	err := g.store.View(ctx, func(tx storage.Reader) error {
		for _, err := range tx.Scan(leaseTable, nil, due) {
			more = true
			return err
		}
		return nil
	})
	for more && err == nil && unkept == nil {
		err = g.store.Update(ctx, func(tx storage.Tx) (err error) {
			more, err = g.endLeases(tx, due)
			return err
		})
	}
	if err != nil {
		return err
	}
	// A row of the trash that cannot be read, or a quota without room, keeps no file.
	return errors.Join(unkept, g.emptyTrash(ctx), g.removeFiles(ctx), g.boundTrash(ctx))
}

// endLeases ends leases that began before due, and says whether there may be more.
func (g *Registry) endLeases(tx storage.Tx, due []byte) (more bool, err error) {
	n, hidden := 0, map[digest.Digest]bool{}
	for item, err := range tx.Scan(leaseTable, nil, due) {
		if err != nil {
			return false, err
		}
		if n++; n > collectStep {
			return true, nil
		}
		tx.Delete(leaseTable, item.Key)
		if err := g.endLease(tx, item.Key, hidden); err != nil {
			return false, err
		}
	}
	return false, nil
}

// endLease takes a blob out of a repository, unless it is needed or has a later lease. hidden are those that this transaction has
// hidden, which its scans do not see yet.
func (g *Registry) endLease(tx storage.Tx, key []byte, hidden map[digest.Digest]bool) error {
	begin, repo, d, err := cutLease(key)
	if err != nil {
		return err
	}
	blob := digestKey(d)
	value, err := getOrNil(tx, linkTable, repoKey(repo, blob))
	if err != nil || value == nil {
		return err
	}
	row, err := decodeLinkRow(value)
	if err != nil || row.lease != begin {
		return err
	}
	manifest, err := neededBy(tx, repo, blob, nil)
	if err != nil || manifest != "" {
		return err
	}
	held, err := g.takeAway(tx, repo, d, row, hidden[d])
	hidden[d] = hidden[d] || held
	return err
}

// removeFiles removes the files that removals name, unless somebody keeps them: then they are removed
// another time.
func (g *Registry) removeFiles(ctx context.Context) error {
	for more := true; more; {
		if !g.keep.TryLock() {
			return nil
		}
		var err error
		more, err = g.removeSomeFiles(ctx)
		g.keep.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (g *Registry) removeSomeFiles(ctx context.Context) (more bool, err error) {
	files, err := g.removals(ctx)
	if err != nil || len(files) == 0 {
		return false, err
	}
	for _, f := range files {
		if err := g.removeFile(ctx, f.at); err != nil {
			return false, err
		}
	}
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		for _, f := range files {
			tx.Delete(removalTable, []byte(f.at))
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	for _, f := range files {
		g.collected.blobs.Add(1)
		g.collected.bytes.Add(f.size)
	}
	return true, nil
}

// KeepFiles keeps the file of every blob that is here now or comes, until release is called. A backup calls it
// before it takes a snapshot of the store: what the snapshot names, it finds.
//
// Removals are written meanwhile as ever, and the files go when release was called. If we stop before that,
// the next start removes them.
func (g *Registry) KeepFiles() (release func()) {
	g.keep.RLock()
	return sync.OnceFunc(func() {
		g.keep.RUnlock()
		g.wakeCollector()
	})
}

// EachBlob calls fn with the size and the place of each blob that has a file: the bytes of others are in the store.
func EachBlob(tx storage.Reader, fn func(size int64, at storage.Location) error) error {
	for item, err := range tx.Scan(blobTable, nil, nil) {
		if err != nil {
			return err
		}
		row, err := decodeBlobRow(item.Value)
		if err == nil && !row.inStore() {
			err = fn(row.size, row.at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removals returns some of the files that are to be removed.
func (g *Registry) removals(ctx context.Context) (files []blobRow, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		files = nil
		for item, err := range tx.Scan(removalTable, nil, nil) {
			if err != nil || len(files) == collectStep {
				return err
			}
			size, n := binary.Uvarint(item.Value)
			if n <= 0 {
				return errors.Join(storage.ErrCorrupt, errors.New("a removal has no size"))
			}
			files = append(files, blobRow{size: int64(size), at: storage.Location(item.Key)})
		}
		return nil
	})
	return files, err
}
