package registry

import (
	"context"
	"errors"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// deleteManifest removes a tag, or a manifest with all its tags.
func (g *Registry) deleteManifest(w http.ResponseWriter, c *call) error {
	remove := g.deleteDigest
	if c.digest == "" {
		remove = g.deleteTag
	}
	record, err := remove(c.r.Context(), c)
	if err != nil {
		return err
	}
	setRecord(w.Header(), record.Index)
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (g *Registry) deleteTag(ctx context.Context, c *call) (record *provenance.Record, err error) {
	var about []digest.Digest
	err = g.update(ctx, c, func(tx storage.Tx) error {
		tag, err := readTag(tx, c.repo, c.ref)
		if err != nil {
			return err
		}
		if err := g.mayMove(tx, c.repo, c.ref); err != nil {
			return err
		}
		tx.Delete(tagTable, repoKey(c.repo, []byte(c.ref)))
		tx.Delete(taggedTable, repoKey(c.repo, digestKey(tag.digest), []byte(c.ref)))
		e := c.event(provenance.Untag)
		e.Digest = tag.digest
		e.Tags = []provenance.TagMove{{Name: c.ref, Previous: tag.digest}}
		if record, err = g.book.Append(tx, e); err != nil {
			return err
		}
		about = []digest.Digest{tag.digest, tagIsAbout(c.ref)}
		return touch(tx, c.repo, about[1], record.Index)
	})
	if err == nil {
		g.changed(about)
	}
	return record, err
}

// deleteDigest removes a manifest. A record moves at most provenance.MaxTags tags, so a manifest with
// more has records of the others' removal before that of its own.
func (g *Registry) deleteDigest(ctx context.Context, c *call) (record *provenance.Record, err error) {
	var about []digest.Digest
	err = g.update(ctx, c, func(tx storage.Tx) error {
		f, err := readManifest(tx, c.repo, c.ref, c.digest)
		if err != nil {
			return err
		}
		if f.rendered {
			return errRendered(c.digest)
		}
		moves, err := g.untagAll(tx, c.repo, c.digest)
		if err != nil {
			return err
		}
		if about, err = aboutRemoved(tx, c.repo, c.digest, moves); err != nil {
			return err
		}
		if err := g.removeManifest(tx, c.repo, c.digest); err != nil {
			return err
		}
		for len(moves) > provenance.MaxTags {
			e := c.event(provenance.Untag)
			e.Digest, e.Tags = c.digest, moves[:provenance.MaxTags]
			if _, err := g.book.Append(tx, e); err != nil {
				return err
			}
			moves = moves[provenance.MaxTags:]
		}
		e := c.event(provenance.Delete)
		e.Digest, e.Tags = c.digest, moves
		e.Observed.MediaType, e.Observed.Size = f.mediaType, f.size
		if record, err = g.book.Append(tx, e); err != nil {
			return err
		}
		return touchAll(tx, c.repo, about[1:], record.Index)
	})
	if err == nil {
		g.changed(about)
	}
	return record, err
}

// untagAll removes every tag of a manifest, unless one of them is immutable.
func (g *Registry) untagAll(tx storage.Tx, repo string, d digest.Digest) (moves []provenance.TagMove, err error) {
	prefix := repoKey(repo, digestKey(d))
	for item, err := range tx.Scan(taggedTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		tag := string(item.Key[len(prefix):])
		if err := g.mayMove(tx, repo, tag); err != nil {
			return nil, err
		}
		moves = append(moves, provenance.TagMove{Name: tag, Previous: d})
		tx.Delete(taggedTable, item.Key)
		tx.Delete(tagTable, repoKey(repo, []byte(tag)))
	}
	return moves, nil
}

// removeManifest removes a manifest with its references, and the repository when it was the last one.
func (g *Registry) removeManifest(tx storage.Tx, repo string, d digest.Digest) error {
	key := digestKey(d)
	prefix := repoKey(repo, key)
	for item, err := range tx.Scan(needsTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		blob := item.Key[len(prefix):]
		tx.Delete(needsTable, item.Key)
		tx.Delete(neededTable, repoKey(repo, blob, key))
		if err := g.release(tx, repo, blob, key); err != nil {
			return err
		}
	}
	if err := errors.Join(removeReferrer(tx, repo, key), removeRendered(tx, repo, key)); err != nil {
		return err
	}
	if err := removeLayers(tx, repo, d); err != nil {
		return err
	}
	tx.Delete(manifestTable, prefix)
	tx.Delete(evidenceTable, prefix)
	tx.Delete(keptTable, prefix)
	all := repoKey(repo)
	for item, err := range tx.Scan(manifestTable, all, storage.PrefixEnd(all)) {
		if err != nil {
			return err
		}
		if string(item.Key) != string(prefix) {
			return nil // another manifest is left
		}
	}
	tx.Delete(repositoryTable, []byte(repo))
	return nil
}
