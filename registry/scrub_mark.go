package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A blob that is lost or damaged has a mark: its own row says so, which everybody reads who wants it, and a row of
// damagedTable says what was found, and when. Both come and go in one transaction. The mark goes when the blob is
// pushed again, or collected, or when its file is found to be right again, as when somebody has put it back. A
// manifest that is kept in the store is compared with its digest whenever it is read, so it has only the latter row.

// damageRow is what was found.
type damageRow struct {
	found uint64 // when, in microseconds since 1970
	why   string // what is wrong with it
}

func newDamage(why error) damageRow {
	return damageRow{uint64(time.Now().UnixMicro()), strings.TrimPrefix(why.Error(), storage.ErrCorrupt.Error()+": ")}
}

func (r damageRow) encode() []byte { return appendString(binary.AppendUvarint(nil, r.found), r.why) }

func decodeDamageRow(value []byte) (damageRow, error) {
	f := fields{rest: value}
	r := damageRow{found: f.number(), why: f.string()}
	return r, f.err("damage")
}

// damageKey is the key of a blob without a repository, else of a manifest that is kept in the store.
func damageKey(p RepoDigest) []byte { return append(digestKey(p.Digest), p.Repository...) }

func cutDamageKey(key []byte) (p RepoDigest, err error) {
	d, rest, err := cutDigest(key)
	return RepoDigest{string(rest), d}, err
}

// markBlob marks a blob as damaged whose row is still the one whose file was looked at.
func (g *Registry) markBlob(ctx context.Context, d digest.Digest, seen blobRow, why error) (marked bool, err error) {
	var repo string
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		marked = false
		row, err := readBlobRow(tx, d)
		if errors.Is(err, storage.ErrNotFound) {
			return nil // it was collected meanwhile
		}
		if err != nil || row != seen {
			return err // it was pushed again meanwhile
		}
		row.damaged, marked = true, true
		tx.Put(blobTable, digestKey(d), row.encode())
		tx.Put(damagedTable, digestKey(d), newDamage(why).encode())
		repo, err = aRepository(tx, d)
		return err
	})
	if err != nil || !marked {
		return false, err
	}
	g.small.Remove(seen.at)
	g.log.Error("a blob is damaged, and is not served until it is pushed again or its file is restored",
		"digest", d, "repository", repo, "file", seen.at, "err", why)
	return true, nil
}

// markManifest notes that a manifest in the store is damaged, where it still is.
func (g *Registry) markManifest(ctx context.Context, repo string, d digest.Digest, why error) error {
	marked := false
	err := g.store.Update(ctx, func(tx storage.Tx) error {
		marked = false
		content, err := inlineContent(tx, RepoDigest{repo, d})
		if err != nil || content == nil || compare(d, content) == nil {
			return err
		}
		key := damageKey(RepoDigest{repo, d})
		there, err := getOrNil(tx, damagedTable, key)
		if err != nil || there != nil {
			return err
		}
		tx.Put(damagedTable, key, newDamage(why).encode())
		marked = true
		return nil
	})
	if err == nil && marked {
		g.log.Error("a manifest in the store is damaged, and is not served until it is pushed again", "digest", d, "repository", repo, "err", why)
	}
	return err
}

// inlineContent is what the store has of a manifest, or nil.
func inlineContent(tx storage.Reader, p RepoDigest) ([]byte, error) {
	value, err := getOrNil(tx, manifestTable, repoKey(p.Repository, digestKey(p.Digest)))
	if err != nil || value == nil {
		return nil, err
	}
	row, err := decodeManifestRow(value)
	if err != nil || len(row.content) == 0 {
		return nil, err
	}
	return bytes.Clone(row.content), nil
}

func (g *Registry) manifestContent(ctx context.Context, p RepoDigest) (content []byte, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		content, err = inlineContent(tx, p)
		return err
	})
	return content, err
}

// aRepository is one of those that have a blob, or in which it is hidden, or "".
func aRepository(tx storage.Reader, d digest.Digest) (string, error) {
	key := digestKey(d)
	for _, table := range []storage.Table{linkedTable, hiddenInTable} {
		for item, err := range tx.Scan(table, key, storage.PrefixEnd(key)) {
			return string(item.Key[min(len(key), len(item.Key)):]), err
		}
	}
	return "", nil
}

// lookAgain looks at everything that has a mark, and takes away those that are not needed any more.
func (g *Registry) lookAgain(ctx context.Context, pace *pace) {
	var marked []RepoDigest
	err := storage.EachRow(ctx, g.store, damagedTable, func(_ storage.Reader, item storage.Item) error {
		p, err := cutDamageKey(item.Key)
		marked = append(marked, p)
		return err
	})
	for _, p := range marked {
		if err == nil {
			err = g.lookAgainAt(ctx, p, pace)
		}
	}
	if err != nil && ctx.Err() == nil {
		g.log.Error("what is marked as damaged could not be looked at again", "err", err)
	}
}

func (g *Registry) lookAgainAt(ctx context.Context, p RepoDigest, pace *pace) error {
	if p.Repository != "" {
		content, err := g.manifestContent(ctx, p)
		if err != nil || content != nil && compare(p.Digest, content) != nil {
			return err
		}
		return g.store.Update(ctx, func(tx storage.Tx) error {
			tx.Delete(damagedTable, damageKey(p))
			return nil
		})
	}
	seen, err := g.blobRow(ctx, p.Digest)
	if err != nil || !seen.damaged || g.readFile(ctx, p.Digest, seen, pace) != nil {
		return err
	}
	err = g.store.Update(ctx, func(tx storage.Tx) error {
		row, err := readBlobRow(tx, p.Digest)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil && row == seen {
			unmark(tx, p.Digest, row)
		}
		return err
	})
	if err == nil {
		g.log.Info("a blob that was lost or damaged is whole again: its file was restored", "digest", p.Digest)
	}
	return err
}

// Damage is a blob, or a manifest, that is lost or damaged.
type Damage struct {
	Digest     digest.Digest   `json:"digest"`
	Repository string          `json:"repository,omitempty"` // one of those that have it
	Found      provenance.Time `json:"found"`
	What       string          `json:"what"` // is wrong with it
}

const (
	maxDamage  = 1000  // of what is damaged is listed
	maxCounted = 10000 // is counted
)

// damage returns the first of what is marked, and whether there is more.
func (g *Registry) damage(ctx context.Context, most int) (found []Damage, more bool, err error) {
	err = g.store.View(ctx, func(tx storage.Reader) error {
		found, more = []Damage{}, false
		for item, err := range tx.Scan(damagedTable, nil, nil) {
			if more = len(found) == most; err != nil || more {
				return err
			}
			one, err := readDamage(tx, item)
			if err != nil {
				return err
			}
			found = append(found, one)
		}
		return nil
	})
	return found, more, err
}

func readDamage(tx storage.Reader, item storage.Item) (d Damage, err error) {
	p, err := cutDamageKey(item.Key)
	if err != nil {
		return d, err
	}
	row, err := decodeDamageRow(item.Value)
	if err != nil {
		return d, err
	}
	d = Damage{p.Digest, p.Repository, provenance.At(time.UnixMicro(int64(row.found))), row.why}
	if d.Repository == "" {
		d.Repository, err = aRepository(tx, p.Digest)
	}
	return d, err
}
