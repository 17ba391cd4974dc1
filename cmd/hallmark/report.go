package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// reportPrinter shows a report to people: the grades, then the checks, the worst first.
type reportPrinter struct {
	w        io.Writer
	colour   bool
	evidence bool
}

// The colours of a terminal.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

func (p reportPrinter) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (p reportPrinter) print(r *trust.Report) {
	fmt.Fprintf(p.w, "%s  %s\n", p.grade(r.Grade), clean(r.Subject))
	if r.Ungraded != "" {
		fmt.Fprintf(p.w, "  %s\n", clean(r.Ungraded))
	}
	for _, q := range slices.Sorted(maps.Keys(r.Grades)) {
		p.score(q, r.Grades[q])
	}
	fmt.Fprintln(p.w)
	for _, c := range r.Checks {
		p.check(c)
	}
}

func (p reportPrinter) grade(g trust.Grade) string {
	switch {
	case g == "":
		return p.paint(dim, "no grade")
	case g.AtLeast("B"):
		return p.paint(green, "grade "+string(g))
	case g.AtLeast("C"):
		return p.paint(yellow, "grade "+string(g))
	}
	return p.paint(red, "grade "+string(g))
}

func (p reportPrinter) score(q trust.Question, s trust.Score) {
	fmt.Fprintf(p.w, "  %-12s %s: %d of %d points, %d %% known", q, p.grade(s.Grade), s.Score, s.Of, int(s.Coverage*100+0.5))
	if s.Part != "" {
		fmt.Fprintf(p.w, ", as %s", clean(s.Part))
	}
	if s.Capped != "" {
		fmt.Fprintf(p.w, ", held down by %s", s.Capped)
	}
	if s.NextDrop != "" {
		fmt.Fprintf(p.w, ", until %s", s.NextDrop)
	}
	fmt.Fprintln(p.w)
}

func (p reportPrinter) check(c trust.Check) {
	word, colour := "pass", green
	switch {
	case c.Result == trust.Fail:
		word, colour = "FAIL", red
	case c.Result == trust.Unknown:
		word, colour = "????", dim
	case c.Result == trust.NA:
		word, colour = "n/a ", dim
	case c.Points < c.Of:
		word, colour = "part", yellow
	}
	points := fmt.Sprintf("%d/%d", c.Points, c.Of)
	if c.Result == trust.Unknown || c.Result == trust.NA {
		points = fmt.Sprintf("-/%d", c.Of)
	}
	fmt.Fprintf(p.w, "  %s %6s  %-17s %s\n", p.paint(colour, word), points, c.ID, clean(c.Says))
	if c.Advice != "" && (c.Result == trust.Fail || c.Points < c.Of) {
		fmt.Fprintf(p.w, "%33s%s\n", "", p.paint(dim, "→ "+clean(c.Advice)))
	}
	if p.evidence && c.Evidence != nil {
		p.printEvidence(c.Evidence)
	}
}

// platforms shows how each platform of an image came out.
func (p reportPrinter) platforms(all []image.Platform) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(p.w)
	for _, one := range all {
		fmt.Fprintf(p.w, "  %-15s %s: provenance %s, quality %s, %s\n", clean(one.Platform), p.grade(one.Grade),
			p.grade(one.Grades[trust.Provenance].Grade), p.grade(one.Grades[trust.Quality].Grade), short(one.Digest))
	}
}

// printEvidence writes evidence as JSON, line by line: what a host says must not reach the terminal as
// control characters.
func (p reportPrinter) printEvidence(evidence any) {
	var text strings.Builder
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(evidence); err != nil {
		return // it was JSON before
	}
	for line := range strings.Lines(text.String()) {
		fmt.Fprintf(p.w, "%33s%s\n", "", p.paint(dim, clean(strings.TrimRight(line, "\n"))))
	}
}
