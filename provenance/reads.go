package provenance

import (
	"context"
	"iter"
	"slices"

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

// AheadOf says that records are going to be read, for storage.Together.
func AheadOf(ctx context.Context, indexes iter.Seq[uint64]) {
	storage.Ahead(ctx, func() []storage.Read { return recordReads(slices.Collect(indexes)...) })
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

// reads are the rows by which a query begins: those of its terms or, without any, the records themselves.
func (q *Query) reads() []storage.Read {
	terms := q.terms()
	if len(terms) > 0 || !q.Descending || !q.Until.IsZero() {
		return append(headReads(), termReads(terms, q.Descending, q.Limit+1)...)
	}
	var to []byte
	if q.After != nil {
		to = indexKey(*q.After)
	}
	return append(headReads(), storage.RowsReverse(recordTable, nil, to).First(q.Limit+1), storage.RowsReverse(unsignedTable, nil, to).First(q.Limit+1))
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

// Reads are what Append, and a rendering of the new record, read of what is there before, for an Update to declare. The record is
// about a repository.
func (b *Book) Reads(repository string) []storage.Read {
	reads := headReads()
	if repository != "" {
		reads = append(reads, storage.Row(newestTable, []byte(repository)))
	}
	// A rendering of the record has its key and how that came into force. There are few keys.
	return append(append(reads, storage.RowsReverse(keyTable, nil, nil)), log.HeadReads()...)
}
