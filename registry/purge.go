package registry

import (
	"bytes"
	"context"
	"errors"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What leaves the trash before its time is on record, because the record of its deletion says that it stays: somebody empties
// the trash, or it holds more than it may, or the disk fills.

// An Emptying is what somebody wants to have removed from the trash: everything, what is of a repository, or one manifest there.
type Emptying struct {
	Repository string
	Reference  string // a digest, or a tag, which is what it meant last
	Who        provenance.Identity
}

// Empty removes what is in the trash for good, with a record of each manifest, and returns how many they were. The disk is given back
// behind it. Error: ErrUnknown.
func (g *Registry) Empty(ctx context.Context, e Emptying) (manifests int, err error) {
	from, to := []byte(nil), []byte(nil)
	if e.Repository != "" {
		from, to = repoKey(e.Repository), storage.PrefixEnd(repoKey(e.Repository))
	}
	if e.Reference != "" {
		d, err := g.mayEmpty(ctx, e)
		if err != nil {
			return 0, err
		}
		from = repoKey(e.Repository, digestKey(d))
		to = storage.PrefixEnd(from)
	}
	for more := true; more; {
		var n int
		if n, from, err = g.emptySome(ctx, e.Who, from, to); err != nil {
			return manifests, err
		}
		manifests += n
		more = from != nil
	}
	if manifests == 0 && e.Reference != "" {
		return 0, errNotInTrash(e.Reference)
	}
	g.wakeCollector()
	return manifests, nil
}

// mayEmpty returns which manifest is to leave the trash, and asks for patience where its deletion has not come to its end.
func (g *Registry) mayEmpty(ctx context.Context, e Emptying) (d digest.Digest, err error) {
	if d, _, err = g.lastMeant(ctx, e.Repository, e.Reference); err != nil {
		return d, err
	}
	return d, g.store.View(ctx, func(tx storage.Reader) error { return mustNotGo(tx, e.Repository, digestKey(d)) })
}

// emptyStep is how many manifests leave the trash in one transaction of Empty, each with a record.
const emptyStep = 20

// emptySome removes some of what is in the trash, in a range of its rows, and returns where the rest begins, or nil.
func (g *Registry) emptySome(ctx context.Context, who provenance.Identity, from, to []byte) (n int, next []byte, err error) {
	err = g.store.Update(ctx, func(tx storage.Tx) (err error) {
		n = 0
		next, err = storage.SomeRows(tx, trashTable, from, to, emptyStep, func(item storage.Item) error {
			repo, key := cutRepo(bytes.Clone(item.Key))
			d, _, err := cutDigest(key)
			if err != nil {
				return err
			}
			gone, err := g.purgeOnRecord(ctx, tx, RepoDigest{repo, d}, who)
			if gone {
				n++
			}
			return err
		})
		return err
	})
	return n, next, err
}

// purgeOnRecord removes a manifest from the trash for good, and says whether it was there and has come to its end.
func (g *Registry) purgeOnRecord(ctx context.Context, tx storage.Tx, p RepoDigest, who provenance.Identity) (bool, error) {
	gone, err := purge(tx, p)
	if err != nil || !gone {
		return false, err
	}
	e := provenance.Event{Action: provenance.Purge, Repository: p.Repository, Digest: p.Digest, Who: who}
	e.Observed.RequestID = obs.RequestID(ctx)
	_, err = g.book.Append(tx, e)
	return true, err
}

// boundTrash removes what leaves the trash first, one manifest at a time, while it holds more than it may, or keeps the disk
// below its reserve. While a backup keeps files, nothing that is removed gives room, so that is for another time.
func (g *Registry) boundTrash(ctx context.Context) (ends error) {
	for {
		t, err := g.Trashed(ctx)
		if err != nil || t.Manifests == 0 || !g.tooMuchTrash(t) {
			return errors.Join(ends, err)
		}
		if idle, err := g.nothingToRemove(ctx); err != nil || !idle {
			return errors.Join(ends, err)
		}
		gone, err := g.purgeFirst(ctx)
		if err != nil || !gone {
			return errors.Join(ends, err)
		}
		ends = g.endLeaving(ctx) // what one cannot end for, the others do not wait for
		if err := g.removeFiles(ctx); err != nil {
			return errors.Join(ends, err)
		}
	}
}

// nothingToRemove says that no file waits to be removed, and nobody keeps files.
func (g *Registry) nothingToRemove(ctx context.Context) (bool, error) {
	if !g.keep.TryLock() {
		return false, nil
	}
	g.keep.Unlock()
	left, err := g.removals(ctx)
	return len(left) == 0, err
}

// tooMuchTrash says whether the trash holds more than it may, or room that the disk needs, which manifests are not: they are in the
// store.
func (g *Registry) tooMuchTrash(t Trashed) bool {
	if most := int64(g.trash.Max); most > 0 && t.Bytes+t.ManifestBytes > most {
		return true
	}
	return t.Bytes > 0 && errors.Is(g.room(), storage.ErrFull)
}

// purgeFirst removes what would leave the trash first, as the system, and says whether there was anything.
func (g *Registry) purgeFirst(ctx context.Context) (gone bool, err error) {
	var p RepoDigest
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		gone = false
		for item, err := range tx.Scan(trashEndTable, nil, nil) {
			if err != nil {
				return err
			}
			if _, p, err = cutTrashEnd(item.Key); err != nil {
				continue // purgeDue and fsck say so
			}
			if gone, err = g.purgeOnRecord(ctx, tx, p, systemEnds); err != nil || gone {
				return err
			}
		}
		return nil
	})
	if gone && err == nil {
		g.log.Info("removed an image from the trash before its time, to make room", "repository", p.Repository, "digest", p.Digest)
	}
	return gone, err
}

// A TrashEntry is a manifest in the trash.
type TrashEntry struct {
	RepoDigest
	Record    uint64 // of its deletion
	MediaType string
	Size      int64    // of the manifest, in bytes
	Tags      []string // that ended with it; at most MaxTags
	TagsCut   bool
}

// A TrashQuery asks for what is in the trash.
type TrashQuery struct {
	Repository string // only what is of this one; "" is all
	After      []byte // where the page before ended; nil begins
	Limit      int
	Visible    func(repository string) bool
}

// maxTrashLooks bounds the rows that a page of the trash looks at.
const maxTrashLooks = 10_000

// TrashPage returns a page of what is in the trash, in the order of repositories, and where the next begins, or nil. A page may
// be short.
func (g *Registry) TrashPage(ctx context.Context, q TrashQuery) (found []TrashEntry, next []byte, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		found, next = nil, nil
		from, to := []byte(nil), []byte(nil)
		if q.Repository != "" {
			from, to = repoKey(q.Repository), storage.PrefixEnd(repoKey(q.Repository))
		}
		if q.After != nil {
			from = q.After
		}
		for looks := maxTrashLooks; from != nil || looks == maxTrashLooks; looks-- {
			item, err := firstItem(tx, trashTable, from, to)
			if err != nil || item == nil {
				return err
			}
			repo, _ := cutRepo(item.Key)
			if looks > 0 && !q.Visible(repo) {
				from = storage.PrefixEnd(repoKey(repo))
				continue
			}
			if looks == 0 || len(found) == q.Limit {
				next = bytes.Clone(item.Key)
				return nil
			}
			entry, err := trashEntry(tx, *item)
			if err != nil {
				return err
			}
			found = append(found, entry)
			from = append(bytes.Clone(item.Key), 0)
		}
		return nil
	})
	return found, next, err
}

func firstItem(tx storage.Reader, table storage.Table, from, to []byte) (*storage.Item, error) {
	for item, err := range tx.Scan(table, from, to) {
		return &item, err
	}
	return nil, nil
}

// trashEntry reads one row of the trash, with its tags.
func trashEntry(tx storage.Reader, item storage.Item) (e TrashEntry, err error) {
	repo, key := cutRepo(item.Key)
	e.Repository = repo
	if e.Digest, _, err = cutDigest(key); err != nil {
		return e, err
	}
	t, err := decodeTrashRow(item.Value)
	if err != nil {
		return e, err
	}
	m, err := decodeManifestRow(t.manifest)
	if err != nil {
		return e, err
	}
	e.Record, e.MediaType, e.Size = t.record, m.mediaType, m.size
	prefix := repoKey(repo, key)
	for row, err := range tx.Scan(trashTagTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return e, err
		}
		if isOlder(row.Value, t.record) {
			continue
		}
		if e.TagsCut = len(e.Tags) == MaxTags; e.TagsCut {
			break
		}
		e.Tags = append(e.Tags, string(row.Key[len(prefix):]))
	}
	return e, nil
}

// InTrash returns what the trash has of a digest in a repository, or nil.
func (g *Registry) InTrash(ctx context.Context, repo string, d digest.Digest) (e *TrashEntry, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		e = nil
		key := repoKey(repo, digestKey(d))
		value, err := getOrNil(tx, trashTable, key)
		if err != nil || value == nil {
			return err
		}
		one, err := trashEntry(tx, storage.Item{Key: key, Value: value})
		e = &one
		return err
	})
	return e, err
}
