package retention

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// A list shows what becomes of its tags. It cannot wait for an evaluation, which reads the whole repository, so an Expiry is worked out from a few rows for
// each tag. Where these do not tell, it says so: a plan does. It removes nothing and no plan is made of it.

// A Fate is what becomes of a tag.
type Fate string

// The kinds of Fate.
const (
	Stays   Fate = "stays"   // as things are now, no matter how much time passes
	Until   Fate = "until"   // it stays until a time, and then goes with the next plan
	Goes    Fate = "goes"    // with the next plan
	Follows Fate = "follows" // a signing tool made it from the digest of an image: it goes with that
	Open    Fate = "open"    // only a plan tells
)

// An Expiry is what the rules in force would make of a tag.
type Expiry struct {
	State Fate             `json:"state"`
	At    *provenance.Time `json:"at,omitempty"`   // the end of Until
	Rule  string           `json:"rule,omitempty"` // by which it goes, at that time or now
	Why   string           `json:"why,omitempty"`  // it stays, or only a plan tells
}

// An Aged is a tag with the time at which it was set, and what keeps it whatever the rules say.
type Aged struct {
	registry.TagEntry
	Set time.Time
	registry.Protection
}

// Expiries says what the rules in force would make of some tags of a repository, in their order, or nil where no rule names the repository. What it reads
// is bounded by the tags that are asked about, and by maxRanked.
func (k *Keeper) Expiries(ctx context.Context, repo string, tags []Aged) ([]Expiry, error) {
	set := k.inForce()
	if len(tags) == 0 || !set.Covers(repo) {
		return nil, nil
	}
	x := &expirer{repo: repo, now: k.now(), tags: tags}
	x.rules = slices.DeleteFunc(slices.Clone(set.Rules), func(r *Rule) bool { return !r.in(repo) })
	if err := x.read(ctx, k); err != nil {
		return nil, err
	}
	all := make([]Expiry, len(tags))
	for i := range tags {
		all[i] = x.expiry(i)
	}
	return all, nil
}

// expirer is what is known of some tags while their Expiries are worked out.
type expirer struct {
	repo   string
	rules  []*Rule
	now    time.Time
	tags   []Aged
	at     Moment
	ranks  []rank      // by rule
	pulled []time.Time // zero where no pull is known, or no rule asks
}

func (x *expirer) read(ctx context.Context, k *Keeper) (err error) {
	names := make([]string, len(x.tags))
	for i, t := range x.tags {
		names[i] = t.Name
	}
	named := &Set{Rules: x.rules}
	if x.at, err = k.moment(ctx, named, x.now); err != nil {
		return err
	}
	x.pulled = make([]time.Time, len(x.tags))
	if k.c.Pulls != nil && named.needsPulls() {
		if err := k.eachPull(ctx, x.repo, names, func(i int, t time.Time) { x.pulled[i] = t }); err != nil {
			return err
		}
	}
	x.ranks, err = k.ranks(ctx, x.repo, x.rules)
	return err
}

// expiry says what becomes of a tag: whatever keeps it longest wins.
func (x *expirer) expiry(i int) Expiry {
	t := x.tags[i]
	if registry.IsBeside(t.Name) {
		return Expiry{State: Follows, Why: "it goes with the image whose digest it is made from"}
	}
	e := protection(t.Protection)
	covered := ""
	for n, r := range x.rules {
		if r.covers(t.Name) {
			covered = cmp.Or(covered, r.Name)
			e = longest(e, x.byRule(i, n))
		}
	}
	switch {
	case covered == "" && e.State != Stays:
		return Expiry{State: Stays, Why: "no rule covers it"}
	case e.State == Until || e.State == Goes:
		e.Rule = covered
	}
	return e
}

// protection is what becomes of a tag that no rule keeps.
func protection(p registry.Protection) Expiry {
	switch {
	case p.Fixed != "":
		return Expiry{State: Stays, Why: "immutable: " + p.Fixed}
	case !p.Held.IsZero():
		return Expiry{State: Until, At: &p.Held, Why: "held until " + p.Held.String()}
	}
	return Expiry{State: Goes}
}

// byRule is what one rule makes of a tag that it covers.
func (x *expirer) byRule(i, n int) Expiry {
	t, keep, by := x.tags[i], &x.rules[n].Keep, "rule "+x.rules[n].Name+": "
	if matchesAny(keep.Tags, t.Name) {
		return Expiry{State: Stays, Why: by + "its name is to be kept"}
	}
	if keep.Newest != nil {
		switch kept, known := x.ranks[n].keeps(t.Record); {
		case kept:
			return Expiry{State: Stays, Why: by + fmt.Sprintf("among the newest %d", *keep.Newest)}
		case !known:
			return Expiry{State: Open, Why: by + fmt.Sprintf("whether it is among the newest %d, only a plan tells here", *keep.Newest)}
		}
	}
	if keep.when != nil {
		return Expiry{State: Open, Why: by + "only a plan asks its expression"}
	}
	return longest(x.younger(t, keep, by), x.wasPulled(x.pulled[i], keep, by))
}

// younger says how long a rule keeps a tag for its age. By the running maximum of the records' times it may be younger than its own record says: then
// nobody knows here until when.
func (x *expirer) younger(t Aged, keep *Keep, by string) Expiry {
	if keep.Younger == 0 || t.Record < x.at.Since(keep.Younger) {
		return Expiry{State: Goes}
	}
	why := by + "younger than " + units.Duration(keep.Younger).String()
	end := t.Set.Add(keep.Younger)
	if !end.After(x.now) {
		return Expiry{State: Open, Why: why + ", as the clock was set back meanwhile"}
	}
	at := provenance.At(end)
	return Expiry{State: Until, At: &at, Why: why}
}

// wasPulled says how long a rule keeps a tag for its last pull.
func (x *expirer) wasPulled(pulled time.Time, keep *Keep, by string) Expiry {
	if keep.Pulled == 0 || pulled.IsZero() || !pulled.After(x.now.Add(-keep.Pulled)) {
		return Expiry{State: Goes}
	}
	at := provenance.At(pulled.Add(keep.Pulled))
	return Expiry{State: Until, At: &at, Why: by + "pulled within " + units.Duration(keep.Pulled).String()}
}

// strength is the order in which a Fate prevails over others.
var strength = map[Fate]int{Goes: 0, Until: 1, Open: 2, Stays: 3}

// longest is the one of two that keeps longer; the first where both do.
func longest(a, b Expiry) Expiry {
	later := a.State == Until && b.State == Until && b.At.After(a.At.Time)
	if strength[b.State] > strength[a.State] || later {
		return b
	}
	return a
}
