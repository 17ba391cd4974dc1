package retention

import (
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	s := rulesOf(t, `# what may go
untagged:
  keep: 30d
rules:
- name: nightly
  repositories: [team/**, lab]
  tags: [nightly-*, ci-*]
  keep:
    newest: 10
    younger: 14d
    pulled: 36h
    tags: "*-lts"
    when: x
`)
	r := s.Rules[0]
	if *s.Untagged != 30*24*time.Hour || *r.Keep.Newest != 10 || r.Keep.Younger != 14*24*time.Hour || r.Keep.Pulled != 36*time.Hour || r.Keep.when == nil {
		t.Errorf("read %+v", r)
	}
	if !s.Covers("team/app") || !s.Covers("lab") || s.Covers("prod") || !r.covers("ci-1") || r.covers("v1") {
		t.Error("patterns do not match what they should")
	}
}

// TestParseErrors wants each error to name its line, and what to write.
func TestParseErrors(t *testing.T) {
	rule := func(rest string) string { return "rules:\n- name: a\n  repositories: team/**\n" + rest }
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown key", "untagged: {kept: 1d}", `f:1: unknown key "kept"`},
		{"an unknown condition", rule("  keep: {oldest: 1}"), `f:4: unknown key "oldest"`},
		{"no conditions", rule(""), "f:2: rule a: keep is missing: newest, younger"},
		{"no name", "rules: [{repositories: a, keep: {newest: 1}}]", "name has 1 to 40"},
		{"two of a name", rule("  keep: {newest: 1}\n- name: a\n  repositories: b\n  keep: {newest: 1}"), "f:5: rule a: there is a rule of this name above"},
		{"no repositories", "rules:\n- name: a\n  keep: {newest: 1}", "f:2: rule a: repositories is missing"},
		{"no pattern", rule("  tags: ['a b']\n  keep: {newest: 1}"), "f:4: rule a: tags: "},
		{"a bad repository", "rules:\n- name: a\n  repositories:\n  - TEAM\n  keep: {newest: 1}", "f:4: rule a: repositories: "},
		{"a negative number", rule("  keep: {newest: -1}"), "keep.newest is -1, and is 0 to"},
		{"no length of time", rule("  keep: {younger: soon}"), `f:4: `},
		{"a negative length of time", rule("  keep: {younger: -1h}"), `f:4: `},
		{"an expression", rule("  keep:\n    when: 'x('"), "f:5: rule a: keep.when: 1:1: it does not end"},
		{"too many rules", "rules:\n" + strings.Repeat("- {}\n", maxRules+1), "it has 257 rules, and may have 256"},
		{"too many patterns", rule("  tags: [" + strings.Repeat("a,", maxPatterns) + "a]\n  keep: {newest: 1}"), "tags has 65 entries"},
		{"too large", strings.Repeat("#", MaxFile+1), "it may have 262144 bytes"},
		{"all that is wrong", "rules: [{name: A}, {name: b}]", "rule b: repositories is missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.text), fakeExpressions{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestParseWithoutExpressions wants a reader that compiles no expressions to refuse a rule that has one, and not to let more go.
func TestParseWithoutExpressions(t *testing.T) {
	if _, err := Parse("f", []byte(keeping("when: x")), nil); err == nil {
		t.Error("a rule was read without its expression")
	}
}

// TestNothingIsNoRule wants a file of comments, and no file, to let nothing go.
func TestNothingIsNoRule(t *testing.T) {
	var none *Set
	if none.Covers("a") || rulesOf(t, "# nothing yet\n").Covers("a") {
		t.Error("a repository is covered by no rule")
	}
}
