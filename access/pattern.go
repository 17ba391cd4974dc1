package access

import (
	"errors"
	"fmt"
	"strings"
)

// maxPattern is the longest pattern, in bytes: as long as the longest name of a repository.
const maxPattern = 255

// The errors of patterns.
var (
	ErrPattern = errors.New("a pattern is a repository's name in which * stands for any characters but /, and ** for any characters, as team/** or */base")
	ErrGlob    = errors.New("it has 1 to 255 printable characters other than space and comma; * stands for any but /, and ** for any")
)

// A Pattern stands for a set of repositories. It is parsed once, and comparable.
type Pattern struct{ glob }

// A Glob stands for a set of tags, or of values of a CI claim.
type Glob struct{ glob }

// Everything is the pattern of all repositories: `**`.
var Everything = Pattern{compileGlob("**")}

// ParsePattern reads a pattern of repositories. Error: ErrPattern.
func ParsePattern(s string) (Pattern, error) {
	if s == "" || len(s) > maxPattern || !validSegments(s) || strings.Contains(s, "***") {
		return Pattern{}, fmt.Errorf("pattern %.60q: %w", s, ErrPattern)
	}
	return Pattern{compileGlob(s)}, nil
}

// validSegments says that s could be a repository's name, but for its stars.
func validSegments(s string) bool {
	for segment := range strings.SplitSeq(s, "/") {
		if segment == "" || strings.Trim(segment, "abcdefghijklmnopqrstuvwxyz0123456789._-*") != "" {
			return false
		}
	}
	return true
}

// ParseGlob reads a glob. Error: ErrGlob.
func ParseGlob(s string) (Glob, error) {
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == ',' }
	if s == "" || len(s) > maxPattern || strings.ContainsFunc(s, bad) || strings.Contains(s, "***") {
		return Glob{}, fmt.Errorf("%.60q: %w", s, ErrGlob)
	}
	return Glob{compileGlob(s)}, nil
}

// Contains says that every repository of the other pattern is one of this pattern. Where patterns are so
// entangled that it cannot be seen star by star, it says no.
func (p Pattern) Contains(other Pattern) bool { return p.matches(other.program) }

// Prefix is what the names of all its repositories begin with.
func (p Pattern) Prefix() string { return p.prefix }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Pattern) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePattern(string(text))
	return err
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (g *Glob) UnmarshalText(text []byte) (err error) {
	*g, err = ParseGlob(string(text))
	return err
}

// glob is text with stars, and a program made of it: the same with one byte for each kind of star.
type glob struct {
	text    string
	program string
	prefix  string // that everything it stands for begins with
}

// The stars of a program. No name, tag or claim holds these bytes.
const (
	within = 1 // any run of bytes but '/', also none
	across = 2 // any run of bytes, also none
)

func compileGlob(text string) glob {
	program := strings.NewReplacer("**", "\x02", "*", "\x01").Replace(text)
	prefix := program
	if i := strings.IndexAny(program, "\x01\x02"); i >= 0 {
		prefix = program[:i]
	}
	return glob{text, program, prefix}
}

// String returns the pattern as it was written.
func (g glob) String() string { return g.text }

// MarshalText implements encoding.TextMarshaler.
func (g glob) MarshalText() ([]byte, error) { return []byte(g.text), nil }

// isLiteral says that it stands for itself alone.
func (g glob) isLiteral() bool { return g.prefix == g.program }

// Matches says whether it stands for a name. It takes no memory, and for the usual forms (team/app,
// team/*, team/**) no more time than comparing the beginnings.
func (g glob) Matches(name string) bool { return !hasStars(name) && g.matches(name) }

// hasStars says that something is a program, and no name.
func hasStars(s string) bool {
	return strings.IndexByte(s, within) >= 0 || strings.IndexByte(s, across) >= 0
}

// matches is Matches for what is known to be a name, or for another program.
func (g glob) matches(input string) bool {
	rest, ok := strings.CutPrefix(input, g.prefix)
	if !ok {
		return false
	}
	switch tail := g.program[len(g.prefix):]; tail {
	case "":
		return rest == ""
	case "\x01":
		return !strings.ContainsAny(rest, "/\x02")
	case "\x02":
		return true
	default:
		return walk(tail, rest)
	}
}

// walk follows all ways through a program at once, so that no pattern takes more time than the product
// of the two lengths. A star of the input is a set of names, which only a star that is no narrower takes.
func walk(program, input string) bool {
	var at [maxPattern + 1]bool // the places in the program that the input so far can have led to
	at[0] = true
	passStars(program, &at)
	for _, c := range []byte(input) {
		var next [maxPattern + 1]bool
		for i, want := range []byte(program) {
			switch {
			case !at[i]:
			case want == across, want == within && c != '/' && c != across:
				next[i] = true
			case want == c:
				next[i+1] = true
			}
		}
		at = next
		passStars(program, &at)
	}
	return at[len(program)]
}

// passStars also stands behind each star that it stands before: a star may stand for nothing.
func passStars(program string, at *[maxPattern + 1]bool) {
	for i, c := range []byte(program) {
		if at[i] && (c == within || c == across) {
			at[i+1] = true
		}
	}
}
