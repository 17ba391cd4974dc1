package provenance

import (
	"cmp"
	"slices"
)

// Built is what provenance says of how an image was built. It is Attested or Claimed, and never follows from a login:
// that proves who pushed.
type Built struct {
	Class    Class  `json:"class"`
	Source   string `json:"source,omitempty"`
	Revision string `json:"revision,omitempty"`
	Builder  string `json:"builder,omitempty"`
	Signer   string `json:"signer,omitempty"` // of the configuration; of what is attested
	From     string `json:"from,omitempty"`   // where the source stands
	// Disputed are the facts that are stated in this class in ways that cannot all be true. They are absent above.
	Disputed []string `json:"disputed,omitempty"`
}

// saidOf is a fact of one class.
type saidOf struct{ fact, value, from, signer string }

// Built returns what is attested of the source, by signatures that still count, or else what is claimed of it; nil where
// there is neither.
func (sum *ByClass) Built() *Built {
	var attested, claimed []saidOf
	for _, a := range sum.Attested {
		if sum.counts(a.Records) {
			attested = append(attested, saidOf{a.Fact, a.Value, a.From, a.Signer})
		}
	}
	for _, c := range sum.Claimed {
		claimed = append(claimed, saidOf{c.Fact, c.Value, c.From, ""})
	}
	if b := builtOf(Attested, attested); b != nil {
		return b
	}
	return builtOf(Claimed, claimed)
}

// counts says whether the signature behind one of some records counts now, where that was asked.
func (sum *ByClass) counts(records []uint64) bool {
	return slices.ContainsFunc(sum.Verdicts, func(v Judged) bool {
		return slices.Contains(records, v.Record) && v.Result == Good && (v.Standing == nil || v.Standing.Counts)
	})
}

func builtOf(class Class, said []saidOf) *Built {
	b := &Built{Class: class}
	for _, s := range said {
		if s.fact == FactSource {
			b.From, b.Signer = s.from, s.signer
			break
		}
	}
	if b.From == "" {
		return nil
	}
	for _, f := range []struct {
		fact string
		into *string
	}{{FactSource, &b.Source}, {FactRevision, &b.Revision}, {FactBuilder, &b.Builder}} {
		value, one := "", true
		for _, s := range said {
			if s.fact == f.fact {
				value, one = cmp.Or(value, s.value), one && (value == "" || Same(f.fact, value, s.value))
			}
		}
		if *f.into = value; !one {
			*f.into, b.Disputed = "", append(b.Disputed, f.fact)
		}
	}
	return b
}
