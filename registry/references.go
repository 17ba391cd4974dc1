package registry

import (
	"bytes"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// What a manifest refers to stays in its repository as long as the manifest does, whichever of the two came
// first. So each reference has its rows from the start, whether what it names is here or not: nothing has to
// be found out when that arrives, and nothing can be forgotten.
//
// A subject has no such row. That of its referrer says the same, and a manifest that others refer to may be
// deleted before them (OCI distribution specification 1.1, "Deleting Manifests").

// mention is a digest that a manifest names.
type mention struct {
	digest   digest.Digest
	optional bool // the manifest is taken without it
}

// optionalRow is the value of the row of an optional reference. That of any other is empty.
var optionalRow = []byte{1}

func (r mention) row() []byte {
	if r.optional {
		return optionalRow
	}
	return nil
}

// references are what a manifest names beside its subject, each once. A layer that is not distributed and what an
// index lists may be absent, unless it is also named as something else.
func (m *manifest) references() (all []mention) {
	at := make(map[digest.Digest]int)
	add := func(d digest.Digest, optional bool) {
		i, there := at[d]
		if !there {
			at[d] = len(all)
			all = append(all, mention{d, optional})
		} else if !optional {
			all[i].optional = false
		}
	}
	for _, b := range m.blobs() {
		add(b.Digest, m.mayLack(b))
	}
	for _, c := range m.children {
		add(c.Digest, true)
	}
	return all
}

// references are those of the manifest, and its own bytes where a blob holds them.
func (p *push) references() []mention {
	all := p.manifest.references()
	if len(p.body) > maxInline {
		all = append(all, mention{digest: p.digest})
	}
	return all
}

// putReferences adds the rows of what a manifest refers to, as far as they are not there.
func putReferences(tx storage.Tx, repo string, manifest []byte, all []mention) error {
	for _, r := range all {
		named := digestKey(r.digest)
		err := putMissing(tx, needsTable, repoKey(repo, manifest, named), r.row())
		if err == nil {
			err = putMissing(tx, neededTable, repoKey(repo, named, manifest), nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putMissing puts a row, unless it is there as it should be: then pages of the store need not be written.
func putMissing(tx storage.Tx, table storage.Table, key, value []byte) error {
	before, err := tx.Get(table, key)
	if errors.Is(err, storage.ErrNotFound) || err == nil && !bytes.Equal(before, value) {
		tx.Put(table, key, value)
		return nil
	}
	return err
}

// removeReferences removes at most so many rows of what a manifest refers to, and says whether there are more. If the manifest
// is kept in the trash, that holds it from then on.
func (g *Registry) removeReferences(tx storage.Tx, repo string, manifest []byte, most int, keep bool) (more bool, err error) {
	prefix := repoKey(repo, manifest)
	n := 0
	for item, err := range tx.Scan(needsTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return false, err
		}
		if n++; n > most {
			return true, nil
		}
		named := item.Key[len(prefix):]
		if keep {
			if err := putHold(tx, repo, manifest, named, holdAs(item.Value)); err != nil {
				return false, err
			}
		}
		tx.Delete(needsTable, item.Key)
		tx.Delete(neededTable, repoKey(repo, named, manifest))
		if err := g.release(tx, repo, named, manifest); err != nil {
			return false, err
		}
	}
	return false, nil
}

// listedBy returns a manifest that names a digest in a repository, other than some and than those whose
// subject it is, or "" where there is none.
func listedBy(tx storage.Reader, repo string, named []byte, except ...[]byte) (digest.Digest, error) {
	prefix := repoKey(repo, named)
	for item, err := range tx.Scan(neededTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return "", err
		}
		manifest := item.Key[len(prefix):]
		if slices.ContainsFunc(except, func(e []byte) bool { return bytes.Equal(manifest, e) }) {
			continue
		}
		_, err := tx.Get(neededTable, item.Key) // the scan shows also what this transaction has deleted
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		d, _, err := cutDigest(manifest)
		return d, err
	}
	return "", nil
}

// neededBy returns a manifest that needs a blob in a repository, other than one that is on its way out, or
// "" where there is none.
func neededBy(tx storage.Reader, repo string, blob, except []byte) (digest.Digest, error) {
	d, err := listedBy(tx, repo, blob, except)
	if err != nil || d != "" {
		return d, err
	}
	return referredBy(tx, repo, blob, except)
}

// referredBy returns a manifest whose subject is a blob. The provenance that is rendered of an image refers to
// it too, and keeps nothing.
func referredBy(tx storage.Reader, repo string, subject, except []byte) (digest.Digest, error) {
	prefix := repoKey(repo, subject)
	for item, err := range tx.Scan(referrerTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return "", err
		}
		manifest := item.Key[len(prefix):]
		pushed, err := getOrNil(tx, subjectTable, repoKey(repo, manifest))
		if err != nil {
			return "", err
		}
		if pushed != nil && !bytes.Equal(manifest, except) {
			d, _, err := cutDigest(manifest)
			return d, err
		}
	}
	return "", nil
}

// release begins the lease of a blob when a manifest goes that needed it, and was the last.
func (g *Registry) release(tx storage.Tx, repo string, blob, manifest []byte) error {
	other, err := neededBy(tx, repo, blob, manifest)
	if err != nil || other != "" {
		return err
	}
	err = g.beginLease(tx, repo, blob)
	if errors.Is(err, storage.ErrNotFound) {
		return nil // it never came, or is a manifest
	}
	return err
}
