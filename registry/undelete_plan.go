package registry

import (
	"bytes"
	"context"
	"math"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What comes back with an image is what it lists, before it, and what is attached to it, after it. At most maxBack manifests come at
// once, those that come first: the next call finds the rest, in whatever place it stopped.
//
// So what is attached to something attached comes before that: while any of it is missing, what it belongs to is in the trash. And of an
// image that is there comes what was in the trash already when the image was brought back. What was deleted since then stays
// deleted, and so does what was deleted beside an image that never was.

// maxBack bounds the manifests that are brought back together.
var maxBack = 1000 // which tests change

// maxBackSeen bounds the manifests that are looked at for that.
const maxBackSeen = 50_000

// backPlan is what is to come back, in its order.
type backPlan struct {
	g    *Registry
	ctx  context.Context
	repo string
	seen map[digest.Digest]bool
	plan []digest.Digest
	full bool // there is more
}

// planBack returns what is brought back with an image, and whether there is more than that.
func (g *Registry) planBack(ctx context.Context, repo string, d digest.Digest) (plan []digest.Digest, more bool, err error) {
	p := &backPlan{g: g, ctx: ctx, repo: repo, seen: make(map[digest.Digest]bool)}
	err = p.visit(d, false)
	return p.plan, p.full, err
}

// visit plans a manifest, which may be attached to another, with all that belongs to it.
func (p *backPlan) visit(d digest.Digest, attached bool) error {
	if p.seen[d] || p.full {
		return nil
	}
	if p.seen[d] = true; len(p.seen) > maxBackSeen {
		return errDenied("more than %d manifests belong to it: bring back some of them first, each by its digest", maxBackSeen)
	}
	n, err := p.g.nodeOf(p.ctx, p.repo, d)
	if err != nil {
		return err
	}
	if err := p.visitAll(n.children, attached); err != nil {
		return err
	}
	if attached {
		if err := p.visitAll(n.attached, true); err != nil {
			return err
		}
	}
	if n.trashed {
		p.add(d)
	}
	if attached {
		return nil
	}
	return p.visitAll(n.attached, true)
}

func (p *backPlan) visitAll(all []digest.Digest, attached bool) error {
	for _, d := range all {
		if err := p.visit(d, attached); err != nil {
			return err
		}
	}
	return nil
}

func (p *backPlan) add(d digest.Digest) {
	if p.full = p.full || len(p.plan) == maxBack; !p.full {
		p.plan = append(p.plan, d)
	}
}

// backNode is a manifest, in the trash or not, with what belongs to it: what it lists, which is in the trash or here, and what is
// attached to it and comes back with it.
type backNode struct {
	trashed            bool
	children, attached []digest.Digest
}

func (g *Registry) nodeOf(ctx context.Context, repo string, d digest.Digest) (n backNode, err error) {
	key := digestKey(d)
	var before uint64
	err = g.store.View(ctx, func(tx storage.Reader) error {
		n = backNode{}
		t, err := readTrash(tx, repo, key)
		if err != nil {
			return err
		}
		named := needsTable
		if n.trashed = t != nil; n.trashed {
			named = trashHoldTable
		}
		if before, err = comesBefore(tx, repo, key, n.trashed); err != nil {
			return err
		}
		if n.children, err = listedBack(tx, named, repo, key); err != nil {
			return err
		}
		n.attached, err = attachedBack(tx, repo, key, before)
		return err
	})
	if err != nil || before == 0 {
		return n, err
	}
	beside, err := g.taggedBack(ctx, repo, d, before)
	n.attached = append(n.attached, beside...)
	return n, err
}

// comesBefore says by which record something has to have been deleted to come back with what it is attached to: any for what is
// in the trash; for what was brought back, one before that; and 0, none, for anything else.
func comesBefore(tx storage.Reader, repo string, manifest []byte, trashed bool) (before uint64, err error) {
	if trashed {
		return math.MaxUint64, nil
	}
	row, err := getOrNil(tx, manifestTable, repoKey(repo, manifest))
	if err != nil || row == nil {
		return 0, err
	}
	f := fields{rest: row} // it begins with the record
	index := f.number()
	r, err := provenance.ReadRecord(tx, index)
	if err != nil || r.Action != provenance.Undelete {
		return 0, err
	}
	return index, nil
}

// listedBack returns the manifests that one names which are in the trash or here.
func listedBack(tx storage.Reader, table storage.Table, repo string, manifest []byte) (found []digest.Digest, err error) {
	prefix := repoKey(repo, manifest)
	for item, err := range tx.Scan(table, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		other := item.Key[len(prefix):]
		if bytes.Equal(other, manifest) || table == trashHoldTable && item.Value[0]&(holdNeeds|holdOptional) == 0 {
			continue
		}
		for _, table := range []storage.Table{trashTable, manifestTable} {
			there, err := getOrNil(tx, table, repoKey(repo, other))
			if err != nil {
				return nil, err
			}
			if there == nil {
				continue
			}
			d, _, err := cutDigest(other)
			if err != nil {
				return nil, err
			}
			found = append(found, d)
			break
		}
	}
	return found, nil
}

// attachedBack returns what is in the trash whose subject is a manifest, and was deleted before a record; one more at most than come
// back at once.
func attachedBack(tx storage.Reader, repo string, manifest []byte, before uint64) (found []digest.Digest, err error) {
	prefix := repoKey(repo, manifest)
	for item, err := range tx.Scan(trashHeldTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil || len(found) > maxBack {
			return found, err
		}
		if len(item.Value) != 1 || item.Value[0]&holdSubject == 0 {
			continue
		}
		d, _, err := cutDigest(item.Key[len(prefix):])
		if err != nil {
			return nil, err
		}
		if is, err := inTrashBefore(tx, repo, d, before); err != nil {
			return nil, err
		} else if is {
			found = append(found, d)
		}
	}
	return found, nil
}

// taggedBack returns what is in the trash that was attached to a manifest as cosign's older versions do, and deleted before a
// record.
func (g *Registry) taggedBack(ctx context.Context, repo string, d digest.Digest, before uint64) (found []digest.Digest, err error) {
	for _, tag := range append(tagsAbout(d), fallbackTag(d)) {
		moves, _, err := g.book.History(ctx, repo, tag, nil, 1)
		if err != nil {
			return nil, err
		}
		if len(moves) == 0 || moves[0].To != "" {
			continue
		}
		var is bool
		err = g.store.View(ctx, func(tx storage.Reader) (err error) {
			is, err = inTrashBefore(tx, repo, moves[0].From, before)
			return err
		})
		if err != nil {
			return nil, err
		}
		if is {
			found = append(found, moves[0].From)
		}
	}
	return found, nil
}

func inTrashBefore(tx storage.Reader, repo string, d digest.Digest, before uint64) (bool, error) {
	t, err := readTrash(tx, repo, digestKey(d))
	return t != nil && t.record < before, err
}
