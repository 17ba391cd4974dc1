package registry

import (
	"slices"

	"github.com/opencontainers/go-digest"
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
		storage.Row(blobTable, key), storage.Under(hiddenInTable, key), storage.Row(linkTable, of), storage.Under(neededTable, of))
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
