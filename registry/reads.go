package registry

import (
	"context"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// What transactions read is declared before they begin, as far as a request says it: behind a network that is one trip in place of one
// for each row. A row that is missing here costs a trip, and one too many is read for nothing; TestTrips counts.

func noReads() []storage.Read { return nil }

// linkReads are what putBlob and putLink read.
func (g *Registry) linkReads(repo string, d digest.Digest) []storage.Read {
	key := digestKey(d)
	of := repoKey(repo, key)
	return append(g.usageReads(repo),
		storage.Row(blobTable, key), storage.Under(hiddenInTable, key).First(2), storage.Row(linkTable, of), storage.Under(neededTable, of).First(2))
}

// usageReads are what countUsage reads, as long as the quotas are those that are known here.
func (g *Registry) usageReads(repo string) []storage.Read {
	reads := []storage.Read{storage.Row(usageTable, []byte(repo)), storage.Row(quotaTable, quotasVersionKey)}
	if now := g.quotas.Load(); now != nil {
		for _, q := range now.matching(repo) {
			reads = append(reads, storage.Row(quotaUseTable, []byte(q.Pattern.String())))
		}
	}
	return reads
}

// tagReads are what tells the manifests of tags, and whether those are going.
func tagReads(repo string, tags ...string) []storage.Read {
	reads := []storage.Read{storage.Under(goingTable, repoKey(repo))}
	for _, tag := range tags {
		reads = append(reads, storage.Row(tagTable, repoKey(repo, []byte(tag))))
	}
	return reads
}

// aboutReads are what touch reads.
func aboutReads(repo string, about ...digest.Digest) (reads []storage.Read) {
	for _, d := range about {
		if d != "" {
			reads = append(reads, storage.Row(manifestTable, repoKey(repo, digestKey(d))))
		}
	}
	return reads
}

// reads are what the deletion of a manifest reads first.
func (d *deletion) reads(g *Registry) []storage.Read {
	of := repoKey(d.repo, digestKey(d.digest))
	return slices.Concat(tagReads(d.repo, fallbackTag(d.digest)), g.usageReads(d.repo), g.book.Reads(d.repo), []storage.Read{
		storage.Row(manifestTable, of), storage.Row(subjectTable, of), storage.Row(provenanceTable, of), storage.Row(trashSumTable, trashSumKey),
		storage.Under(incompleteTable, repoKey(d.repo)).First(1), storage.Under(neededTable, of).First(2),
		storage.Under(taggedTable, of).First(provenance.MaxTags + 1), storage.Under(needsTable, of).First(goingStep + 1),
		storage.Under(manifestTable, repoKey(d.repo)).First(2),
	})
}

// furtherReads are what it reads besides, as that tells. It gives up at what cannot be read: whoever reads that in earnest says so.
func (d *deletion) furtherReads(tx storage.Reader) (reads []storage.Read) {
	key := digestKey(d.digest)
	of := repoKey(d.repo, key)
	if tags, err := someTags(tx, d.repo, d.digest, provenance.MaxTags); err == nil {
		reads = tagReads(d.repo, tags...)
	}
	if value, err := getOrNil(tx, provenanceTable, of); err == nil && value != nil {
		row, _ := decodeProvenanceRow(value)
		for _, part := range row.parts() {
			reads = append(reads, storage.Under(neededTable, repoKey(d.repo, part)).First(2), storage.Row(renderedTable, repoKey(d.repo, part)))
		}
	}
	for item, err := range tx.Scan(needsTable, of, storage.PrefixEnd(of)) {
		if err != nil || len(reads) > 8*goingStep {
			return reads
		}
		named := item.Key[len(of):]
		at := repoKey(d.repo, named)
		reads = append(reads, storage.Row(trashHoldTable, item.Key), storage.Row(linkTable, at),
			storage.Under(neededTable, at).First(2), storage.Under(referrerTable, at).First(2))
	}
	if m, err := storedManifest(tx, RepoDigest{d.repo, d.digest}); err == nil && m != nil && m.chain() != nil {
		reads = append(reads, storage.Row(layersTable, layersKey(m.chain(), d.repo, d.digest)))
	}
	return reads
}

// untagReads are what the deletion of a tag reads.
func (g *Registry) untagReads(repo, tag string) []storage.Read {
	return slices.Concat(tagReads(repo, tag), aboutReads(repo, tagIsAbout(tag)), g.usageReads(repo), g.book.Reads(repo))
}

// inspectReads are what inspect reads of what a manifest names.
func (p *push) inspectReads() (reads []storage.Read) {
	for _, r := range p.manifest.references() {
		key := digestKey(r.digest)
		of := repoKey(p.repo, key)
		reads = append(reads,
			storage.Row(linkTable, of), storage.Row(blobTable, key), storage.Row(smallTable, key), storage.Row(manifestTable, of))
	}
	if p.manifest.subject != nil {
		reads = append(reads, aboutReads(p.repo, p.manifest.subject.Digest)...)
	}
	return reads
}

// imageReads are a manifest and its tags. Where its tag is not there, nothing else is read.
func imageReads(tx storage.Reader, repo, ref string, d digest.Digest) []storage.Read {
	if d == "" {
		tag, err := readTag(tx, repo, ref)
		if err != nil {
			return nil
		}
		d = tag.digest
	}
	of := repoKey(repo, digestKey(d))
	return []storage.Read{storage.Row(manifestTable, of), storage.Under(taggedTable, of)}
}

// besideReads are what Beside reads.
func besideReads(places []RepoDigest) (reads []storage.Read) {
	for _, p := range places {
		of := repoKey(p.Repository, digestKey(p.Digest))
		reads = append(reads, storage.Row(manifestTable, of), storage.Row(provenanceTable, of),
			storage.Under(tagTable, repoKey(p.Repository, []byte(fallbackTag(p.Digest)))).First(MaxBeside+1),
			storage.Under(referrerTable, of).First(MaxBeside+2))
	}
	return reads
}

// keptReads are what KeptOf reads first.
func keptReads(images []RepoDigest) (reads []storage.Read) {
	for _, p := range images {
		of := repoKey(p.Repository, digestKey(p.Digest))
		reads = append(reads, storage.Row(keptTable, of), storage.Row(knownTable, of))
	}
	return reads
}

// AheadOfList says what a list is going to show of images, and of the pulls of what it lists, for storage.Together: what Beside, KeptOf
// and PullsOf read.
func AheadOfList(ctx context.Context, places []RepoDigest, refs []PullRef) {
	storage.Ahead(ctx, func() []storage.Read {
		return slices.Concat(besideReads(places), keptReads(places), pullReads(refs))
	})
}

// recordReads are the records of manifests, by their rows.
func recordReads(manifests [][]byte) (reads []storage.Read) {
	for _, value := range manifests {
		if row, err := decodeManifestRow(value); value != nil && err == nil {
			reads = append(reads, provenance.StatedRead(row.record))
		}
	}
	return reads
}

// reads are what the transaction of a push reads.
func (p *push) reads(g *Registry) []storage.Read {
	key := digestKey(p.digest)
	of := repoKey(p.repo, key)
	reads := slices.Concat(tagReads(p.repo, p.tags...), g.usageReads(p.repo), g.book.Reads(p.repo), []storage.Read{
		storage.Row(manifestTable, of), storage.Row(repositoryTable, []byte(p.repo)), storage.Row(trashTable, of),
		storage.Row(provenanceTable, of), storage.Row(doneTable, formMarks[newestForm]),
	})
	for _, d := range p.needs {
		reads = append(reads, storage.Row(linkTable, repoKey(p.repo, digestKey(d))))
	}
	for _, r := range p.references() {
		named := digestKey(r.digest)
		reads = append(reads, storage.Row(needsTable, repoKey(p.repo, key, named)), storage.Row(neededTable, repoKey(p.repo, named, key)))
	}
	if chain := p.manifest.chain(); chain != nil {
		reads = append(reads, storage.Row(layersTable, layersKey(chain, p.repo, p.digest)))
	}
	for _, tag := range p.tags {
		reads = append(reads, aboutReads(p.repo, tagIsAbout(tag))...)
	}
	if subject := p.subject(); subject != "" {
		reads = append(reads, storage.Row(referrerTable, repoKey(p.repo, digestKey(subject), key)), storage.Row(subjectTable, of))
		reads = append(reads, aboutReads(p.repo, subject)...)
	}
	return reads
}
