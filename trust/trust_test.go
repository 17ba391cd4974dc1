package trust

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// check makes a check beside the rubric, so that the arithmetic is tested whatever the weights are.
func check(id string, q Question, r Result, points, of int) Check {
	return Check{ID: id, Question: q, Result: r, Points: points, Of: of, Says: id}
}

// TestGrades holds the arithmetic against a golden file for each case.
func TestGrades(t *testing.T) {
	capped := check("secret", Quality, Fail, 0, 1)
	capped.Cap = "D"
	harmless := check("fine", Quality, Pass, 99, 99)
	expiring := check("expiry", Source, Pass, 10, 10).Dropping(
		Drop{At: noon.AddDate(0, 0, 10), Points: 9}, Drop{At: noon.AddDate(0, 0, 40), Points: 5}, Drop{At: noon.AddDate(0, 0, 90)})
	for name, checks := range map[string][]Check{
		"nothing":            nil,
		"all-unknown":        {check("a", Source, Unknown, 0, 10)},
		"not-applicable":     {check("a", Source, NA, 0, 50), check("b", Source, Pass, 9, 10)},
		"coverage-59":        {check("a", Source, Pass, 59, 59), check("b", Source, Unknown, 0, 41)},
		"coverage-60":        {check("a", Source, Pass, 60, 60), check("b", Source, Unknown, 0, 40)},
		"unknown-costs-none": {check("a", Source, Pass, 10, 10), check("b", Source, Unknown, 0, 5)},
		"exactly-a":          {check("a", Source, Pass, 90, 90), check("b", Source, Fail, 0, 10)},
		"just-b":             {check("a", Source, Pass, 89, 90), check("b", Source, Fail, 0, 10)},
		"just-c":             {check("a", Source, Pass, 74, 100)},
		"just-d":             {check("a", Source, Pass, 59, 100)},
		"just-f":             {check("a", Source, Fail, 39, 100)},
		"lower-leads":        {check("a", Provenance, Pass, 100, 100), check("b", Quality, Fail, 0, 100)},
		"one-unknown":        {check("a", Provenance, Pass, 100, 100), check("b", Quality, Unknown, 0, 100)},
		"capped":             {capped, harmless},
		"drops":              {expiring, check("b", Source, Pass, 10, 10)},
		"worst-first":        {check("na", Source, NA, 0, 5), check("ok", Source, Pass, 5, 5), check("unknown", Source, Unknown, 0, 3), check("half", Source, Pass, 2, 5), check("bad", Source, Fail, 0, 9)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(NewReport(name, noon, checks), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "grades", name+".json"), append(got, '\n'))
		})
	}
}

// TestKinds holds the best report that there can be of each kind against a golden file: what is asked, and for how many
// points.
func TestKinds(t *testing.T) {
	for k, ids := range Applies {
		t.Run(string(k), func(t *testing.T) {
			var checks []Check
			for _, r := range Rubric {
				if slices.Contains(ids, r.ID) {
					checks = append(checks, Passed(r.ID, r.Asks))
				}
			}
			if len(checks) != len(ids) {
				t.Fatalf("%d of the checks %v are in the rubric", len(checks), ids)
			}
			got, err := json.MarshalIndent(NewReport(k.String(), noon, checks), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "grades", "kind-"+string(k)+".json"), append(got, '\n'))
		})
	}
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestAtLeast(t *testing.T) {
	for _, c := range []struct {
		grade, least Grade
		want         bool
	}{{"A", "B", true}, {"B", "B", true}, {"C", "B", false}, {"F", "F", true}, {"", "F", false}, {"", "", false}, {"E", "F", false}} {
		if got := c.grade.AtLeast(c.least); got != c.want {
			t.Errorf("%q at least %q: %v", c.grade, c.least, got)
		}
	}
}

// TestRubric wants 100 points, ids that are there once, and steps between nothing and all.
func TestRubric(t *testing.T) {
	sums, seen := map[string]int{}, map[string]bool{}
	for _, r := range Rubric {
		subject := "image"
		if r.Question == Source {
			subject = "host"
		}
		sums[subject] += r.Of
		if seen[r.ID] {
			t.Errorf("%s is there twice", r.ID)
		}
		seen[r.ID] = true
		for step, points := range r.Steps {
			if points <= 0 || points >= r.Of {
				t.Errorf("%s %s has %d of %d points", r.ID, step, points, r.Of)
			}
		}
	}
	for subject, sum := range sums {
		if sum != 100 {
			t.Errorf("the checks of a %s add up to %d points", subject, sum)
		}
	}
}

// TestRubricIsDocumented wants each check, its points and its cap in both documents.
func TestRubricIsDocumented(t *testing.T) {
	for _, path := range []string{"../docs/trust.md", "../docs/design/grades.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		for _, r := range Rubric {
			row := "| `" + r.ID + "` | " + pointsText(r)
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, row) }) {
				t.Errorf("%s has no row that begins with %s", path, row)
			}
		}
	}
}

// TestKindsAreDocumented wants a row for each kind in the users' page, with the checks that it is asked.
func TestKindsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/trust.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []Kind{Image, Chart, Files, Wasm, Model, Cache, Document, Unnamed} {
		asked := "no grade"
		if k == Image {
			asked = "all"
		} else if k.Graded() {
			asked = "`" + strings.Join(Applies[k], "`, `") + "`"
		}
		if row := "| `" + string(k) + "` | " + asked + " |"; !strings.Contains(string(text), "\n"+row) {
			t.Errorf("there is no row that begins with %s", row)
		}
	}
}

// pointsText is how the documents write what a check is worth: "10", "10 (5)", "5, or at most D".
func pointsText(r Rule) string {
	text := jsonText(r.Of)
	if len(r.Steps) > 0 {
		var steps []string
		for _, points := range r.Steps {
			steps = append(steps, jsonText(points))
		}
		slices.Sort(steps)
		text += " (" + strings.Join(steps, ", ") + ")"
	}
	if r.Cap != "" {
		text += ", else at most " + string(r.Cap)
	}
	return text + " |"
}

func jsonText(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

// TestWorstPart wants a subject of several parts to be graded as its worst part is: no better where another part hides a
// failure, no worse where each fails in another way, and to drop as soon as one of them drops below that.
func TestWorstPart(t *testing.T) {
	worst := check("b", Quality, Fail, 4, 10)
	for name, c := range map[string]struct {
		checks []Check
		parts  []Part
		want   Score
	}{
		"an unknown check of the whole hides no failure of a part": {
			[]Check{check("a", Quality, Pass, 10, 10), check("b", Quality, Unknown, 0, 10)},
			[]Part{{Name: "one", Checks: []Check{check("a", Quality, Pass, 10, 10), check("b", Quality, Unknown, 0, 5)}}, {Name: "two", Checks: []Check{check("a", Quality, Pass, 10, 10), worst}}},
			Score{Grade: "C", Score: 14, Of: 20, Coverage: 1, Part: "two"},
		},
		"failures of several parts are not added up": {
			[]Check{check("a", Quality, Fail, 0, 4), check("b", Quality, Fail, 0, 4), check("c", Quality, Pass, 12, 12)},
			[]Part{
				{Name: "one", Checks: []Check{check("a", Quality, Fail, 0, 4), check("b", Quality, Pass, 4, 4), check("c", Quality, Pass, 12, 12)}},
				{Name: "two", Checks: []Check{check("a", Quality, Pass, 4, 4), check("b", Quality, Fail, 1, 4), check("c", Quality, Pass, 12, 12)}},
			},
			Score{Grade: "B", Score: 16, Of: 20, Coverage: 1, Part: "one"},
		},
		"a part without a grade leaves none": {
			[]Check{check("a", Quality, Pass, 1, 1)},
			[]Part{{Name: "one", Checks: []Check{check("a", Quality, Fail, 0, 1)}}, {Name: "two", Checks: []Check{check("a", Quality, Unknown, 0, 1)}}},
			Score{Part: "two"},
		},
		"the first drop below the worst": {
			[]Check{check("a", Quality, Pass, 10, 10)},
			[]Part{
				{Name: "one", Checks: []Check{check("a", Quality, Pass, 8, 10).Dropping(Drop{At: noon.AddDate(0, 0, 9)})}},
				{Name: "two", Checks: []Check{check("a", Quality, Pass, 10, 10).Dropping(Drop{At: noon.AddDate(0, 0, 1), Points: 8}, Drop{At: noon.AddDate(0, 0, 4), Points: 7})}},
			},
			Score{Grade: "B", Score: 8, Of: 10, Coverage: 1, Part: "one", NextDrop: "2026-06-05"},
		},
	} {
		r := NewReportOf(name, noon, c.checks, c.parts)
		if got := r.Grades[Quality]; got != c.want || r.Grade != c.want.Grade {
			t.Errorf("%s: %s, %+v; want %+v", name, r.Grade, got, c.want)
		}
	}
}
