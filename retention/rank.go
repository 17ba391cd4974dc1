package retention

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// maxRanked bounds the tags or records that are read to tell which tags of a repository are its newest. Of one with more tags the records are followed
// backwards, a tenth of them at a time: the newest few are among the last.
const maxRanked = 1000

// rank is what is known of the newest tags that a rule covers.
type rank struct {
	newest int    // so many are kept
	found  int    // so many of them are known
	down   uint64 // the records from here on were looked at, and the tags that they set are known
	whole  bool   // all of the newest are known
}

// keeps says whether a tag is among the newest, and whether that is known.
func (k rank) keeps(record uint64) (kept, known bool) {
	kept = k.newest > 0 && k.found > 0 && record >= k.down
	return kept, kept || k.whole || k.newest == 0
}

// note notes a covered tag, of which none set before was noted.
func (k *rank) note(record uint64) {
	if !k.whole {
		k.found++
		k.down = record
		k.whole = k.found >= k.newest // tags that the same record set are equally new
	}
}

// ranks finds for each rule the newest tags that it covers.
func (k *Keeper) ranks(ctx context.Context, repo string, rules []*Rule) ([]rank, error) {
	all, open := make([]rank, len(rules)), false
	for i, r := range rules {
		if r.Keep.Newest != nil {
			all[i].newest = *r.Keep.Newest
		}
		open = open || all[i].newest > 0
	}
	if !open {
		return all, nil
	}
	tags, next, err := k.c.Registry.Tags(ctx, repo, registry.TagQuery{Limit: k.ranked, Images: true})
	switch {
	case errors.Is(err, registry.ErrUnknown): // it went meanwhile
		return all, nil
	case err != nil:
		return nil, err
	case next != "":
		return all, k.follow(ctx, repo, rules, all)
	}
	note(all, rules, tags)
	wholly(all)
	return all, nil
}

// wholly notes that all tags of the repository were looked at.
func wholly(all []rank) {
	for i := range all {
		all[i].whole = true
	}
}

// note notes tags that were set after all that are noted later.
func note(all []rank, rules []*Rule, tags []registry.TagEntry) {
	slices.SortFunc(tags, func(a, b registry.TagEntry) int { return cmp.Compare(b.Record, a.Record) })
	for _, t := range tags {
		for i, r := range rules {
			if r.covers(t.Name) && !registry.IsBeside(t.Name) {
				all[i].note(t.Record)
			}
		}
	}
}

// follow follows the records of a repository backwards to the tags that are still as these set them.
func (k *Keeper) follow(ctx context.Context, repo string, rules []*Rule, all []rank) error {
	q := provenance.Query{Repository: repo, Descending: true, Limit: k.ranked / 10}
	for range 10 {
		page, err := k.c.Book.Find(ctx, q)
		if err != nil {
			return err
		}
		tags, err := k.stillSet(ctx, repo, page.Records)
		if err != nil {
			return err
		}
		note(all, rules, tags)
		open := slices.ContainsFunc(all, func(r rank) bool { return r.newest > 0 && !r.whole })
		if page.Next == nil {
			wholly(all)
		}
		if !open || page.Next == nil {
			return nil
		}
		q.After = page.Next
	}
	return nil
}

// stillSet are the tags that mean what these records set them to.
func (k *Keeper) stillSet(ctx context.Context, repo string, records []*provenance.Record) ([]registry.TagEntry, error) {
	set, by := map[string]bool{}, map[uint64]bool{}
	for _, r := range records {
		by[r.Index] = true
		for _, t := range r.Tags {
			set[t.Name] = set[t.Name] || r.Meaning(t) != ""
		}
	}
	names := make([]string, 0, len(set))
	for name, isSet := range set {
		if isSet {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	now, err := k.c.Registry.TagsNamed(ctx, repo, names)
	return slices.DeleteFunc(now, func(t registry.TagEntry) bool { return !by[t.Record] }), err
}
