package linediff

import (
	"slices"
	"strings"
	"testing"
)

// TestLines compares texts, and wants the difference to lead from one to the other.
func TestLines(t *testing.T) {
	long := strings.Repeat("same\n", 20)
	for _, one := range []struct {
		from, to, want string
	}{
		{"", "", ""},
		{"a\nb\n", "a\nb\n", ""},
		{"", "a\n", "@@ line 1 @@|+a"},
		{"a\n", "", "@@ line 1 @@|-a"},
		{"a\nb\nc\n", "a\nx\nc\n", "@@ line 1 @@| a|-b|+x| c"},
		{"a\nb\nc\nd\n", "b\nc\nx\nd\n", "@@ line 1 @@|-a| b| c|+x| d"},
		{"x\n" + long + "y\n", "z\n" + long + "y\nw\n", "@@ line 1 @@|-x|+z| same| same| same|@@ line 20 @@| same| same| y|+w"},
	} {
		if got := strings.Join(Lines(one.from, one.to), "|"); got != one.want {
			t.Errorf("%q, %q: %s", one.from, one.to, got)
		}
	}
}

// TestLinesMany wants texts that differ in very many lines to be told in time, and whole.
func TestLinesMany(t *testing.T) {
	var a, b []string
	for i := range 5000 {
		a, b = append(a, "a"+strings.Repeat("x", i%7)), append(b, "b"+strings.Repeat("y", i%5))
	}
	got := Lines(strings.Join(a, "\n"), strings.Join(b, "\n"))
	removed := slices.DeleteFunc(slices.Clone(got), func(line string) bool { return line[0] != '-' })
	if len(removed) != len(a) || len(got) != len(a)+len(b)+1 {
		t.Errorf("%d lines, %d of them removed", len(got), len(removed))
	}
}
