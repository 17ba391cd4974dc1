package provenance

import (
	"fmt"
	"slices"
	"strings"
)

// The words for acts: the same in the report, in what `show` prints, and in refusals.

// onlyAct is what a CI job's login is worth.
const onlyAct = "its login proves that, not the build"

// says is an actor in words, with the account where the name does not tell who it was.
func (a Actor) says(names Namesakes) string {
	switch a.Kind {
	case User:
		return a.Handle + names.Account(a)
	case CI:
		return "a job of " + a.Handle
	case Anonymous:
		return "somebody who did not sign in"
	case System:
		return "the operator"
	}
	return string(a.Kind) + " " + a.Handle + names.Account(a)
}

// by is who did something, with where the job ran that did.
func (a *Act) by(names Namesakes) string {
	switch {
	case a.Job == nil || a.Job.Source == "":
		return a.Actor.says(names)
	case a.Job.Revision == "":
		return "a job of " + a.Job.Source
	}
	return "a job of " + a.Job.Source + " at " + a.Job.Revision
}

// sayer makes one sentence of acts.
type sayer struct {
	*Acts
	repository string
	parts      []string
	said       []string // who was named already
	only       bool     // what a login is worth was said
}

// Says is what was done with the image of a repository in one sentence, as "First pushed here by a job of R at C (its
// login proves that, not the build); copied by alice.", or "" where nothing is known.
func (a *Acts) Says(repository string) string {
	s := sayer{Acts: a, repository: repository}
	own := slices.IndexFunc(a.Arrivals, func(b Act) bool { return b.Repository == repository })
	switch {
	case a.First != nil:
		s.add("First "+verbOf(a.First)+" here by ", a.First)
		if j := a.First.Job; j != nil && !j.Counts {
			s.parts[0] += ", which does not count: " + j.Why
		}
	case own >= 0: // the first one is where they may not see it
		s.add(upperFirst(verbOf(&a.Arrivals[own]))+" here by ", &a.Arrivals[own])
	default:
		return ""
	}
	if a.First != nil && a.First.Repository != repository && own >= 0 {
		s.add("copied by ", &a.Arrivals[own])
	}
	s.also()
	if t := a.Tagged; t != nil && !s.named(t) {
		s.add("tagged by ", t)
	} else if t != nil && len(s.said) > 1 {
		s.parts = append(s.parts, "tagged by "+t.Actor.says(s.Namesakes))
	}
	s.removed()
	return strings.Join(s.parts, "; ") + "."
}

// also names another job that pushed the same later, as nothing before it says.
func (s *sayer) also() {
	others := 0
	for i := range s.Arrivals {
		if a := &s.Arrivals[i]; a.Job != nil && !s.named(a) {
			if others++; others == 1 {
				s.add("also "+verbOf(a)+" by ", a)
			}
		}
	}
	if others > 1 {
		s.parts = append(s.parts, "and by other jobs")
	}
}

// removed names the newest deletion in this repository, and who pushed the image there again.
func (s *sayer) removed() {
	var gone *Act
	for i := range s.Removals {
		if a := &s.Removals[i]; a.Repository == s.repository {
			gone = a
		}
	}
	if gone == nil {
		return
	}
	says := fmt.Sprintf("deleted by %s (record %d)", gone.Actor.says(s.Namesakes), gone.Record)
	for i := range s.Arrivals {
		if a := &s.Arrivals[i]; a.Repository == s.repository && a.Record > gone.Record {
			says += " and pushed again by " + a.Actor.says(s.Namesakes)
			break
		}
	}
	s.parts = append(s.parts, says)
}

func (s *sayer) named(a *Act) bool { return slices.Contains(s.said, a.by(s.Namesakes)) }

// add says that somebody did something.
func (s *sayer) add(what string, a *Act) {
	by := a.by(s.Namesakes)
	s.said = append(s.said, by)
	if s.tells != nil && !s.tells(a.Repository) {
		by = "somebody, in another repository"
		if a.Job != nil {
			by = "a job, in another repository"
		}
	}
	if a.Job != nil && !s.only {
		by, s.only = by+" ("+onlyAct+")", true
	}
	s.parts = append(s.parts, what+by)
}

func verbOf(a *Act) string {
	if a.Action == Import {
		return "imported"
	}
	return "pushed"
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
