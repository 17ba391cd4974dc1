package policy

import (
	"regexp"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// What rules ask about signatures. It is read from the evidence of the report's check of signatures: what counts now,
// and not what was found when they came.

// signedBy is report.signedBy("signer"), about the image itself, and report.signedBy("signer", "kind").
func signedBy(args ...ref.Val) ref.Val {
	return ofReport("signedBy", args, func(r *Report) (bool, error) {
		return r.signedBy(args[1].Value().(string), kindOf(args), counts)
	})
}

// named is report.named("signer") and report.named("signer", "kind"): signedBy, by a signature that calls the image by the
// name of its repository.
func named(args ...ref.Val) ref.Val {
	return ofReport("named", args, func(r *Report) (bool, error) {
		return r.signedBy(args[1].Value().(string), kindOf(args), func(d *image.Document) bool { return counts(d) && d.NamesRepository })
	})
}

// ofReport answers a function of a report.
func ofReport(name string, args []ref.Val, fn func(r *Report) (bool, error)) ref.Val {
	r, ok := args[0].Value().(*Report)
	if !ok {
		return types.NewErr("%s is of a report", name)
	}
	answer, err := fn(r)
	if err != nil {
		return types.WrapErr(err)
	}
	return types.Bool(answer)
}

// kindOf is the kind of statement that a function of a report and a signer is asked about.
func kindOf(args []ref.Val) string {
	if len(args) > 2 {
		return args[2].Value().(string)
	}
	return string(provenance.ImageKind)
}

// signedBy says that a signature of a signer, by its name in the configuration, is worth something for a kind of statement:
// over the image, or over each of its platforms.
func (r *Report) signedBy(name, kind string, worth func(*image.Document) bool) (bool, error) {
	return r.covers(kind, func(d *image.Document) bool { return worth(d) && d.Verdict.Signer == name && isOf(&d.Verdict, kind) })
}

// verified is report.verified("signer", "SLSA_BUILD_LEVEL_3").
func verified(args ...ref.Val) ref.Val {
	return ofReport("verified", args, func(r *Report) (bool, error) {
		return r.verified(args[1].Value().(string), args[2].Value().(string))
	})
}

// verified says that a verification summary by a signer, which counts, has a level: of the image, or of each of its
// platforms.
func (r *Report) verified(name, level string) (bool, error) {
	return r.covers(string(provenance.VSAKind), func(d *image.Document) bool {
		said := d.Verdict.Summary
		return said != nil && said.HasLevel(level) && counts(d) && d.Verdict.Signer == name
	})
}

// buildLevel are the levels of SLSA that are an image's: those of the source track are of a source.
var buildLevel = regexp.MustCompile(`^SLSA_BUILD_LEVEL_[0-4]$`)

// covers says whether something is so of a document over the image, or of one over each of its platforms.
func (r *Report) covers(kind string, so func(*image.Document) bool) (bool, error) {
	documents, err := r.signatures(kind)
	if err != nil {
		return false, err
	}
	these := map[string]bool{}
	for i := range documents {
		if d := &documents[i]; d.Signed != nil && so(d) {
			these[d.AttachedTo.String()] = true
		}
	}
	missing := slices.ContainsFunc(r.Platforms, func(p Platform) bool { return !these[p.Digest] })
	return these[r.Digest] || len(r.Platforms) > 0 && !missing, nil
}

// signatures are the documents with a signature that was looked at. Where one does not hold, none is of use, and where
// the image itself is not signed, none is of that kind.
func (r *Report) signatures(kind string) ([]image.Document, error) {
	c := r.find(trust.ImageSignature)
	if c == nil || c.Cap != "" || kind == string(provenance.ImageKind) && c.Result != string(trust.Pass) {
		return nil, nil
	}
	e, err := read(&r.signature, c)
	if err != nil {
		return nil, err
	}
	return e.Documents, nil
}

// counts says whether a document's signature is worth something now. Nobody's is worth nothing, no matter who is asked for.
func counts(d *image.Document) bool {
	return d.Verdict.Result == provenance.Good && d.Standing.Counts && d.Verdict.Signer != ""
}

// isOf says whether a verdict is about a kind, by its name or its full predicate type.
func isOf(v *provenance.Verdict, kind string) bool {
	return string(v.Kind) == kind || v.Evidence.PredicateType == kind
}
