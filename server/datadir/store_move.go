package datadir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/postgres"
	"github.com/seed-260924e6/hallmark/storage/transfer"
)

// MoveTable has one row in a database that holds rows of a registry and is not its store: a move into it is under way, or has taken the
// registry out of it. Nobody opens such a database but a move.
const MoveTable = storage.Table("hallmark/move")

var moveKey = []byte("state")

// MovedFile is the file of a store that was moved into a database, and movingFile the one of a store that is on its way out of it.
const (
	MovedFile  = StoreFile + ".moved"
	movingFile = StoreFile + ".moving"
)

// moveState is the row of MoveTable.
type moveState struct {
	Registry string `json:"registry"` // the id of its blobs
	Process  string `json:"process"`  // of the data directory that the move is of
	Stage    stage  `json:"stage"`
}

type stage string

const (
	coming stage = "coming" // it has some rows
	whole  stage = "whole"  // it has all of them, and the file of the store is about to get another name
	left   stage = "left"   // the file of the data directory has all of them
)

// readMove returns the state of a database; nil where it is the store of a registry, or of none.
func readMove(tx storage.Reader) (*moveState, error) {
	value, err := tx.Get(MoveTable, moveKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	s := new(moveState)
	if err == nil {
		err = json.Unmarshal(value, s)
	}
	return s, err
}

// admit refuses a database that is not the store of the registry in it.
func admit(tx storage.Reader) error {
	switch s, err := readMove(tx); {
	case err != nil || s == nil:
		return err
	case s.Stage == left:
		return fmt.Errorf("the registry in this database was moved to the file of the data directory of %s: leave store out of its configuration, or end the move with `hallmark move`", s.Process)
	default:
		return fmt.Errorf("a move into this database has not come to its end: run `hallmark move` again, with the data directory of %s", s.Process)
	}
}

// A StoreMove is a registry whose store is on its way from the data directory into a database, or back. Nobody else can open either.
type StoreMove struct {
	From, To Store

	source, target *Dir
	into           bool   // the database
	file           string // where the store comes from, where it goes into the database
	id             string
}

// MoveStore opens a data directory, and where its store is to be: in a database, if into says so, or in the directory. It returns nil where it
// is there already. Errors: ErrNone, storage.ErrInUse, and sentences about what is in the way.
func MoveStore(ctx context.Context, path, database string, into bool, o Options) (*StoreMove, error) {
	source := &Dir{Path: path, Mode: ToChange}
	inFile, err := source.has(StoreFile)
	if err == nil && !inFile {
		err = source.wantProcess()
	}
	if err != nil {
		return nil, err
	}
	m := &StoreMove{source: source, target: &Dir{Path: path, Mode: ToChange}, into: into, file: StoreFile}
	o.Database = database
	switch {
	case inFile && !into:
		return nil, nil
	case inFile:
		err = m.openIntoDatabase(ctx, o)
	case into:
		return nil, ownerHint(path, m.end(ctx, o))
	default:
		err = m.openIntoFile(ctx, o)
	}
	if err != nil {
		return nil, ownerHint(path, errors.Join(err, m.Close()))
	}
	return m, nil
}

// StoreIntoDatabase opens the store in a file of a data directory, which is removed at the end, and the database that it is to be in.
func StoreIntoDatabase(ctx context.Context, path, file, database string, o Options) (*StoreMove, error) {
	m := &StoreMove{source: &Dir{Path: path, Mode: ToChange}, target: &Dir{Path: path, Mode: ToChange}, into: true, file: file}
	o.Database = database
	if err := m.openIntoDatabase(ctx, o); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// wantProcess wants the store to be in a database. Error: ErrNone.
func (d *Dir) wantProcess() error {
	there, err := d.has(ProcessFile)
	if err == nil && !there {
		err = fmt.Errorf("data directory %s: %w", d.Path, ErrNone)
	}
	return err
}

func (m *StoreMove) openIntoDatabase(ctx context.Context, o Options) (err error) {
	file, err := OpenStore(m.source.File(m.file), ToChange, o)
	if err != nil {
		return err
	}
	m.From, m.source.Store = file, file
	if m.id, err = m.source.registryID(ctx); err != nil {
		return err
	}
	o.admit = m.admitTarget
	if err := m.target.openDatabase(o); err != nil {
		return err
	}
	m.To = m.target.Store
	return m.mark(ctx, m.To, coming)
}

// admitTarget wants a database to be empty, or to have rows of this registry that nobody uses.
func (m *StoreMove) admitTarget(tx storage.Reader) error {
	s, err := readMove(tx)
	if err != nil {
		return err
	}
	if s != nil && s.Registry == m.id {
		return nil
	}
	tables, err := transfer.TablesOf(tx)
	if err == nil && (s != nil || len(tables) > 0) {
		err = errors.New("there is a registry in this database: name an empty one")
	}
	return err
}

func (m *StoreMove) openIntoFile(ctx context.Context, o Options) (err error) {
	o.admit = func(storage.Reader) error { return nil } // until the process is known
	if err := m.source.openDatabase(o); err != nil {
		return err
	}
	m.From = m.source.Store
	err = m.From.View(ctx, func(tx storage.Reader) error {
		if s, err := readMove(tx); err != nil || s == nil || s.Stage == left && s.Process == m.source.name {
			return err
		}
		return admit(tx)
	})
	if err == nil {
		m.id, err = m.source.registryID(ctx)
	}
	if err != nil {
		return err
	}
	file, err := OpenStore(m.source.File(movingFile), ToChange, o)
	if err == nil {
		m.To, m.target.Store = file, file
	}
	return err
}

// registryID is the id of the registry's blobs, which it keeps wherever they and its store are.
func (d *Dir) registryID(ctx context.Context) (id string, err error) {
	id, err = d.blobsID(ctx)
	if err == nil && id == "" {
		err = errors.New("its first start did not come to its end: start it once more")
	}
	return id, err
}

// mark keeps in the database how far the move has come.
func (m *StoreMove) mark(ctx context.Context, database storage.Store, at stage) error {
	process := m.source.name
	if m.into {
		process = m.target.name
	}
	row, err := json.Marshal(moveState{m.id, process, at})
	if err != nil {
		return err
	}
	return database.Update(ctx, func(tx storage.Tx) error {
		tx.Put(MoveTable, moveKey, row)
		return nil
	})
}

// unmark makes a database the store of the registry in it.
func unmark(ctx context.Context, database storage.Store) error {
	return database.Update(ctx, func(tx storage.Tx) error {
		tx.Delete(MoveTable, moveKey)
		return nil
	})
}

// steps are what is left when both have the same rows: behind the last, the store is where it was to be. At no moment could a server start
// on both of them. If we stop between two, it starts on none, or where it was, and the next move goes on.
func (m *StoreMove) steps(ctx context.Context) []func() error {
	if m.into {
		return []func() error{
			func() error { return m.mark(ctx, m.To, whole) },
			m.putAside,
			func() error { return unmark(ctx, m.To) },
		}
	}
	return []func() error{
		func() error { return m.mark(ctx, m.From, left) },
		func() error { return durable.Rename(m.source.File(movingFile), m.source.File(StoreFile)) },
	}
}

// putAside has the file of the store not be one any more.
func (m *StoreMove) putAside() error {
	if m.file == StoreFile {
		return durable.Rename(m.source.File(StoreFile), m.source.File(MovedFile))
	}
	return durable.Remove(m.source.File(m.file)) // it was made for this
}

// end ends a move into the database that was killed when the file had its other name. The database has it all.
func (m *StoreMove) end(ctx context.Context, o Options) (err error) {
	o.admit = func(storage.Reader) error { return nil }
	if err := m.target.openDatabase(o); err != nil {
		return err
	}
	var s *moveState
	err = m.target.Store.View(ctx, func(tx storage.Reader) error {
		if s, err = readMove(tx); err != nil || s == nil || s.Stage == whole && s.Process == m.target.name {
			return err
		}
		return admit(tx)
	})
	if err == nil && s != nil {
		err = unmark(ctx, m.target.Store)
	}
	return errors.Join(err, m.Close())
}

// Close closes both stores.
func (m *StoreMove) Close() (err error) {
	for _, d := range []*Dir{m.target, m.source} {
		if d.Store != nil {
			err = errors.Join(err, d.Close())
		}
	}
	return err
}

// ShownDatabase is the URL of a database without what may be secret.
func ShownDatabase(url string) string { return postgres.Shown(url) }
