package retention

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access"
)

// byHand has an administrator apply a plan of the rules in force.
func (w *world) byHand() {
	w.t.Helper()
	must(w.t, w.ApplyByHand(w.t.Context(), access.Operator, w.planned(), discard{}))
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestScheduleWantsApproval wants a schedule to apply only rules of which somebody has applied a plan by hand: each change of them asks for that
// again, and a restart does not.
func TestScheduleWantsApproval(t *testing.T) {
	w := newWorld(t, keeping("newest: 2"))
	for i := range 3 {
		w.push(fmt.Sprint(i), fmt.Sprint("image ", i), nil)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := w.run(t.Context(), time.Hour); !errors.Is(err, errNotApproved) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("nobody has applied them")
	w.byHand()
	w.push("3", "image 3", nil)
	if done, err := w.run(t.Context(), time.Hour); err != nil || done.Tags != 1 || w.has("1") || !w.has("2") {
		t.Errorf("approved: %+v, %v", done, err)
	}
	w.Use(rulesOf(t, keeping("newest: 1")))
	refused("they have changed")
	w.Use(nil)
	refused("there are none")
	w.Keeper = NewKeeper(w.c) // as after a restart
	refused("before the file is read")
	w.Use(rulesOf(t, keeping("newest: 2")))
	w.push("4", "image 4", nil)
	if done, err := w.run(t.Context(), time.Hour); err != nil || done.Tags != 1 || w.has("2") {
		t.Errorf("after a restart: %+v, %v", done, err)
	}
	if n := len(w.planned().Goes); n != 0 {
		t.Errorf("%d more things go", n)
	}
}

// TestScheduleRulesChange changes the rules just after the schedule has seen that they are approved. The others, which nobody has approved, are not
// applied.
func TestScheduleRulesChange(t *testing.T) {
	w := newWorld(t, keeping("newest: 3"))
	for i := range 3 {
		w.push(fmt.Sprint(i), fmt.Sprint("image ", i), nil)
	}
	w.byHand()
	w.store.after = func() { w.Use(rulesOf(t, keeping("newest: 0"))) }
	done, err := w.run(t.Context(), time.Hour)
	if err == nil || done.Tags > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	for i := range 3 {
		if !w.has(fmt.Sprint(i)) {
			t.Errorf("%d went by rules that nobody has approved", i)
		}
	}
}

// TestApplyRulesChange changes the rules between two removals of a plan: nothing more goes, and nobody has approved anything.
func TestApplyRulesChange(t *testing.T) {
	w := newWorld(t, keeping("newest: 1"))
	for i := range 4 {
		w.push(fmt.Sprint(i), fmt.Sprint("image ", i), nil)
	}
	p := w.planned()
	w.registry.before = func(n int) {
		if n == 0 {
			w.Use(rulesOf(t, keeping("newest: 3")))
		}
	}
	if err := w.ApplyByHand(t.Context(), access.Operator, p, discard{}); !errors.Is(err, ErrOtherRules) {
		t.Errorf("error %v", err)
	}
	for i, want := range []bool{false, true, true, true} { // the first was on its way
		if w.has(fmt.Sprint(i)) != want {
			t.Errorf("%d is there: %v", i, !want)
		}
	}
	if d, err := w.Approved(t.Context()); d != "" || err != nil {
		t.Errorf("approved: %s, %v", d, err)
	}
}

// TestScheduleMost wants a schedule to leave a repository alone of whose tags, or manifests, more would go than it may remove, and only that one: those
// beside it lose what goes. A person can apply the same rules to all of them.
func TestScheduleMost(t *testing.T) {
	for _, tt := range []struct {
		name, rules string
		most        float64
		tags, loose int // that are pushed once the rules are approved
		over        bool
	}{
		{"as many tags", keeping("newest: 4"), 0.2, 5, 0, false},
		{"more tags", keeping("newest: 3"), 0.2, 5, 0, true},
		{"one of two", keeping("newest: 1"), 0.2, 2, 0, true},
		{"all of a small one", keeping("newest: 0"), 0.2, 1, 0, true},
		{"as many manifests", untagged("0s") + keeping("newest: 4"), 0.2, 4, 1, false},
		{"more manifests", untagged("0s") + keeping("newest: 4"), 0.2, 4, 2, true},
		{"no bound", keeping("newest: 0"), 0, 3, 0, false},
		{"all may go", untagged("0s") + keeping("newest: 0"), 1, 5, 5, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, strings.TrimSuffix(tt.rules, "]\n")+", {name: beside, repositories: [first/**, zlast/**], keep: {newest: 4}}]\n")
			w.c.Most = tt.most
			w.byHand()
			first, last := w.in("first/lib"), w.in("zlast/lib")
			for i := range 5 {
				first.push(fmt.Sprint("t", i), fmt.Sprint("image ", i), nil)
				last.push(fmt.Sprint("t", i), fmt.Sprint("image ", i), nil)
			}
			for i := range tt.tags {
				w.push(fmt.Sprint("t", i), fmt.Sprint("image ", i), nil)
			}
			for i := range tt.loose {
				w.push("", fmt.Sprint("loose ", i), nil)
			}
			p := w.planned()
			if len(p.Goes) < 3 || len(p.Summary.Over) > 0 != tt.over {
				t.Errorf("%d things go, over %q", len(p.Goes), p.Summary.Over)
			}
			r, err := w.run(t.Context(), time.Hour)
			must(t, err)
			if w.has("t0") != tt.over && tt.loose == 0 || len(r.Stopped) > 0 != tt.over || tt.over && (r.Stopped[0] != "team/app" || len(r.Stopped) > 1) {
				t.Errorf("%+v", r)
			}
			if first.has("t0") || last.has("t0") {
				t.Errorf("those beside it have lost nothing: %+v", r)
			}
			if left := len(w.planned().Goes); left > 0 != tt.over {
				t.Errorf("%d things are left", left)
			}
			w.byHand()
			if n := len(w.planned().Goes); n > 0 {
				t.Errorf("%d things are left", n)
			}
		})
	}
}

// TestScheduleClock lets the clock jump between two runs of a schedule, or while the server is down: nothing goes for it, until somebody has looked. A clock
// that was back in time and is right again needs nobody.
func TestScheduleClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, tt := range []struct {
		name string
		by   time.Duration
		want error
		goes bool // after an hour more
	}{
		{"years ahead", 3 * year, errClock, false},
		{"a month ahead", 31 * 24 * time.Hour, errClock, false},
		{"years back", -30 * year, nil, false},
		{"not at all", 0, nil, false},
		{"a day", 25 * time.Hour, nil, true}, // as a server that was down for so long
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, untagged("1h")+keeping("younger: 1d"))
			at := time.Now()
			w.now = func() time.Time { return at }
			w.byHand()
			for i := range 3 {
				w.push(fmt.Sprint(i), fmt.Sprint("image ", i), nil)
			}
			held := w.push("held", "held", nil)
			_, err := w.registry.Hold(t.Context(), access.Operator, "team/app", held.Digest, at.Add(2*year), "an audit")
			must(t, err)
			w.Keeper = NewKeeper(w.c) // as after a restart, which forgets what the clock was
			w.Use(rulesOf(t, untagged("1h")+keeping("younger: 1d")))
			w.now = func() time.Time { return at.Add(tt.by) }
			done, err := w.run(t.Context(), time.Hour)
			if !errors.Is(err, tt.want) || done.Tags > 0 != tt.goes || w.has("0") == tt.goes || !w.has("held") {
				t.Errorf("%+v, %v", done, err)
			}
			w.now = func() time.Time { return at.Add(time.Minute) } // it is right again
			if done, err := w.run(t.Context(), time.Hour); err != nil || done.Tags > 0 {
				t.Errorf("right again: %+v, %v", done, err)
			}
			w.now = func() time.Time { return at.Add(3 * year) }
			w.byHand() // somebody says that this is right
			if _, err := w.run(t.Context(), time.Hour); err != nil || w.has("0") {
				t.Errorf("years later: %v", err)
			}
		})
	}
}

// TestPlanClock makes plans while the clock is wrong, and applies them once it is right: what is kept by then stays. A plan says when the clock may be
// wrong.
func TestPlanClock(t *testing.T) {
	w := newWorld(t, untagged("1h")+keeping("younger: 1d"))
	w.push("1", "image", nil)
	w.now = func() time.Time { return time.Now().AddDate(20, 0, 0) }
	p := w.planned()
	if len(p.Goes) != 1 || len(p.Summary.Warnings) == 0 || !strings.Contains(p.Summary.Warnings[0], "is the clock right?") {
		t.Errorf("%d things go: %q", len(p.Goes), p.Summary.Warnings)
	}
	w.now = time.Now
	if done, err := w.apply(p); err != nil || done.Tags > 0 || !w.has("1") {
		t.Errorf("%+v, %v", done, err)
	}
	if p := w.planned(); strings.Contains(strings.Join(p.Summary.Warnings, "\n"), "clock") {
		t.Errorf("warnings of a clock that is right: %q", p.Summary.Warnings)
	}
	w.now = func() time.Time { return time.Unix(0, 0) }
	if p := w.planned(); len(p.Goes) > 0 {
		t.Errorf("in 1970 %d things go", len(p.Goes))
	}
}
