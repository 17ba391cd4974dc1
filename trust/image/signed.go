package image

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// The checks that signatures decide. Each signature was looked at when it was read, by who is trusted now.

// result is what was found of the document's signature, or "".
func (d *document) result() provenance.Result {
	if d.finding == nil {
		return ""
	}
	return d.finding.Verdict.Result
}

// weigh finds out what the signatures are worth, beside each other and beside those that are on record: a verification
// that failed decides also where its summary was taken away since.
func (s *subject) weigh() {
	var looks []signature.Look
	var of []*document
	for _, d := range s.documents {
		if d.finding != nil {
			looks, of = append(looks, signature.Look{About: d.on, Verdict: &d.finding.Verdict}), append(of, d)
		}
	}
	for _, r := range s.about {
		if r.Verdict != nil && r.Verdict.Summary != nil {
			looks = append(looks, signature.Look{About: s.desc.Digest, Verdict: r.Verdict})
		}
	}
	s.Trust.Weigh(looks, s.Repository, s.now)
	for i, d := range of {
		d.worth = looks[i].Standing
	}
	s.attestCarried()
	for _, d := range s.documents {
		d.ours = d.finding != nil && s.Trust.Names(&d.finding.Verdict, s.Repository)
	}
}

// signs says whether a signature of a kind counts: it holds, and its signer vouches for what was signed.
func (d *document) signs(kind provenance.StatementKind) bool {
	return d.finding != nil && d.worth.Counts && d.finding.Verdict.Is(kind)
}

// attested are the facts in a document with a good signature.
func (d *document) attested() []provenance.Attestation {
	if d.finding == nil {
		return nil
	}
	return d.finding.Attested
}

// broken says that a signature of somebody who is trusted does not hold: what was signed is not this.
func (d *document) broken() bool {
	return d.result() == provenance.Failed &&
		(d.finding.Verdict.Reason == provenance.BadSignature || d.finding.Verdict.Reason == provenance.OtherDigest)
}

// covers says whether something is so of the whole image: of its digest, or of each of its platforms.
func (s *subject) covers(so func(digest.Digest) bool) bool {
	return so(s.desc.Digest) || len(s.platforms) > 0 && s.leftOut == 0 && !slices.ContainsFunc(s.platforms, func(p *platform) bool { return !so(p.desc.Digest) })
}

func (s *subject) checkSignature() trust.Check {
	var found []*document
	good := map[digest.Digest]*document{}
	for _, d := range s.documents {
		if d.signs(provenance.ImageKind) && (good[d.on] == nil || d.ours) {
			good[d.on] = d
		}
		if d.kind == signatureKind || d.finding != nil {
			found = append(found, d)
		}
	}
	e := SignatureEvidence{Documents: evidenceOf(found), Records: s.verdictRecords()}
	isGood := func(d digest.Digest) bool { return good[d] != nil }
	switch broken := slices.IndexFunc(found, (*document).broken); {
	case len(found) == 0:
		c := s.absent(trust.ImageSignature, "signature", "Sign it, as with cosign sign.")
		c.Cap = "" // the cap is for signatures that are there and do not hold
		return c
	case broken >= 0:
		v := found[broken].finding.Verdict
		return trust.Failed(trust.ImageSignature, fmt.Sprintf("A signature of %s does not hold: %s.", v.Signer, v.Detail)).With(e).
			Advise("Find out who attached it and what was changed; do not run the image before you know.")
	case s.covers(isGood):
		return s.ending(s.signedBy(good)).With(e)
	case !s.Trust.Expects(s.Repository):
		return trust.NotKnown(trust.ImageSignature, fmt.Sprintf("It has %d signatures; no key or identity is configured to verify them with.", len(found))).
			With(e).Advise("Configure whom you trust; a signature by anybody proves nothing.")
	}
	if unread := s.unread(found); unread != "" {
		return s.ending(trust.NotKnown(trust.ImageSignature, "No signature of the image itself that counts was found, but not all could be read: "+unread+".")).With(e)
	}
	return s.ending(s.notSigned(found, len(good) > 0)).With(e)
}

// ending adds the moments at which one of the signatures will not count any more, or will: what rules ask of them
// changes then.
func (s *subject) ending(c trust.Check) trust.Check {
	for _, d := range s.documents {
		if d.finding == nil {
			continue
		}
		at := s.Trust.Turns(&d.finding.Verdict, d.worth, s.now)
		known := slices.ContainsFunc(c.Drops, func(k trust.Drop) bool { return k.At.Equal(at) })
		if !at.IsZero() && !known {
			c.Drops = append(c.Drops, trust.Drop{At: at, Points: c.Points})
		}
	}
	return c
}

// unread says why a signature may be there that was not found, or "".
func (s *subject) unread(found []*document) string {
	for _, d := range found {
		if d.result() == provenance.Unread {
			return d.finding.Verdict.Detail
		}
	}
	return s.missed
}

// signedBy is the check of an image that is signed, and until when that holds.
func (s *subject) signedBy(good map[digest.Digest]*document) trust.Check {
	var by []string
	var drops []trust.Drop
	for _, d := range good {
		v := &d.finding.Verdict
		if !slices.Contains(by, v.Signer) {
			by = append(by, v.Signer)
		}
		if until := s.Trust.Until(v); !until.IsZero() {
			drops = append(drops, trust.Drop{At: until})
		}
	}
	slices.Sort(by)
	return trust.Passed(trust.ImageSignature, fmt.Sprintf("It is signed by %s%s.", strings.Join(by, " and "), otherNames(good))).Dropping(drops...)
}

// otherNames says for which names an image was signed, where none of them is its own.
func otherNames(good map[digest.Digest]*document) string {
	names := map[string]bool{}
	for _, d := range good {
		if d.ours {
			return ""
		}
		for _, name := range d.finding.Verdict.Names.Names {
			names[name] = true
		}
	}
	if len(names) == 0 {
		return ""
	}
	sorted := slices.Sorted(maps.Keys(names))
	if more := len(sorted) - maxSaid; more > 0 {
		sorted = append(sorted[:maxSaid], fmt.Sprintf("%d others", more))
	}
	return ", for another name: " + strings.Join(sorted, ", ")
}

// maxSaid bounds the names in one sentence.
const maxSaid = 3

// notSigned is the check of an image whose signatures do not count.
func (s *subject) notSigned(found []*document, partly bool) trust.Check {
	if partly {
		return trust.Doubted(trust.ImageSignature, "Some of its platforms are signed, and neither the others nor the whole.").
			Advise("Sign the index, as with cosign sign --recursive.")
	}
	statements := map[string]bool{}
	for _, d := range found {
		if d.result() == provenance.Good {
			statements[fmt.Sprintf("%s (%s)", d.finding.Verdict.KindOf(), d.finding.Verdict.Signer)] = true
		}
		if d.result() == provenance.Failed {
			return trust.Doubted(trust.ImageSignature, fmt.Sprintf("Its signature does not count: %s.", d.finding.Verdict.Detail)).
				Advise("Sign it again, with a key that is valid for this repository.")
		}
	}
	if len(statements) > 0 {
		return trust.Doubted(trust.ImageSignature, fmt.Sprintf("Nobody who is trusted has signed the image itself. What is signed is about it: %s.", strings.Join(slices.Sorted(maps.Keys(statements)), ", "))).
			Advise("Sign it, as with cosign sign, by somebody who vouches for `image` in the trust file.")
	}
	return trust.Doubted(trust.ImageSignature, fmt.Sprintf("It has %d signatures, none of which is known to be by anybody who is trusted for this repository.", len(found))).
		Advise("Sign it with a key that is trusted here, or name whose signature it is.")
}

// verdictRecords are the records of what was found when signatures came.
func (s *subject) verdictRecords() (records []VerdictRecord) {
	for _, r := range s.about {
		if r.Verdict != nil {
			records = append(records, VerdictRecord{r.Index, r.Time, r.Verdict})
		}
	}
	return records
}

// attestedOrigin is what one signed statement says of where an image comes from.
type attestedOrigin struct {
	source, revision, builder, signer string
	vouched                           bool // the signer may vouch for the builder
}

// originOf reads it from the document, if it is about a digest.
func (s *subject) originOf(d *document, about digest.Digest) (o attestedOrigin) {
	if d.on != about {
		return o
	}
	for _, a := range d.attested() {
		o.signer = a.Signer
		for fact, into := range map[string]*string{
			provenance.FactSource: &o.source, provenance.FactRevision: &o.revision, provenance.FactBuilder: &o.builder,
		} {
			if a.Fact == fact && *into == "" {
				*into = a.Value
			}
		}
	}
	o.vouched = s.Trust.Vouches(o.signer, o.builder)
	return o
}

// attestedSource is the check where a signed statement names source and revision of the whole image: all
// points where the builder itself says so, fewer where somebody else wrote it down.
func (s *subject) attestedSource() (trust.Check, bool) {
	origins := map[digest.Digest]attestedOrigin{}
	for _, d := range s.documents {
		o := s.originOf(d, d.on)
		if o.source != "" && o.revision != "" && (origins[d.on].source == "" || o.vouched && !origins[d.on].vouched) {
			origins[d.on] = o
		}
	}
	has := func(vouched bool) func(digest.Digest) bool {
		return func(d digest.Digest) bool { return origins[d].source != "" && (origins[d].vouched || !vouched) }
	}
	switch {
	case s.covers(has(true)):
		o := s.anyOf(origins)
		return trust.Passed(trust.ImageSource, fmt.Sprintf("It was built from %s at %s; the builder %s says so, and %s has signed that.", o.source, o.revision, o.builder, o.signer)), true
	case s.covers(has(false)):
		o := s.anyOf(origins)
		return trust.Partly(trust.ImageSource, trust.StepSigned, fmt.Sprintf("It was built from %s at %s, says %s, who may not vouch for its builder.", o.source, o.revision, o.signer)).
			Advise("Have the builder sign its provenance, and name in the trust file who vouches for it."), true
	}
	return trust.Check{}, false
}

// anyOf is what is said of the image, or of its first platform.
func (s *subject) anyOf(origins map[digest.Digest]attestedOrigin) attestedOrigin {
	if o := origins[s.desc.Digest]; o.source != "" {
		return o
	}
	return origins[s.platforms[0].desc.Digest]
}

// checkBuild looks at SLSA provenance. That it is there says no level of anything.
func (s *subject) checkBuild(p *platform) trust.Check {
	found := s.of(buildKind, p)
	if len(found) == 0 {
		return s.absent(trust.ImageBuild, "provenance of its build", "Build with BuildKit's --provenance, and sign it.")
	}
	e := BuildEvidence{Builder: found[0].claimed(provenance.FactBuilder), Documents: evidenceOf(found)}
	c := trust.Partly(trust.ImageBuild, trust.StepUnsigned, "It has provenance of its build, which no verified signature covers.").
		Advise("Have the builder sign it: anybody who may push can write provenance.")
	for _, d := range found {
		if !d.signs(provenance.ProvenanceKind) || d.on != p.desc.Digest && d.on != s.desc.Digest {
			continue
		}
		o := s.originOf(d, d.on)
		if o.vouched {
			return trust.Passed(trust.ImageBuild, fmt.Sprintf("It was built by %s; %s has signed that, and may vouch for it.", o.builder, o.signer)).With(e)
		}
		c = trust.Partly(trust.ImageBuild, trust.StepSigned, fmt.Sprintf("It has provenance of its build, signed by %s, who may not vouch for the builder.", d.finding.Verdict.Signer)).
			Advise("Name in the trust file which keys and identities may vouch for the builder, if this one may.")
	}
	return c.With(e)
}
