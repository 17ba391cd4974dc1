package retention

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// bySchedule is who removes what a schedule does.
var bySchedule = provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "system"}}

// The errors of a schedule.
var (
	errNotApproved = errors.New("an administrator has to apply a plan of these rules once by hand, before a schedule does: hallmark retention plan, then apply")
	errClock       = errors.New("the clock is far ahead of the last run: check it, and then have an administrator apply a plan by hand")
)

// A Run is what a schedule did at its time.
type Run struct {
	Time provenance.Time
	Applied
	// Stopped are repositories of which more tags or manifests would go than Config.Most: nothing of them went. The first maxOver; StoppedMore is how
	// many others there are.
	Stopped     []string
	StoppedMore int
	Failed      string // why it did not come to its end, or ""
}

// Scheduled is how often a schedule makes and applies a plan, or 0 where none does.
func (k *Keeper) Scheduled() time.Duration { return time.Duration(k.every.Load()) }

// LastRun is the last run of the schedule since the start, or nil.
func (k *Keeper) LastRun() *Run { return k.last.Load() }

// Schedule makes and applies a plan every so often, until ctx ends. It applies only rules of which an administrator has applied a plan by
// hand, and leaves a repository alone of which more than Config.Most would go. The first run is one interval after the start.
func (k *Keeper) Schedule(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	k.every.Store(int64(every))
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r, err := k.run(ctx, every)
		if len(k.inForce().Rules) > 0 && ctx.Err() == nil {
			k.tell(r, err)
		}
	}
}

// tell logs a run, and keeps it for those who ask.
func (k *Keeper) tell(r Run, err error) {
	switch {
	case errors.Is(err, errNotApproved), errors.Is(err, errClock), errors.Is(err, ErrApplying):
		k.c.Log.Warn("retention was not applied", "why", err)
	case err != nil:
		k.c.Log.Error("retention failed; it is tried again", "err", err)
	case r.Tags+r.Manifests+r.Skipped > 0:
		k.c.Log.Info("retention was applied by its schedule", "plan", r.Plan, "tags", r.Tags, "manifests", r.Manifests, "skipped", r.Skipped)
	}
	if len(r.Stopped) > 0 {
		k.c.Log.Warn("retention left repositories alone of which more would go than retention.most allows: look at a plan, and apply it by hand",
			"repositories", len(r.Stopped)+r.StoppedMore, "first", r.Stopped[0])
	}
	if err != nil {
		r.Failed = clip(err.Error())
	}
	k.last.Store(&r)
}

// run is one run of the schedule.
func (k *Keeper) run(ctx context.Context, every time.Duration) (r Run, err error) {
	r.Time = provenance.At(k.now())
	s := k.inForce()
	approved, err := k.Approved(ctx)
	if err != nil {
		return r, err
	}
	if approved != s.Digest {
		return r, errNotApproved
	}
	if err := k.noteRun(ctx, every); err != nil {
		return r, err
	}
	var text bytes.Buffer
	_, summary, err := k.plan(ctx, s, &text, true) // by these rules, whatever is in force by now: applying it looks at that
	if err != nil {
		return r, err
	}
	r.Stopped, r.StoppedMore = summary.Over, summary.OverMore
	p, err := ReadPlan(&text, nil)
	if err != nil {
		return r, err
	}
	r.Applied, err = k.Apply(ctx, bySchedule, p, func(Skipped) error { return nil }, func(Applied) error { return nil })
	return r, err
}
