package retention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// bySchedule is who removes what a schedule does.
var bySchedule = provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "system"}}

// The errors of a schedule.
var (
	errNotApproved = errors.New("an administrator has to apply a plan of these rules once by hand, before a schedule does: hallmark retention plan, then apply")
	errClock       = errors.New("the clock is far ahead of the last run: check it, and then have an administrator apply a plan by hand")
	errOver        = errors.New("the plan removes more of a repository's tags or manifests than retention.most allows, so a person has to apply it")
)

// Schedule makes and applies a plan every so often, until ctx ends. It applies only rules of which an administrator has applied a plan by
// hand, and none that takes more than Config.Most of a repository. The first run is one interval after the start.
func (k *Keeper) Schedule(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		done, err := k.run(ctx, every)
		switch {
		case len(k.inForce().Rules) == 0, ctx.Err() != nil:
		case errors.Is(err, errNotApproved), errors.Is(err, errClock), errors.Is(err, errOver), errors.Is(err, ErrApplying):
			k.c.Log.Warn("retention was not applied", "why", err)
		case err != nil:
			k.c.Log.Error("retention failed; it is tried again", "err", err)
		case done.Tags+done.Manifests+done.Skipped > 0:
			k.c.Log.Info("retention was applied by its schedule", "plan", done.Plan, "tags", done.Tags, "manifests", done.Manifests, "skipped", done.Skipped)
		}
	}
}

// run is one run of the schedule.
func (k *Keeper) run(ctx context.Context, every time.Duration) (done Applied, err error) {
	s := k.inForce()
	approved, err := k.Approved(ctx)
	if err != nil {
		return done, err
	}
	if approved != s.Digest {
		return done, errNotApproved
	}
	if err := k.noteRun(ctx, every); err != nil {
		return done, err
	}
	var text bytes.Buffer
	_, summary, err := k.plan(ctx, s, &text, false) // by these rules, whatever is in force by now: applying it looks at that
	if err != nil {
		return done, err
	}
	if len(summary.Over) > 0 {
		return done, fmt.Errorf("%w: %s", errOver, summary.Over[0])
	}
	p, err := ReadPlan(&text, nil)
	if err != nil {
		return done, err
	}
	return k.Apply(ctx, bySchedule, p, func(Skipped) error { return nil }, func(Applied) error { return nil })
}
