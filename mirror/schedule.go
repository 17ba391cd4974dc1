package mirror

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// maxRuns is how many runs schedules have at the same time.
const maxRuns = 2

// bySchedule is who brings what a schedule does: the record names the rule.
var bySchedule = provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "system"}}

// maxWait is how long a schedule waits at most before it looks again: a clock may have been set.
const maxWait = time.Minute

// Keep runs each rule by its schedule, until ctx ends; it returns when all runs have ended.
func (m *Mirrors) Keep(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	for {
		wait := maxWait
		for _, r := range m.Rules().all() {
			due, err := m.due(ctx, r)
			if err != nil && ctx.Err() == nil {
				m.c.Log.Error("what is known of a mirror could not be read; it is tried again", "mirror", r.Name, "err", err)
			}
			if err == nil && due <= 0 && !m.isRunning(r) {
				group.Go(func() { m.scheduled(ctx, r) })
			} else if due > 0 {
				wait = min(wait, due)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
		case <-time.After(wait):
		}
	}
}

// due is how long a rule has to wait for its next run. One that should wait for far longer than its interval was written by a clock
// that was ahead. After a run that could not be noted, on a full disk say, what is kept still says that it is due.
func (m *Mirrors) due(ctx context.Context, r *Rule) (time.Duration, error) {
	s, err := m.stateOf(ctx, r)
	if err != nil {
		return 0, err
	}
	wait := s.Next.Sub(m.now())
	if wait > max(2*r.Every, maxPause) {
		wait = 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if at, ok := m.unnoted[r.Name]; ok {
		wait = max(wait, maxWait-time.Since(at))
	}
	return wait, nil
}

func (m *Mirrors) isRunning(r *Rule) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.busy(r)
}

// scheduled is one run of a schedule.
func (m *Mirrors) scheduled(ctx context.Context, r *Rule) {
	here := m.c.Registry.ImporterOf(bySchedule).ByRule(r.Name)
	report, err := m.run(ctx, r, here, "", func(Counts) {})
	switch {
	case ctx.Err() != nil, errors.Is(err, ErrRunning), errors.Is(err, errRuleChanged):
	case err != nil:
		m.c.Log.Warn("a mirror was not brought up to date", "mirror", r.Name, "why", err)
	case report.Came+report.Counts.Refused+report.Removed > 0:
		m.c.Log.Info("a mirror was brought up to date", "mirror", r.Name, "came", report.Came, "refused", report.Counts.Refused, "removed", report.Removed)
	}
}

// noted remembers whether the last run of a rule could be noted.
func (m *Mirrors) noted(r *Rule, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.unnoted, r.Name); !ok {
		m.unnoted[r.Name] = time.Now()
	}
}

// again is how long to wait after so many failures in a row: from a minute on, twice as long each time, up to the interval; and as long
// as the upstream has asked for.
func (r *Rule) again(failures int, err error) time.Duration {
	wait := jittered(min(r.Every, time.Minute<<min(max(failures-1, 0), 16)))
	var asked *pausedError
	if errors.As(err, &asked) {
		wait = max(wait, asked.wait)
	}
	return wait
}

// jittered is a length of time, a tenth more or less: many mirrors are not to ask at the same moment.
func jittered(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1)
}
