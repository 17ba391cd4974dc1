package registry

import (
	"bytes"
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// renderStep is how many tags one transaction of RenderOld looks at. Pushes wait for it.
const renderStep = 200

// renderedMark says that RenderOld came to its end once. Whatever is tagged later gets its provenance then.
var renderedMark = []byte("rendered")

// RenderOld gives its provenance to each image that was tagged before there were such artifacts: once, beside
// everything else. It signs nothing: an image whose record is not signed gets none. Where the mark is taken away it
// makes what is missing again, from the records. If we stop within it, the next start begins again, and passes over what is done.
func (g *Registry) RenderOld(ctx context.Context) {
	n, err := g.renderOld(ctx)
	switch {
	case err != nil && ctx.Err() == nil:
		g.log.Error("images from before records were signed have no referrer yet; the next start tries again", "err", err)
	case n > 0:
		g.log.Info("images from before records were signed have their record as a referrer now", "images", n)
	}
}

func (g *Registry) renderOld(ctx context.Context) (images int, err error) {
	var mark []byte
	err = g.store.View(ctx, func(tx storage.Reader) (err error) {
		mark, err = getOrNil(tx, doneTable, renderedMark)
		mark = bytes.Clone(mark)
		return err
	})
	for from := []byte(nil); err == nil && mark == nil; {
		n, next := 0, []byte(nil)
		err = g.store.Update(ctx, func(tx storage.Tx) (err error) {
			next, n, err = renderSome(tx, from)
			if err == nil && next == nil {
				tx.Put(doneTable, renderedMark, []byte{1})
			}
			return err
		})
		if images, from = images+n, next; next == nil {
			break
		}
	}
	return images, err
}

// renderSome looks at some tags, renders what is missing, and returns where to go on, or nil.
func renderSome(tx storage.Tx, from []byte) (next []byte, images int, err error) {
	looked := 0
	for item, err := range tx.Scan(taggedTable, from, nil) {
		if err != nil {
			return nil, 0, err
		}
		if looked++; looked > renderStep {
			return bytes.Clone(item.Key), images, nil
		}
		isNew, err := renderTagged(tx, item.Key)
		if err != nil {
			return nil, 0, err
		}
		if isNew {
			images++
		}
	}
	return nil, images, nil
}

// renderTagged gives the image of a row of taggedTable its provenance, unless it has it, or is itself about another.
func renderTagged(tx storage.Tx, tagged []byte) (isNew bool, err error) {
	repo, key := cutRepo(tagged)
	d, _, err := cutDigest(key)
	if err != nil {
		return false, err
	}
	image := repoKey(repo, digestKey(d))
	for _, table := range []storage.Table{provenanceTable, subjectTable} {
		if there, err := getOrNil(tx, table, image); err != nil || there != nil {
			return false, err
		}
	}
	value, err := getOrNil(tx, manifestTable, image)
	if err != nil || value == nil { // it is going
		return false, err
	}
	row, err := decodeManifestRow(value)
	if err != nil {
		return false, err
	}
	f, err := formOf(tx, row.record)
	if err != nil {
		return false, err
	}
	out, err := f.renderRecord(tx, row.record)
	if errors.Is(err, provenance.ErrNotSigned) {
		return false, nil // nothing was signed that could be shown
	}
	if err != nil {
		return false, err
	}
	return true, out.put(tx, repo, digestKey(d))
}
