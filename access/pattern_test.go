package access

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func mustPattern(t testing.TB, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatterns(t *testing.T) {
	for pattern, want := range map[string]struct{ in, out string }{
		"team/app":    {"team/app", "team/app2 team/app/x team ateam/app"},
		"team/*":      {"team/app team/b", "team team/app/x steam/app"},
		"team/**":     {"team/app team/app/x", "team teams/app"},
		"**":          {"a a/b a/b/c", ""},
		"*":           {"a app", "a/b"},
		"*/base":      {"a/base", "base a/b/base"},
		"**/base":     {"a/base a/b/base", "base a/base/x"},
		"team/*-dev":  {"team/a-dev team/a-b-dev", "team/a team/a/b-dev"},
		"a*b*c":       {"abc aXXbYYc abbcc", "ab/c ac"},
		"a**b*c":      {"a/x/bc ab/bc", "abcd ab/"},
		"**/x/**/y*":  {"a/x/b/y a/x/b/c/y1", "a/x/y a/x/b/y/z"},
		"*a*a*a*a*b":  {"aaaab", strings.Repeat("a", 200)},
		"team/**/app": {"team/a/app team/a/b/app", "team/app"},
	} {
		p := mustPattern(t, pattern)
		for name := range strings.FieldsSeq(strings.ReplaceAll(want.in, "X", "x")) {
			if !p.Matches(strings.ToLower(name)) {
				t.Errorf("%s does not stand for %s", pattern, name)
			}
		}
		for name := range strings.FieldsSeq(want.out) {
			if p.Matches(name) {
				t.Errorf("%s stands for %s", pattern, name)
			}
		}
	}
	for _, bad := range []string{"", "/", "a/", "/a", "a//b", "A", "a b", "a:b", "***", "a\x01", "ä", "a,b", "a?", strings.Repeat("a", 256)} {
		if _, err := ParsePattern(bad); !errors.Is(err, ErrPattern) {
			t.Errorf("pattern %q: %v", bad, err)
		}
	}
}

func TestContains(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"**", "**", true},
		{"**", "team/*", true},
		{"team/**", "team/**", true},
		{"team/**", "team/*", true},
		{"team/**", "team/app", true},
		{"team/**", "team/a/**", true},
		{"team/*", "team/**", false},
		{"team/*", "team/*", true},
		{"team/*", "team/a*b", true},
		{"team/*", "*", false},
		{"team/**", "**", false},
		{"team/**", "te*/app", false},
		{"team/**", "team*/app", false},
		{"team/app", "team/app", true},
		{"team/app", "team/ap*", false},
		{"*/base", "team/base", true},
		{"*/base", "*/base", true},
		{"*/base", "**/base", false},
		{"**/base", "*/base", true},
		{"a*", "a*b*c", true},
		{"a*c", "a*b*c", true},
		{"a*b*c", "a*c", false},
	} {
		if got := mustPattern(t, c.outer).Contains(mustPattern(t, c.inner)); got != c.want {
			t.Errorf("%s contains %s: %v", c.outer, c.inner, got)
		}
	}
}

// asRegexp says the same as a pattern, in another language.
func asRegexp(pattern string) *regexp.Regexp {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(quoted, `\*\*`, "(?s:.*)")
	return regexp.MustCompile("^" + strings.ReplaceAll(quoted, `\*`, "[^/]*") + "$")
}

// FuzzPattern holds patterns against regular expressions, and containment against names.
func FuzzPattern(f *testing.F) {
	f.Add("team/**", "team/*", "team/app")
	f.Add("a*b**c", "**", "a/b/c")
	f.Add("*a*a*a*b", "aaa*", "aaaaaaaaaaaaaaa")
	f.Fuzz(func(t *testing.T, outer, inner, name string) {
		p, err := ParsePattern(outer)
		if err != nil {
			return
		}
		if again, err := ParsePattern(p.String()); err != nil || again != p {
			t.Errorf("%q again is %+v, %v", outer, again, err)
		}
		if len(name) > 300 || strings.ContainsAny(name, "\x01\x02") {
			return
		}
		if got, want := p.Matches(name), asRegexp(outer).MatchString(name); got != want {
			t.Errorf("%q matches %q: %v, want %v", outer, name, got, want)
		}
		q, err := ParsePattern(inner)
		if err == nil && p.Contains(q) && q.Matches(name) && !p.Matches(name) {
			t.Errorf("%q should contain %q, but not %q", outer, inner, name)
		}
	})
}

func TestGlob(t *testing.T) {
	for _, bad := range []string{"", "a b", "a,b", "a\n", "***", "é", strings.Repeat("a", 256)} {
		if _, err := ParseGlob(bad); !errors.Is(err, ErrGlob) {
			t.Errorf("glob %q: %v", bad, err)
		}
	}
	g, err := ParseGlob("refs/heads/*")
	if err != nil || !g.Matches("refs/heads/main") || g.Matches("refs/heads/a/b") || g.Matches("refs/heads/\x02") {
		t.Errorf("glob %s, %v", g, err)
	}
}
