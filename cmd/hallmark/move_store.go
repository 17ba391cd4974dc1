package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/server/move"
)

// moveStore takes the store of a registry from where one configuration has it to where another does.
func (e *env) moveStore(ctx context.Context, was, will config.Config, dir, to string, asJSON bool) error {
	from, into := was.Blobs.Remote(), will.Blobs.Remote()
	switch {
	case (from == nil) != (into == nil), from != nil && !from.SamePlace(*into):
		return usagef("nothing was moved: the two configurations differ in store and in blobs.s3, and one of the two is moved at a time")
	case was.Store != "" && will.Store != "":
		return usagef("nothing was moved: the store is in a database, and is to be in another one: move it into the data directory first")
	}
	copying, checking := e.newProgress("copying rows"), e.newProgress("comparing rows")
	m := &move.Store{Database: cmp.Or(will.Store, was.Store), Into: will.Store != "", Say: e.sayUpgrade}
	m.Bring.Copying, m.Bring.Checking = copying.at, checking.at
	var err error
	if m.Dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	moved, err := m.Run(ctx)
	copying.end()
	checking.end()
	if errors.Is(err, datadir.ErrNone) {
		return askf("nothing was moved: %w; name another with --data", err)
	}
	if err != nil {
		return askf("the move of the store of %s has not come to its end; run it again to go on: %w", m.Dir, err)
	}
	return e.showMovedStore(m, moved, to, asJSON)
}

func (e *env) showMovedStore(m *move.Store, moved datadir.Moved, to string, asJSON bool) error {
	where, was := filepath.Join(m.Dir, datadir.StoreFile), datadir.ShownDatabase(m.Database)
	if m.Into {
		where, was = was, filepath.Join(m.Dir, datadir.MovedFile)
	}
	switch {
	case asJSON:
		return writeJSON(e.stdout, struct {
			To string `json:"to"`
			datadir.Moved
		}{where, moved})
	case moved.Again:
		fmt.Fprintf(e.stdout, "the store is in %s already\n", where)
	default:
		fmt.Fprintf(e.stdout, "the store is in %s now: %d rows of %d tables, copied %d\n", where, moved.Rows, len(moved.Tables), moved.Copied)
		if l := moved.Log; l != nil {
			fmt.Fprintf(e.stdout, "the log %s goes on: %d leaves, root %s\n", l.Origin, l.Size, l.Root)
		}
		fmt.Fprintf(e.stdout, "as it was it is in %s still, and nothing needs it there any more\n", was)
	}
	fmt.Fprintf(e.stdout, "Next:\n  hallmark serve --config %s --data %s\n", to, m.Dir)
	return nil
}
