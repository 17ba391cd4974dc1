// Package trust answers the two questions that decide whether an image should be run: is it from a
// trusted source, and is it itself trustworthy? Each is necessary, neither is sufficient.
//
// An inspection is a list of checks, each with its evidence, and this package grades it into a [Report].
// What it asks, and what each answer is worth, is one table in rubric.go. Packages below inspect:
// trust/host a registry from outside, trust/image an image.
//
// A check never guesses. A check that could not learn the answer is unknown: it lowers the coverage of a grade, not
// the grade, and with too little coverage there is no grade.
package trust

import (
	"time"
)

// A Question is what a check helps to answer.
type Question string

// The questions.
const (
	Source     Question = "source"     // of a host: is it what it says it is, and does it behave?
	Provenance Question = "provenance" // of an image: is it from a trusted source?
	Quality    Question = "quality"    // of an image: is it a trusted thing?
)

// A Result is how a check came out.
type Result string

// The results.
const (
	Pass    Result = "pass"    // perhaps with less than all points
	Fail    Result = "fail"    // perhaps with some points all the same
	Unknown Result = "unknown" // it could not be learned
	NA      Result = "na"      // the question makes no sense here
)

// A Grade is A, B, C, D or F, or empty where there is none.
type Grade string

// grades are all grades, the best first.
const grades = "ABCDF"

// Valid says whether g is one of A, B, C, D and F.
func (g Grade) Valid() bool { return len(g) == 1 && rank(g) < len(grades) }

// AtLeast says whether g is as good as least, or better. No grade is not.
func (g Grade) AtLeast(least Grade) bool { return g.Valid() && rank(g) <= rank(least) }

// rank is a grade's distance from A. No grade is behind all others.
func rank(g Grade) int {
	for i := range grades {
		if string(g) == grades[i:i+1] {
			return i
		}
	}
	return len(grades)
}

func lower(a, b Grade) Grade {
	if rank(a) > rank(b) {
		return a
	}
	return b
}

// A Check is one question about a subject, answered with evidence.
type Check struct {
	ID       string   `json:"id"`
	Question Question `json:"question"`
	Result   Result   `json:"result"`
	Points   int      `json:"points"`
	Of       int      `json:"of"`
	// Cap is the best grade that the whole question can have with this result, or empty.
	Cap Grade `json:"cap,omitempty"`
	// Says is what was found, in one sentence.
	Says string `json:"says"`
	// Evidence is what the answer rests on: hashes, headers, requests. Anything that is JSON.
	Evidence any `json:"evidence,omitempty"`
	// Advice is what to do about it, where something is to be done.
	Advice string `json:"advice,omitempty"`
	// Drops are the moments at which the check will be worth less if nothing changes but the time.
	Drops []Drop `json:"drops,omitempty"`
}

// A Drop is a moment from which a check has fewer points.
type Drop struct {
	At     time.Time `json:"at"`
	Points int       `json:"points"`
}

// known says whether the check counts for the grade.
func (c Check) known() bool { return c.Result == Pass || c.Result == Fail }

// With adds evidence to a check.
func (c Check) With(evidence any) Check {
	c.Evidence = evidence
	return c
}

// Advise adds what to do.
func (c Check) Advise(what string) Check {
	c.Advice = what
	return c
}

// Dropping adds when the check will be worth less.
func (c Check) Dropping(drops ...Drop) Check {
	c.Drops = drops
	return c
}

// Passed is a check with all its points.
func Passed(id, says string) Check {
	r := ruleOf(id)
	return Check{ID: id, Question: r.Question, Result: Pass, Points: r.Of, Of: r.Of, Says: says}
}

// Partly is a check that passes with the points of one of its steps.
func Partly(id, step, says string) Check {
	c := Passed(id, says)
	c.Points = stepOf(id, step)
	return c
}

// Failed is a check without points. Where the rubric has it so, it caps the grade.
func Failed(id, says string) Check {
	c := Passed(id, says)
	c.Result, c.Points, c.Cap = Fail, 0, ruleOf(id).Cap
	return c
}

// Doubted is a check that fails without the certainty that a cap needs.
func Doubted(id, says string) Check {
	c := Failed(id, says)
	c.Cap = ""
	return c
}

// Share is a check of several parts, with the points of those that are good. It fails unless all are.
func Share(id string, good, all int, says string) Check {
	c := Passed(id, says)
	if good < all {
		c.Result, c.Points = Fail, c.Of*good/all
	}
	return c
}

// NotKnown is a check that could not be made.
func NotKnown(id, why string) Check {
	c := Passed(id, why)
	c.Result, c.Points = Unknown, 0
	return c
}

// NotApplicable is a check that makes no sense for this subject.
func NotApplicable(id, why string) Check {
	c := NotKnown(id, why)
	c.Result = NA
	return c
}
