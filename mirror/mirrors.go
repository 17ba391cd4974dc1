package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
)

// Mirrors keeps what is below some prefixes as other registries have it. It is safe for concurrent use.
type Mirrors struct {
	c       Config
	set     atomic.Pointer[Set]
	self    atomic.Pointer[string] // the name that this registry drew; it never changes
	changed chan struct{}          // told when rules have changed, or a run has ended
	turns   chan struct{}          // one for each run that a schedule may have at the same time
	now     func() time.Time

	mu      sync.Mutex
	running map[string]*running  // by the name of the rule; guarded by mu
	totals  map[string]Totals    // by the name of the rule; guarded by mu
	unnoted map[string]time.Time // by the name of the rule: when a run could not be noted, and was not begun; guarded by mu
}

// running is a run while it goes on.
type running struct {
	rule   *Rule
	cancel context.CancelCauseFunc
	job    *Job // nil until it begins
}

// Config is what Mirrors needs.
type Config struct {
	Store    storage.Store
	Registry *registry.Registry
	Log      *slog.Logger
	// Signatures is asked by rules that hold until something is signed. Without it, only time and people let images through.
	Signatures Signatures
}

// Totals count what came of the runs of a rule since the start.
type Totals struct{ Came, Refused, Removed, Failed int64 }

// maxRuns is how many runs schedules have at the same time.
const maxRuns = 2

// NewMirrors returns Mirrors without rules.
func NewMirrors(c Config) *Mirrors {
	return &Mirrors{
		c: c, now: time.Now, changed: make(chan struct{}, 1), turns: make(chan struct{}, maxRuns),
		running: map[string]*running{}, totals: map[string]Totals{}, unnoted: map[string]time.Time{},
	}
}

// The errors of mirrors.
var (
	// ErrNoMirror: there is no rule of this name.
	ErrNoMirror error = fault.New(fault.Missing, "there is no mirror of this name; `hallmark mirror list` lists them")
	// ErrRunning: a mirror is brought up to date by one at a time.
	ErrRunning error = fault.New(fault.Conflict, "this mirror is being brought up to date: wait for its end")
	// ErrTaken: something else than this mirror's is below its prefix.
	ErrTaken error = fault.New(fault.Conflict, "people have pushed below the mirror's prefix")
)

// errRuleChanged ends a run whose rule is not in force any more.
var errRuleChanged error = fault.New(fault.Conflict, "the rule of this mirror was changed meanwhile: run it again")

// bySchedule is who brings what a schedule does: the record names the rule.
var bySchedule = provenance.Identity{Actor: provenance.Actor{Kind: provenance.System, Handle: "system"}}

// Use puts rules in force; nil is none. Runs by rules that are others now end.
func (m *Mirrors) Use(s *Set) {
	m.set.Store(s)
	m.mu.Lock()
	for name, run := range m.running {
		if !run.rule.Same(s.Rule(name)) {
			run.cancel(errRuleChanged)
		}
	}
	m.mu.Unlock()
	m.wake()
}

// Rules returns the rules in force, or nil.
func (m *Mirrors) Rules() *Set { return m.set.Load() }

// MirrorOf implements registry.Mirrors.
func (m *Mirrors) MirrorOf(repo string) string {
	if r := m.Rules().Of(repo); r != nil {
		return fmt.Sprintf("%.60s (rule %s)", r.Host(), r.Name)
	}
	return ""
}

func (m *Mirrors) wake() {
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

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

// busy says whether a run is under way by a rule of the same name or into the same prefix. m.mu is held.
func (m *Mirrors) busy(r *Rule) bool {
	for name, run := range m.running {
		if name == r.Name || run.rule.Into == r.Into {
			return true
		}
	}
	return false
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

// Run brings a mirror up to date for somebody who asked for it with a request, and tells now and then how far it is. Errors before
// anything came: ErrNoMirror, ErrRunning.
func (m *Mirrors) Run(ctx context.Context, who provenance.Identity, r *http.Request, name string, tell func(Counts)) (Followed, error) {
	rule := m.Rules().Rule(name)
	if rule == nil {
		return Followed{}, ErrNoMirror
	}
	return m.run(ctx, rule, m.c.Registry.Importer(who, r).ByRule(name), who.Actor.Handle, tell)
}

// run is one run, with what is kept about it.
func (m *Mirrors) run(ctx context.Context, r *Rule, here *registry.Importer, by string, tell func(Counts)) (report Followed, err error) {
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	run := &running{rule: r, cancel: cancel}
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
	report, err = m.follow(within, run, here, by, before.Took, tell)
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

// noted remembers whether the last run of a rule could be noted.
func (m *Mirrors) noted(r *Rule, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if delete(m.unnoted, r.Name); !ok {
		m.unnoted[r.Name] = time.Now()
	}
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
	err := m.changeState(ctx, r, func(s *state) {
		s.Ended, s.Last, s.Took = m.now(), &report, report.took
		switch {
		case failed == nil:
			s.Failures, s.Why, s.Succeeded = 0, "", s.Ended
			s.Next = s.Ended.Add(jittered(r.Every))
		case errors.Is(failed, context.Canceled), errors.Is(failed, errRuleChanged): // the server stops, or who asked for it has left
			s.Failures, s.Next, s.Why = before.Failures, before.Next, "it was stopped"
		default:
			s.Why = failed.Error()
			s.Next = s.Ended.Add(r.again(s.Failures, failed))
		}
	})
	return err
}

func (m *Mirrors) count(r *Rule, report Followed, failed error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.totals[r.Name]
	t.Came, t.Refused, t.Removed = t.Came+report.Came, t.Refused+report.Counts.Refused, t.Removed+report.Removed
	if failed != nil && !errors.Is(failed, context.Canceled) && !errors.Is(failed, errRuleChanged) {
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

// A Status is how a mirror is.
type Status struct {
	Name         string           `json:"name"`
	Upstream     string           `json:"upstream"`
	Repositories []string         `json:"repositories"`
	Tags         []string         `json:"tags,omitempty"` // absent: all
	Into         string           `json:"into"`
	Every        string           `json:"every"`
	Deleted      Deletion         `json:"deleted"`
	Hold         string           `json:"hold,omitempty"`    // in words
	Waiting      []Waiting        `json:"waiting,omitempty"` // at most 1,000
	Running      *Counts          `json:"running,omitempty"` // how far the run is that goes on
	Began        *provenance.Time `json:"began,omitempty"`   // the last run
	Ended        *provenance.Time `json:"ended,omitempty"`
	By           string           `json:"by,omitempty"` // who asked for it; absent where the schedule did
	Succeeded    *provenance.Time `json:"succeeded,omitempty"`
	Next         *provenance.Time `json:"next,omitempty"`
	Failures     int              `json:"failures"` // in a row
	Why          string           `json:"why,omitempty"`
	Last         *Followed        `json:"last,omitempty"` // of the last run that ended
}

// interrupted is what is said of a run that a crash has cut off.
const interrupted = "the last run was cut off: the server ended in the middle of it"

// Statuses returns how each mirror is, in the order of the rules.
func (m *Mirrors) Statuses(ctx context.Context) (list []Status, err error) {
	list = []Status{}
	for _, r := range m.Rules().all() {
		one, err := m.status(ctx, r)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// Succeeded returns when each mirror was last brought up to date; the zero time before the first.
func (m *Mirrors) Succeeded(ctx context.Context) (map[string]time.Time, error) {
	all := map[string]time.Time{}
	err := m.c.Store.View(ctx, func(tx storage.Reader) error {
		for _, r := range m.Rules().all() {
			s, err := readState(tx, r)
			if err != nil {
				return err
			}
			all[r.Name] = s.Succeeded
		}
		return nil
	})
	return all, err
}

// Status returns how a mirror is. Error: ErrNoMirror.
func (m *Mirrors) Status(ctx context.Context, name string) (Status, error) {
	r := m.Rules().Rule(name)
	if r == nil {
		return Status{}, ErrNoMirror
	}
	return m.status(ctx, r)
}

func (m *Mirrors) status(ctx context.Context, r *Rule) (Status, error) {
	s, err := m.stateOf(ctx, r)
	if err != nil {
		return Status{}, err
	}
	x := Status{
		Name: r.Name, Upstream: r.Upstream, Repositories: texts(r.Repositories), Tags: texts(r.Tags), Into: r.Into, Every: units.Duration(r.Every).String(),
		Deleted: r.Deleted, Hold: r.Hold.String(), Running: m.progress(r), Began: timeOf(s.Began), Ended: timeOf(s.Ended), By: s.By, Succeeded: timeOf(s.Succeeded),
		Next: timeOf(s.Next), Failures: s.Failures, Why: s.Why, Last: s.Last,
	}
	if x.Waiting, err = m.waitingOf(ctx, r); err != nil {
		return x, err
	}
	if x.Running == nil && x.Began != nil && x.Ended == nil {
		x.Why = cmp.Or(x.Why, interrupted)
	}
	if x.Running != nil && x.Failures > 0 {
		x.Failures-- // it counts as failed only if it does not end
	}
	return x, nil
}

// progress is how far the run of a rule is, or nil where none goes on.
func (m *Mirrors) progress(r *Rule) *Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	run := m.running[r.Name]
	if run == nil {
		return nil
	}
	var n Counts
	if run.job != nil {
		n = run.job.Counts()
	}
	return &n
}

func texts[T fmt.Stringer](all []T) (words []string) {
	for _, one := range all {
		words = append(words, one.String())
	}
	return words
}
