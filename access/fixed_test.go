package access

import (
	"errors"
	"slices"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestFix makes tags immutable by those who administrate the repositories, and nobody else.
func TestFix(t *testing.T) {
	a, _ := testAccess(t)
	bob, carol := addUser(t, a, "bob", false), addUser(t, a, "carol", false)
	grant(t, a, "user:bob team/** admin", "user:carol team/** delete")
	rule := func(repositories, tags string, except ...string) FixedTags {
		f := FixedTags{Repositories: mustPattern(t, repositories)}
		for _, text := range append([]string{tags}, except...) {
			g, err := ParseGlob(text)
			if err != nil {
				t.Fatal(err)
			}
			f.Except = append(f.Except, g)
		}
		f.Tags, f.Except = f.Except[0], f.Except[1:]
		return f
	}
	releases := rule("team/**", "v*", "*-dev")
	for name, err := range map[string]error{
		"by one who may delete": func() error { _, err := a.Fix(background, carol, releases); return err }(),
		"of more than is his":   func() error { _, err := a.Fix(background, bob, rule("**", "v*")); return err }(),
	} {
		if !errors.Is(err, ErrNotAdmin) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, want := range []bool{true, false} {
		if isNew, err := a.Fix(background, bob, releases); err != nil || isNew != want {
			t.Errorf("new: %v, %v", isNew, err)
		}
	}
	fixed := func(tag string) bool { return a.rules.Load().fixed("team/app", tag) != nil }
	if !fixed("v1") || fixed("v1-dev") || fixed("latest") {
		t.Error("the rule is not in force")
	}
	if _, err := a.Fix(background, bob, rule("team/**", "v*")); err != nil || !fixed("v1-dev") || len(a.Fixes(bob)) != 1 {
		t.Errorf("with other exceptions: %v, %v", err, a.Fixes(bob))
	}
	if _, err := a.Fix(background, Operator, rule("**", "lts")); err != nil || len(a.Fixes(bob)) != 1 || len(a.Fixes(carol)) != 0 || len(a.Fixes(Operator)) != 2 {
		t.Errorf("seen: %v, %v, %v", err, a.Fixes(bob), a.Fixes(carol))
	}
	if err := a.Unfix(background, bob, rule("**", "lts")); !errors.Is(err, ErrNotAdmin) {
		t.Errorf("a rule over him: %v", err)
	}
	if err := a.Unfix(background, bob, rule("team/**", "w*")); !errors.Is(err, ErrUnknownRule) {
		t.Errorf("no rule: %v", err)
	}
	if err := a.Unfix(background, bob, releases); err != nil || fixed("v1") {
		t.Errorf("taken away: %v", err)
	}
	page, err := a.book.(*provenance.Book).Find(background, provenance.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range page.Records {
		if r.Grant.Tags != "" {
			got = append(got, string(r.Action)+" "+r.Grant.Tags+" by "+r.Actor.Handle)
		}
	}
	want := []string{"revoke v* by bob", "revoke v* by bob", "grant v* by bob", "revoke lts by operator", "grant v* by bob"}
	if !slices.Equal(got, want) {
		t.Errorf("recorded %q, want %q", got, want)
	}
}

// TestKeepsAttached tells rules that keep what signing tools move from those that do not, and wants the offered exceptions
// to be enough.
func TestKeepsAttached(t *testing.T) {
	glob := func(text string) Glob {
		g, err := ParseGlob(text)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	for _, c := range []struct {
		tags   string
		except []Glob
		keeps  bool
	}{
		{"*", nil, true},
		{"v*", nil, false},
		{"*.sig", nil, true},
		{"sha256-*", []Glob{glob("*.sig")}, true},
		{"*", []Glob{glob("*.sig"), glob("*.att")}, true},
		{"*", AttachedTags(), false},
		{"sha*", AttachedTags(), false},
	} {
		f := FixedTags{Repositories: mustPattern(t, "**"), Tags: glob(c.tags), Except: c.except}
		if got := f.KeepsAttached(); got != c.keeps {
			t.Errorf("%s but %v: %t", c.tags, c.except, got)
		}
	}
}
