package provenance

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/storage"
)

// The records of a repository are a chain: each names the one before it. So anyone who has the newest can tell that none is
// kept from them, without reading those of other repositories.

// chainedKey is the key, in headTable, of the first record that named the one before it: 0 where there is no row.
// Repositories of which there are records before that one may have no row yet.
var chainedKey = []byte("chained")

// MarkChained notes that the records until now do not name the ones before them.
func MarkChained(ctx context.Context, store storage.Store) error {
	return store.Update(ctx, func(tx storage.Tx) error {
		h, err := readHead(tx)
		if err == nil {
			tx.Put(headTable, chainedKey, indexKey(h.next))
		}
		return err
	})
}

// followRepository makes a record the newest of its repository, and returns the one before it, or nil.
func followRepository(tx storage.Tx, r *Record) (*uint64, error) {
	if r.Repository == "" {
		return nil, nil
	}
	before, err := newestOf(tx, r)
	if err != nil {
		return nil, err
	}
	tx.Put(newestTable, []byte(r.Repository), indexKey(r.Index))
	return before, nil
}

// newestOf returns the index of the newest record of a repository before r, or nil.
func newestOf(tx storage.Tx, r *Record) (*uint64, error) {
	index, err := Newest(tx, r.Repository)
	if errors.Is(err, ErrNoRecord) {
		return findNewest(tx, r)
	}
	return &index, err
}

// indexIn reads a row whose value is an index.
func indexIn(value []byte) (uint64, error) {
	if len(value) != 8 {
		return 0, fmt.Errorf("%w: a row that names a record has %d bytes", storage.ErrCorrupt, len(value))
	}
	return lastIndex(value), nil
}

// findNewest looks for the newest record before r of a repository that has no row: it is new, or all of its records are
// from before there were rows.
func findNewest(tx storage.Tx, r *Record) (*uint64, error) {
	first, err := ChainedFrom(tx)
	if err != nil || first == 0 {
		return nil, err
	}
	x, err := readIndexed(tx)
	if err != nil {
		return nil, err
	}
	from := storage.Reader(tx)
	if x.next < first {
		if from, err = withTail(tx); err != nil {
			return nil, err
		}
	}
	s := seeker{tx: from, terms: []term{newTerm(byRepository, r.Repository)}, high: first, descending: true, looks: maxLook}
	index, ok, err := s.next()
	if err != nil || !ok {
		return nil, err
	}
	return &index, nil
}

// Newest returns the index of the newest record of a repository that has one since records name the one before them.
// Error: ErrNoRecord.
func Newest(tx storage.Reader, repository string) (uint64, error) {
	value, err := tx.Get(newestTable, []byte(repository))
	if errors.Is(err, storage.ErrNotFound) {
		return 0, ErrNoRecord
	}
	if err != nil {
		return 0, err
	}
	return indexIn(value)
}

// Last returns the newest record of a repository. Error: ErrNoRecord, also where it is from before records name the one
// before them.
func (b *Book) Last(ctx context.Context, repository string) (r *Record, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		index, err := Newest(tx, repository)
		if err != nil {
			return err
		}
		r, err = ReadRecord(tx, index)
		return err
	})
	return r, err
}

// NewestOf returns the index of the newest record of each repository, as Last finds it: nil where it finds none.
func (b *Book) NewestOf(ctx context.Context, repositories []string) (indexes []*uint64, err error) {
	keys := make([][]byte, len(repositories))
	for i, name := range repositories {
		keys[i] = []byte(name)
	}
	err = b.store.View(ctx, func(tx storage.Reader) error {
		indexes = make([]*uint64, len(repositories))
		rows, err := tx.GetMany(newestTable, keys)
		if err != nil {
			return err
		}
		for i, value := range rows {
			if value == nil {
				continue
			}
			index, err := indexIn(value)
			if err != nil {
				return err
			}
			indexes[i] = &index
		}
		return nil
	})
	return indexes, err
}

// ChainedFrom returns the first record that names the one before it in its repository. It is 0 where everything happened
// since records state all that they change.
func ChainedFrom(tx storage.Reader) (uint64, error) {
	value, err := tx.Get(headTable, chainedKey)
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return indexIn(value)
}
