package retention

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// A Keeper makes plans and applies them. It is safe for concurrent use.
type Keeper struct {
	c    Config
	set  atomic.Pointer[Set] // nil where there are no rules
	busy sync.Mutex          // held while a plan is applied
	now  func() time.Time
	rest func(ctx context.Context, took time.Duration, others bool) // after a removal; others write too
	// fresh is how long an evaluation counts that goes by pulls.
	fresh func(took time.Duration) time.Duration
	// removals bounds what one plan removes: MaxRemovals.
	removals int
	// ranked bounds what is read for Expiries: maxRanked.
	ranked int
	last   atomic.Pointer[Run] // of the schedule; nil before the first since the start
	every  atomic.Int64        // nanoseconds between two runs of the schedule; 0 where there is none

	removed struct{ tags, manifests, skipped atomic.Int64 }
}

// Config is what a Keeper asks. Pulls may be nil: then no time of a pull is known.
type Config struct {
	Store    storage.Store
	Registry Registry
	Book     Book
	Pulls    Pulls
	Log      *slog.Logger
	// Most is the share of a repository's tags, and of its manifests, from 0 to 1, beyond which a schedule leaves the repository to a
	// person; 0 is no bound.
	Most float64
}

// NewKeeper returns a Keeper without rules.
func NewKeeper(c Config) *Keeper {
	return &Keeper{c: c, now: time.Now, rest: rest, fresh: fresh, removals: MaxRemovals, ranked: maxRanked}
}

// Use puts rules in force; nil is none.
func (k *Keeper) Use(s *Set) { k.set.Store(s) }

// Rules returns the rules in force, or nil.
func (k *Keeper) Rules() *Set { return k.set.Load() }

// inForce are the rules in force; where there are none, those of an empty file.
func (k *Keeper) inForce() *Set {
	if s := k.Rules(); s != nil {
		return s
	}
	return &Set{Digest: digest.FromString("")}
}

// planner is a plan while it is made.
type planner struct {
	*Keeper
	set      *Set
	at       Moment
	out      *planWriter
	summary  Summary
	byItself bool                  // a schedule makes it: what stays is not written, and a repository stays whole of which too much would go
	unlinked map[digest.Digest]int // blobs, by how many repositories they leave
}

// Plan writes a plan by the rules in force, and returns its digest. Without rules nothing goes.
func (k *Keeper) Plan(ctx context.Context, w io.Writer) (digest.Digest, *Summary, error) {
	return k.plan(ctx, k.inForce(), w, false)
}

func (k *Keeper) plan(ctx context.Context, s *Set, w io.Writer, byItself bool) (digest.Digest, *Summary, error) {
	unwritten, err := k.pullsForPlan(ctx, s, byItself)
	if err != nil {
		return "", nil, err
	}
	now := k.now()
	at, err := k.moment(ctx, s, now)
	if err != nil {
		return "", nil, err
	}
	p := &planner{Keeper: k, set: s, at: at, byItself: byItself, out: newPlanWriter(w), unlinked: map[digest.Digest]int{}}
	p.summary.Rules = make([]Count, len(s.Rules))
	for i, r := range s.Rules {
		p.summary.Rules[i].Rule = r.Name
	}
	if err := p.out.write(Line{Plan: &Heading{Version: 1, Rules: s.Digest, Time: provenance.At(now)}}); err != nil {
		return "", nil, err
	}
	if err := p.repositories(ctx); err != nil {
		return "", nil, err
	}
	if p.summary.Bytes, err = p.freed(ctx); err != nil {
		return "", nil, err
	}
	clock, err := k.clockWarnings(ctx, now)
	if err != nil {
		return "", nil, err
	}
	p.summary.Warnings = firstWarnings(slices.Concat(unwritten, clock, p.warnings()))
	if err := p.out.write(Line{Summary: &p.summary}); err != nil {
		return "", nil, err
	}
	d, err := p.out.end()
	return d, &p.summary, err
}

// repositories plans each repository that a rule names.
func (p *planner) repositories(ctx context.Context) error {
	for last := ""; ; {
		names, next, err := p.c.Registry.Repositories(ctx, access.Operator, last, 1000)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !p.set.Covers(name) {
				continue
			}
			if err := p.repository(ctx, name); err != nil || p.left() == 0 {
				return err
			}
		}
		if next == "" {
			return nil
		}
		last = next
	}
}

func (p *planner) repository(ctx context.Context, repo string) error {
	f, _, err := p.read(ctx, p.set, repo, p.at.Now)
	if err != nil {
		return fmt.Errorf("%s: %w", repo, err)
	}
	e, err := Evaluate(ctx, p.set, f, p.at)
	if err != nil {
		return err
	}
	if p.compare(e, f) && p.byItself {
		e.stayWhole()
	}
	p.summary.More = e.cut(f, p.left()) || p.summary.More
	p.count(e, f)
	p.unlink(f, e)
	return p.items(f, e)
}

// left is how many more things the plan may remove.
func (p *planner) left() int { return p.removals - p.summary.Tags - p.summary.Manifests }

// compare notes a repository of which more goes than a schedule may remove, and says whether it is one.
func (p *planner) compare(e *Evaluation, f *Facts) (over bool) {
	tags, manifests := e.goes()
	tooMany := func(n, of int) bool { return p.c.Most > 0 && float64(n) > p.c.Most*float64(of) }
	over = tooMany(tags, len(f.Tags)) || tooMany(manifests, len(f.Manifests))
	switch {
	case over && len(p.summary.Over) < maxOver:
		p.summary.Over = append(p.summary.Over, f.Repository)
	case over:
		p.summary.OverMore++
	}
	return over
}

// count adds the counts of a repository.
func (p *planner) count(e *Evaluation, f *Facts) {
	tags, manifests := e.goes()
	p.summary.Repositories++
	p.summary.Tags += tags
	p.summary.Manifests += manifests
	p.summary.StayingTags += len(f.Tags) - tags
	p.summary.Staying += len(f.Manifests) - manifests
	for i, c := range e.Rules {
		sum := &p.summary.Rules[i]
		sum.Covers, sum.Keeps, sum.Goes = sum.Covers+c.Covers, sum.Keeps+c.Keeps, sum.Goes+c.Goes
		sum.Overruled, sum.Failed = sum.Overruled+c.Overruled, sum.Failed+c.Failed
		if c.LastError != "" && i < maxWarnings { // of more, a line of the plan could not be read
			sum.LastError = c.LastError
		}
	}
}

// items writes what goes, in the order in which it can, and what stays.
func (p *planner) items(f *Facts, e *Evaluation) error {
	for i, v := range e.Tags {
		t := f.Tags[i]
		item := Item{f.Repository, t.Name, f.Manifests[t.Manifest].Digest, t.Record, v.Rule, v.Why}
		if err := p.line(v, item); err != nil {
			return err
		}
	}
	for _, i := range inOrder(f, func(i int) []int { return f.Manifests[i].Lists }) {
		v := e.Manifests[i]
		if err := p.line(v, Item{f.Repository, "", f.Manifests[i].Digest, f.Manifests[i].Record, v.Rule, v.Why}); err != nil {
			return err
		}
	}
	return nil
}

// line writes what becomes of something.
func (p *planner) line(v Disposition, i Item) error {
	switch {
	case v.Goes:
		return p.out.write(Line{Goes: &i})
	case !p.byItself:
		return p.out.write(Line{Stays: &i})
	}
	return nil
}

// inOrder puts each manifest before those behind it: what lists manifests before these, so that each can go in turn. Digests allow no circle
// of lists.
func inOrder(f *Facts, behind func(i int) []int) (order []int) {
	seen := make([]bool, len(f.Manifests))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		for _, next := range behind(i) {
			visit(next)
		}
		order = append(order, i)
	}
	for i := range f.Manifests {
		visit(i)
	}
	slices.Reverse(order)
	return order
}

// unlink notes the blobs that leave a repository with the manifests that go.
func (p *planner) unlink(f *Facts, e *Evaluation) {
	needed, leaves := make([]bool, len(f.Blobs)), make([]bool, len(f.Blobs))
	for i, m := range f.Manifests {
		for _, b := range m.Blobs {
			if e.Manifests[i].Goes {
				leaves[b] = true
			} else {
				needed[b] = true
			}
		}
	}
	for b := range f.Blobs {
		if leaves[b] && !needed[b] {
			p.unlinked[f.Blobs[b]]++
		}
	}
}

// freed is how many bytes have the blobs that leave every repository that they are in.
func (p *planner) freed(ctx context.Context) (bytes int64, err error) {
	for some := range slices.Chunk(slices.Sorted(maps.Keys(p.unlinked)), pullStep) {
		links := make([]int, len(some))
		for i, d := range some {
			links[i] = p.unlinked[d]
		}
		stored, err := p.c.Registry.StoredBlobs(ctx, some, links)
		if err != nil {
			return 0, err
		}
		for i, s := range stored {
			if s.Links <= links[i] {
				bytes += s.Size
			}
		}
	}
	return bytes, nil
}

// firstWarnings are as many as a person reads, and how many more there are.
func firstWarnings(all []string) []string {
	if more := len(all) - maxWarnings; more > 0 {
		all = append(all[:maxWarnings], fmt.Sprintf("%d more warnings about rules", more))
	}
	return all
}

// clip cuts an error that may be of any length.
func clip(s string) string {
	if len(s) <= maxError {
		return s
	}
	return strings.ToValidUTF8(s[:maxError], "") + "…"
}

// warnings say which rules are probably not meant as they are.
func (p *planner) warnings() (all []string) {
	if len(p.set.Rules) == 0 {
		return []string{"there are no rules: name a file of rules under retention.file (docs/retention.md)"}
	}
	for _, c := range p.summary.Rules {
		switch {
		case c.Covers == 0:
			all = append(all, fmt.Sprintf("rule %s covers no tag", c.Rule))
		case c.Keeps == 0:
			all = append(all, fmt.Sprintf("rule %s keeps none of the tags that it covers (%d)", c.Rule, c.Covers))
		case c.Keeps == c.Covers:
			all = append(all, fmt.Sprintf("rule %s keeps all of the tags that it covers (%d)", c.Rule, c.Covers))
		}
		if c.Overruled > 0 {
			all = append(all, fmt.Sprintf("rule %s would let tags go (%d) that another rule, a hold or an immutable tag keeps", c.Rule, c.Overruled))
		}
		if c.Failed > 0 {
			all = append(all, fmt.Sprintf("rule %s: its expression could not be evaluated for some tags (%d), which stay: %s", c.Rule, c.Failed, c.LastError))
		}
	}
	return all
}
