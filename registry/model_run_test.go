package registry_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// TestModel does a thousand random steps and wants the registry to be what the model is after each of them. TestSoakModel does
// more of them. HALLMARK_MODEL_SEED and HALLMARK_MODEL_STEPS play another life.
//
// It found each of these, put in on purpose, within 130 steps: a manifest that is not counted when it is brought back, a blob that
// is given up while the trash holds it, and a manifest that leaves the trash before its time.
func TestModel(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	play(t, uint64(number(t, "HALLMARK_MODEL_SEED", 1)), number(t, "HALLMARK_MODEL_STEPS", 1000), 0)
}

// TestModelKilled has processes do some of the steps, which get SIGKILL in them. TestSoakModelKilled does more of that.
func TestModelKilled(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	play(t, uint64(number(t, "HALLMARK_MODEL_SEED", 1)), number(t, "HALLMARK_MODEL_STEPS", 150), 8)
}

func number(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// play plays a life, and where the registry and the model disagree looks for a short one that shows it. Of so many steps a victim does one.
func play(t *testing.T, seed uint64, steps, victims int) {
	t.Helper()
	c := &chooser{Rand: rand.New(rand.NewPCG(seed, 0)), victims: victims}
	keep, most := c.bounds()
	life := &life{t: t, keep: keep, most: most}
	began := time.Now()
	played, wrong := life.play(steps, func(m *model, _ int) op {
		c.m = m
		return c.choose()
	})
	if victims > 0 && wrong == "" && life.moved == 0 {
		t.Errorf("seed %d: of %d processes that were killed none had done anything", seed, life.victims)
	}
	if wrong == "" {
		return
	}
	t.Errorf("HALLMARK_MODEL_SEED=%d, step %d of a life with trash.keep %d ms and trash.max %d: %s\nthe last steps:\n%s",
		seed, len(played), keep, most, wrong, texts(played[max(0, len(played)-30):]))
	short, wrong := life.shorten(played, max(time.Minute, time.Since(began)))
	t.Errorf("these %d steps alone show it: %s\n%s", len(short), wrong, texts(short))
}

func texts(ops []op) string {
	var b strings.Builder
	for _, o := range ops {
		b.WriteString("\t" + o.text)
		switch {
		case o.victim && o.killed == 0:
			b.WriteString(", its process killed at some time")
		case o.victim:
			fmt.Fprintf(&b, ", its process killed behind its commit %d", o.killed)
		case o.killed > 0:
			fmt.Fprintf(&b, ", killed before its commit %d", o.killed)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// life is how a registry begins.
type life struct {
	t          *testing.T
	keep, most int
	victims    int // processes that were killed
	moved      int // of these, that had changed something before
}

// finder collects what is wrong.
type finder struct{ found []string }

func (*finder) Helper() {}

func (f *finder) Errorf(format string, args ...any) {
	f.found = append(f.found, fmt.Sprintf(format, args...))
}

type stopped struct{}

func (f *finder) Fatal(args ...any) {
	f.found = append(f.found, fmt.Sprint(args...))
	panic(stopped{})
}

// play makes steps until something is wrong, and returns them with what is.
func (l *life) play(steps int, next func(m *model, i int) op) (played []op, wrong string) {
	dir, err := os.MkdirTemp("", "model-")
	must(l.t, err)
	defer os.RemoveAll(dir)
	f := &finder{}
	defer func() {
		switch caught := recover(); caught {
		case nil, stopped{}:
			wrong = strings.Join(f.found, "\n")
		default:
			panic(caught)
		}
	}()
	w := newWorld(f, dir, l.keep, l.most)
	defer func() { _ = w.store.Close() }() // also where something is wrong with it
	defer func() { l.victims, l.moved = w.victims, w.moved }()
	for i := 0; i < steps && len(f.found) == 0; i++ {
		o := next(w.m, i)
		played = append(played, o)
		w.step(o)
		if i%100 == 99 {
			w.fsck()
		}
	}
	if len(f.found) == 0 {
		w.fsck()
	}
	return played, strings.Join(f.found, "\n")
}

// step does one step, and compares.
func (w *world) step(o op) {
	if o.victim {
		w.stepOfVictim(o)
		return
	}
	before, status := w.m.clone(), 0
	w.store.left = o.killed - 1
	if o.killed > 0 {
		w.m.trail = []*model{}
	}
	if o.act.Do != "" {
		status = o.act.on(w)
	}
	want := o.model(w.m, w)
	w.store.left = -1
	trail := w.m.trail
	w.m.trail = nil
	if w.store.dead {
		w.revive(append(append([]*model{before}, trail...), w.m))
		return
	}
	if status != want {
		w.t.Errorf("it is answered with %d, want %d", status, want)
	}
	w.compare()
}

func (w *world) compare() {
	if got, want := w.lines(), w.m.lines(); !slices.Equal(got, want) {
		w.t.Errorf("%s", difference(got, want))
	}
}

// difference says which lines only one of two has.
func difference(got, want []string) string {
	var b strings.Builder
	for _, line := range got {
		if !slices.Contains(want, line) {
			b.WriteString("\n\tthe registry: " + line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			b.WriteString("\n\tthe model:    " + line)
		}
	}
	return b.String()
}

// revive starts a registry that was killed, and finds what it has come to among the states that it can have come to. Where these
// differ only in what nobody sees, as when leases began, it waits until that does not matter.
func (w *world) revive(states []*model) {
	w.m = states[0]
	killed := time.Now()
	w.restart()
	w.countsAnew(killed)
	for _, s := range states {
		s.noted = map[noted]int{} // with the process
	}
	got := w.lines()
	var found []*model
	for _, s := range states {
		if slices.Equal(got, s.lines()) {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		last := states[len(states)-1]
		w.t.Errorf("killed, it is none of the %d states that it may be; beside the last:%s", len(states), difference(got, last.lines()))
		return
	}
	w.m = found[len(found)-1]
	w.fsck()
	if len(found) > 1 {
		w.m.now += leaseUnits
		must(w.t, w.registry.CollectNow(background))
		w.m.collect()
		w.compare()
	}
}

// shorten leaves steps out for as long as something is wrong all the same.
func (l *life) shorten(ops []op, within time.Duration) (short []op, wrong string) {
	deadline := time.Now().Add(within)
	for size := len(ops) / 2; size > 0; size /= 2 {
		for from := 0; from+size <= len(ops) && time.Now().Before(deadline); {
			less := slices.Concat(ops[:from], ops[from+size:])
			played, still := l.play(len(less), func(_ *model, i int) op { return less[i] })
			if still == "" {
				from += size
				continue
			}
			ops, wrong = played, still
		}
	}
	return ops, wrong
}
