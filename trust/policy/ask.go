package policy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"github.com/seed-260924e6/hallmark/trust"
)

// askTime bounds the time that one rule takes, beside its cost.
const askTime = time.Second

// An Answer is what a rule says about an object.
type Answer struct {
	Rule *Rule
	// Holds says that nothing is missing, or that the rule is not asked here.
	Holds bool
	// Missed is the evidence that the rule looked at and that was not as it should be, as few words.
	Missed []string
	// Err is why the rule gave no answer. Then it does not hold, whatever its effect is.
	Err error
}

// Denies says that what is asked about must not happen.
func (a Answer) Denies() bool { return !a.Holds && (a.Rule.Effect == Deny || a.Err != nil) }

// Ask asks a rule about an object. It gives an answer in any case.
func (r *Rule) Ask(ctx context.Context, o *Object) Answer {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	vars := o.variables()
	if r.when != nil {
		asked, err := yes(ctx, r.when, vars)
		if err != nil || !asked {
			return Answer{Rule: r, Holds: err == nil, Err: err}
		}
	}
	holds, err := yes(ctx, r.require, vars)
	a := Answer{Rule: r, Holds: holds && err == nil, Err: err}
	if !a.Holds {
		a.Missed = r.missed(o)
	}
	return a
}

func (o *Object) variables() map[string]any {
	return map[string]any{
		"repository": o.Repository, "manifest": o.Manifest, "report": o.Report, "image": o.Image,
		"who": &o.Who, "tag": o.Tag, "previous": o.Previous, "action": string(o.Action),
	}
}

func yes(ctx context.Context, p cel.Program, vars map[string]any) (bool, error) {
	out, _, err := p.ContextEval(ctx, vars)
	if err != nil {
		return false, err
	}
	answer, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it gave a %s", out.Type().TypeName())
	}
	return answer, nil
}

// missed puts into words what a rule looked at: the grade, checks, facts, who pushes.
func (r *Rule) missed(o *Object) (all []string) {
	if o.Report != nil {
		if len(r.reads.signers) > 0 {
			all = append(all, "not signed by "+strings.Join(r.reads.signers, ", ")+" ("+o.Report.says(trust.ImageSignature)+")")
		}
		if len(r.reads.verified) > 0 {
			all = append(all, "not verified by "+strings.Join(r.reads.verified, ", "))
		}
		for _, id := range r.reads.checks {
			all = append(all, id+": "+o.Report.says(id))
		}
		for _, fact := range r.reads.facts {
			all = append(all, o.Report.saysOf(fact))
		}
		if r.reads.grade {
			all = append(all, o.Report.saysGrade())
		}
	}
	if r.reads.acts && o.acts != "" {
		all = append(all, strings.TrimSuffix(o.acts, "."))
	}
	if r.reads.manifest && o.Manifest != nil {
		all = append(all, o.Manifest.says())
	}
	if r.reads.who {
		all = append(all, "pushed by "+o.Who.Kind+":"+o.Who.Handle)
	}
	if r.reads.tag {
		all = append(all, "tag "+o.Tag)
	}
	return all
}

// says is what a manifest is, and whether what it says of sizes is so.
func (m *Manifest) says() string {
	s := "it is " + m.MediaType
	if m.ArtifactType != "" {
		s += " of type " + m.ArtifactType
	}
	if !m.SizesTrue {
		s += ", with wrong sizes"
	}
	return s
}

// says is what a check found.
func (r *Report) says(id string) string {
	for _, c := range r.Checks {
		if c.ID == id {
			return strings.TrimSuffix(c.Says, ".")
		}
	}
	return "unknown"
}

func (r *Report) saysOf(fact string) string {
	found, _ := r.facts(fact).([]Fact)
	for _, f := range found {
		if !f.Elsewhere { // the one who reads a refusal need not be one who may see that repository
			return fact + " " + f.Value
		}
	}
	return "no " + fact
}

// saysGrade is the grade and the check that costs most.
func (r *Report) saysGrade() string {
	grade := "grade " + r.Grade
	if r.Grade == "" {
		grade = "no grade"
	}
	if len(r.Checks) > 0 {
		grade += "; worst is " + r.Checks[0].ID + ": " + strings.TrimSuffix(r.Checks[0].Says, ".")
	}
	return grade
}
