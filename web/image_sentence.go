package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// A clause is a part of the sentence that says where an image comes from, with how well it is known and where the proof is.
type clause struct {
	Text  string
	What  string // that is named, as a digest or a name; it links to Href
	Href  string
	Class provenance.Class
	Why   string // how it is known, in words
	Proof string // where the proof is
}

// clauses is the sentence about an image: who pushed it, what it is built from, on what.
func (v *imageView) clauses(now time.Time) (list []clause) {
	if f := cmp.Or(v.First, firstOf(v.Arrivals)); f != nil {
		list = append(list, v.actClause("Pushed "+ago(f.Time, now)+" by ", f))
	}
	if b := v.Built; b != nil {
		why := "nothing proves it"
		if b.Class == provenance.Attested {
			why = "signed by " + b.Signer
		}
		if b.Revision != "" {
			list = append(list, clause{Text: "built from commit ", What: commit(b.Revision), Href: searchURL(b.Revision), Class: b.Class, Why: why, Proof: "#facts"})
		}
		if b.Source != "" {
			list = append(list, clause{Text: "of ", What: b.Source, Href: link(b.Source), Class: b.Class, Why: why, Proof: "#facts"})
		}
	}
	if base, ok := v.base(); ok {
		list = append(list, base)
	}
	if t := v.Tagged; t != nil && (v.First == nil || t.Actor != v.First.Actor) {
		list = append(list, v.actClause("tagged "+t.Tag+" by ", t))
	}
	if w := v.Witnessed; w != nil {
		list = append(list, clause{
			Text: "seen by ", What: plural(len(w.By), "witness"), Href: recordURL(w.Record), Class: provenance.Attested,
			Why: "cosigned by " + strings.Join(w.By, ", "), Proof: fmt.Sprintf("/api/v1/records/%d/tlog-proof", w.Record),
		})
	}
	return list
}

// actClause is a clause about who did something.
func (v *imageView) actClause(text string, a *provenance.Act) clause {
	c := clause{Text: text, What: by(v.Namesakes, a.Actor), Class: knownBy(a.Actor), Why: "proved by the login", Proof: recordURL(a.Record)}
	if c.Class == provenance.Observed {
		c.Why = "seen by the registry"
	}
	return c
}

func firstOf(acts []provenance.Act) *provenance.Act {
	if len(acts) == 0 {
		return nil
	}
	return &acts[0]
}

// base is the clause about the base image, by the best class that names one.
func (v *imageView) base() (clause, bool) {
	for _, a := range v.Provenance.Attested {
		if a.Fact == provenance.FactBase && v.counts(a.Records) {
			return clause{Text: "on ", What: cmp.Or(a.Name, short(a.Value)), Href: searchURL(a.Value), Class: provenance.Attested, Why: "signed by " + a.Signer, Proof: "#facts"}, true
		}
	}
	for _, fact := range []string{provenance.FactBase, provenance.FactBaseName} {
		for _, c := range v.Provenance.Claimed {
			if c.Fact == fact {
				return clause{Text: "on ", What: cmp.Or(c.Name, short(c.Value)), Href: searchURL(c.Value), Class: provenance.Claimed, Why: "nothing proves it", Proof: "#facts"}, true
			}
		}
	}
	return clause{}, false
}

// counts says whether the signature behind one of some records counts now.
func (v *imageView) counts(records []uint64) bool {
	return slices.ContainsFunc(v.Provenance.Verdicts, func(j provenance.WeighedVerdict) bool {
		return slices.Contains(records, j.Record) && j.Result == provenance.Good && (j.Standing == nil || j.Standing.Counts)
	})
}
