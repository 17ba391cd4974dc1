package registry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// An image is brought back by a push of what the trash has of it, with everything that a push is checked for. First its
// hidden blobs are linked again, each with a lease, as by a mount; then the manifest is committed as ever. If we stop between,
// or it is refused, the lease ends, and they are hidden again. Its children are brought back before it, and what is attached
// to it after it, each with a record of its own: if we stop between them, the image can be brought back once more, and the rest comes.

// maxBack bounds the manifests that are brought back together.
const maxBack = 1000

// Undeleted is what was brought back.
type Undeleted struct {
	Digest  digest.Digest        // the image that was asked for
	Records []*provenance.Record // one for each manifest, in their order
	Left    []string             // tags of these that mean something else now, and were left; at most MaxTags
}

// Undelete brings an image back from the trash, with what it lists and what is attached to it. It is named by its digest, or
// by a tag: then it is what the tag meant last. Errors: ErrUnknown, and those of a push.
func (g *Registry) Undelete(ctx context.Context, who provenance.Identity, r *http.Request, repo, ref string) (u Undeleted, err error) {
	defer func() { g.noteFull(err) }()
	c := &call{request: request{repo: repo, ref: ref, right: access.Push}, who: who, r: r}
	if !validName(repo) {
		return u, errName(repo)
	}
	if err := g.authorize(c); err != nil {
		return u, err
	}
	if err := g.room(); err != nil {
		return u, err
	}
	var tag string
	if u.Digest, tag, err = g.lastMeant(ctx, repo, ref); err != nil {
		return u, err
	}
	plan, err := g.planBack(ctx, repo, u.Digest)
	if err != nil {
		return u, err
	}
	for _, d := range plan {
		if err := g.bringBack(ctx, c, d, &u); err != nil {
			return u, err
		}
	}
	if tag != "" {
		err = g.tagBack(ctx, c, tag, &u)
	}
	if err == nil && len(u.Records) == 0 {
		err = errNotInTrash(ref)
	}
	return u, err
}

func errNotInTrash(ref string) error {
	return newFailure(http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no %.140s in the trash of this repository: nobody deleted it, or its time there is over", ref)
}

// lastMeant is the digest that a reference names: that of a tag is what it meant before it was removed.
func (g *Registry) lastMeant(ctx context.Context, repo, ref string) (d digest.Digest, tag string, err error) {
	if d, ok := parseDigest(ref); ok {
		return d, "", nil
	}
	if !validTag(ref) {
		return "", "", errTag(ref)
	}
	moves, _, err := g.book.History(ctx, repo, ref, nil, 1)
	switch {
	case err != nil:
		return "", "", err
	case len(moves) == 0:
		return "", "", errNotInTrash(ref)
	case moves[0].To != "":
		return "", "", newFailure(http.StatusConflict, "DENIED", "the tag %s means %s now: name what is to be brought back by its digest", bounded(ref), moves[0].To)
	}
	return moves[0].From, ref, nil
}

// planBack returns what is brought back with an image, in an order in which nothing comes before what it lists, or is
// attached to.
func (g *Registry) planBack(ctx context.Context, repo string, d digest.Digest) (plan []digest.Digest, err error) {
	seen := make(map[digest.Digest]bool)
	var visit func(d digest.Digest) error
	visit = func(d digest.Digest) error {
		if seen[d] {
			return nil
		}
		if seen[d] = true; len(seen) > 2*maxBack || len(plan) > maxBack {
			return errDenied("more than %d manifests belong to it: bring them back one by one, beginning with what it lists", maxBack)
		}
		n, err := g.nodeOf(ctx, repo, d)
		if err != nil {
			return err
		}
		for _, child := range n.children {
			if err := visit(child); err != nil {
				return err
			}
		}
		if n.trashed {
			plan = append(plan, d)
		}
		for _, other := range n.attached {
			if err := visit(other); err != nil {
				return err
			}
		}
		return nil
	}
	return plan, visit(d)
}

// trashNode is a manifest, in the trash or not, with what is in the trash of what belongs to it.
type trashNode struct {
	trashed            bool
	children, attached []digest.Digest
}

func (g *Registry) nodeOf(ctx context.Context, repo string, d digest.Digest) (n trashNode, err error) {
	key := digestKey(d)
	err = g.store.View(ctx, func(tx storage.Reader) error {
		n = trashNode{}
		t, err := readTrash(tx, repo, key)
		if err != nil {
			return err
		}
		named := needsTable
		if n.trashed = t != nil; n.trashed {
			named = trashHoldTable
		}
		if n.children, err = trashedAmong(tx, named, repo, key, func([]byte) bool { return true }); err != nil {
			return err
		}
		n.attached, err = trashedAmong(tx, trashHeldTable, repo, key, func(as []byte) bool { return len(as) == 1 && as[0]&holdSubject != 0 })
		return err
	})
	if err != nil {
		return n, err
	}
	for _, suffix := range aboutSuffixes { // as cosign's older versions attach signatures
		moves, _, err := g.book.History(ctx, repo, d.Algorithm().String()+"-"+d.Encoded()+suffix, nil, 1)
		if err != nil {
			return n, err
		}
		if len(moves) > 0 && moves[0].To == "" {
			n.attached = append(n.attached, moves[0].From)
		}
	}
	return n, nil
}

// aboutSuffixes end the tags of aboutTag.
var aboutSuffixes = []string{".sig", ".att", ".sbom"}

// trashedAmong returns the manifests in the trash whose digests end the keys of some rows.
func trashedAmong(tx storage.Reader, table storage.Table, repo string, key []byte, want func(value []byte) bool) (found []digest.Digest, err error) {
	prefix := repoKey(repo, key)
	for item, err := range tx.Scan(table, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return nil, err
		}
		other := item.Key[len(prefix):]
		if bytes.Equal(other, key) || !want(item.Value) {
			continue
		}
		there, err := getOrNil(tx, trashTable, repoKey(repo, other))
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
		if found = append(found, d); len(found) > maxBack {
			return found, nil // which is refused
		}
	}
	return found, nil
}

// back is a manifest that is brought back, as it was read from the trash.
type back struct {
	record   uint64 // of its deletion
	row      manifestRow
	blob     blobRow // that holds it, if it is large
	tags     []string
	left     []string // tags that mean something else now
	rendered []byte   // its provenanceRow
}

// maxBackLooks is how often a manifest is looked at anew whose blobs the collector hid meanwhile.
const maxBackLooks = 5

// bringBack brings one manifest back. One that is not in the trash any more, as somebody pushed it meanwhile, is left.
func (g *Registry) bringBack(ctx context.Context, c *call, d digest.Digest, u *Undeleted) (err error) {
	for look := 0; ; look++ {
		if err := g.linkHeld(ctx, c, d); err != nil {
			return err
		}
		b, err := g.readBack(ctx, c.repo, d)
		if err != nil || b == nil {
			return err
		}
		record, lost, err := g.pushBack(ctx, c, d, b)
		if err == nil {
			u.Records = append(u.Records, record)
			u.Left = append(u.Left, b.left[:min(len(b.left), MaxTags-min(len(u.Left), MaxTags))]...)
			return nil
		}
		if !lost || look == maxBackLooks {
			return err
		}
	}
}

// linkHeld links what is hidden of what a manifest in the trash holds, some at a time.
func (g *Registry) linkHeld(ctx context.Context, c *call, d digest.Digest) error {
	prefix := repoKey(c.repo, digestKey(d))
	for from := prefix; from != nil; {
		var next []byte
		var late []digest.Digest // named by another manifest before they were here
		err := g.update(ctx, c, func(tx storage.Tx) (err error) {
			late = nil
			next, err = storage.SomeRows(tx, trashHoldTable, from, storage.PrefixEnd(prefix), goingStep, func(item storage.Item) error {
				named := item.Key[len(prefix):]
				hidden, err := getOrNil(tx, hiddenTable, repoKey(c.repo, named))
				if err != nil || hidden == nil {
					return err
				}
				row, err := decodeLinkRow(hidden)
				if err != nil {
					return err
				}
				blob, _, err := cutDigest(named)
				if err != nil {
					return err
				}
				awaited, err := g.putLink(tx, c.repo, blob, row.from)
				if awaited {
					late = append(late, blob)
				}
				return err
			})
			return err
		})
		if err != nil {
			return err
		}
		g.changed(late)
		from = next
	}
	return nil
}

// readBack reads a manifest in the trash, or nil.
func (g *Registry) readBack(ctx context.Context, repo string, d digest.Digest) (b *back, err error) {
	key := digestKey(d)
	err = g.store.View(ctx, func(tx storage.Reader) error {
		b = nil
		t, err := readTrash(tx, repo, key)
		if err != nil || t == nil {
			return err
		}
		if err := mustNotGo(tx, repo, key); err != nil {
			return err
		}
		b = &back{record: t.record, rendered: bytes.Clone(t.provenance)}
		if b.row, err = decodeManifestRow(bytes.Clone(t.manifest)); err != nil {
			return err
		}
		if len(b.row.content) == 0 {
			if b.blob, err = readBlobRow(tx, d); err != nil {
				return err
			}
		}
		return b.readTags(tx, repo, key)
	})
	if err != nil || b == nil || len(b.row.content) > 0 {
		return b, err
	}
	b.row.content, err = g.readSmall(ctx, d, b.blob, b.row.size)
	return b, err
}

// readTags reads which tags ended with the manifest, and mean nothing now.
func (b *back) readTags(tx storage.Reader, repo string, manifest []byte) error {
	prefix := repoKey(repo, manifest)
	for item, err := range tx.Scan(trashTagTable, prefix, storage.PrefixEnd(prefix)) {
		if err != nil {
			return err
		}
		if isOlder(item.Value, b.record) {
			continue
		}
		tag := item.Key[len(prefix):]
		means, err := meansNow(tx, repo, tag)
		if err != nil {
			return err
		}
		if means {
			b.left = append(b.left, string(tag))
		} else {
			b.tags = append(b.tags, string(tag))
		}
	}
	return nil
}

// isOlder says of a row of trashTagTable that it is from before a deletion.
func isOlder(row []byte, deletion uint64) bool {
	f := fields{rest: row}
	return f.number() < deletion
}

// meansNow says whether a tag means something: not where its manifest is going.
func meansNow(tx storage.Reader, repo string, tag []byte) (bool, error) {
	value, err := getOrNil(tx, tagTable, repoKey(repo, tag))
	if err != nil || value == nil {
		return false, err
	}
	row, err := decodeTagRow(value)
	if err != nil {
		return false, err
	}
	going, err := isGoing(tx, repo, digestKey(row.digest))
	return !going, err
}

// pushBack pushes a manifest from the trash. It says if that failed for want of a blob, which may be hidden again.
func (g *Registry) pushBack(ctx context.Context, c *call, d digest.Digest, b *back) (record *provenance.Record, lost bool, err error) {
	if compare(d, b.row.content) != nil {
		return nil, false, errManifestLost(d)
	}
	p := &push{call: c, digest: d, body: b.row.content, tags: b.tags, back: b}
	if len(p.tags) > provenance.MaxTags {
		p.tags, p.later = p.tags[:provenance.MaxTags], p.tags[provenance.MaxTags:]
	}
	if p.manifest, err = parseStored(b.row.mediaType, p.body); err != nil {
		return nil, false, errManifestLost(d)
	}
	manifest := RepoDigest{c.repo, d}
	g.ending.set(manifest, true)
	defer g.ending.set(manifest, false)
	record, err = g.push(ctx, p)
	if f := new(failure); errors.As(err, &f) && f.code == "MANIFEST_BLOB_UNKNOWN" {
		return nil, true, err
	}
	if err == nil && len(p.later) > 0 {
		e := c.event(provenance.Undelete)
		if err := g.endLeavingOf(context.WithoutCancel(ctx), manifest, e); err != nil {
			g.log.Error("setting the last tags of an image that was brought back failed; it is tried again", "repository", c.repo, "digest", d, "err", err)
		}
	}
	return record, false, err
}

// tagBack sets a tag again that was removed without its image, which is here.
func (g *Registry) tagBack(ctx context.Context, c *call, tag string, u *Undeleted) error {
	var b *back
	err := g.store.View(ctx, func(tx storage.Reader) error {
		b = nil
		means, err := meansNow(tx, c.repo, []byte(tag))
		if err != nil || means {
			return err
		}
		f, err := readManifest(tx, c.repo, u.Digest.String(), u.Digest)
		if errors.Is(err, ErrUnknown) || err == nil && f.rendered {
			return errNotInTrash(tag)
		}
		if err == nil {
			b = &back{row: f.manifestRow, blob: f.blob, tags: []string{tag}}
		}
		return err
	})
	if err != nil || b == nil {
		return err
	}
	if len(b.row.content) == 0 {
		if b.row.content, err = g.readSmall(ctx, u.Digest, b.blob, b.row.size); err != nil {
			return err
		}
	}
	record, _, err := g.pushBack(ctx, c, u.Digest, b)
	if err == nil {
		u.Records = append(u.Records, record)
	}
	return err
}

// comesBack wants a manifest that is brought back to be in the trash still, since the same deletion, or to be there.
func (p *push) comesBack(tx storage.Reader, before []byte) error {
	t, err := readTrash(tx, p.repo, digestKey(p.digest))
	if err != nil || t != nil && t.record == p.back.record || t == nil && before != nil {
		return err
	}
	return errNotInTrash(p.digest.String())
}

// putBack gives an image that is brought back the provenance that it had: the same bytes, of the record with which it arrived.
func (p *push) putBack(tx storage.Tx) error {
	if p.back == nil || len(p.back.rendered) == 0 {
		return nil
	}
	row, err := decodeProvenanceRow(p.back.rendered)
	if err != nil {
		return err
	}
	out, err := renderRow(tx, row)
	if err != nil {
		return err
	}
	return out.put(tx, p.repo, digestKey(p.digest))
}

// tagsLater notes that a manifest that is brought back has tags that its record has no room for. They follow with records of
// their own; if we stop before that, the collector sets them.
func (p *push) tagsLater(tx storage.Tx) {
	if len(p.later) == 0 {
		return
	}
	key := digestKey(p.digest)
	tx.Put(leavingTable, repoKey(p.repo, key), binary.AppendUvarint(nil, p.back.record))
	for _, tag := range p.tags {
		tx.Delete(trashTagTable, repoKey(p.repo, key, []byte(tag)))
	}
}

// setLater sets some of the tags of a manifest that was brought back, and says whether there may be more. Those that came to
// mean something meanwhile are left; so are all if the manifest is not there any more.
func (g *Registry) setLater(tx storage.Tx, p RepoDigest, e provenance.Event, deletion uint64) (more bool, about []digest.Digest, err error) {
	key := digestKey(p.Digest)
	there, err := getOrNil(tx, manifestTable, repoKey(p.Repository, key))
	if err != nil || there == nil {
		return false, nil, err
	}
	prefix := repoKey(p.Repository, key)
	next, err := storage.SomeRows(tx, trashTagTable, prefix, storage.PrefixEnd(prefix), provenance.MaxTags, func(item storage.Item) error {
		tag := bytes.Clone(item.Key[len(prefix):])
		tx.Delete(trashTagTable, item.Key)
		means, err := meansNow(tx, p.Repository, tag)
		if err == nil && !means && !isOlder(item.Value, deletion) {
			e.Tags = append(e.Tags, provenance.TagMove{Name: string(tag), Now: p.Digest})
		}
		return err
	})
	if err != nil || len(e.Tags) == 0 {
		return next != nil, nil, err
	}
	about, err = g.setTags(tx, p, e)
	return next != nil, about, err
}

// setTags sets tags that mean nothing to a manifest that is there, with their record.
func (g *Registry) setTags(tx storage.Tx, p RepoDigest, e provenance.Event) (about []digest.Digest, err error) {
	key := repoKey(p.Repository, digestKey(p.Digest))
	value, err := tx.Get(manifestTable, key)
	if err != nil {
		return nil, err
	}
	m, err := decodeManifestRow(value)
	if err != nil {
		return nil, err
	}
	if about, err = aboutRemoved(tx, p.Repository, p.Digest, nil); err != nil {
		return nil, err
	}
	if len(about) > 1 {
		e.Observed.Subject = about[1]
	}
	e.Digest, e.Manifest, e.Observed.MediaType, e.Observed.Size = p.Digest, provenance.ManifestAgain, m.mediaType, m.size
	record, err := g.book.Append(tx, e)
	if err != nil {
		return nil, err
	}
	for _, t := range e.Tags {
		tx.Put(tagTable, repoKey(p.Repository, []byte(t.Name)), tagRow{record: record.Index, digest: p.Digest}.encode())
		tx.Put(taggedTable, repoKey(p.Repository, digestKey(p.Digest), []byte(t.Name)), nil)
		about = append(about, tagIsAbout(t.Name))
	}
	used := Usage{Tags: int64(len(e.Tags))}
	return about, errors.Join(g.countUsage(tx, p.Repository, used), touchAll(tx, p.Repository, about, record.Index))
}
