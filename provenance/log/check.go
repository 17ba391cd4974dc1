package log

import (
	"fmt"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/storage"
	"golang.org/x/mod/sumdb/tlog"
)

// A Checker compares the rows of a log with its leaves, which it is given in their order, and reports what
// does not fit. It goes on from the stored hash of a leaf, not from the right one, so that one changed
// leaf is one complaint, and not one about each hash above it.
type Checker struct {
	log  Log
	edge edge
	bad  func(error)
	// unsigned says that the last signature did not fit: one complaint for all that follow from one changed hash.
	unsigned bool
	// Keeps says that a signature was kept with an entry before: since then each has one, whatever log it is in.
	Keeps bool
}

// NewChecker returns a checker of a log. bad is told of each thing that does not fit.
func NewChecker(l Log, bad func(error)) *Checker { return &Checker{log: l, bad: bad} }

// Next returns the entry whose leaf is wanted next.
func (c *Checker) Next() uint64 { return c.log.First + uint64(c.edge.size) }

// Leaf checks the rows of the next leaf. A nil leaf is one that is missing: what is above it is still checked.
func (c *Checker) Leaf(tx storage.Reader, leaf []byte) error {
	entry, first := c.Next(), tlog.StoredHashCount(c.edge.size)
	stored, err := tx.Get(hashTable, hashKey(c.log.Number, first))
	if err != nil || len(stored) != tlog.HashSize {
		c.badf("the log has no hash of entry %d", entry)
		stored = make([]byte, tlog.HashSize)
	}
	if leaf != nil && tlog.RecordHash(leaf) != tlog.Hash(stored) {
		c.badf("entry %d is not what the log was given as its leaf %d", entry, c.edge.size)
	}
	next, hashes, err := c.edge.addHash(tlog.Hash(stored))
	if err != nil {
		return err
	}
	for level := 1; level < len(hashes); level++ {
		row, err := tx.Get(hashTable, hashKey(c.log.Number, first+int64(level)))
		if err != nil || len(row) != tlog.HashSize || tlog.Hash(row) != hashes[level] {
			c.badf("the hash over the leaves %d to %d is not that of the hashes below it", next.size-1<<level, c.edge.size)
		}
	}
	c.edge = next
	return nil
}

// Signed checks the signature that is kept for the checkpoint that ends with the leaf before Next. A nil one is of an
// older version, which kept none: no entry before it has one.
func (c *Checker) Signed(signature []byte) error {
	if signature == nil {
		if c.Keeps {
			c.badf("no signature of the checkpoint of %d leaves is kept with entry %d, and one is with an entry before it", c.edge.size, c.Next()-1)
		}
		return nil
	}
	c.Keeps = true
	is, err := Head{Log: c.log, edge: c.edge}.Checkpoint()
	if err != nil {
		return err
	}
	_, err = is.SignedBefore(c.log.Key, signature)
	if err != nil && !c.unsigned {
		c.badf("the signature kept with entry %d is not of the checkpoint of %d leaves", c.Next()-1, is.Size)
	}
	c.unsigned = err != nil
	return nil
}

// End checks, after the last leaf, the signed checkpoint of that size.
func (c *Checker) End(signed string) error {
	v, err := c.log.Verifier()
	if err != nil {
		return err
	}
	found, err := checkpoint.Open(signed, v)
	if err != nil {
		c.badf("its checkpoint: %w", err)
		return nil
	}
	root, err := tlog.TreeHash(c.edge.size, c.edge)
	if err != nil {
		return err
	}
	if found.Size != uint64(c.edge.size) || found.Root != root {
		c.badf("its checkpoint says %d leaves with the root %s, and the rows say %d with %s", found.Size, found.Root, c.edge.size, root)
	}
	return nil
}

// Head checks that the head of the log, which appends go on from, is the one that the leaves lead to.
func (c *Checker) Head(h Head) {
	if h.Number != c.log.Number || string(h.edge.encode(0)) != string(c.edge.encode(0)) {
		c.badf("its head, which appends go on from, is not the one that its leaves lead to")
	}
}

func (c *Checker) badf(format string, args ...any) {
	c.bad(fmt.Errorf("%w: log %s: "+format, append([]any{storage.ErrCorrupt, c.log.Origin}, args...)...))
}
