package provenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
)

// checkStep is how many rows a check looks at in one View: a long View would make the store's file grow.
const checkStep = 2000

// Check reads every record made before it began, and every index row of theirs, and reports to bad what
// does not fit. It returns how many records it read, and an error when it could not go on.
func (b *Book) Check(ctx context.Context, bad func(error)) (records uint64, err error) {
	c := checker{bad: bad}
	if err := b.store.View(ctx, c.begin); err != nil {
		return 0, err
	}
	end := c.end
	for from := uint64(0); from < end && err == nil; from += checkStep {
		err = b.store.View(ctx, func(tx storage.Reader) error { return c.records(tx, from) })
	}
	for _, t := range []struct {
		table storage.Table
		row   func(storage.Reader, storage.Item) error
	}{{indexTable, c.term}, {imageTable, c.image}, {orderedTable, c.ordered}, {timeTable, c.time}, {unsignedTable, c.aside}, {newestTable, c.newest}, {ruleTable, c.rule}, {ruleTextTable, c.ruleText}} {
		if err == nil {
			err = storage.EachRow(ctx, b.store, t.table, t.row)
		}
	}
	if err == nil {
		err = b.store.View(ctx, c.checkRules)
	}
	if err == nil {
		err = b.checkLogs(ctx, bad)
	}
	if err == nil && c.found != c.expected {
		bad(fmt.Errorf("%w: the index of the records has %d rows that no record explains", storage.ErrCorrupt, c.found-c.expected))
	}
	if err == nil && c.timesFound != c.timesExpected {
		bad(fmt.Errorf("%w: the index of times has %d rows that no record explains", storage.ErrCorrupt, c.timesFound-c.timesExpected))
	}
	return end, err
}

type checker struct {
	end                       uint64
	indexed                   indexed // when the check began
	bad                       func(error)
	expected, found           int // index rows
	timesExpected, timesFound int // rows of timeTable

	latest Time // running maximum, while records go by in order
}

// begin looks at how many records there are to check.
func (c *checker) begin(tx storage.Reader) error {
	h, err := readHead(tx)
	if err == nil {
		c.end, err = h.kept(tx, 0)
	}
	if err == nil && c.end != h.next {
		c.bad(fmt.Errorf("%w: there are to be %d records, and behind the first %d there is none", storage.ErrCorrupt, h.next, c.end))
	}
	if err == nil {
		c.indexed, err = readIndexed(tx)
	}
	if err == nil && c.indexed.next > h.next {
		c.bad(fmt.Errorf("%w: %d records are said to be found by all that they say, and there are %d", storage.ErrCorrupt, c.indexed.next, h.next))
	}
	if err == nil && c.indexed.filled > c.indexed.next {
		c.bad(fmt.Errorf("%w: %d records are said to be found by how digests begin, and %d to be found", storage.ErrCorrupt, c.indexed.filled, c.indexed.next))
	}
	if err == nil && c.indexed.spelled > c.indexed.next {
		c.bad(fmt.Errorf("%w: %d records are said to be found by every spelling of their sources, and %d to be found", storage.ErrCorrupt, c.indexed.spelled, c.indexed.next))
	}
	return err
}

// records checks up to checkStep records and that they are found by all their terms.
func (c *checker) records(tx storage.Reader, from uint64) error {
	for index := from; index < min(from+checkStep, c.end); index++ {
		r, err := ReadRecord(tx, index)
		switch {
		case errors.Is(err, ErrNoRecord), errors.Is(err, storage.ErrCorrupt):
			c.bad(err)
			continue
		case err != nil:
			return err
		case r.Index != index:
			c.bad(fmt.Errorf("%w: record %d says that it is record %d", storage.ErrCorrupt, index, r.Index))
			continue
		}
		if err := c.record(tx, r); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) record(tx storage.Reader, r *Record) error {
	if r.Time.After(c.latest.Time) {
		c.latest = r.Time
	}
	if r.Index >= c.indexed.next {
		return nil // it has no rows yet
	}
	if _, err := tx.Get(timeTable, timeKey(c.latest, r.Index)); errors.Is(err, storage.ErrNotFound) {
		c.bad(fmt.Errorf("%w: record %d is not found by its time", storage.ErrCorrupt, r.Index))
	} else {
		c.timesExpected++
	}
	var keys [][]byte
	for t := range termsOf(r) {
		keys = append(keys, t.key(r.Index))
	}
	rows, err := tx.GetMany(indexTable, keys)
	if err != nil {
		return err
	}
	missing := c.mayMiss(r)
	for i, row := range rows {
		if row == nil {
			if !missing[term(keys[i][:len(term{})])] {
				c.bad(fmt.Errorf("%w: record %d is not found by its %c", storage.ErrCorrupt, r.Index, keys[i][0]))
			}
			continue
		}
		c.expected++
	}
	return errors.Join(c.images(tx, r), c.beginnings(tx, r))
}

// mayMiss are the terms for which a record may have no rows yet: those that an older version did not make.
func (c *checker) mayMiss(r *Record) termSet {
	if r.Index < c.indexed.spelled {
		return nil
	}
	return laterTerms(r)
}

// images wants that each image that a record says something of is found by it, through this record or one
// before.
func (c *checker) images(tx storage.Reader, r *Record) error {
	keys := imageKeys(r)
	rows, err := tx.GetMany(imageTable, keys)
	if err != nil {
		return err
	}
	missing := c.mayMiss(r)
	for i, row := range rows {
		if missing[term(keys[i][:len(term{})])] {
			continue
		}
		if len(row) != 8 || lastIndex(row) > r.Index {
			c.bad(fmt.Errorf("%w: what record %d says is not found by its %c and repository", storage.ErrCorrupt, r.Index, keys[i][0]))
		}
	}
	return nil
}

// image wants the record of a row to say what the row is there for.
func (c *checker) image(tx storage.Reader, item storage.Item) error {
	if len(item.Value) != 8 {
		return nil // reported with its record
	}
	if lastIndex(item.Value) >= c.end {
		return c.mustBe(tx, lastIndex(item.Value), "images")
	}
	r, err := ReadRecord(tx, lastIndex(item.Value))
	if errors.Is(err, ErrNoRecord) || errors.Is(err, storage.ErrCorrupt) {
		return nil // reported already
	}
	if err == nil && !slices.ContainsFunc(imageKeys(r), func(key []byte) bool { return bytes.Equal(key, item.Key) }) {
		c.bad(fmt.Errorf("%w: a row of images names record %d, which does not explain it", storage.ErrCorrupt, r.Index))
	}
	return err
}

// beginnings wants a record to be found by how its digest and its commits begin, unless it is of an older version and has no
// such rows yet.
func (c *checker) beginnings(tx storage.Reader, r *Record) error {
	if r.Index >= c.indexed.filled {
		return nil
	}
	rows, err := tx.GetMany(orderedTable, orderedKeys(r))
	if err == nil && slices.ContainsFunc(rows, func(row []byte) bool { return row == nil }) {
		c.bad(fmt.Errorf("%w: record %d is not found by how its digest or a commit begins", storage.ErrCorrupt, r.Index))
	}
	return err
}

// ordered wants a record that is found by what begins as a row does.
func (c *checker) ordered(tx storage.Reader, item storage.Item) error {
	d, value := byDigest, orderedValue(item.Key)
	if item.Key[0] == orderedCommit {
		d = byRevision
	}
	t := newTerm(d, value)
	row, err := firstRow(tx, indexTable, t[:], storage.PrefixEnd(t[:]))
	if err == nil && (value == "" || row.Key == nil) {
		c.bad(fmt.Errorf("%w: the row of beginnings %q leads to nothing that a record has", storage.ErrCorrupt, value))
	}
	return err
}

// term counts an index row.
func (c *checker) term(tx storage.Reader, item storage.Item) error {
	if lastIndex(item.Key) < min(c.end, c.indexed.next) {
		c.found++
	}
	return c.mustBe(tx, lastIndex(item.Key), "records")
}

// time counts a row of the index of times.
func (c *checker) time(tx storage.Reader, item storage.Item) error {
	if lastIndex(item.Key) < min(c.end, c.indexed.next) {
		c.timesFound++
	}
	return c.mustBe(tx, lastIndex(item.Key), "times")
}

// aside wants the record that something is kept beside.
func (c *checker) aside(tx storage.Reader, item storage.Item) error {
	return c.mustBe(tx, lastIndex(item.Key), "addresses")
}

// newest wants the newest record of a repository to be one of it. Whether there is a newer one the replay tells.
func (c *checker) newest(tx storage.Reader, item storage.Item) error {
	index := lastIndex(item.Value)
	r, err := ReadStated(tx, index)
	if errors.Is(err, ErrNoRecord) || errors.Is(err, storage.ErrCorrupt) || err == nil && r.Repository != string(item.Key) {
		c.bad(fmt.Errorf("%w: the newest record of %s is said to be %d, which is not one of it", storage.ErrCorrupt, item.Key, index))
		return nil
	}
	return err
}

// mustBe wants a record that an index names, and that may be newer than the check, to be there.
func (c *checker) mustBe(tx storage.Reader, record uint64, index string) error {
	if record < c.end {
		return nil
	}
	h, err := readHead(tx)
	if err == nil && record >= h.next {
		c.bad(fmt.Errorf("%w: the index of %s names record %d, and there are %d", storage.ErrCorrupt, index, record, h.next))
	}
	return err
}
