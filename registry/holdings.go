package registry

import (
	"bytes"
	"context"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What retention asks about a whole repository is read in many short Views, so it is of no one moment: whoever removes something by
// it looks again in the transaction of the removal.

// holdingStep is how many rows are read in one View.
const holdingStep = 2000

// eachIn calls fn for the rows of a repository in a table, without REPO, within Views of which none is long.
func (g *Registry) eachIn(ctx context.Context, table storage.Table, repo string, fn func(tx storage.Reader, rest, value []byte) error) error {
	prefix := repoKey(repo)
	for from := prefix; from != nil; {
		var next []byte
		err := g.store.View(ctx, func(tx storage.Reader) (err error) {
			next, err = storage.SomeRows(tx, table, from, storage.PrefixEnd(prefix), holdingStep, func(item storage.Item) error {
				return fn(tx, item.Key[len(prefix):], item.Value)
			})
			return err
		})
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// EachTag calls fn for the tags of a repository, in the order of their names. fixed is a sentence about the rule that keeps the tag as
// it is, or "". fn is called within a View, which it must not use.
func (g *Registry) EachTag(ctx context.Context, repo string, fn func(t TagEntry, fixed string) error) error {
	return g.eachIn(ctx, tagTable, repo, func(tx storage.Reader, rest, value []byte) error {
		row, err := decodeTagRow(value)
		if err != nil {
			return err
		}
		name := string(rest)
		fixed, err := g.gate.Fixed(tx, repo, name)
		if err != nil {
			return err
		}
		return fn(TagEntry{Name: name, Digest: row.digest, Record: row.record}, fixed)
	})
}

// A Holding is a manifest of a repository.
type Holding struct {
	Digest  digest.Digest
	Record  uint64          // that put it there
	Subject digest.Digest   // or ""
	Held    provenance.Time // until when it is held; zero where it is not
}

// EachHolding calls fn for the manifests of a repository, in the order of their digests, within Views, which it must not use. A hold
// that has passed at a time does not count.
func (g *Registry) EachHolding(ctx context.Context, repo string, now time.Time, fn func(Holding) error) error {
	return g.eachIn(ctx, manifestTable, repo, func(tx storage.Reader, key, value []byte) error {
		f := fields{rest: value} // without its content: it begins with the record
		m := Holding{Record: f.number()}
		if err := f.err("manifest"); err != nil {
			return err
		}
		var err error
		if m.Digest, _, err = cutDigest(key); err != nil {
			return err
		}
		subject, err := getOrNil(tx, subjectTable, repoKey(repo, key))
		if err != nil {
			return err
		}
		if subject != nil {
			if m.Subject, _, err = cutDigest(subject); err != nil {
				return err
			}
		}
		if m.Held, err = heldAt(tx, repo, key, now); err != nil {
			return err
		}
		return fn(m)
	})
}

// EachReference calls fn for all that the manifests of a repository refer to and that is there, but for their subjects: blobs and
// manifests. A large manifest refers to itself, as a blob. It is called within Views, which it must not use.
func (g *Registry) EachReference(ctx context.Context, repo string, fn func(manifest, named digest.Digest) error) error {
	return g.eachIn(ctx, needsTable, repo, func(tx storage.Reader, rest, row []byte) error {
		manifest, rest, err := cutDigest(rest)
		if err != nil {
			return err
		}
		if absent, err := isAbsent(tx, repo, rest, row); err != nil || absent {
			return err
		}
		named, _, err := cutDigest(rest)
		if err != nil {
			return err
		}
		return fn(manifest, named)
	})
}

// isAbsent says of what a row of needsTable names that it is not in the repository, which only what is optional may be. Others may have
// it: then it is theirs.
func isAbsent(tx storage.Reader, repo string, named, row []byte) (bool, error) {
	if !bytes.Equal(row, optionalRow) {
		return false, nil
	}
	for _, table := range []storage.Table{manifestTable, linkTable} {
		if there, err := getOrNil(tx, table, repoKey(repo, named)); err != nil || there != nil {
			return false, err
		}
	}
	return true, nil
}

// A Stored is a blob as the disk has it.
type Stored struct {
	Size  int64 // in bytes; 0 where it is not there
	Links int   // repositories that hold it; at most one more than was asked for
}

// StoredBlobs returns what the disk has of some blobs, and how many repositories hold each, counting no further than one more than links.
func (g *Registry) StoredBlobs(ctx context.Context, blobs []digest.Digest, links []int) (list []Stored, err error) {
	keys := make([][]byte, len(blobs))
	for i, d := range blobs {
		keys[i] = digestKey(d)
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		list = make([]Stored, len(blobs))
		rows, err := tx.GetMany(blobTable, keys)
		if err != nil {
			return err
		}
		for i, value := range rows {
			if value == nil {
				continue
			}
			row, err := decodeBlobRow(value)
			if err != nil {
				return err
			}
			list[i].Size = row.size
			for _, err := range tx.Scan(linkedTable, keys[i], storage.PrefixEnd(keys[i])) {
				if err != nil {
					return err
				}
				if list[i].Links++; list[i].Links > links[i] {
					break
				}
			}
		}
		return nil
	})
	return list, err
}
