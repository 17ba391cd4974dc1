package provenance

import (
	"context"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/storage"
)

// checkLogs makes every leaf again from what is stored of its record, and compares it with the logs as far
// as they went when it began: signatures, hashes, checkpoints, and which key may have signed what.
func (b *Book) checkLogs(ctx context.Context, bad func(error)) error {
	var ends []logEnd
	seen := b.recalled() // before the View, which could be of a moment before a newer one
	err := b.store.View(ctx, func(tx storage.Reader) (err error) {
		if ends, err = readEnds(tx); err != nil {
			return err
		}
		if len(ends) == 0 {
			return checkWithoutLog(tx, seen, bad)
		}
		ranges, err := readKeyRanges(tx)
		if err != nil {
			return err
		}
		checkRanges(tx, ranges, bad)
		if err := examine(tx, seen); errors.Is(err, ErrDisagree) {
			bad(err)
		} else if err != nil {
			return err
		}
		return errors.Join(checkSequence(tx, ends, ranges, bad), checkEndings(tx, ends, bad))
	})
	if err != nil || len(ends) == 0 {
		return err
	}
	if err := b.checkFound(ctx, ends[0].First, bad); err != nil {
		return err
	}
	keeps := false
	for _, e := range ends {
		if keeps, err = b.checkLog(ctx, e, keeps, bad); err != nil {
			return err
		}
		if err := b.checkCosigned(ctx, e.Origin, bad); err != nil {
			return err
		}
	}
	return nil
}

// checkWithoutLog says what is wrong where there is no log: but in a new store, something is.
func checkWithoutLog(tx storage.Reader, seen string, bad func(error)) error {
	err := examine(tx, seen)
	if errors.Is(err, ErrDisagree) || errors.Is(err, ErrNotAdopted) {
		bad(err)
		return nil
	}
	return err
}

// logEnd is a log with where it ended when the check began.
type logEnd struct {
	log.Log
	size   uint64
	signed string    // its checkpoint
	head   *log.Head // nil for a closed log
}

func readEnds(tx storage.Reader) (ends []logEnd, err error) {
	logs, err := log.Logs(tx)
	if err != nil {
		return nil, err
	}
	for _, l := range logs {
		e, err := endOf(tx, l)
		if err != nil {
			return nil, err
		}
		ends = append(ends, e)
	}
	return ends, nil
}

func endOf(tx storage.Reader, l log.Log) (e logEnd, err error) {
	tree, err := log.Open(tx, l.Origin)
	if err != nil {
		return e, err
	}
	e = logEnd{Log: l, size: tree.Size}
	if e.signed, err = tree.Checkpoint(); err != nil || l.Closed != nil {
		return e, err
	}
	h, err := log.ReadHead(tx)
	e.head = &h
	return e, err
}

// checkSequence wants each log to begin where the one before it ended, the last one to go as far as the
// records, and the key in force to be the one that the book has.
func checkSequence(tx storage.Reader, ends []logEnd, ranges []KeyRange, bad func(error)) error {
	next := ends[0].First // checkFound looks at what is before it
	for _, e := range ends {
		if e.First != next {
			bad(fmt.Errorf("%w: log %s begins with record %d, and the one before it ends before record %d", storage.ErrCorrupt, e.Origin, e.First, next))
		}
		next = e.First + e.size
	}
	h, err := readHead(tx)
	if err != nil {
		return err
	}
	if h.next != next {
		bad(fmt.Errorf("%w: there are %d records, and the log goes up to %d", storage.ErrCorrupt, h.next, next))
	}
	if n := len(ranges); n == 0 || ranges[n-1].Key.Hint() != h.key {
		bad(fmt.Errorf("%w: the receipt key in force is not the last of the keys that are served", storage.ErrCorrupt))
	}
	return nil
}

// checkLog checks a log leaf by leaf. keeps says that there is a signature of a checkpoint with a record before it, and
// afterwards that there is one up to its end.
func (b *Book) checkLog(ctx context.Context, e logEnd, keeps bool, bad func(error)) (bool, error) {
	c := log.NewChecker(e.Log, bad)
	c.Keeps = keeps
	var end uint64
	err := b.store.View(ctx, func(tx storage.Reader) (err error) {
		end, err = head{next: e.First + e.size}.kept(tx, e.First)
		return err
	})
	for err == nil && c.Next() < end {
		err = b.store.View(ctx, func(tx storage.Reader) error {
			for range min(checkStep, end-c.Next()) {
				if err := checkLeaf(tx, c, e.Log, bad); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return c.Keeps, err
	}
	if e.head != nil {
		c.Head(*e.head)
	}
	return c.Keeps, c.End(e.signed)
}

// checkLeaf compares one record with the log.
func checkLeaf(tx storage.Reader, c *log.Checker, l log.Log, bad func(error)) error {
	index := c.Next()
	s, err := ReadSignedRecord(tx, index)
	switch {
	case errors.Is(err, ErrNoRecord): // the check of the records says so
		return c.Leaf(tx, nil)
	case errors.Is(err, storage.ErrCorrupt):
		bad(err)
		return c.Leaf(tx, nil)
	case err != nil:
		return err
	}
	if !s.Key.Verify(s.Payload, s.Signature) {
		bad(fmt.Errorf("%w: record %d is not what the receipt key %s signed", storage.ErrCorrupt, index, s.Key.Hint()))
	}
	r, err := decode(s.Payload)
	if err != nil {
		return c.Leaf(tx, s.Body()) // the check of the records says so
	}
	if p := r.Log; p != nil && (p.Origin != l.Origin || p.Leaf != index-l.First) {
		bad(fmt.Errorf("%w: record %d says that it is leaf %d of the log %s, and it is leaf %d of %s",
			storage.ErrCorrupt, index, p.Leaf, p.Origin, index-l.First, l.Origin))
	}
	if err := c.Leaf(tx, s.Body()); err != nil {
		return err
	}
	ended, err := readEnded(tx, index)
	return errors.Join(err, c.Signed(ended))
}

// checkRanges wants a record for each change of the receipt key: the last one of the key that goes, or the
// first one in a new log.
func checkRanges(tx storage.Reader, ranges []KeyRange, bad func(error)) {
	names := func(index uint64, hint string) bool {
		r, err := ReadRecord(tx, index)
		return err == nil && r.Key != nil && r.Key.Hint == hint
	}
	for i, k := range ranges {
		if i > 0 && !names(k.From-1, k.Key.Hint()) && !names(k.From, k.Key.Hint()) {
			bad(fmt.Errorf("%w: the receipt key %s is in force from record %d on, and no record says so", storage.ErrCorrupt, k.Key.Hint(), k.From))
		}
	}
}
