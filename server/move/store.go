package move

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/server/datadir"
)

// Store takes the store of a registry from its data directory into a database, or back. Blobs, keys and certificates stay where they are.
type Store struct {
	// Dir is the data directory.
	Dir string
	// Database is the URL of the database, and Into says that the store is to be in it. Else it is to be in the data directory.
	Database string
	Into     bool
	// Bring is told how far it has come.
	Bring datadir.Bring
	// Say is told what is done to a store of an older version.
	Say func(sentence string)
}

// Run moves the store. Errors: those of datadir.MoveStore and of its Run; storage.ErrFull.
func (s *Store) Run(ctx context.Context) (moved datadir.Moved, err error) {
	m, err := datadir.MoveStore(ctx, s.Dir, s.Database, s.Into, datadir.Options{Say: s.Say})
	if err != nil || m == nil {
		return datadir.Moved{Again: err == nil}, err
	}
	moved, err = m.Run(ctx, s.Bring)
	return moved, errors.Join(err, m.Close())
}
