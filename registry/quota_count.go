package registry

import (
	"context"
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A new quota is counted beside pushes, some usage rows in each transaction. Its row keeps how far that came, so that each change
// of a repository is counted once: by the change, where the count has passed the repository, and by the count, where it has not.
// Until it ends the quota refuses nothing: it does not know yet what is used.

// quotaStep is how many usage rows one transaction counts.
const quotaStep = 500

// countQuota counts a quota to its end, unless it was, or is gone.
func (g *Registry) countQuota(ctx context.Context, p access.Pattern) error {
	if err := g.recountLost(ctx); err != nil {
		return err
	}
	for more := true; more; {
		err := g.store.Update(ctx, func(tx storage.Tx) (err error) {
			more, err = g.countSome(tx, p)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// countSome counts the next repositories of a quota, and says whether there are more.
func (g *Registry) countSome(tx storage.Tx, p access.Pattern) (more bool, err error) {
	all, err := g.quotasIn(tx)
	if err != nil || all.find(p) < 0 {
		return false, err
	}
	row, err := readQuotaRow(tx, p)
	if err != nil || row.counted {
		return false, err
	}
	used, last, err := sumUsage(tx, p, row.behind, quotaStep)
	if err != nil {
		return false, err
	}
	row.bytes, row.tags, row.changes, row.lost = row.bytes+used.Bytes(), row.tags+used.Tags, row.changes+1, false
	if row.behind, more = last, last != ""; !more {
		row.counted = true
	}
	tx.Put(quotaUseTable, []byte(p.String()), row.encode())
	return more, nil
}

// sumUsage adds up what the repositories of a pattern use that lie behind a name, and returns the last that it looked at, or "" at
// the end. It looks at n.
func sumUsage(tx storage.Reader, p access.Pattern, behind string, n int) (used Usage, last string, err error) {
	from := []byte(max(behind+"\x00", p.Prefix()))
	next, err := storage.SomeRows(tx, usageTable, from, storage.PrefixEnd([]byte(p.Prefix())), n, func(item storage.Item) error {
		last = string(item.Key)
		if !p.Matches(last) {
			return nil
		}
		row := decodeUsage(item.Value)
		if row.lost {
			return wantUsage(last, row, Usage{})
		}
		used = used.Plus(row.Usage)
		return nil
	})
	if next == nil {
		last = ""
	}
	return used, last, err
}

// quotas checks that the quotas are those on record, and that what is said to be used of each is the sum of its repositories.
func (c *checker) quotas(ctx context.Context) error {
	var all *quotas
	err := c.g.store.View(ctx, func(tx storage.Reader) (err error) {
		if all, err = readQuotas(tx); err != nil {
			return err
		}
		return errors.Join(c.report(quotasOnRecord(tx)), c.report(c.quotaRows(tx, all)))
	})
	if err := c.report(err); err != nil || all == nil {
		return err
	}
	for _, q := range all.Quotas {
		if err := c.report(c.quota(ctx, q.Pattern)); err != nil {
			return err
		}
	}
	return nil
}

// quotasOnRecord wants the newest record about rules to name the quotas that are stored.
func quotasOnRecord(tx storage.Reader) error {
	value, err := getOrNil(tx, quotaTable, quotasKey)
	if err != nil {
		return err
	}
	said, err := provenance.QuotasOnRecord(tx)
	if err != nil {
		return err
	}
	var is digest.Digest
	if value != nil {
		is = digest.FromBytes(value)
	}
	if is != said {
		return damaged("the quotas are %q, and those on record %q", is, said)
	}
	return nil
}

// quotaRows wants no row without a quota, and the version of the quotas where it is looked for.
func (c *checker) quotaRows(tx storage.Reader, all *quotas) error {
	now, err := c.g.quotasIn(tx)
	if err != nil {
		return err
	}
	if now.Version != all.Version || !slices.Equal(now.Quotas, all.Quotas) {
		return damaged("the quotas have version %d, and another is said to be theirs", all.Version)
	}
	for item, err := range tx.Scan(quotaUseTable, nil, nil) {
		if err != nil {
			return err
		}
		p, err := access.ParsePattern(string(item.Key))
		if err != nil || all.find(p) < 0 {
			return damaged("something is said to be used of a quota of %q, which there is not", item.Key)
		}
	}
	return nil
}

// quota compares one with its repositories, as usage does: some of them in each View, again where it changed meanwhile, and at
// last all in one View.
func (c *checker) quota(ctx context.Context, p access.Pattern) error {
	for range usageTries {
		if same, err := c.compareQuota(ctx, p, quotaStep); same || err != nil {
			return err
		}
	}
	_, err := c.compareQuota(ctx, p, -1)
	return err
}

// compareQuota adds up what a quota's repositories use, step of them in each View, or all in one where it is negative. It says
// whether the quota was the same all the time.
func (c *checker) compareQuota(ctx context.Context, p access.Pattern, step int) (same bool, err error) {
	var first quotaRow
	var used Usage
	for behind, began, more := "", false, true; more; began = true {
		var some Usage
		var last string
		err := c.g.store.View(ctx, func(tx storage.Reader) error {
			now, err := readQuotaRow(tx, p)
			if err != nil {
				return err
			}
			if now.lost {
				return damaged("what the repositories of the quota %s use cannot be read, so it refuses nothing; a start, or setting it again, has it counted again", p)
			}
			if !began {
				first = now
			}
			if same = now == first; !same {
				return nil
			}
			n := step
			if n < 0 {
				n = int(^uint(0) >> 1)
			}
			some, last, err = sumUsage(tx, p, behind, n)
			return err
		})
		if err != nil || !same {
			return false, err
		}
		used, behind, more = used.Plus(some), last, last != ""
	}
	if first.counted && (first.bytes != used.Bytes() || first.tags != used.Tags) {
		return true, damaged("the repositories of the quota %s are said to use %d bytes and %d tags, and use %d and %d", p, first.bytes, first.tags, used.Bytes(), used.Tags)
	}
	return true, nil
}
