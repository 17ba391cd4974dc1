package evidence

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// maxRecords bounds the records of a file: with their receipts they are about 20 KB each.
const maxRecords = 10_000

// chosen are the records that go into a file.
type chosen struct {
	book    Book
	rights  func(*provenance.Query) // says what the reader may see
	indexes map[uint64]bool
	full    bool // there are more
}

// add finds records, the newest first, and takes them all.
func (c *chosen) add(ctx context.Context, q provenance.Query) error {
	c.rights(&q)
	for q.Descending = true; ; {
		page, err := c.book.Find(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			if c.full = c.full || !c.indexes[r.Index] && len(c.indexes) >= maxRecords; c.full {
				return nil
			}
			c.indexes[r.Index] = true
		}
		if page.Next == nil {
			return nil
		}
		q.After = page.Next
	}
}

// newest finds the newest record of an action, or nil.
func (c *chosen) newest(ctx context.Context, action provenance.Action) (*provenance.Record, error) {
	q := provenance.Query{Action: action, Descending: true, Limit: 1}
	c.rights(&q)
	for {
		page, err := c.book.Find(ctx, q)
		if err != nil {
			return nil, err
		}
		if len(page.Records) > 0 {
			return page.Records[0], nil
		}
		if page.Next == nil {
			return nil, nil
		}
		q.After = page.Next
	}
}

// about takes all records about an image, the moves of its tag, and all about what belongs to it, of one repository, in this
// order: where there are too many, those of the image are there.
func (c *chosen) about(ctx context.Context, cover *Cover, parts []digest.Digest) error {
	of := func(d digest.Digest) []provenance.Query {
		return []provenance.Query{{Repository: cover.Repository, Digest: d}, {Repository: cover.Repository, About: d}}
	}
	asked := of(cover.Digest)
	if cover.Tag != "" {
		asked = append(asked, provenance.Query{Repository: cover.Repository, Tag: cover.Tag})
	}
	for _, d := range parts {
		if d != cover.Digest {
			asked = append(asked, of(d)...)
		}
	}
	for _, q := range asked {
		if err := c.add(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// keys takes all records that put a key in force or began a log.
func (c *chosen) keys(ctx context.Context) error {
	for _, action := range []provenance.Action{provenance.KeyChange, provenance.Restore} {
		if err := c.add(ctx, provenance.Query{Action: action}); err != nil {
			return err
		}
	}
	return nil
}

// inForce takes the newest record by which a document is in force, and names it in the document where it does say so.
func (c *chosen) inForce(ctx context.Context, d *Document) error {
	actions := []provenance.Action{provenance.Rules}
	if d.Name == Access {
		actions = []provenance.Action{provenance.Grant, provenance.Revoke}
	}
	var newest *provenance.Record
	for _, action := range actions {
		r, err := c.newest(ctx, action)
		if err != nil {
			return err
		}
		if r != nil && (newest == nil || r.Index > newest.Index) {
			newest = r
		}
	}
	if newest != nil && inForceBy(newest, d.Name) == d.Digest {
		d.Record = &newest.Index
		c.indexes[newest.Index] = true
	}
	return nil
}

// inForceBy is the digest of a document that a record puts in force, or "".
func inForceBy(r *provenance.Record, name string) digest.Digest {
	switch {
	case name == Policy && r.Rules != nil:
		return r.Rules.Policy
	case name == Trust && r.Rules != nil:
		return r.Rules.Trust
	case name == Access && r.Grant != nil:
		return r.Digest
	default:
		return ""
	}
}

// sorted returns the indexes in order, those of records with a receipt apart from those from before there was a log.
func (c *chosen) sorted(first uint64) (indexes, unproved []uint64) {
	for i := range c.indexes {
		if i < first {
			unproved = append(unproved, i)
		} else {
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	slices.Sort(unproved)
	return indexes, unproved
}

func (c *chosen) leftOut() []LeftOut {
	if !c.full {
		return nil
	}
	return []LeftOut{{"older records", fmt.Sprintf("a file holds up to %d records", maxRecords)}}
}
