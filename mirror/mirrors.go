package mirror

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/fault"
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

// Config is what Mirrors needs.
type Config struct {
	Store    storage.Store
	Registry *registry.Registry
	Log      *slog.Logger
	// Signatures is asked by rules that hold until something is signed. Without it, only time and people let images through.
	Signatures Signatures
}

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
