package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Accounts and tokens of older versions have no record. Once, by hand, they are listed as found, and the list is put on
// record: what is not in it, and has no record, came later and past the registry.

// baselineTable has one row, "list" → the lines of the baseline as JSON, in order.
const baselineTable = storage.Table("access/baseline")

var baselineKey = []byte("list")

// The kinds of rows in a baseline.
const (
	accountKind = "account"
	tokenKind   = "token"
)

// baselineLine is a row that was found: its kind, its id, whose it is, and the id that its secret has as credentialOf gives
// it. In JSON it is a list.
type baselineLine [4]string

// unexplained is told of a row that no record explains, in a store that is from before such rows were on record.
func (f *follower) unexplained(what string, line baselineLine) {
	switch {
	case f.found == nil:
		f.bad(&NotOnRecordError{what, line})
	case !f.found[line]:
		f.badf("%s: no record and no baseline explains it, as it is", what)
	}
}

// readBaseline reads the list of what was found, and wants it to be the one on record.
func (f *follower) readBaseline(tx storage.Reader) error {
	if f.State.Baseline == nil {
		_, err := tx.Get(baselineTable, baselineKey)
		if errors.Is(err, storage.ErrNotFound) {
			return nil
		}
		if err == nil {
			f.badf("there is a list of accounts that were found, and no record of it")
		}
		return err
	}
	f.found = make(map[baselineLine]bool)
	text, err := tx.Get(baselineTable, baselineKey)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return err
	}
	var lines []baselineLine
	if digest.FromBytes(text) != f.State.Baseline.Digest || json.Unmarshal(text, &lines) != nil {
		f.badf("the list of what was found is not the one of record %d", f.State.Baseline.Record)
		return nil
	}
	for _, line := range lines {
		f.found[line] = true
	}
	return nil
}

// Baseline puts on record which accounts and tokens are there that no record explains, because they are from before such
// were on record. It is never done but by hand, once. Error: ErrAdopted.
func (a *Access) Baseline(ctx context.Context, by provenance.Identity) (r *provenance.Record, err error) {
	f, err := a.newFollower(ctx, func(error) {}) // what does not fit is for a check to say
	if err != nil {
		return nil, err
	}
	err = a.store.Update(ctx, func(tx storage.Tx) error {
		lines, err := f.collect(tx)
		if err != nil {
			return err
		}
		if f.Blind {
			return corruptf("record %d cannot be read, so which accounts are on record is not known", f.State.Next)
		}
		if f.State.Baseline != nil || len(lines) == 0 {
			return fmt.Errorf("every account and token is on record: %w", ErrAdopted)
		}
		text, err := json.Marshal(lines)
		if err != nil {
			return err
		}
		e := provenance.Event{Action: provenance.Baseline, Digest: digest.FromBytes(text), Who: by}
		for _, kind := range []string{accountKind, tokenKind} {
			some := slices.DeleteFunc(slices.Clone(lines), func(l baselineLine) bool { return l[0] != kind })
			text, err := json.Marshal(some)
			if err != nil {
				return err
			}
			if len(some) > 0 {
				e.Baseline = append(e.Baseline, provenance.FoundKind{Kind: kind, Count: len(some), Digest: digest.FromBytes(text)})
			}
		}
		tx.Put(baselineTable, baselineKey, text)
		r, err = a.book.Append(tx, e)
		return err
	})
	return r, err
}

// collect returns the lines of all rows that no record explains, in order.
func (f *follower) collect(tx storage.Tx) (lines []baselineLine, err error) {
	if err := f.Follow(tx); err != nil {
		return nil, err
	}
	c := *f
	c.bad = func(err error) {
		var older *NotOnRecordError
		if errors.As(err, &older) {
			lines = append(lines, older.line)
		}
	}
	for table, row := range map[storage.Table]func(storage.Reader, storage.Item) error{userTable: c.user, robotTable: c.robot, sessionTable: c.session} {
		for item, err := range tx.Scan(table, nil, nil) {
			if err != nil {
				return nil, err
			}
			if err := row(tx, storage.Item{Key: bytes.Clone(item.Key), Value: bytes.Clone(item.Value)}); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(lines, func(a, b baselineLine) int {
		return strings.Compare(strings.Join(a[:], "\x00"), strings.Join(b[:], "\x00"))
	})
	return lines, nil
}
