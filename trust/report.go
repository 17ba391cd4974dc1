package trust

import (
	"math"
	"slices"
	"time"
)

// A Report is a graded inspection. Grade is the lower of its Grades; it is empty where one of them is.
type Report struct {
	Version int       `json:"version"`
	Subject string    `json:"subject"`
	Time    time.Time `json:"time"`
	Grade   Grade     `json:"grade,omitempty"`
	// Ungraded is why there is no grade whatever the checks say, or empty.
	Ungraded string             `json:"ungraded,omitempty"`
	Grades   map[Question]Score `json:"grades"`
	Checks   []Check            `json:"checks"`
}

// A Score is the grade of one question and how it came about.
type Score struct {
	Grade Grade `json:"grade,omitempty"`
	Score int   `json:"score"` // the points of all checks that gave an answer
	Of    int   `json:"of"`    // what these could have had
	// Coverage is the share of the points about which there is an answer, rounded to hundredths.
	Coverage float64 `json:"coverage"`
	// Capped names the check that holds the grade down.
	Capped string `json:"capped,omitempty"`
	// NextDrop is the day on which the grade gets worse if nothing changes but the time.
	NextDrop string `json:"nextDrop,omitempty"`
	// Part names the part of the subject whose score this is, where there are several.
	Part string `json:"part,omitempty"`
}

// A Part is one of those that a subject has several of, as an image its platforms, with all checks of it.
type Part struct {
	Name   string
	Checks []Check
	// Ungraded is why there is no grade whatever the checks say, or empty.
	Ungraded string
}

// NewReport grades checks. They are ordered the worst first: by what they cost, those that are unknown
// behind those that are known.
func NewReport(subject string, at time.Time, checks []Check) *Report {
	return NewReportOf(subject, at, checks, []Part{{Checks: checks}})
}

// NewReportOf grades a subject of which everybody gets one part, and nobody the sum: each of its scores is that of the
// part that comes out worst. checks are what is shown of the whole.
func NewReportOf(subject string, at time.Time, checks []Check, parts []Part) *Report {
	r := &Report{Version: Version, Subject: subject, Time: at.UTC(), Grades: map[Question]Score{}, Checks: worstFirst(checks)}
	for _, c := range checks {
		if _, ok := r.Grades[c.Question]; !ok {
			r.Grades[c.Question] = worstScore(parts, c.Question, at)
		}
	}
	if n := slices.IndexFunc(parts, func(p Part) bool { return p.Ungraded != "" }); n >= 0 {
		return r.ungraded(parts[n].Ungraded)
	}
	if len(r.Grades) == 0 {
		return r
	}
	r.Grade = "A"
	for _, s := range r.Grades {
		r.Grade = lower(r.Grade, s.Grade)
	}
	return r
}

// ungraded takes all grades from a report. What was found stays.
func (r *Report) ungraded(why string) *Report {
	r.Ungraded = why
	for q, s := range r.Grades {
		s.Grade, s.Capped, s.NextDrop = "", "", ""
		r.Grades[q] = s
	}
	return r
}

func worstFirst(checks []Check) []Check {
	rank := func(c Check) int {
		switch {
		case c.Result == Fail && c.Cap != "":
			return -1000
		case c.known():
			return c.Points - c.Of
		case c.Result == Unknown:
			return 1
		}
		return 2
	}
	sorted := slices.Clone(checks)
	slices.SortStableFunc(sorted, func(a, b Check) int { return rank(a) - rank(b) })
	return sorted
}

// worstScore is the score of the part that comes out worst, and drops as soon as one of them drops below it.
func worstScore(parts []Part, q Question, at time.Time) (worst Score) {
	for n, p := range parts {
		s := scoreOf(p.Checks, q, at)
		s.Part = p.Name
		if n == 0 || s.worse(worst) {
			worst = s
		}
	}
	for _, p := range parts {
		if drop := nextDrop(p.Checks, q, at, worst.Grade); drop != "" && (worst.NextDrop == "" || drop < worst.NextDrop) {
			worst.NextDrop = drop
		}
	}
	return worst
}

// worse says whether a score is a lower one: no grade is, then a lower grade, then a lower share of the points.
func (s Score) worse(than Score) bool {
	if s.Grade != than.Grade {
		return rank(s.Grade) > rank(than.Grade)
	}
	return s.Score*than.Of < than.Score*s.Of
}

// scoreOf adds up the checks of one question.
func scoreOf(checks []Check, q Question, at time.Time) Score {
	s := Score{}
	s.Grade, s.Capped = gradeAt(checks, q, at, &s)
	s.NextDrop = nextDrop(checks, q, at, s.Grade)
	return s
}

// gradeAt returns the grade of a question at a moment, and the check that caps it. It fills in s.
func gradeAt(checks []Check, q Question, at time.Time, s *Score) (g Grade, capped string) {
	unknown := 0
	for _, c := range checks {
		switch {
		case c.Question != q || c.Result == NA:
		case c.Result == Unknown:
			unknown += c.Of
		default:
			s.Score += c.pointsAt(at)
			s.Of += c.Of
		}
	}
	if s.Of == 0 {
		return "", ""
	}
	coverage := float64(s.Of) / float64(s.Of+unknown)
	s.Coverage = math.Floor(coverage*100) / 100
	if coverage < minCoverage {
		return "", ""
	}
	g = gradeOf(float64(s.Score) / float64(s.Of))
	for _, c := range checks {
		if c.Question == q && c.known() && c.Cap != "" && rank(c.Cap) > rank(g) {
			g, capped = c.Cap, c.ID
		}
	}
	return g, capped
}

func gradeOf(share float64) Grade {
	switch {
	case share >= shareA:
		return "A"
	case share >= shareB:
		return "B"
	case share >= shareC:
		return "C"
	case share >= shareD:
		return "D"
	}
	return "F"
}

// pointsAt is what a check will be worth at a moment.
func (c Check) pointsAt(at time.Time) int {
	points := c.Points
	for _, d := range c.Drops {
		if !d.At.After(at) {
			points = min(points, d.Points)
		}
	}
	return points
}

// nextDrop finds the first day on which time alone makes a grade worse.
func nextDrop(checks []Check, q Question, at time.Time, now Grade) string {
	var moments []time.Time
	for _, c := range checks {
		if c.Question != q || !c.known() {
			continue
		}
		for _, d := range c.Drops {
			moments = append(moments, d.At)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	for _, m := range moments {
		if g, _ := gradeAt(checks, q, m, &Score{}); m.After(at) && rank(g) > rank(now) {
			return m.UTC().Format(time.DateOnly)
		}
	}
	return ""
}

// Lowest is the lowest grade of several reports, or none where one has none, or there are none.
func Lowest(reports []*Report) Grade {
	if len(reports) == 0 {
		return ""
	}
	lowest := Grade("A")
	for _, r := range reports {
		lowest = lower(lowest, r.Grade)
	}
	return lowest
}
