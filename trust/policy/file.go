package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"go.yaml.in/yaml/v4"
)

// file is a file of rules.
type file struct {
	Rules []entry `yaml:"rules"`
}

// entry is a rule as it is written.
type entry struct {
	Name         word  `yaml:"name"`
	Repositories words `yaml:"repositories"`
	At           words `yaml:"at"`
	Effect       word  `yaml:"effect"`
	When         word  `yaml:"when"`
	Require      word  `yaml:"require"`
	Message      word  `yaml:"message"`
	Owner        word  `yaml:"owner"`
}

// word is a scalar that remembers its line.
type word struct {
	text string
	line int
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (w *word) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("there should be one value here")
	}
	w.text, w.line = strings.TrimSpace(n.Value), n.Line
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		w.line++ // the text begins behind the line of its mark
	}
	return nil
}

// words are one scalar, or a list of them.
type words []word

// UnmarshalYAML implements yaml.Unmarshaler.
func (w *words) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		*w = make(words, 1)
		return (*w)[0].UnmarshalYAML(n)
	}
	for _, item := range n.Content {
		var one word
		if err := one.UnmarshalYAML(item); err != nil {
			return err
		}
		*w = append(*w, one)
	}
	return nil
}

// ReadFile reads a file of rules. Errors: of the file, which is at most MaxFile long, and those of Parse.
func ReadFile(path string) (*Set, error) {
	data, err := yamlfile.Read(path, MaxFile)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse reads and compiles a file of rules. Its name stands in errors, which say in which line and rule
// something is wrong: all that is, not only the first.
func Parse(name string, data []byte) (*Set, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("%s: it may have %d bytes", name, MaxFile)
	}
	var f file
	err := yaml.Load(data, &f, yaml.WithKnownFields())
	if err != nil && !strings.Contains(err.Error(), "no documents") { // a file of comments alone has no rules
		return nil, yamlErrors(name, err)
	}
	if len(f.Rules) > maxRules {
		return nil, fmt.Errorf("%s: it has %d rules, and may have %d", name, len(f.Rules), maxRules)
	}
	set, seen := &Set{Digest: digest.FromBytes(data), Text: data}, map[string]bool{}
	var wrong []error
	for _, e := range f.Rules {
		r, err := e.rule()
		if err == nil && seen[r.Name] {
			err = e.Name.errorf("there is a rule of this name above")
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

// yamlErrors says what is wrong in which line.
func yamlErrors(name string, err error) error {
	var many *yaml.LoadErrors
	if !errors.As(err, &many) {
		return fmt.Errorf("%s: %w", name, err)
	}
	var all []error
	for _, e := range many.Errors {
		message, _, _ := strings.Cut(e.Message, " not found in type")
		if field, unknown := strings.CutPrefix(message, "field "); unknown {
			message = fmt.Sprintf("a rule has no key %q", field)
		}
		all = append(all, fmt.Errorf("%s:%d: %s", name, e.Mark.Line, message))
	}
	return errors.Join(all...)
}

// lineError is an error in a line of the file.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }

func (w word) errorf(format string, args ...any) error {
	return &lineError{w.line, fmt.Errorf(format, args...)}
}

// in says in which file, line and rule an error is.
func (e *entry) in(name string, err error) error {
	line := max(e.Name.line, 1)
	var placed *lineError
	if errors.As(err, &placed) && placed.line > 0 {
		line = placed.line
	}
	return fmt.Errorf("%s:%d: rule %s: %w", name, line, e.Name.text, err)
}

// rule checks an entry and compiles it.
func (e *entry) rule() (*Rule, error) {
	r := &Rule{Name: e.Name.text, Effect: Effect(e.Effect.text), When: e.When.text, Require: e.Require.text, Message: e.Message.text, Owner: e.Owner.text}
	if r.Effect == "" {
		r.Effect = Deny
	}
	for _, check := range []func(*Rule) error{e.checkTexts, e.readRepositories, e.readPoints} {
		if err := check(r); err != nil {
			return nil, err
		}
	}
	if key, err := r.compile(); err != nil {
		line := map[string]int{"when": e.When.line, "require": e.Require.line}[key]
		return nil, &lineError{line, fmt.Errorf("%s: %w", key, err)}
	}
	return r, nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyz0123456789-"

func (e *entry) checkTexts(r *Rule) error {
	switch {
	case r.Name == "" || len(r.Name) > maxName || strings.Trim(r.Name, nameLetters) != "":
		return e.Name.errorf("name has 1 to %d of the characters a-z, 0-9 and -", maxName)
	case r.Effect != Deny && r.Effect != Warn:
		return e.Effect.errorf("effect is %q, and should be deny or warn", r.Effect)
	case r.Require == "":
		return e.Name.errorf("require is missing: what has to be true")
	case r.Owner == "" || len(r.Owner) > maxOwner || !printable(r.Owner):
		return e.Owner.errorf("owner says in 1 to %d printable ASCII characters who can change the rule, so that a refusal can name them", maxOwner)
	case len(r.Message) > maxMessage || !printable(r.Message):
		return e.Message.errorf("message has at most %d printable ASCII characters: it goes into one line of a client's output", maxMessage)
	}
	return nil
}

// printable says whether a text can stand in a header.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

func (e *entry) readRepositories(r *Rule) error {
	if len(e.Repositories) == 0 {
		return e.Name.errorf("repositories is missing: a pattern as prod/**, or a list of them")
	}
	for _, w := range e.Repositories {
		p, err := access.ParsePattern(w.text)
		if err != nil {
			return w.errorf("repositories: %w", err)
		}
		r.Repositories = append(r.Repositories, p)
	}
	return nil
}

func (e *entry) readPoints(r *Rule) error {
	if len(e.At) == 0 {
		return e.Name.errorf("at is missing: push, tag or pull, or a list of them")
	}
	for _, w := range e.At {
		p := Point(w.text)
		if p != Push && p != Tag && p != Pull {
			return w.errorf("at is %q, and should be push, tag or pull", w.text)
		}
		r.At = append(r.At, p)
	}
	return nil
}
