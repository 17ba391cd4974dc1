package provenance

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// Anyone who can write the store and has no key can put rows into it that look like records, or put a head back. So what
// the log does not have is never signed afterwards: a record is signed in the transaction of what it is about, or not
// at all. Before a book takes its first record, the ends of the records and of the log are held against each other.

// ErrDisagree says that the records and the log contradict each other: somebody changed the store, or its disk did.
var ErrDisagree = fault.New(fault.Stopped, contradict).Telling(contradict + ". Its operator is told by its log and by `hallmark health` what to do")

const contradict = "the records and the log of this registry contradict each other, so it signs nothing and takes no changes; reads go on"

// ErrNotAdopted says that there are records and no log: they are from before there was one, or said to be.
var ErrNotAdopted = fault.New(fault.Stopped, "this registry has records from before there was a log, which nobody saw happen, so it takes no changes; reads go on. "+
	"Its operator runs `hallmark log adopt` once, which puts on record what was found")

// disagreef says which two things contradict each other.
func disagreef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDisagree, fmt.Sprintf(format, args...))
}

// Stopped returns why nothing is signed although the keys may be at hand: ErrDisagree, ErrNotAdopted, or nil.
func (b *Book) Stopped() error {
	if err := b.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// look holds the ends against each other, and remembers what it found. It writes nothing.
func (b *Book) look(ctx context.Context) error {
	seen := b.recalled() // before the View, which could be of a moment before a newer one
	err := b.store.View(ctx, func(tx storage.Reader) error { return examine(tx, seen) })
	if errors.Is(err, ErrDisagree) || errors.Is(err, ErrNotAdopted) {
		b.stopped.Store(&err)
	} else {
		b.stopped.Store(nil)
	}
	return err
}

// examine holds the ends of the records and of the log against each other, and against the checkpoint that was seen
// before, "" for none. It reads 200 rows at most, however many there are. A store with neither is a new one. Where they
// contradict each other it says what to do.
func examine(tx storage.Reader, seen string) error {
	err := compare(tx, seen)
	if !errors.Is(err, ErrDisagree) {
		return err
	}
	if _, why := later(tx, seen, ""); why != nil {
		return fmt.Errorf("%w. `hallmark fsck` says more; restore a backup from before", err)
	}
	return fmt.Errorf("%w. `hallmark fsck` says more. If an older copy of the store was put back, put the newer one back, or, where that is lost, "+
		"run `hallmark log continue --restored`: it closes the log at the later checkpoint and begins another", err)
}

func compare(tx storage.Reader, seen string) error {
	books, err := readHead(tx)
	if err != nil {
		return err
	}
	head, err := log.ReadHead(tx)
	switch {
	case errors.Is(err, log.ErrNoLog) && seen != "":
		return disagreef("there is no log in the store, and keys/log.checkpoint is of one")
	case errors.Is(err, log.ErrNoLog):
		return examineWithoutLog(tx, books)
	case err != nil:
		return err
	case head.Closed != nil:
		return disagreef("the newest log, %s, is closed, and none follows it", head.Origin)
	case head.Next() != books.next:
		return disagreef("the records go up to %d, and the log %s to %d", books.next, head.Origin, head.Next())
	}
	if err := noneBehind(tx, books.next); err != nil {
		return err
	}
	why, err := head.Examine(tx)
	if err == nil && why != "" {
		err = disagreef("the log %s has %d leaves, %s", head.Origin, head.Size(), why)
	}
	if err == nil {
		err = examineSeen(tx, seen)
	}
	if err != nil || head.Size() == 0 {
		return err
	}
	return examineNewest(tx, head, books.next-1)
}

// noneBehind wants no row of a record behind the end, and no receipt key but for the record that is next.
func noneBehind(tx storage.Reader, next uint64) error {
	for _, of := range []struct {
		table storage.Table
		from  uint64
		what  string
	}{{recordTable, next, "row"}, {signatureTable, next, "signature"}, {keyTable, next + 1, "receipt key"}} {
		for item, err := range tx.Scan(of.table, indexKey(of.from), nil) {
			if err != nil {
				return err
			}
			return disagreef("there are %d records, and a %s of record %d", next, of.what, lastIndex(item.Key))
		}
	}
	return nil
}

// examineWithoutLog tells a new store and one from before there was a log from one that lost its log.
func examineWithoutLog(tx storage.Reader, books head) error {
	if err := noneBehind(tx, books.next); err != nil {
		return err
	}
	left, err := log.Remains(tx)
	if err != nil {
		return err
	}
	for _, err := range tx.Scan(keyTable, nil, nil) {
		if err != nil {
			return err
		}
		left = true
	}
	if left || books.key != "" {
		return disagreef("there is no head of the log, and something else says that a log was begun")
	}
	if books.next == 0 {
		return nil
	}
	if _, err := foundStatement(tx, books.next-1); err != nil {
		return err
	}
	return ErrNotAdopted
}

// examineNewest wants the newest record to be what its key signed, and what the log has as its last leaf.
func examineNewest(tx storage.Reader, head log.Head, index uint64) error {
	s, err := ReadSignedRecord(tx, index)
	switch {
	case errors.Is(err, ErrNoRecord), errors.Is(err, storage.ErrCorrupt), errors.Is(err, ErrNotSigned):
		return disagreef("the log %s goes up to record %d: %v", head.Origin, index, err)
	case err != nil:
		return err
	case !s.Key.Verify(s.Payload, s.Signature):
		return disagreef("record %d is not what the receipt key %s signed", index, s.Key.Hint())
	}
	r, err := decode(s.Payload)
	if err != nil {
		return disagreef("the log %s goes up to record %d: %v", head.Origin, index, err)
	}
	if p := r.Log; r.Index != index || p != nil && (p.Origin != head.Origin || p.Leaf != head.Size()-1) {
		return disagreef("record %d, the newest, says that it is another record or leaf", index)
	}
	is, err := head.IsLast(tx, s.Body())
	if err == nil && !is {
		err = disagreef("record %d is not what the log was given as its last leaf", index)
	}
	if err != nil {
		return err
	}
	return examineEnded(tx, head, index)
}

// examineEnded wants the signature that is kept with the newest record to be of the checkpoint that it ends.
func examineEnded(tx storage.Reader, head log.Head, index uint64) error {
	ended, err := readEnded(tx, index)
	if err != nil || ended == nil {
		return err
	}
	c, err := head.Checkpoint()
	if err != nil {
		return err
	}
	if _, err := c.SignedBefore(head.Key, ended); err != nil {
		return disagreef("the log %s has %d leaves, and the signature kept with record %d, the newest, is of another checkpoint", head.Origin, head.Size(), index)
	}
	return nil
}

// foundStatement returns a statement that is in no log. One that names its leaf was made in that leaf's transaction:
// outside the log it is forged, or the log was taken out.
func foundStatement(tx storage.Reader, index uint64) ([]byte, error) {
	payload, err := readStatement(tx, index)
	switch {
	case errors.Is(err, ErrNoRecord), errors.Is(err, storage.ErrCorrupt):
		return nil, disagreef("the records have gaps: %v", err)
	case err != nil:
		return nil, err
	}
	r, err := decode(payload)
	if err != nil {
		return nil, disagreef("record %d is none: %v", index, err)
	}
	if r.Log != nil {
		return nil, disagreef("record %d says that it is leaf %d of the log %s, and no log has it", index, r.Log.Leaf, r.Log.Origin)
	}
	return payload, nil
}
