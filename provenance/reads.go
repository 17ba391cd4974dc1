package provenance

import (
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// StatedRead is what ReadStated reads.
func StatedRead(index uint64) storage.Read { return storage.Row(recordTable, indexKey(index)) }

// recordReads are what ReadRecord reads.
func recordReads(indexes ...uint64) (reads []storage.Read) {
	for _, index := range indexes {
		reads = append(reads, StatedRead(index), storage.Row(unsignedTable, indexKey(index)))
	}
	return reads
}

// headReads are what unindexed reads.
func headReads() (reads []storage.Read) {
	for _, key := range [][]byte{headKey, indexedKey, filledKey, spelledKey} {
		reads = append(reads, storage.Row(headTable, key))
	}
	return reads
}

// termReads are the rows of the first records with each of some terms.
func termReads(terms []term, descending bool, first int) (reads []storage.Read) {
	for _, t := range terms {
		all := storage.Under(indexTable, t[:])
		all.Reverse = descending
		reads = append(reads, all.First(first))
	}
	return reads
}

// reads are the next records that a seeker comes to, as far as it looks, and n at most. It stays where it is.
func (s *seeker) reads(n int) (reads []storage.Read) {
	ahead := *s
	for range n {
		index, ok, err := ahead.next()
		if err != nil || !ok {
			return reads // whoever looks in earnest says so
		}
		reads = append(reads, recordReads(index)...)
		ahead.skip(index)
	}
	return reads
}

// Reads are what Append reads before a record about a repository, for an Update to declare.
func (b *Book) Reads(repository string) []storage.Read {
	reads := headReads()
	if repository != "" {
		reads = append(reads, storage.Row(newestTable, []byte(repository)))
	}
	return append(reads, log.HeadReads()...)
}
