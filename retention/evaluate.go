package retention

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/registry"
)

// A Disposition is what becomes of a tag or a manifest.
type Disposition struct {
	Goes bool
	Rule string // by which it goes: the name of a rule, or Untagged
	Why  string // it stays; of a tag also why it goes
}

// Untagged stands for the rule by which manifests go that no tag means.
const Untagged = "untagged"

// A Count says what a rule does in some repositories.
type Count struct {
	Rule      string `json:"rule"`
	Covers    int    `json:"covers"`              // tags
	Keeps     int    `json:"keeps"`               // of these by the rule itself
	Goes      int    `json:"goes"`                // of the others, those that nothing else keeps
	Overruled int    `json:"overruled"`           // of the others, those that another rule, a hold or an immutable tag keeps
	Failed    int    `json:"failed,omitempty"`    // tags that stay because the rule's expression failed
	LastError string `json:"lastError,omitempty"` // of these
}

// An Evaluation says what becomes of each tag and manifest of some Facts.
type Evaluation struct {
	Tags      []Disposition // in the order of Facts.Tags
	Manifests []Disposition // in the order of Facts.Manifests
	Rules     []Count       // in the order of the rules

	// beside are the tags that tools made from the digest of a manifest, by the manifest; by -1 those made from digests that are not here.
	beside map[int][]int
}

// Evaluate applies rules to a repository. In one that no rule names, everything stays.
func Evaluate(ctx context.Context, s *Set, f *Facts, at Moment) (*Evaluation, error) {
	if !s.Covers(f.Repository) {
		return staying(s, f), nil
	}
	e := &evaluator{set: s, f: f, at: at, Evaluation: Evaluation{
		Tags: make([]Disposition, len(f.Tags)), Manifests: make([]Disposition, len(f.Manifests)),
	}}
	e.index()
	if err := e.evaluateTags(ctx); err != nil {
		return nil, err
	}
	e.evaluateManifests()
	return &e.Evaluation, nil
}

// staying is the evaluation of a repository that no rule names.
func staying(s *Set, f *Facts) *Evaluation {
	e := &Evaluation{Tags: make([]Disposition, len(f.Tags)), Manifests: make([]Disposition, len(f.Manifests))}
	for _, all := range [][]Disposition{e.Tags, e.Manifests} {
		for i := range all {
			all[i].Why = "no rule names the repository"
		}
	}
	if s != nil {
		for _, r := range s.Rules {
			e.Rules = append(e.Rules, Count{Rule: r.Name})
		}
	}
	return e
}

// evaluator is an Evaluation while it is made.
type evaluator struct {
	Evaluation
	set *Set
	f   *Facts
	at  Moment

	tags      [][]int       // tags of each manifest
	referrers map[int][]int // manifests by their subject
	isBeside  map[int]bool  // the tags in beside
	queue     []int         // manifests that stay, whose neighbours have not been looked at
}

// index finds tags and referrers by their manifests.
func (e *evaluator) index() {
	e.tags, e.referrers = make([][]int, len(e.f.Manifests)), map[int][]int{}
	e.beside, e.isBeside = map[int][]int{}, map[int]bool{}
	var beside []int
	for i, t := range e.f.Tags {
		e.tags[t.Manifest] = append(e.tags[t.Manifest], i)
		if registry.IsBeside(t.Name) {
			beside = append(beside, i)
		}
	}
	for i, m := range e.f.Manifests {
		if m.Subject >= 0 {
			e.referrers[m.Subject] = append(e.referrers[m.Subject], i)
		}
	}
	if len(beside) > 0 {
		e.indexBeside(beside)
	}
}

// indexBeside finds the tags that are made from digests by the manifests that these are of.
func (e *evaluator) indexBeside(tags []int) {
	names := make(map[string]int, len(e.f.Manifests))
	for i, m := range e.f.Manifests {
		names[registry.BesideName(m.Digest)] = i
	}
	for _, t := range tags {
		name, _, _ := strings.Cut(e.f.Tags[t].Name, ".")
		about, ok := names[name]
		if !ok {
			about = -1
		}
		if about == e.f.Tags[t].Manifest {
			continue // a name like any other
		}
		e.isBeside[t] = true
		e.beside[about] = append(e.beside[about], t)
	}
}

// evaluateTags lets each tag stay or go, but for those beside images, which follow their images.
func (e *evaluator) evaluateTags(ctx context.Context) error {
	covered := make([][]*Count, len(e.f.Tags)) // the rules that would let it go
	for i, t := range e.f.Tags {
		e.Tags[i].Why = e.keptAnyway(t)
	}
	rules := make([]Count, len(e.set.Rules))
	for i, r := range e.set.Rules {
		rules[i].Rule = r.Name
		if !r.in(e.f.Repository) {
			continue
		}
		if err := e.evaluateBy(ctx, r, &rules[i], covered); err != nil {
			return err
		}
	}
	for i := range e.f.Tags {
		v := &e.Tags[i]
		for _, c := range covered[i] {
			if v.Why != "" {
				c.Overruled++
			} else {
				c.Goes++
			}
		}
		switch {
		case v.Why != "" || e.isBeside[i]: // the latter follow their images: closure.go
		case len(covered[i]) == 0:
			v.Why = "no rule covers it"
		default:
			v.Goes, v.Rule = true, covered[i][0].Rule
		}
	}
	e.Rules = rules
	return nil
}

// keptAnyway says what keeps a tag whatever the rules say.
func (e *evaluator) keptAnyway(t Tag) string {
	switch held := e.f.Manifests[t.Manifest].Held; {
	case held != "":
		return "held " + held
	case t.Immutable != "":
		return "immutable: " + t.Immutable
	}
	return ""
}

// evaluateBy applies one rule to the tags that it covers.
func (e *evaluator) evaluateBy(ctx context.Context, r *Rule, c *Count, covered [][]*Count) error {
	var all []int
	for i, t := range e.f.Tags {
		if r.covers(t.Name) && !e.isBeside[i] {
			all = append(all, i)
		}
	}
	k := e.keeper(r, all)
	c.Covers = len(all)
	for _, i := range all {
		why := k.why(e.f.Tags[i])
		if why == "" && r.Keep.when != nil && e.Tags[i].Why == "" {
			if why = e.ask(ctx, r, c, e.f.Tags[i]); ctx.Err() != nil {
				return ctx.Err()
			}
		}
		switch {
		case why == "":
			covered[i] = append(covered[i], c)
		case e.Tags[i].Why == "":
			e.Tags[i].Why = "rule " + r.Name + ": " + why
			c.Keeps++
		default:
			c.Keeps++
		}
	}
	return nil
}

// ask asks the expression of a rule, and returns why the tag stays, or "".
func (e *evaluator) ask(ctx context.Context, r *Rule, c *Count, t Tag) string {
	holds, err := r.Keep.when.Holds(ctx, e.f.Repository, t.Name, e.f.Manifests[t.Manifest].Digest)
	switch {
	case err != nil:
		c.Failed++
		c.LastError = clip(err.Error())
		return "when could not be asked: " + c.LastError
	case holds:
		return "when is true of it"
	}
	return ""
}

// keeper is what a rule keeps in a repository at a moment.
type keeper struct {
	keep            *Keep
	newest, younger uint64 // the oldest records that count; 0 and hasNewest false where none does
	hasNewest       bool
	pulled          time.Time
}

func (e *evaluator) keeper(r *Rule, covered []int) keeper {
	k := keeper{keep: &r.Keep, pulled: e.at.Now.Add(-r.Keep.Pulled)}
	if r.Keep.Younger > 0 {
		k.younger = e.at.Since(r.Keep.Younger)
	}
	if r.Keep.Newest == nil || *r.Keep.Newest == 0 || len(covered) == 0 {
		return k
	}
	records := make([]uint64, len(covered))
	for n, i := range covered {
		records[n] = e.f.Tags[i].Record
	}
	slices.SortFunc(records, func(a, b uint64) int { return cmp.Compare(b, a) })
	// Tags that one push set are equally new: those beside the last of the newest stay too.
	k.newest, k.hasNewest = records[min(*r.Keep.Newest, len(records))-1], true
	return k
}

// why says why a tag stays, but for the expression.
func (k *keeper) why(t Tag) string {
	switch {
	case k.hasNewest && t.Record >= k.newest:
		return fmt.Sprintf("among the newest %d", *k.keep.Newest)
	case k.keep.Younger > 0 && t.Record >= k.younger:
		return "younger than " + units.Duration(k.keep.Younger).String()
	case k.keep.Pulled > 0 && !t.Pulled.IsZero() && t.Pulled.After(k.pulled):
		return "pulled within " + units.Duration(k.keep.Pulled).String()
	case matchesAny(k.keep.Tags, t.Name):
		return "its name is to be kept"
	}
	return ""
}
