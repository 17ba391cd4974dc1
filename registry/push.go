package registry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// push is a manifest on its way in.
type push struct {
	*call
	digest   digest.Digest
	body     []byte
	tags     []string
	manifest *manifest
	claims   []provenance.Claim
	unread   []provenance.UnreadDocument
	needs    []digest.Digest // blobs that were there when inspect looked, and have to be when it is committed
	relied   []relied        // those of them whose files must be there
	config   blobRow         // of its config, if it has one; set by inspect
	content  []byte          // of its config, where inspect found it in the store
	absent   digest.Digest   // a blob that is not in the repository, or lost; set by inspect or recheck when it refuses
	sizes    sizes           // of what it names and is here
	diffs    []byte          // the chain of the diff ids in its config

	attestations []attestation        // to be read for claims
	findings     []provenance.Finding // of the signatures in it
	warnings     []string             // of the policy engine
	full         []string             // of quotas whose soft limit is exceeded; set in the transaction
	about        []digest.Digest      // of which more or less is known by it; set in the transaction
	checked      checked              // of what its tags were looked at, where its type changes and they are many
	ended        []provenance.TagMove // its tags that meant a manifest which is going; set in the transaction

	origin   *provenance.Origin     // of an import, or nil
	withheld bool                   // it is held until it is let through: withheld.go
	said     []provenance.Claim     // what its origin says of it
	coming   []*LooseBlob           // its blobs that are linked with it
	link     func(storage.Tx) error // links them; nil where there are none
	back     *back                  // what it was in the trash, from where it is brought back; or nil
	later    []string               // its tags there that its record has no room for
	left     []string               // its tags there that mean something else by now; set in the transaction
}

// push checks a manifest against its repository, reads what the image claims, and commits it. A refusal
// is decided before the transaction, and once more in it.
func (g *Registry) push(ctx context.Context, p *push) (record *provenance.Record, err error) {
	err = g.inspect(ctx, p)
	for err != nil && p.absent != "" {
		if kept, keepErr := g.keepRendered(ctx, p.call, p.repo, p.absent); keepErr != nil || kept == 0 {
			return nil, errors.Join(keepErr, err)
		}
		err = g.inspect(ctx, p)
	}
	if err != nil {
		return nil, err
	}
	if err := g.askPolicy(ctx, p); err != nil {
		return nil, err
	}
	if err := g.appraise(ctx, p); err != nil {
		return nil, err
	}
	if len(p.body) > maxInline {
		if err := g.storeLarge(ctx, p); err != nil {
			return nil, err
		}
	}
	err = g.whileChecked(ctx, p.repo, p.digest, &p.checked, func() error {
		return g.update(ctx, p.call, func() []storage.Read { return p.reads(g) }, func(tx storage.Tx) error {
			if err := g.mayPut(tx, p); err != nil {
				return err
			}
			if p.link != nil {
				if err := p.link(tx); err != nil {
					return err
				}
			}
			if err := p.recheck(tx); err != nil {
				return err
			}
			record, err = g.commitPush(tx, p)
			return err
		})
	})
	if err == nil {
		g.changed(p.about)
	}
	return record, err
}

// storeLarge keeps a manifest that is too large for the store as a blob that it needs itself.
func (g *Registry) storeLarge(ctx context.Context, p *push) error {
	up, err := g.blobs.Create(ctx)
	if err != nil {
		return err
	}
	if _, err := up.Write(p.body); err != nil {
		return errors.Join(err, up.Cancel())
	}
	if err := g.storeBlob(ctx, p.call, p.digest, up); err != nil {
		return err
	}
	p.needs = append(p.needs, p.digest)
	return nil
}

// inspect wants every blob of the manifest in its repository, and gathers what the image claims.
func (g *Registry) inspect(ctx context.Context, p *push) error {
	err := g.firstView(p.call)(ctx, p.inspectReads, func(tx storage.Reader) error {
		if p.coming != nil {
			tx = coming{tx, p.repo, p.coming}
		}
		p.needs, p.relied, p.claims, p.unread, p.attestations, p.content, p.absent, p.sizes = nil, nil, nil, nil, nil, nil, "", sizes{}
		if err := p.needBlobs(tx); err != nil {
			return err
		}
		if err := p.findAttestations(tx, p.manifest, p.attachedTo()); err != nil {
			return err
		}
		return errors.Join(p.needListedBlobs(tx), p.lookAtSubject(tx))
	})
	if err == nil {
		p.absent, err = g.rely(ctx, p.relied)
	}
	if err != nil {
		return err
	}
	content, err := g.readConfig(ctx, p)
	if err != nil {
		return err
	}
	image := provenance.ReadConfig(content)
	p.diffs = p.manifest.diffChain(image)
	p.claims = append(provenance.ClaimsOf(p.digest, p.manifest.annotations, image), p.claims...)
	return g.readAttestations(ctx, p)
}

// readConfig returns the config of the manifest, if it has one. One that is larger than is read claims nothing; any other is read
// whole, from where inspect has not.
func (g *Registry) readConfig(ctx context.Context, p *push) ([]byte, error) {
	if p.manifest.config == nil {
		return nil, nil
	}
	d := p.manifest.config.Digest
	if p.content != nil && p.config.size <= provenance.MaxConfig && compare(d, p.content) == nil {
		return p.content, nil
	}
	content, err := g.readSmall(ctx, d, p.config, provenance.MaxConfig)
	if err != nil {
		err = asNeeded(d, err)
	}
	return content, err
}

// needBlobs wants the config and the layers to be in the repository, in whatever sizes the manifest says. A foreign
// layer need not be here; one that is must stay. A blob of another repository is one that is not here: its row is not read.
func (p *push) needBlobs(tx storage.Reader) error {
	blobs := p.manifest.blobs()
	links, err := tx.GetMany(linkTable, p.linkKeys(digestsOf(blobs)))
	if err != nil {
		return err
	}
	for i, b := range blobs {
		if links[i] == nil && p.manifest.mayLack(b) {
			continue
		}
		if links[i] == nil {
			p.absent = b.Digest
			return errManifestBlobUnknown(b.Digest)
		}
		row, err := readBlobRow(tx, b.Digest)
		if err != nil {
			return fmt.Errorf("blob %s: %w", b.Digest, err)
		}
		p.sizes.content(b, row.size)
		p.needs = append(p.needs, b.Digest)
		var content []byte
		if !p.manifest.mayLack(b) { // where one is lost, its URLs are left, and anyone who pushes need not have it
			if content, err = p.relyOn(tx, b.Digest, row); err != nil {
				return err
			}
		}
		if i == 0 && p.manifest.config != nil {
			p.config, p.content = row, bytes.Clone(content)
		}
	}
	return nil
}

// needListedBlobs looks at what an index lists. Manifests may be absent, and their records tell what they
// claim. What is a blob here, as in BuildKit's cache, must stay while the index does.
func (p *push) needListedBlobs(tx storage.Reader) error {
	children := digestsOf(p.manifest.children)
	links, err := tx.GetMany(linkTable, p.linkKeys(children))
	if err != nil {
		return err
	}
	rows, err := tx.GetMany(manifestTable, p.linkKeys(children))
	if err != nil {
		return err
	}
	storage.Expect(tx, func() []storage.Read { return recordReads(rows) })
	for i, d := range children {
		if links[i] != nil {
			row, err := readBlobRow(tx, d)
			if err != nil {
				return fmt.Errorf("blob %s: %w", d, err)
			}
			p.needs = append(p.needs, d)
			if _, err := p.relyOn(tx, d, row); err != nil {
				return err
			}
		}
		if rows[i] == nil {
			continue
		}
		if err := p.lookAtChild(tx, p.manifest.children[i], rows[i]); err != nil {
			return err
		}
	}
	return nil
}

func (p *push) lookAtChild(tx storage.Reader, child ocispec.Descriptor, value []byte) error {
	row, err := decodeManifestRow(value)
	if err != nil {
		return err
	}
	p.sizes.named(child, row.size)
	if len(p.claims) >= provenance.MaxClaims {
		return nil
	}
	return p.claimsOfChild(tx, child, row)
}

// claimsOfChild repeats in an index's record what the record of its child says that children of this index
// are: a question about a source is to find the index, which is what has a tag. Of what BuildKit built, the
// child that says so is not the image, but an attestation beside it.
func (p *push) claimsOfChild(tx storage.Reader, child ocispec.Descriptor, row manifestRow) error {
	record, err := provenance.ReadStated(tx, row.record)
	if err != nil {
		return err
	}
	known := len(p.claims) + len(p.unread)
	for _, u := range record.Unread {
		if p.lists(u.About) {
			p.leaveUnread(u.Document, u.About, u.Why)
		}
	}
	for _, c := range record.Claimed {
		if p.lists(c.About) && c.IsOrigin() && !slices.Contains(p.claims, c) {
			p.claims = append(p.claims, c)
		}
	}
	if len(p.claims)+len(p.unread) > known || len(p.unread) == maxUnread {
		return nil
	}
	return p.attestationChild(tx, child, row)
}

// lists says whether the index that is pushed lists a manifest.
func (p *push) lists(d digest.Digest) bool {
	return slices.ContainsFunc(p.manifest.children, func(c ocispec.Descriptor) bool { return c.Digest == d })
}

func (p *push) linkKeys(digests []digest.Digest) [][]byte {
	keys := make([][]byte, len(digests))
	for i, d := range digests {
		keys[i] = repoKey(p.repo, digestKey(d))
	}
	return keys
}

func digestsOf(descriptors []ocispec.Descriptor) []digest.Digest {
	digests := make([]digest.Digest, len(descriptors))
	for i, d := range descriptors {
		digests[i] = d.Digest
	}
	return digests
}

// recheck wants that nothing needed was taken away since inspect saw it.
func (p *push) recheck(tx storage.Reader) error {
	links, err := tx.GetMany(linkTable, p.linkKeys(p.needs))
	if err != nil {
		return err
	}
	for i, link := range links {
		if link == nil {
			p.absent = p.needs[i]
			return errManifestBlobUnknown(p.absent)
		}
	}
	return nil
}

func (p *push) action() provenance.Action {
	switch {
	case p.back != nil:
		return provenance.Undelete
	case p.origin != nil:
		return provenance.Import
	}
	return provenance.Push
}

// pushEvent is what the record of a push says, but for its tags.
func (p *push) pushEvent() provenance.Event {
	e := p.event(p.action())
	e.Digest, e.Claimed, e.Unread = p.digest, slices.Concat(p.said, p.claims), p.unread
	e.Observed.Origin = p.origin
	e.Observed.MediaType, e.Observed.ArtifactType = p.manifest.mediaType, p.manifest.artifactType
	e.Observed.Size, e.Observed.ImageSize, e.Observed.WrongSizes = int64(len(p.body)), p.sizes.total, p.sizes.wrong
	e.Observed.Children = childrenOf(p.manifest.children)
	if p.manifest.subject != nil {
		e.Observed.Subject = p.manifest.subject.Digest
	}
	return e
}

// commitPush writes everything that a push changes.
func (g *Registry) commitPush(tx storage.Tx, p *push) (*provenance.Record, error) {
	e := p.pushEvent()
	var err error
	if e.Tags, err = g.tagMoves(tx, p); err != nil {
		return nil, err
	}
	before, err := p.present(tx)
	if err != nil {
		return nil, err
	}
	again := before != nil
	if p.back != nil {
		if err := p.comesBack(tx, before); err != nil {
			return nil, err
		}
	}
	if again {
		if err := g.mayRetype(tx, p, before); err != nil {
			return nil, err
		}
	}
	if e.Manifest = provenance.ManifestAdded; again {
		e.Manifest = provenance.ManifestAgain
	}
	record, proved, err := g.book.AppendProved(tx, e)
	if err != nil {
		return nil, err
	}
	adds, err := p.putManifestRows(tx, before, record.Index)
	if err != nil {
		return nil, err
	}
	if p.withheld && !again {
		g.putWithheld(tx, p, record.Index)
	}
	if err := errors.Join(p.leaveTrash(tx), p.putBack(tx)); err != nil {
		return nil, err
	}
	if p.about, err = p.touchAbout(tx, again, e.Tags, record.Index); err != nil {
		return nil, err
	}
	if err := g.noteMoves(tx, p.about...); err != nil {
		return nil, err
	}
	if err := g.countUsage(tx, p.repo, adds.Plus(p.putTagRows(tx, e.Tags, record.Index))); err != nil {
		return nil, err
	}
	if err := g.askQuotas(tx, p.repo, Usage{Tags: int64(len(p.later))}); err != nil { // they follow in other transactions
		return nil, err
	}
	if p.full, err = g.softWarnings(tx, p.repo); err != nil {
		return nil, err
	}
	_, err = g.recordFindings(tx, p.call, p.attachedTo(), p.findings, nil)
	return record, errors.Join(p.putRendered(tx, record, proved), err)
}

// tagMoves says what the push's tags meant before, and refuses to move those that are immutable. Of what is brought back, those that
// mean something now are left.
func (g *Registry) tagMoves(tx storage.Reader, p *push) (moves []provenance.TagMove, err error) {
	p.ended, p.left = nil, nil
	for _, name := range p.tags {
		move, ended, err := moveOf(tx, p.repo, name, p.digest)
		if err != nil {
			return nil, err
		}
		p.ended = append(p.ended, ended...)
		isOther := move.Previous != "" && move.Previous != p.digest
		if p.back != nil && move.Previous != "" {
			if isOther {
				p.left = append(p.left, name)
			}
			continue
		}
		if isOther {
			if err := g.mayMove(tx, p.repo, name); err != nil {
				return nil, err
			}
		}
		moves = append(moves, move)
	}
	return moves, nil
}

// moveOf says what a tag meant before it is set. The tag of a manifest that is going has ended: it means nothing any more, and
// its row, which is there still, is the one of ended.
func moveOf(tx storage.Reader, repo, tag string, to digest.Digest) (m provenance.TagMove, ended []provenance.TagMove, err error) {
	m = provenance.TagMove{Name: tag, Now: to}
	value, err := getOrNil(tx, tagTable, repoKey(repo, []byte(tag)))
	if err != nil || value == nil {
		return m, nil, err
	}
	row, err := decodeTagRow(value)
	if err != nil {
		return m, nil, err
	}
	before := m
	before.Previous, before.Since = row.digest, &row.record
	going, err := isGoing(tx, repo, digestKey(row.digest))
	if err == nil && going {
		return m, []provenance.TagMove{before}, nil
	}
	return before, nil, err
}

// present returns the row of the manifest in its repository, or nil where it is not there and may come.
func (p *push) present(tx storage.Reader) ([]byte, error) {
	key := digestKey(p.digest)
	row, err := getOrNil(tx, manifestTable, repoKey(p.repo, key))
	if err != nil || row != nil {
		return row, err
	}
	return nil, mustNotGo(tx, p.repo, key)
}

// putManifestRows adds the manifest, and everything that follows from it. Where it was there, as the row before says,
// the record that put it there stays its own, and the rest is as this push has it: rows that it lacks are
// added, and it is served as the type that it came as last. It returns what the repository uses more.
func (p *push) putManifestRows(tx storage.Tx, before []byte, record uint64) (adds Usage, err error) {
	key := digestKey(p.digest)
	m := manifestRow{record: record, mediaType: p.manifest.mediaType, size: int64(len(p.body))}
	if len(p.body) <= maxInline {
		m.content = p.body
	}
	var was Usage
	if before != nil {
		row, err := decodeManifestRow(before)
		if err != nil {
			return Usage{}, err
		}
		m.record, was = row.record, row.usage()
	}
	if row := m.encode(); !bytes.Equal(row, before) {
		tx.Put(manifestTable, repoKey(p.repo, key), row)
		tx.Delete(damagedTable, append(bytes.Clone(key), p.repo...)) // it has its bytes back
	}
	return m.usage().minus(was), errors.Join(
		putMissing(tx, repositoryTable, []byte(p.repo), nil),
		putReferences(tx, p.repo, key, p.references()),
		p.putLayers(tx),
		p.putReferrer(tx),
	)
}

// putTagRows has the push's tags mean its manifest, and returns what the repository uses more.
func (p *push) putTagRows(tx storage.Tx, moves []provenance.TagMove, record uint64) Usage {
	return setTagRows(tx, RepoDigest{p.repo, p.digest}, moves, p.ended, record)
}

// setTagRows has tags mean a manifest, and returns what its repository uses more. The rows of those that ended with another manifest are
// there, and get another meaning.
func setTagRows(tx storage.Tx, to RepoDigest, moves, ended []provenance.TagMove, record uint64) (added Usage) {
	added = Usage{Tags: int64(-len(ended))}
	for _, m := range ended {
		tx.Delete(taggedTable, repoKey(to.Repository, digestKey(m.Previous), []byte(m.Name)))
	}
	for _, m := range moves {
		tx.Put(tagTable, repoKey(to.Repository, []byte(m.Name)), tagRow{record: record, digest: to.Digest}.encode())
		if m.Previous == to.Digest {
			continue
		}
		if m.Previous == "" {
			added.Tags++
		} else {
			tx.Delete(taggedTable, repoKey(to.Repository, digestKey(m.Previous), []byte(m.Name)))
		}
		tx.Put(taggedTable, repoKey(to.Repository, digestKey(to.Digest), []byte(m.Name)), nil)
	}
	return added
}
