package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// deleteManifest removes a tag, or a manifest with all its tags.
func (g *Registry) deleteManifest(w http.ResponseWriter, c *call) error {
	remove := g.deleteDigest
	switch {
	case len(c.r.Header.Values(along)) > 0:
		remove = g.deleteFamily
	case c.digest == "":
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
	err = g.update(ctx, c, func() []storage.Read { return g.untagReads(c.repo, c.ref) }, func(tx storage.Tx) error {
		tag, err := liveTag(tx, c.repo, c.ref)
		if err != nil {
			return err
		}
		if err := g.mayChange(c, tag.digest); err != nil {
			return err
		}
		if err := g.mayMove(tx, c.repo, c.ref); err != nil {
			return err
		}
		tx.Delete(tagTable, repoKey(c.repo, []byte(c.ref)))
		if err := g.countUsage(tx, c.repo, Usage{Tags: -1}); err != nil {
			return err
		}
		removeWords(tx, c.repo, c.ref)
		tx.Delete(taggedTable, repoKey(c.repo, digestKey(tag.digest), []byte(c.ref)))
		e := c.event(provenance.Untag)
		e.Digest = tag.digest
		e.Tags = []provenance.TagMove{{Name: c.ref, Previous: tag.digest, Since: &tag.record}}
		if record, err = g.book.Append(tx, e); err != nil {
			return err
		}
		about = []digest.Digest{tag.digest, tagIsAbout(c.ref)}
		return errors.Join(touch(tx, c.repo, about[1], record.Index), g.noteMoves(tx, about...))
	})
	if err == nil {
		g.changed(about)
	}
	return record, err
}

// liveTag reads a tag that has not ended with its manifest. Error: ErrUnknown.
func liveTag(tx storage.Reader, repo, name string) (tag tagRow, err error) {
	if tag, err = readTag(tx, repo, name); err != nil {
		return tag, err
	}
	going, err := isGoing(tx, repo, digestKey(tag.digest))
	if err == nil && going {
		err = errManifestUnknown(repo, name)
	}
	return tag, err
}

// A deletion is one of a manifest, on its way.
type deletion struct {
	*call
	checked checked  // of what its tags were looked at before the transaction
	along   bool     // it goes with another, of which the client speaks; family.mayGo has allowed it
	with    [][]byte // DIGESTs of what goes in the same transaction

	record *provenance.Record
	about  []digest.Digest // what less is known of by it
	rest   bool            // rows are left, and the manifest is going: going.go
}

// deleteDigest removes a manifest. Its record moves at most provenance.MaxTags tags, and its transaction no
// more rows than that; what is left goes in others, before the client is told.
func (g *Registry) deleteDigest(ctx context.Context, c *call) (*provenance.Record, error) {
	d := &deletion{call: c}
	if err := g.whileChecked(ctx, c.repo, c.digest, &d.checked, func() error { return g.beginDeletion(ctx, d) }); err != nil {
		return nil, err
	}
	g.changed(d.about)
	if d.rest {
		g.endByRequest(ctx, c)
	}
	return d.record, nil
}

// beginDeletion commits the record of a deletion, with which the manifest and all its tags have ended for
// no matter who asks. Error: errUnchecked.
//
// If we stop after it and rows are left, the next start removes them.
func (g *Registry) beginDeletion(ctx context.Context, d *deletion) error {
	return g.update(ctx, d.call, func() []storage.Read { return d.reads(g) }, func(tx storage.Tx) error { return g.deleteIn(tx, d) })
}

// deleteIn deletes a manifest in a transaction, which may delete others.
func (g *Registry) deleteIn(tx storage.Tx, d *deletion) error {
	storage.Expect(tx, func() []storage.Read { return d.furtherReads(tx) })
	f, err := g.mayDeleteNow(tx, d)
	if err != nil {
		return err
	}
	moves, more, err := g.untagSome(tx, d)
	if err != nil {
		return err
	}
	if d.about, err = aboutRemoved(tx, d.repo, d.digest, moves); err != nil {
		return err
	}
	trash, err := g.intoTrash(tx, f)
	if err != nil {
		return err
	}
	moreRefs, err := g.removeManifest(tx, d.repo, d.digest, trash != nil)
	if err != nil {
		return err
	}
	if err := g.recordDeletion(tx, d, f, moves, trash); err != nil {
		return err
	}
	if d.rest = more || moreRefs; d.rest {
		putGoing(tx, d.repo, d.digest, d.record.Index)
	}
	return errors.Join(touchAll(tx, d.repo, d.about[1:], d.record.Index), g.noteMoves(tx, d.about...))
}

// mayDeleteNow returns a manifest that may be deleted, as far as that does not depend on its tags.
func (g *Registry) mayDeleteNow(tx storage.Reader, d *deletion) (*found, error) {
	f, err := readManifest(tx, d.repo, d.ref, d.digest)
	if err != nil {
		return nil, err
	}
	if f.rendered {
		return nil, errRendered(d.digest)
	}
	if d.along {
		return f, nil
	}
	if err := g.mayChange(d.call, d.digest); err != nil {
		return nil, err
	}
	if err := d.wantTags(tx); err != nil {
		return nil, err
	}
	_, err = g.mayDelete(tx, d.repo, d.digest, d.with...)
	return f, err
}

// recordDeletion records the end of a manifest, and puts it into the trash unless it ends for good.
func (g *Registry) recordDeletion(tx storage.Tx, d *deletion, f *found, moves []provenance.TagMove, trash *trashRow) (err error) {
	e := d.event(provenance.Delete)
	e.Digest, e.Tags, e.Manifest = d.digest, moves, provenance.ManifestRemoved
	e.Observed.MediaType, e.Observed.Size, e.Observed.KeptUntil = f.mediaType, f.size, g.keptUntil(trash)
	if d.record, err = g.book.Append(tx, e); err != nil || trash == nil {
		return err
	}
	trash.record = d.record.Index
	return trash.put(tx, d.repo, d.digest, namesOf(moves))
}

func namesOf(moves []provenance.TagMove) (names []string) {
	for _, m := range moves {
		names = append(names, m.Name)
	}
	return names
}

// mayDelete refuses to delete a manifest that another one of its repository names, or whose record one names, and returns that. What
// goes with it, by their DIGESTs, does not count: of a large index, rows are left when its platforms go.
func (g *Registry) mayDelete(tx storage.Reader, repo string, d digest.Digest, with ...[]byte) (by digest.Digest, err error) {
	if err := mustBeComplete(tx, repo); err != nil {
		return "", err
	}
	key := digestKey(d)
	list, err := g.fallbackOf(tx, repo, key)
	if err != nil {
		return "", err
	}
	if by, err = listedBy(tx, repo, key, slices.Concat(with, [][]byte{key, list})...); err != nil {
		return "", err
	}
	if by != "" {
		return by, errNeeded(tx, repo, by, "manifest")
	}
	if by, err = g.recordListedBy(tx, repo, d, with...); err != nil || by == "" {
		return "", err
	}
	return by, errNeeded(tx, repo, by, "manifest's record")
}

// errNeeded refuses to delete what a manifest refers to. It names that, and one of its tags.
func errNeeded(tx storage.Reader, repo string, by digest.Digest, what string) error {
	if err := mustNotGo(tx, repo, digestKey(by)); err != nil {
		return err
	}
	tags, err := someTags(tx, repo, by, 1)
	if err != nil {
		return err
	}
	name := by.String()
	if len(tags) > 0 {
		name += " (" + bounded(tags[0]) + ")"
	}
	return errDenied("the manifest %s needs this %s: delete it first", name, what)
}

// untagSome removes the first tags of a manifest that is deleted, as many as its record may move, and says
// whether there are more. None of them all may be immutable.
func (g *Registry) untagSome(tx storage.Tx, d *deletion) (moves []provenance.TagMove, more bool, err error) {
	tags, more, err := g.freeTags(tx, d.repo, d.digest, d.checked)
	if err != nil {
		return nil, false, err
	}
	moves, err = g.removeTags(tx, d.repo, d.digest, tags)
	return moves, more, err
}

// removeTags removes tags of a manifest, and says so as its record does.
func (g *Registry) removeTags(tx storage.Tx, repo string, d digest.Digest, tags []string) (moves []provenance.TagMove, err error) {
	keys := make([][]byte, len(tags))
	for i, tag := range tags {
		keys[i] = repoKey(repo, []byte(tag))
	}
	rows, err := tx.GetMany(tagTable, keys)
	if err != nil {
		return nil, err
	}
	for i, tag := range tags {
		row, err := decodeTagRow(rows[i])
		if err != nil {
			return nil, fmt.Errorf("%s:%s: %w", repo, tag, err)
		}
		moves = append(moves, provenance.TagMove{Name: tag, Previous: d, Since: &row.record})
		tx.Delete(taggedTable, repoKey(repo, digestKey(d), []byte(tag)))
		tx.Delete(tagTable, keys[i])
		removeWords(tx, repo, tag)
	}
	return moves, g.countUsage(tx, repo, Usage{Tags: int64(-len(tags))})
}

// removeManifest removes a manifest with what follows from it, and the repository when it was the last one. The trash holds
// what it refers to, if it is kept there. It says whether references are left.
func (g *Registry) removeManifest(tx storage.Tx, repo string, d digest.Digest, keep bool) (more bool, err error) {
	key := digestKey(d)
	if more, err = g.removeReferences(tx, repo, key, goingStep, keep); err != nil {
		return more, err
	}
	if err := errors.Join(g.removeReferrer(tx, repo, key, keep), removeRendered(tx, repo, key), removeLayers(tx, repo, d)); err != nil {
		return more, err
	}
	row := repoKey(repo, key)
	if err := g.uncountManifest(tx, repo, row); err != nil {
		return more, err
	}
	for _, table := range []storage.Table{manifestTable, knownTable, keptTable} {
		tx.Delete(table, row)
	}
	tx.Delete(damagedTable, append(bytes.Clone(key), repo...))
	all := repoKey(repo)
	for item, err := range tx.Scan(manifestTable, all, storage.PrefixEnd(all)) {
		if err != nil {
			return more, err
		}
		// The scan shows also what this transaction has deleted.
		if left, err := getOrNil(tx, manifestTable, item.Key); err != nil || left != nil {
			return more, err // another manifest is left
		}
	}
	tx.Delete(repositoryTable, []byte(repo))
	removeWords(tx, repo, "")
	return more, nil
}
