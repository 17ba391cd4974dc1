package main

import (
	"io"
	"strings"

	"github.com/seed-260924e6/hallmark/provenance"
)

// namesakes are names that more than one account had: they are printed with the account, which `records --identity` takes.
type namesakes map[string]bool

func newNamesakes(names []string) namesakes {
	n := namesakes{}
	n.add(names)
	return n
}

func (n namesakes) add(names []string) {
	for _, name := range names {
		n[name] = true
	}
}

// who is an actor, with its kind where it is not a person, and its account where the name does not tell who it was.
func (n namesakes) who(a provenance.Actor) string {
	if n[a.Name()] && a.Account != "" {
		return who(a) + " (account " + a.Account + ")"
	}
	return who(a)
}

// topic is what a record is about, with the account whose right it was where its name does not tell.
func (n namesakes) topic(r *provenance.Record) string {
	if g := r.Grant; g != nil && g.Account != "" && n[g.Subject] {
		return strings.Replace(topic(r), g.Subject, g.Subject+" (account "+g.Account+")", 1)
	}
	return topic(r)
}

// found is a list of which some items may be left out, and the names in it that do not tell who it is.
type found[Item any] struct {
	items   []Item
	more    bool
	bounded bool // not all was looked at
	names   namesakes
}

// leftOut is the line below a table that says so.
func (f *found[Item]) leftOut() string {
	switch {
	case f.more:
		return "There are more: --limit 0 prints all.\n"
	case f.bounded:
		return "There may be more: not all that begins with these layers was looked at.\n"
	}
	return ""
}

// json says in an answer for programs, too, that it is cut.
func (f *found[Item]) json(answer map[string]any) map[string]any {
	if f.more || f.bounded {
		answer["more"] = true
	}
	return answer
}

// say prints a line, if there is one.
func (e *env) say(text string) error {
	_, err := io.WriteString(e.stdout, text)
	return err
}

// nothingFound is what the help of a verb says that looks for something.
const nothingFound = "Exit status 1 says that nothing was found."

// nothing is the error of an empty answer.
func (f *found[Item]) nothing(what string) error {
	if len(f.items) > 0 || f.more || f.bounded {
		return nil
	}
	return nof("no %s was found", what)
}

// The digits of a commit of git: how many one has, and how many of them can be looked for.
const wholeCommit, leastCommit = 40, 4

func isHex(s string) bool { return s != "" && strings.Trim(s, "0123456789abcdef") == "" }
