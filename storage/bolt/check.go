package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/seed-260924e6/hallmark/storage"
)

// bbolt's own check compares the pages of a transaction with the list of free pages that the writer holds in
// memory: beside a writer it reports what is no damage, and reads a map that the writer changes, which ends the
// process. This one reads the file alone. What a transaction reaches, and the list of free pages that was written
// with it, stay as they are while the transaction is open, whatever is committed meanwhile.

// Check reads the pages of the store as they are at this moment and reports to bad, as storage.ErrCorrupt, what
// does not fit: a page that is not what it is used as, rows out of their order or outside of their page, pages that
// are used twice, or used and free, or neither. It may run at any time. Updates go on; the pages that they free are
// not used again before it ends.
func (s *Store) Check(ctx context.Context, bad func(error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	tx, err := s.db.Begin(false)
	if err != nil {
		return closedError(err)
	}
	defer tx.Rollback() //nolint:errcheck // ending a read transaction cannot fail
	h, err := readHead(tx)
	if err != nil {
		return err
	}
	f, err := os.Open(s.db.Path())
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it was only read
	c := &pageCheck{ctx: ctx, file: f, fileHead: h, used: newBits(h.pages), free: newBits(h.pages)}
	c.bad = func(format string, args ...any) {
		bad(fmt.Errorf("%w: store: "+format, append([]any{storage.ErrCorrupt}, args...)...))
	}
	return c.run()
}

// pageCheck is one check of a file.
type pageCheck struct {
	ctx context.Context
	fileHead
	file       io.ReaderAt
	used, free bits
	bad        func(format string, args ...any)
}

func (c *pageCheck) run() error {
	c.used.set(0) // the two heads
	c.used.set(1)
	if err := c.freeList(); err != nil {
		return err
	}
	if err := c.tree(c.root, span{}); err != nil {
		return err
	}
	return c.rest()
}

// rest wants every page to be used or free. Where a page of the tree cannot be read, all below it are neither.
func (c *pageCheck) rest() error {
	lost, first := 0, uint64(0)
	for n := range c.pages {
		switch {
		case c.used.has(n) && c.free.has(n):
			c.bad("page %d is used, and listed as free", n)
		case !c.used.has(n) && !c.free.has(n):
			if lost++; lost == 1 {
				first = n
			}
		}
	}
	if lost > 0 {
		c.bad("%d pages, of which page %d is the first, are neither used nor listed as free", lost, first)
	}
	return c.ctx.Err()
}

// freeList reads the list of free pages. It may be long, so it is not read whole.
func (c *pageCheck) freeList() error {
	p, err := c.take(c.list)
	if err != nil || p == nil {
		return err
	}
	if p.kind != listKind {
		c.bad("page %d should be the list of free pages, and has the kind %#x", c.list, p.kind)
		return nil
	}
	count, at := uint64(p.count), pageHead
	if count == manyFree {
		count, at = binary.NativeEndian.Uint64(p.bytes[pageHead:]), pageHead+8
	}
	if count > uint64(len(p.bytes)-at)/8 {
		c.bad("the list of free pages says that it has %d entries, for which it has no room", count)
		return nil
	}
	last := uint64(0)
	for ids := p.bytes[at : at+8*int(count)]; len(ids) > 0; ids = ids[8:] {
		n := binary.NativeEndian.Uint64(ids)
		if n <= last || n >= c.pages {
			c.bad("the list of free pages names page %d behind page %d, and there are %d", n, last, c.pages)
			continue
		}
		c.free.set(n)
		last = n
	}
	return nil
}

// span is where the keys of a page lie: from the first on, and below end, where they are not nil.
type span struct{ from, end []byte }

func (s span) holds(key []byte) bool {
	return bytes.Compare(key, s.from) >= 0 && (s.end == nil || bytes.Compare(key, s.end) < 0)
}

// tree checks a page and all below it. A page that was met before ends it, so that a circle does.
func (c *pageCheck) tree(n uint64, keys span) error {
	p, err := c.take(n)
	if err != nil || p == nil {
		return err
	}
	switch p.kind {
	case branchKind:
		return c.branch(p, keys)
	case leafKind:
		return c.leaf(p, keys)
	default:
		c.bad("page %d has the kind %#x, and should hold rows", n, p.kind)
		return nil
	}
}

func (c *pageCheck) branch(p *page, keys span) error {
	list, ok := c.elements(p, keys)
	if !ok {
		return nil
	}
	for i, e := range list {
		below := span{e.key, keys.end}
		if i+1 < len(list) {
			below.end = list[i+1].key
		}
		if err := c.tree(e.child, below); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks a page of rows. Some are tables, with a tree of their own, or, if they are small, a page within the row.
func (c *pageCheck) leaf(p *page, keys span) error {
	list, ok := c.elements(p, keys)
	if !ok {
		return nil
	}
	for _, e := range list {
		if !e.table {
			continue
		}
		if len(e.value) < tableHead {
			c.bad("page %d: a table is cut short", p.n)
			continue
		}
		root, within := binary.NativeEndian.Uint64(e.value), e.value[tableHead:]
		var err error
		switch {
		case root != 0:
			err = c.tree(root, span{})
		case len(within) < pageHead:
			c.bad("page %d: a table within it is cut short", p.n)
		default:
			err = c.leaf(parsePage(p.n, within), span{})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// elements reads what a page consists of, and reports what of it is not possible: then the rest is not looked at.
func (c *pageCheck) elements(p *page, keys span) (list []pageElement, ok bool) {
	if pageHead+elementSize*int(p.count) > len(p.bytes) {
		c.bad("page %d says that it has %d rows, for which it has no room", p.n, p.count)
		return nil, false
	}
	list = make([]pageElement, p.count)
	for i := range list {
		e, inside := p.element(i)
		switch {
		case !inside:
			c.bad("page %d: row %d ends outside of the page", p.n, i)
			return nil, false
		case !keys.holds(e.key), i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0:
			c.bad("page %d: its rows are not in their order at row %d", p.n, i)
			return nil, false
		}
		list[i] = e
	}
	return list, true
}

// take reads a page that something uses. It is nil where that was reported as damage.
func (c *pageCheck) take(n uint64) (*page, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	if n < 2 || n >= c.pages {
		c.bad("page %d is used, and there are %d", n, c.pages)
		return nil, nil
	}
	if c.used.has(n) {
		c.bad("page %d is used twice", n)
		return nil, nil
	}
	c.used.set(n)
	p := c.read(n, c.size)
	if p == nil || p.more == 0 {
		return p, nil
	}
	if uint64(p.more) >= c.pages-n || int64(p.more) > maxPage/c.size {
		c.bad("page %d says that %d more belong to it", n, p.more)
		return nil, nil
	}
	for next := n + 1; next <= n+uint64(p.more); next++ {
		if c.used.has(next) {
			c.bad("page %d is used twice", next)
		}
		c.used.set(next)
	}
	return c.read(n, c.size*(1+int64(p.more))), nil
}

// read reads size bytes from a page's beginning.
func (c *pageCheck) read(n uint64, size int64) *page {
	b := make([]byte, size)
	if got, err := c.file.ReadAt(b, int64(n)*c.size); got < len(b) {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file ends before it does")
		}
		c.bad("page %d cannot be read: %w", n, err)
		return nil
	}
	p := parsePage(n, b)
	if says := binary.NativeEndian.Uint64(b); says != n {
		c.bad("page %d says that it is page %d", n, says)
		return nil
	}
	return p
}

// maxPage bounds what is read at once, in bytes: far more than any row has, and the list of free pages of a store of
// some terabytes.
const maxPage = 1 << 30

// bits is a set of pages.
type bits []uint64

func newBits(n uint64) bits      { return slices.Repeat(bits{0}, int(n/64+1)) }
func (b bits) has(n uint64) bool { return b[n/64]&(1<<(n%64)) != 0 }
func (b bits) set(n uint64)      { b[n/64] |= 1 << (n % 64) }
