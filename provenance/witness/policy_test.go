package witness

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"golang.org/x/mod/sumdb/note"
)

// testSigner is a witness that needs no file.
func testSigner(t *testing.T, name string) *torchwood.CosignatureSigner {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	s, err := torchwood.NewCosignatureSigner(name, ed25519.NewKeyFromSeed(seed[:]))
	fatal(t, err)
	return s
}

// TestPolicy asks of each set of five witnesses whether it is a quorum.
func TestPolicy(t *testing.T) {
	t.Parallel()
	names := []string{"x1", "x2", "x3", "y1", "y2"}
	head := "# a policy\n\nlog " + newLog(t, "log.example", 5, -1).vkey() + "\n"
	for i, name := range names {
		head += "witness " + name + "\t" + testSigner(t, name+".example").Verifier().String() + []string{"", " https://w.example/"}[i%2] + "\n"
	}
	type votes struct{ x1, x2, x3, y1, y2 int }
	for rules, want := range map[string]func(votes) bool{
		"quorum none":                       func(votes) bool { return true },
		"quorum x2":                         func(v votes) bool { return v.x2 == 1 },
		"group g 2 x1 x2 x3\nquorum g":      func(v votes) bool { return v.x1+v.x2+v.x3 >= 2 },
		" group\tg any x1 y1 \n quorum\tg ": func(v votes) bool { return v.x1+v.y1 >= 1 },
		"group g all x1 y1\nquorum g\n":     func(v votes) bool { return v.x1+v.y1 == 2 },
		"group x 2 x1 x2 x3\ngroup y any y1 y2\ngroup both all x y\nquorum both": func(v votes) bool {
			return v.x1+v.x2+v.x3 >= 2 && v.y1+v.y2 >= 1
		},
		"group y 1 y1 y2\ngroup g 2 x1 y x3\nquorum g\n  # end": func(v votes) bool { return v.x1+min(1, v.y1+v.y2)+v.x3 >= 2 },
	} {
		p, err := ParsePolicy([]byte(head + rules))
		fatal(t, err)
		if len(p.Logs) != 1 || len(p.Witnesses) != 5 {
			t.Errorf("%d logs, %d witnesses", len(p.Logs), len(p.Witnesses))
		}
		for set := range 1 << len(names) {
			have := map[string]bool{}
			for i, name := range names {
				have[name+".example"] = set>>i&1 == 1
			}
			got := p.Satisfied(func(v note.Verifier) bool { return have[v.Name()] })
			if want(votes{set & 1, set >> 1 & 1, set >> 2 & 1, set >> 3 & 1, set >> 4 & 1}) != got {
				t.Errorf("%s: by %v it is %v", rules, have, got)
			}
		}
	}
}

// TestPolicyLogs is which logs count.
func TestPolicyLogs(t *testing.T) {
	t.Parallel()
	l, other := newLog(t, "log.example", 1, -1), newLog(t, "other.example", 1, -1)
	for text, counts := range map[string]bool{
		"quorum none": true, "log " + l.vkey() + " https://x\nquorum none": true, "log " + other.vkey() + "\nquorum none": false,
		"quorum none\nlog " + other.vkey() + "\nlog " + l.vkey(): true,
	} {
		p, err := ParsePolicy([]byte(text))
		fatal(t, err)
		v, err := note.NewVerifier(l.vkey())
		fatal(t, err)
		if p.Knows(v) != counts {
			t.Errorf("%q: %v", text, !counts)
		}
	}
}

func TestPolicyRefused(t *testing.T) {
	t.Parallel()
	l := newLog(t, "log.example", 1, -1)
	a, b := "witness a "+testSigner(t, "a").Verifier().String()+"\n", "witness b "+testSigner(t, "b").Verifier().String()+"\n"
	renamed := newLog(t, "log.example", 1, -1)
	renamed.origin = "renamed.example"
	for text, says := range map[string]string{
		"":                          "it has no line `quorum NAME`",
		"# quorum none":             "it has no line `quorum NAME`",
		"quorum none\nquorum none":  "line 2: there is a quorum already",
		"quorum a\n" + a:            `line 1: no line before it defines "a"`,
		"quorum none\r\n":           `line 1: it has the control character '\r'`,
		"quorum\u00a0none":          "line 1: it is none of log KEY",
		"hello":                     "line 1: it is none of log KEY",
		"quorum none none":          "it is none of log KEY",
		"witness a hello\nquorum a": "is not the key of a witness",
		"log hello\nquorum none":    "is not the key of a log",
		"witness a " + l.vkey():     "unknown verifier algorithm",
		"log " + testSigner(t, "a").Verifier().String(): "is not the key of a log",
		a + a: "line 2: this witness's key stands there already",
		a + strings.Replace(a, "witness a ", "witness b ", 1): "line 2: this witness's key stands there already",
		"log " + l.vkey() + "\nlog " + renamed.vkey():         "line 2: this log's key stands there already",
		a + strings.Replace(b, "witness b ", "witness a ", 1): `the name "a" has a meaning already`,
		strings.Replace(a, "witness a ", "witness none ", 1):  `the name "none" has a meaning already`,
		a + "group g all a\ngroup h all a g\nquorum h":        `line 3: "a" is a member of a group already`,
		a + b + "group g any a a\nquorum g":                   `"a" is a member of a group already`,
		a + "group g all none\nquorum g":                      `no line before it defines "none"`,
		a + b + "group g 3 a b\nquorum g":                     `"3" is not all, any, or a number from 1 to 2`,
		a + b + "group g 0 a b\nquorum g":                     `"0" is not all`,
		a + b + "group g 01 a b\nquorum g":                    `"01" is not all`,
		a + b + "group g +1 a b\nquorum g":                    `"+1" is not all`,
		a + "group g any\nquorum g":                           "it is none of log KEY",
		strings.Repeat("#", 300<<10):                          "it is longer than",
	} {
		if p, err := ParsePolicy([]byte(text)); !errors.Is(err, ErrPolicy) || !strings.Contains(err.Error(), says) {
			t.Errorf("%.200q: %v, %v; want %q", text, p, err, says)
		}
	}
}

// TestDemand wants every one.
func TestDemand(t *testing.T) {
	t.Parallel()
	a, b := testSigner(t, "a").Verifier(), testSigner(t, "b").Verifier()
	for n, have := range []map[string]bool{{}, {"a": true}, {"b": true}, {"a": true, "b": true}} {
		if got := Demand([]note.Verifier{a, b}).Satisfied(func(v note.Verifier) bool { return have[v.Name()] }); got != (n == 3) {
			t.Error(fmt.Sprint(have), got)
		}
	}
}
