package policy

import (
	"regexp"
	"slices"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// What rules ask about signatures. It is read from the evidence of the report's check of signatures: what counts now,
// and not what was found when they came.

// signedBy is report.signedBy("signer"), about the image itself, and report.signedBy("signer", "kind").
func signedBy(args ...ref.Val) ref.Val {
	r, ok := args[0].Value().(*Report)
	if !ok {
		return types.NewErr("signedBy is of a report")
	}
	return types.Bool(r.signedBy(args[1].Value().(string), kindOf(args), counts))
}

// named is report.named("signer") and report.named("signer", "kind"): signedBy, by a signature that calls the image by the
// name of its repository.
func named(args ...ref.Val) ref.Val {
	r, ok := args[0].Value().(*Report)
	if !ok {
		return types.NewErr("named is of a report")
	}
	return types.Bool(r.signedBy(args[1].Value().(string), kindOf(args), func(document map[string]any) bool {
		return counts(document) && document["namesRepository"] == true
	}))
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
func (r *Report) signedBy(name, kind string, worth func(document map[string]any) bool) bool {
	signed := map[string]bool{}
	for _, d := range r.signatures(kind) {
		verdict, _ := d["verdict"].(map[string]any)
		if on, ok := d["attachedTo"].(string); ok && worth(d) && verdict["signer"] == name && isOf(verdict, kind) {
			signed[on] = true
		}
	}
	return r.covers(signed)
}

// verified is report.verified("signer", "SLSA_BUILD_LEVEL_3").
func verified(args ...ref.Val) ref.Val {
	r, ok := args[0].Value().(*Report)
	if !ok {
		return types.NewErr("verified is of a report")
	}
	return types.Bool(r.verified(args[1].Value().(string), args[2].Value().(string)))
}

// verified says that a verification summary by a signer, which counts, has a level: of the image, or of each of its
// platforms.
func (r *Report) verified(name, level string) bool {
	have := map[string]bool{}
	for _, d := range r.signatures(string(provenance.VSAKind)) {
		verdict, _ := d["verdict"].(map[string]any)
		var said provenance.Summary
		if recast(verdict["summary"], &said) != nil || !counts(d) || verdict["signer"] != name {
			continue
		}
		if on, ok := d["attachedTo"].(string); ok && said.HasLevel(level) {
			have[on] = true
		}
	}
	return r.covers(have)
}

// buildLevel are the levels of SLSA that are an image's: those of the source track are of a source.
var buildLevel = regexp.MustCompile(`^SLSA_BUILD_LEVEL_[0-4]$`)

// covers says whether the digest of the image is among some, or the digests of all its platforms.
func (r *Report) covers(these map[string]bool) bool {
	missing := slices.ContainsFunc(r.Platforms, func(p Platform) bool { return !these[p.Digest] })
	return these[r.Digest] || len(r.Platforms) > 0 && !missing
}

// signatures are the documents with a signature that was looked at. Where one does not hold, none is of use, and where
// the image itself is not signed, none is of that kind.
func (r *Report) signatures(kind string) (all []map[string]any) {
	for _, c := range r.Checks {
		if c.ID != trust.ImageSignature || c.Cap != "" || kind == string(provenance.ImageKind) && c.Result != string(trust.Pass) {
			continue
		}
		fields, _ := c.Evidence.(map[string]any)
		documents, _ := fields["documents"].([]any)
		for _, d := range documents {
			if d, ok := d.(map[string]any); ok {
				all = append(all, d)
			}
		}
	}
	return all
}

// counts says whether a document's signature is worth something now.
func counts(document map[string]any) bool {
	verdict, _ := document["verdict"].(map[string]any)
	standing, _ := document["standing"].(map[string]any)
	return verdict["result"] == string(provenance.Good) && standing["counts"] == true
}

// isOf says whether a verdict is about a kind, by its name or its full predicate type.
func isOf(verdict map[string]any, kind string) bool {
	evidence, _ := verdict["evidence"].(map[string]any)
	return verdict["kind"] == kind || evidence["predicateType"] == kind
}
