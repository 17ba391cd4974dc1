package provenance

import (
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// StatedRead is what ReadStated reads.
func StatedRead(index uint64) storage.Read { return storage.Row(recordTable, indexKey(index)) }

// Reads are what Append reads before a record about a repository, for an Update to declare.
func (b *Book) Reads(repository string) []storage.Read {
	reads := []storage.Read{storage.Row(headTable, headKey)}
	for _, key := range [][]byte{indexedKey, filledKey, spelledKey} {
		reads = append(reads, storage.Row(headTable, key))
	}
	if repository != "" {
		reads = append(reads, storage.Row(newestTable, []byte(repository)))
	}
	return append(reads, log.HeadReads()...)
}
