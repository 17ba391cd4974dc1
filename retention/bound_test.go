package retention

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
)

// TestManyRemovals wants a plan of a repository of which more would go than one plan may have to take the first of that, and the plans after it the
// rest. No plan takes the signature of an image that stays.
func TestManyRemovals(t *testing.T) {
	w := newWorld(t, untagged("0s")+keeping("newest: 1"))
	w.removals = 4
	for i := range 5 {
		image := w.push(fmt.Sprint("t", i), fmt.Sprint("image ", i), nil)
		w.push(registry.BesideName(image.Digest)+".sig", fmt.Sprint("signature ", i), nil)
		w.push("", fmt.Sprint("referrer ", i), &image)
	}
	removed := 0
	for plans := 1; ; plans++ {
		p := w.planned()
		done, err := w.apply(p)
		must(t, err)
		if len(p.Goes) == 0 || len(p.Goes) > 4 || done.Skipped > 0 || done.Tags+done.Manifests != len(p.Goes) {
			t.Fatalf("plan %d of %d things: %+v", plans, len(p.Goes), done)
		}
		if removed += len(p.Goes); !p.Summary.More {
			break
		}
	}
	if removed != 4*5 || !w.has("t4") { // of each image: two tags, and three manifests
		t.Errorf("%d things went", removed)
	}
}

// TestCut cuts random evaluations: what still goes can go, in the order of a plan, and what is left over goes in the end.
func TestCut(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 11))
		r, s := randomRepo(rnd), randomRules(t, rnd)
		e, err := Evaluate(t.Context(), s, &r.Facts, moment())
		must(t, err)
		most := rnd.IntN(10)
		before := sum(e.goes())
		e.cut(&r.Facts, most)
		n := sum(e.goes())
		switch {
		case n > most, before <= most && n != before:
			t.Errorf("seed %d: %d of %d things go, and %d may", seed, n, before, most)
		case before > 0 && n == 0 && most > 5:
			t.Errorf("seed %d: none of %d things goes, and %d may", seed, before, most)
		}
		for _, wrong := range contradictions(r, s, e) {
			t.Errorf("seed %d: %s", seed, wrong)
		}
		for i, tag := range e.beside {
			for _, tag := range tag {
				if i >= 0 && e.Tags[tag].Goes && !e.Manifests[i].Goes {
					t.Errorf("seed %d: a signature goes before its image", seed)
				}
			}
		}
	}
}

func sum(tags, manifests int) int { return tags + manifests }

// TestLongWarnings wants a plan to be one that can be read, however much its rules have to say.
func TestLongWarnings(t *testing.T) {
	text := "rules:\n"
	for i := range maxRules {
		text += fmt.Sprintf("- {name: %s-%d, repositories: team/**, keep: {when: x}}\n", strings.Repeat("r", maxName-4), i)
	}
	w := newWorld(t, "")
	set, err := Parse("rules", []byte(text), failing{})
	must(t, err)
	w.Use(set)
	w.push("1", "image", nil)
	p := w.planned()
	if len(p.Summary.Rules) != maxRules || len(p.Summary.Warnings) != maxWarnings+1 || !strings.Contains(p.Summary.Warnings[maxWarnings], "more warnings") {
		t.Errorf("%d rules, %d warnings: %q", len(p.Summary.Rules), len(p.Summary.Warnings), p.Summary.Warnings[len(p.Summary.Warnings)-1])
	}
	if p.Summary.Rules[0].LastError == "" {
		t.Error("the first rule does not say how it failed")
	}
	var whole bytes.Buffer
	_, _, err = w.Plan(t.Context(), &whole)
	must(t, err)
	for line := range strings.SplitSeq(whole.String(), "\n") {
		if len(line) > MaxLine/2 {
			t.Errorf("a line of %d bytes: %.200s…", len(line), line)
		}
	}
}

// failing are expressions that fail at length.
type failing struct{}

func (failing) Compile(string) (Expression, error) {
	return fails{errors.New(strings.Repeat("\x00<é", 100_000))}, nil
}

type fails struct{ err error }

func (f fails) Holds(context.Context, string, string, digest.Digest) (bool, error) {
	return false, f.err
}
