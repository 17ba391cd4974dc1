package retention

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// A plan is applied repository by repository. Each is evaluated again first: what the rules keep by now is skipped. Then each removal is a
// transaction of its own, which looks again (registry.Prune). If we stop in between, what is done is done and on record, and who
// applies the plan again finds it gone and goes on.

// The errors of applying a plan, beside ErrPlan.
var (
	// ErrOtherRules: a plan was made by other rules.
	ErrOtherRules = fault.New(fault.Conflict, "the plan was made by other rules than are in force: make another one")
	// ErrApplying: one plan is applied at a time.
	ErrApplying = fault.New(fault.Conflict, "a plan is being applied: wait for its end")
)

// A Skipped is what a plan has removed and was not.
type Skipped struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag,omitempty"`
	Digest     digest.Digest `json:"digest"`
	Why        string        `json:"why"`
}

// Applied is what became of a plan.
type Applied struct {
	Plan      digest.Digest `json:"plan"`
	Tags      int           `json:"tags"` // removed
	Manifests int           `json:"manifests"`
	Skipped   int           `json:"skipped"`
	Done      bool          `json:"done"` // to its end
}

// maxEvaluations bounds how often a repository is evaluated again that others change meanwhile.
const maxEvaluations = 20

// Apply applies a plan for somebody, and tells each what was not removed, and why; now and then progress. Errors: ErrPlan, ErrOtherRules,
// ErrApplying.
func (k *Keeper) Apply(ctx context.Context, who provenance.Identity, p *Plan, skipped func(Skipped) error, progress func(Applied) error) (done Applied, err error) {
	s := k.inForce()
	switch {
	case s.Digest != p.Rules:
		return done, ErrOtherRules
	case !k.busy.TryLock():
		return done, ErrApplying
	}
	defer k.busy.Unlock()
	a := &applier{Keeper: k, set: s, who: who, plan: p, tell: skipped, progress: progress, done: Applied{Plan: p.Digest}}
	for from := 0; from < len(p.Goes); {
		to := from + 1
		for to < len(p.Goes) && p.Goes[to].Repository == p.Goes[from].Repository {
			to++
		}
		if err := a.repository(ctx, p.Goes[from:to]); err != nil {
			return a.done, err
		}
		if err := progress(a.done); err != nil {
			return a.done, err
		}
		from = to
	}
	a.done.Done = true
	return a.done, nil
}

// applier is a plan while it is applied.
type applier struct {
	*Keeper
	set      *Set
	who      provenance.Identity
	plan     *Plan
	tell     func(Skipped) error
	progress func(Applied) error
	done     Applied

	last     uint64    // the record of the last removal, or 0
	othersAt time.Time // when others were last seen to write
}

// evaluated is how a repository was evaluated last.
type evaluated struct {
	tags      map[string]Disposition
	manifests map[digest.Digest]Disposition
	newest    uint64 // record of the repository that it knew
	others    bool   // it has changed since, other than by this plan
	looks     int
	old       time.Time // from when on the evaluation does not count any more; zero is never
}

// fresh is how long an evaluation counts that goes by pulls and took so long: a pull leaves no record that would show that the repository is to be evaluated
// again.
func fresh(took time.Duration) time.Duration { return max(time.Second/2, 10*took) }

// isOld says whether something may have been pulled since.
func (last *evaluated) isOld() bool { return !last.old.IsZero() && time.Now().After(last.old) }

func (a *applier) evaluate(ctx context.Context, repo string, last *evaluated) error {
	begun := time.Now()
	if err := a.flushPulls(ctx); err != nil {
		return err
	}
	at, err := a.moment(ctx, a.set, a.now())
	if err != nil {
		return err
	}
	f, newest, err := a.read(ctx, a.set, repo, at.Now)
	if err != nil {
		return err
	}
	e, err := Evaluate(ctx, a.set, f, at)
	if err != nil {
		return err
	}
	*last = evaluated{
		tags: make(map[string]Disposition, len(f.Tags)), manifests: make(map[digest.Digest]Disposition, len(f.Manifests)),
		newest: newest, looks: last.looks,
	}
	if a.set.needsPulls() {
		last.old = time.Now().Add(a.fresh(time.Since(begun)))
	}
	for i, t := range f.Tags {
		last.tags[t.Name] = e.Tags[i]
	}
	for i, m := range f.Manifests {
		last.manifests[m.Digest] = e.Manifests[i]
	}
	return nil
}

// repository applies what a plan has of one repository: tags before manifests, as the plan has them.
func (a *applier) repository(ctx context.Context, items []Item) error {
	repo, last := items[0].Repository, &evaluated{}
	if err := a.evaluate(ctx, repo, last); err != nil {
		return err
	}
	for i, item := range items {
		if err := a.item(ctx, item, last); err != nil {
			return err
		}
		if i%100 == 99 {
			if err := a.progress(a.done); err != nil {
				return err
			}
		}
	}
	return nil
}

// follows says whether whatever a record of somebody else keeps may keep an item: a manifest, or a tag beside one, stays with other
// images, and an expression may look at anything.
func (a *applier) follows(item Item) bool {
	return item.Tag == "" || item.Rule == Untagged || a.set.asks()
}

// item removes one thing, and evaluates the repository again where others have changed it.
func (a *applier) item(ctx context.Context, item Item, last *evaluated) error {
	for again := last.others && a.follows(item); ; again = true {
		if err := a.mayGoOn(ctx); err != nil {
			return err
		}
		if again && last.looks == maxEvaluations {
			return a.skip(item, "the repository changes faster than it can be evaluated; apply the plan again later")
		}
		if again {
			last.looks++
		}
		if again || last.isOld() {
			if err := a.evaluate(ctx, item.Repository, last); err != nil {
				return err
			}
		}
		if why := last.keeps(item); why != "" {
			return a.skip(item, why)
		}
		if err := a.remove(ctx, item, last); !errors.Is(err, registry.ErrEvaluateAgain) {
			return err
		}
	}
}

// mayGoOn is asked before each removal: rules that are not in force any more remove nothing. Error: ErrOtherRules.
func (a *applier) mayGoOn(ctx context.Context) error {
	if a.inForce().Digest != a.plan.Rules {
		return ErrOtherRules
	}
	return ctx.Err()
}

// The store has one writer. Removals one after another would have every push wait for one in each of its transactions.
const (
	maxRest    = 100 * time.Millisecond
	restOthers = 10          // times as long as a removal took, where others write too
	othersLast = time.Second // how long others are thought to write after a record of theirs
)

// rest leaves the store to others after a removal.
func rest(ctx context.Context, took time.Duration, others bool) {
	if others {
		took *= restOthers
	}
	select {
	case <-ctx.Done():
	case <-time.After(min(took, maxRest)):
	}
}

// noteOthers notes whether others have written a record since the last one of this plan.
func (a *applier) noteOthers(record uint64) {
	if a.last > 0 && record > a.last+1 {
		a.othersAt = time.Now()
	}
	a.last = record
}

// remove removes one thing, or skips it. Error: registry.ErrEvaluateAgain.
func (a *applier) remove(ctx context.Context, item Item, last *evaluated) error {
	begun := time.Now()
	defer func() { a.rest(ctx, time.Since(begun), time.Since(a.othersAt) < othersLast) }()
	r, others, err := a.c.Registry.Prune(ctx, a.who, registry.Pruning{
		Repository: item.Repository, Tag: item.Tag, Digest: item.Digest, Record: item.Record, Newest: last.newest, Strict: a.follows(item),
		Reason: provenance.RuleReason{Rule: item.Rule, Plan: a.plan.Digest},
	})
	var skipped *registry.SkipError
	switch {
	case errors.As(err, &skipped):
		last.others = last.others || item.Tag != "" // its image stays, which the evaluation does not know
		return a.skip(item, skipped.Why)
	case err != nil:
		return err
	}
	// The newest record is now our own, so only last.others tells of those of others before it.
	last.newest, last.others = r.Index, last.others || others
	a.noteOthers(r.Index)
	a.count(item)
	return nil
}

// keeps says why the newest evaluation keeps something, or "".
func (last *evaluated) keeps(item Item) string {
	v, there := last.tags[item.Tag]
	if item.Tag == "" {
		v, there = last.manifests[item.Digest]
	}
	switch {
	case !there:
		return "it is not there any more"
	case !v.Goes:
		return "it is kept by now: " + v.Why
	case v.Rule != item.Rule:
		return "it would go by rule " + v.Rule + " by now, and not by " + item.Rule
	}
	return ""
}

// asks says whether a rule asks an expression, whose answer may change with any record.
func (s *Set) asks() bool {
	for _, r := range s.Rules {
		if r.Keep.when != nil {
			return true
		}
	}
	return false
}

func (a *applier) skip(item Item, why string) error {
	a.done.Skipped++
	a.removed.skipped.Add(1)
	return a.tell(Skipped{item.Repository, item.Tag, item.Digest, why})
}

func (a *applier) count(item Item) {
	if item.Tag != "" {
		a.done.Tags++
		a.removed.tags.Add(1)
	} else {
		a.done.Manifests++
		a.removed.manifests.Add(1)
	}
}

// approvedTable holds "rules" → the digest of the rules of which an administrator has applied a plan to its end, and "seen" → the time of that, or of
// the last run of a schedule since: clock.go.
const approvedTable = storage.Table("retention/approved")

var approvedKey = []byte("rules")

// approve notes that an administrator has applied a plan of these rules: from now on a schedule may.
func (k *Keeper) approve(ctx context.Context, rules digest.Digest) error {
	return k.c.Store.Update(ctx, func(tx storage.Tx) error {
		tx.Put(approvedTable, approvedKey, []byte(rules))
		putSeen(tx, k.now())
		return nil
	})
}

// Approved returns the digest of the rules that a schedule may apply, or "".
func (k *Keeper) Approved(ctx context.Context) (d digest.Digest, err error) {
	err = k.c.Store.View(ctx, func(tx storage.Reader) error {
		value, err := tx.Get(approvedTable, approvedKey)
		if errors.Is(err, storage.ErrNotFound) {
			err = nil
		}
		d = digest.Digest(value)
		return err
	})
	return d, err
}

// ApplyByHand reads a plan and applies it for an administrator. What it writes is JSON lines: what was skipped, how far it is, and at the
// end what was done. Then a schedule may apply the same rules. Errors before it writes: those of Apply.
func (k *Keeper) ApplyByHand(ctx context.Context, who provenance.Identity, p *Plan, w io.Writer) error {
	enc := json.NewEncoder(w)
	done, err := k.Apply(ctx, who, p,
		func(s Skipped) error {
			return enc.Encode(struct {
				Skipped Skipped `json:"skipped"`
			}{s})
		},
		func(a Applied) error {
			return enc.Encode(struct {
				Applied Applied `json:"applied"`
			}{a})
		})
	if err != nil {
		return err
	}
	if err := k.approve(ctx, p.Rules); err != nil {
		return err
	}
	k.c.Log.Info("a plan of retention was applied", "plan", p.Digest, "by", who.Actor.Handle, "tags", done.Tags, "manifests", done.Manifests, "skipped", done.Skipped)
	return enc.Encode(struct {
		Applied Applied `json:"applied"`
	}{done})
}

// Removed counts what rules have removed since the start, and what was skipped.
func (k *Keeper) Removed() (tags, manifests, skipped int64) {
	return k.removed.tags.Load(), k.removed.manifests.Load(), k.removed.skipped.Load()
}
