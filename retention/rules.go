package retention

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
)

// The bounds of a file of rules.
const (
	MaxFile     = 256 << 10 // bytes
	maxRules    = 256
	maxPatterns = 64 // of one list
	maxName     = 40 // bytes
	maxNewest   = 1_000_000
)

// An Expression is asked about the image that a tag means.
type Expression interface {
	// Holds says whether the expression is true of an image. An error keeps the tag.
	Holds(ctx context.Context, repository, tag string, d digest.Digest) (bool, error)
}

// Expressions compiles what stands under keep.when.
type Expressions interface {
	Compile(text string) (Expression, error)
}

// A Set is the rules of one file, in their order. It is never changed. A nil one has no rules, and nothing goes.
type Set struct {
	Rules []*Rule
	// Untagged is how long a manifest stays that no tag means any more; nil is for ever.
	Untagged *time.Duration
	// Digest is that of the file.
	Digest digest.Digest
}

// A Rule says which tags it covers, and which of these stay. The others go, unless another rule keeps them.
type Rule struct {
	Name         string
	Repositories []access.Pattern
	Tags         []access.Glob // that it covers; empty is all
	Keep         Keep
}

// Keep is what lets a tag stay: each condition alone is enough. A condition that is not given keeps nothing.
type Keep struct {
	Newest  *int          // so many of the covered tags of a repository, by when they were set
	Younger time.Duration // tags set less than this ago
	Pulled  time.Duration // tags pulled less than this ago
	Tags    []access.Glob // tags with these names
	When    string        // tags whose image this expression is true of

	when Expression
}

// UntaggedText says how long what has no tag stays, as the file does, or "" for ever.
func (s *Set) UntaggedText() string {
	if s.Untagged == nil {
		return ""
	}
	return units.Duration(*s.Untagged).String()
}

// Says says each condition in words.
func (k *Keep) Says() (all []string) {
	if k.Newest != nil {
		all = append(all, fmt.Sprintf("newest: %d", *k.Newest))
	}
	if k.Younger > 0 {
		all = append(all, "younger: "+units.Duration(k.Younger).String())
	}
	if k.Pulled > 0 {
		all = append(all, "pulled: "+units.Duration(k.Pulled).String())
	}
	for _, t := range k.Tags {
		all = append(all, "tags: "+t.String())
	}
	if k.When != "" {
		all = append(all, "when: "+k.When)
	}
	return all
}

// Covers says whether any rule looks at a repository.
func (s *Set) Covers(repository string) bool {
	return s != nil && slices.ContainsFunc(s.Rules, func(r *Rule) bool { return r.in(repository) })
}

func (r *Rule) in(repository string) bool {
	return slices.ContainsFunc(r.Repositories, func(p access.Pattern) bool { return p.Matches(repository) })
}

func (r *Rule) covers(tag string) bool { return len(r.Tags) == 0 || matchesAny(r.Tags, tag) }

func matchesAny(globs []access.Glob, tag string) bool {
	return slices.ContainsFunc(globs, func(g access.Glob) bool { return g.Matches(tag) })
}

// file is a file of rules as it is written.
type file struct {
	Untagged struct {
		Keep *units.Duration `yaml:"keep"`
	} `yaml:"untagged"`
	Rules []entry `yaml:"rules"`
}

type entry struct {
	Name         yamlfile.Word `yaml:"name"`
	Repositories yamlfile.List `yaml:"repositories"`
	Tags         yamlfile.List `yaml:"tags"`
	Keep         struct {
		Newest  *int           `yaml:"newest"`
		Younger units.Duration `yaml:"younger"`
		Pulled  units.Duration `yaml:"pulled"`
		Tags    yamlfile.List  `yaml:"tags"`
		When    yamlfile.Word  `yaml:"when"`
	} `yaml:"keep"`
}

// ReadFile reads a file of rules. Errors: of the file, which is at most MaxFile long, and those of Parse.
func ReadFile(path string, x Expressions) (*Set, error) {
	data, err := yamlfile.Read(path, MaxFile)
	if err != nil {
		return nil, err
	}
	return Parse(path, data, x)
}

// Parse reads rules. Its name stands in errors, which say in which line and rule something is wrong: all that is, not only
// the first. x may be nil where no rule has an expression.
func Parse(name string, data []byte, x Expressions) (*Set, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: it may have %d bytes", name, MaxFile)
	}
	var f file
	if err := yamlfile.Load(name, data, &f); err != nil {
		return nil, err
	}
	if len(f.Rules) > maxRules {
		return nil, fmt.Errorf("%s: it has %d rules, and may have %d", name, len(f.Rules), maxRules)
	}
	set, seen := &Set{Digest: digest.FromBytes(data)}, map[string]bool{}
	if f.Untagged.Keep != nil {
		keep := time.Duration(*f.Untagged.Keep)
		set.Untagged = &keep
	}
	var wrong []error
	for i := range f.Rules {
		e := &f.Rules[i]
		r, err := e.rule(x)
		if err == nil && seen[r.Name] {
			err = lineError{e.Name.Line, errors.New("there is a rule of this name above")}
		}
		if err != nil {
			wrong = append(wrong, e.in(name, err))
			continue
		}
		seen[r.Name] = true
		set.Rules = append(set.Rules, r)
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	return set, nil
}

// lineError is an error in a line of the file.
type lineError struct {
	line int
	error
}

// in says in which file, line and rule an error is.
func (e *entry) in(name string, err error) error {
	line := max(e.Name.Line, 1)
	var placed lineError
	if errors.As(err, &placed) && placed.line > 0 {
		line = placed.line
	}
	return fmt.Errorf("%s:%d: rule %s: %w", name, line, e.Name.Text, err)
}

const nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789-"

// rule checks an entry and compiles it.
func (e *entry) rule(x Expressions) (r *Rule, err error) {
	k := &e.Keep
	switch {
	case e.Name.Text == "" || len(e.Name.Text) > maxName || strings.Trim(e.Name.Text, nameLetters) != "":
		return nil, fmt.Errorf("name has 1 to %d of the characters a-z, 0-9 and -", maxName)
	case len(e.Repositories) == 0:
		return nil, errors.New("repositories is missing: a pattern as team/**, or a list of them")
	case k.Newest == nil && k.Younger == 0 && k.Pulled == 0 && len(k.Tags) == 0 && k.When.Text == "":
		return nil, errors.New("keep is missing: newest, younger, pulled, tags or when; write newest: 0 where none of the tags should stay")
	case k.Newest != nil && (*k.Newest < 0 || *k.Newest > maxNewest):
		return nil, fmt.Errorf("keep.newest is %d, and is 0 to %d", *k.Newest, maxNewest)
	}
	r = &Rule{Name: e.Name.Text, Keep: Keep{Newest: k.Newest, Younger: time.Duration(k.Younger), Pulled: time.Duration(k.Pulled), When: k.When.Text}}
	if r.Repositories, err = parsed("repositories", e.Repositories, access.ParsePattern); err != nil {
		return nil, err
	}
	if r.Tags, err = parsed("tags", e.Tags, access.ParseGlob); err != nil {
		return nil, err
	}
	if r.Keep.Tags, err = parsed("keep.tags", k.Tags, access.ParseGlob); err != nil {
		return nil, err
	}
	r.Keep.when, err = compiled(k.When, x)
	return r, err
}

func compiled(when yamlfile.Word, x Expressions) (Expression, error) {
	if when.Text == "" {
		return nil, nil
	}
	if x == nil {
		return nil, lineError{when.Line, errors.New("keep.when: expressions are not read here")}
	}
	e, err := x.Compile(when.Text)
	if err != nil {
		return nil, lineError{when.Line, fmt.Errorf("keep.when: %w", err)}
	}
	return e, nil
}

// parsed reads a list of patterns.
func parsed[T any](key string, words yamlfile.List, parse func(string) (T, error)) (all []T, err error) {
	if len(words) > maxPatterns {
		return nil, lineError{words[0].Line, fmt.Errorf("%s has %d entries, and may have %d", key, len(words), maxPatterns)}
	}
	for _, w := range words {
		one, err := parse(w.Text)
		if err != nil {
			return nil, lineError{w.Line, fmt.Errorf("%s: %w", key, err)}
		}
		all = append(all, one)
	}
	return all, nil
}
