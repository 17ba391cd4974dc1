package registry

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// An image is brought back by a push of what the trash has of it, with everything that a push is checked for. First its
// hidden blobs are linked again, each with a lease, as by a mount; then the manifest is committed as ever. If we stop between,
// or it is refused, the lease ends, and they are hidden again. Its children are brought back before it, and what is attached
// to it after it, each with a record of its own: if we stop between them, the image can be brought back once more, and the rest comes.

// Undeleted is what was brought back.
type Undeleted struct {
	Digest  digest.Digest        // the image that was asked for
	Records []*provenance.Record // one for each manifest, in their order
	Left    []string             // tags of these that mean something else now, and were left; at most MaxTags
	// More says that more belongs to it: the same call, with the digest, brings back the next of them.
	More bool
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
	plan, more, err := g.planBack(ctx, repo, u.Digest)
	if err != nil {
		return u, err
	}
	u.More = more
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
		b, err := g.readBack(ctx, c.repo, d)
		if err != nil || b == nil {
			return err
		}
		if err := g.roomForHeld(ctx, c.repo, d, b); err != nil {
			return err
		}
		if err := g.linkHeld(ctx, c, d); err != nil {
			return err
		}
		record, lost, err := g.pushBack(ctx, c, d, b)
		if err == nil {
			u.add(record, b)
			return nil
		}
		if !lost || look == maxBackLooks {
			return err
		}
	}
}

func (u *Undeleted) add(r *provenance.Record, b *back) {
	u.Records = append(u.Records, r)
	u.leave(b.left)
}

// leave notes tags that were left, each once.
func (u *Undeleted) leave(tags []string) {
	for _, tag := range tags {
		if len(u.Left) < MaxTags && !slices.Contains(u.Left, tag) {
			u.Left = append(u.Left, tag)
		}
	}
}

// roomForHeld asks the quotas for all that comes back with a manifest, before any of it does: what is refused changes nothing.
func (g *Registry) roomForHeld(ctx context.Context, repo string, d digest.Digest, b *back) error {
	needs := Usage{Tags: int64(len(b.tags))}
	if b.blob == (blobRow{}) { // else it is among what is held
		needs.ManifestBytes = b.row.size
	}
	prefix := repoKey(repo, digestKey(d))
	for from := prefix; from != nil; {
		var next []byte
		var some Usage
		err := g.store.View(ctx, func(tx storage.Reader) (err error) {
			some = Usage{}
			next, err = storage.SomeRows(tx, trashHoldTable, from, storage.PrefixEnd(prefix), goingStep, func(item storage.Item) error {
				blob, hidden, err := hiddenBlob(tx, repo, item.Key[len(prefix):])
				if err != nil || hidden == nil {
					return err
				}
				row, err := readBlobRow(tx, blob)
				some.BlobBytes += row.size
				return err
			})
			if err == nil && next == nil {
				err = g.askQuotas(tx, repo, needs.Plus(some))
			}
			return err
		})
		if err != nil {
			return err
		}
		needs, from = needs.Plus(some), next
	}
	return nil
}

// hiddenBlob returns a blob that is hidden in a repository, and its hidden link, or nil.
func hiddenBlob(tx storage.Reader, repo string, named []byte) (d digest.Digest, row *linkRow, err error) {
	value, err := getOrNil(tx, hiddenTable, repoKey(repo, named))
	if err != nil || value == nil {
		return "", nil, err
	}
	link, err := decodeLinkRow(value)
	if err != nil {
		return "", nil, err
	}
	d, _, err = cutDigest(named)
	return d, &link, err
}

// linkHeld links what is hidden of what a manifest in the trash holds, some at a time.
func (g *Registry) linkHeld(ctx context.Context, c *call, d digest.Digest) error {
	prefix := repoKey(c.repo, digestKey(d))
	for from := prefix; from != nil; {
		var next []byte
		var late []digest.Digest // named by another manifest before they were here
		err := g.update(ctx, c, noReads, func(tx storage.Tx) (err error) {
			late = nil
			next, err = storage.SomeRows(tx, trashHoldTable, from, storage.PrefixEnd(prefix), goingStep, func(item storage.Item) error {
				blob, row, err := hiddenBlob(tx, c.repo, item.Key[len(prefix):])
				if err != nil || row == nil {
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
		g.changed(late) // also where nobody knows if it was stored
		if err != nil {
			return err
		}
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
		tag := string(item.Key[len(prefix):])
		means, err := meansNow(tx, repo, tag)
		if err != nil {
			return err
		}
		if means {
			b.left = append(b.left, tag)
		} else {
			b.tags = append(b.tags, tag)
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
func meansNow(tx storage.Reader, repo, tag string) (bool, error) {
	move, _, err := moveOf(tx, repo, tag, "")
	return move.Previous != "", err
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
	if record, err = g.push(ctx, p); err != nil {
		return nil, p.absent != "", err
	}
	b.left = append(b.left, p.left...)
	if len(p.later) > 0 {
		b.left = append(b.left, g.tagsFollow(context.WithoutCancel(ctx), p)...)
	}
	return record, false, nil
}

// tagBack sets a tag again that was removed without its image, which is here.
func (g *Registry) tagBack(ctx context.Context, c *call, tag string, u *Undeleted) error {
	var b *back
	var left []string
	err := g.store.View(ctx, func(tx storage.Reader) error {
		b = nil
		left = nil
		move, _, err := moveOf(tx, c.repo, tag, u.Digest)
		if err == nil && move.Previous != "" && move.Previous != u.Digest {
			left = []string{tag}
		}
		if err != nil || move.Previous != "" {
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
	u.leave(left)
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
		u.add(record, b)
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

// putBack gives an image that is brought back the provenance that it had: the same bytes, of the record with which it arrived. If
// somebody pushed it meanwhile, it keeps that of the push.
func (p *push) putBack(tx storage.Tx) error {
	if p.back == nil || len(p.back.rendered) == 0 {
		return nil
	}
	there, err := getOrNil(tx, provenanceTable, repoKey(p.repo, digestKey(p.digest)))
	if err != nil || there != nil {
		return err
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
