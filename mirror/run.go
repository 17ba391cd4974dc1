package mirror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// running is a run while it goes on.
type running struct {
	rule   *Rule
	by     string // the handle of who asked for it, or "" of a schedule
	dry    bool   // it counts what would come, and changes nothing
	cancel context.CancelCauseFunc
	job    *Job // nil until it begins
}

// Run brings a mirror up to date for somebody who asked for it with a request, and tells now and then how far it is. Where dry is set, it counts what
// would come, and changes nothing. Errors before anything came: ErrNoMirror, ErrRunning.
func (m *Mirrors) Run(ctx context.Context, who provenance.Identity, r *http.Request, name string, dry bool, tell func(Counts)) (Followed, error) {
	rule := m.Rules().Rule(name)
	if rule == nil {
		return Followed{}, ErrNoMirror
	}
	here := m.c.Registry.Importer(who, r).ByRule(name)
	if dry {
		return m.rehearse(ctx, rule, here, who.Actor.Handle, tell)
	}
	return m.run(ctx, rule, here, who.Actor.Handle, tell)
}

// rehearse is a run that changes nothing, and of which nothing is kept.
func (m *Mirrors) rehearse(ctx context.Context, r *Rule, here *registry.Importer, by string, tell func(Counts)) (report Followed, err error) {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := &running{rule: r, by: by, dry: true, cancel: cancel}
	if err := m.begin(run); err != nil {
		return report, err
	}
	defer m.end(run)
	before, err := m.stateOf(within, r)
	if err != nil {
		return report, err
	}
	report, err = m.follow(within, run, here, before, tell)
	if cause := context.Cause(within); cause != nil {
		err = cause
	}
	return report, err
}

// run is one run, with what is kept about it.
func (m *Mirrors) run(ctx context.Context, r *Rule, here *registry.Importer, by string, tell func(Counts)) (report Followed, err error) {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := &running{rule: r, by: by, cancel: cancel}
	if err := m.begin(run); err != nil {
		return report, err
	}
	defer m.end(run)
	if by == "" {
		select {
		case m.turns <- struct{}{}:
			defer func() { <-m.turns }()
		case <-within.Done():
			return report, context.Cause(within)
		}
		if due, err := m.due(within, r); err != nil || due > 0 { // another run has ended since the schedule looked
			return report, err
		}
	}
	before, err := m.noteBegin(within, r, by)
	m.noted(r, err == nil)
	if err != nil {
		return report, err
	}
	report, err = m.follow(within, run, here, before, tell)
	if cause := context.Cause(within); cause != nil {
		err = cause
	}
	if noted := m.noteEnd(context.WithoutCancel(ctx), r, before, report, err); noted != nil {
		err = errors.Join(err, noted)
	}
	return report, err
}

func (m *Mirrors) begin(run *running) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.busy(run.rule) {
		return ErrRunning
	}
	if !run.rule.Same(m.Rules().Rule(run.rule.Name)) { // it was changed since the schedule looked
		return errRuleChanged
	}
	m.running[run.rule.Name] = run
	return nil
}

// busy says whether a run is under way by a rule of the same name or into the same prefix. m.mu is held.
func (m *Mirrors) busy(r *Rule) bool {
	for name, run := range m.running {
		if name == r.Name || run.rule.Into == r.Into {
			return true
		}
	}
	return false
}

func (m *Mirrors) end(run *running) {
	m.mu.Lock()
	delete(m.running, run.rule.Name)
	m.mu.Unlock()
	m.wake()
}

// noteBegin keeps that a run begins, and returns what was known before. Until noteEnd it counts as failed.
func (m *Mirrors) noteBegin(ctx context.Context, r *Rule, by string) (before state, err error) {
	err = m.changeState(ctx, r, func(s *state) {
		before = *s
		s.Began, s.Ended, s.By, s.Why = m.now(), time.Time{}, by, ""
		s.Failures++
		s.Next = m.now().Add(r.again(s.Failures, nil))
	})
	return before, err
}

// noteEnd keeps how a run ended, and when the next one is.
func (m *Mirrors) noteEnd(ctx context.Context, r *Rule, before state, report Followed, failed error) error {
	if failed == nil && report.Counts.Refused > 0 && report.Came+report.Present+report.Counts.Left+report.Held == 0 {
		failed = errors.New("nothing could be had")
		if len(report.Refused) > 0 {
			failed = fmt.Errorf("%s: %s", report.Refused[0].Reference, report.Refused[0].Why)
		}
	}
	m.count(r, report, failed)
	return m.changeState(ctx, r, func(s *state) {
		s.Ended, s.Last, s.Took = m.now(), &report, report.took
		switch {
		case failed == nil:
			s.Failures, s.Why, s.Succeeded = 0, "", s.Ended
			s.Next = s.Ended.Add(jittered(r.Every))
			if report.Counts.Refused == 0 {
				s.Platforms = r.platforms()
			}
		case wasStopped(failed):
			s.Failures, s.Next, s.Why = before.Failures, before.Next, "it was stopped"
		default:
			s.Why = failed.Error()
			s.Next = s.Ended.Add(r.again(s.Failures, failed))
		}
	})
}

// wasStopped says that a run was ended from here: the server stops, who asked for it has left, or its rule is another now.
func wasStopped(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, errRuleChanged)
}

// Totals count what came of the runs of a rule since the start.
type Totals struct{ Came, Refused, Removed, Failed int64 }

func (m *Mirrors) count(r *Rule, report Followed, failed error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.totals[r.Name]
	t.Came, t.Refused, t.Removed = t.Came+report.Came, t.Refused+report.Counts.Refused, t.Removed+report.Removed
	if failed != nil && !wasStopped(failed) {
		t.Failed++
	}
	m.totals[r.Name] = t
}

// Totals returns what came of each rule in force since the start.
func (m *Mirrors) Totals() map[string]Totals {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := map[string]Totals{}
	for _, r := range m.Rules().all() {
		all[r.Name] = m.totals[r.Name]
	}
	return all
}
