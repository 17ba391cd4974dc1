package image

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// The checks of where an image comes from.

// fact is a fact, with what it is about and the voice of what is claimed: what has the same one was claimed together.
type fact struct {
	Fact
	about digest.Digest
	voice string
}

// claimOf is a fact that nobody who is trusted vouches for.
func claimOf(c provenance.Claim, from string) fact {
	return fact{Fact{Name: c.Fact, Value: c.Value, Class: provenance.Claimed, From: from}, c.About, provenance.VoiceOf(c)}
}

// facts are what is said of the image and its platforms, in its manifests and in records of them.
func (s *subject) facts() (all []fact) {
	for _, r := range s.about {
		for _, c := range r.Claimed {
			all = append(all, claimOf(c, fmt.Sprintf("%s, record %d", c.From, r.Index)))
		}
	}
	all = append(all, s.jobFacts()...)
	all = append(all, s.wordFacts()...)
	for _, d := range s.documents {
		for _, a := range d.attested() {
			all = append(all, fact{Fact: Fact{Name: a.Fact, Value: a.Value, Class: provenance.Attested, From: fmt.Sprintf("%s, signed by %s", a.From, a.Signer), By: a.Signer}})
		}
		all = append(all, s.claimedBy(d)...)
	}
	for _, p := range s.platforms {
		all = append(all, notes(p.desc.Digest, p.manifest.Annotations, p.config.Config.Labels)...)
	}
	if slices.ContainsFunc(s.platforms, func(p *platform) bool { return p.desc.Digest == s.desc.Digest }) {
		return all // it is its own platform, and said it
	}
	return append(all, notes(s.desc.Digest, s.manifest.Annotations, nil)...)
}

// notes are what an image says of its source in its annotations and labels.
func notes(of digest.Digest, annotations, labels map[string]string) (all []fact) {
	for _, c := range provenance.NotesOf(of, annotations, labels) {
		if c.Fact == provenance.FactSource || c.Fact == provenance.FactRevision {
			all = append(all, claimOf(c, c.From))
		}
	}
	return all
}

// claimedBy are the facts that a document claims of the image and its platforms, where nobody who counts has signed it,
// and no record of the image says so.
func (s *subject) claimedBy(d *document) (all []fact) {
	if len(d.attested()) > 0 {
		return nil
	}
	for _, c := range d.claims {
		recorded := slices.ContainsFunc(s.about, func(r *provenance.Record) bool { return slices.Contains(r.Claimed, c) })
		if !recorded && s.isPart(c.About) {
			all = append(all, claimOf(c, fmt.Sprintf("%s, attached as %s", c.From, c.Evidence.Digest)))
		}
	}
	return all
}

// isPart says whether a digest is that of the image, or of what it lists.
func (s *subject) isPart(d digest.Digest) bool {
	return d == s.desc.Digest || slices.ContainsFunc(s.manifest.Manifests, func(c ocispec.Descriptor) bool { return c.Digest == d })
}

// checkSource takes the strongest of what is signed, who was the first to push it, and what it claims. Acts that do not
// count are said.
func (s *subject) checkSource() trust.Check {
	facts := s.facts()
	c, signed := s.attestedSource()
	if pushed, is := s.pushedSource(facts); !signed && is {
		c = pushed
	} else if !signed {
		c = s.claimedSourceOfAll(facts)
		if says := s.acts.Says(s.Repository); says != "" {
			c.Says += " " + says
		}
	}
	e := SourceEvidence{First: s.acts.First, Tagged: s.acts.Tagged, Words: s.words}
	for _, f := range facts {
		e.Facts = append(e.Facts, f.Fact)
	}
	return c.With(e)
}

// claimedSourceOfAll is the check of what is claimed alone, of the platform of which the least is claimed: what is claimed of some is not
// claimed of the whole.
func (s *subject) claimedSourceOfAll(facts []fact) trust.Check {
	if len(s.platforms) < 2 {
		return s.claimedSource(facts)
	}
	checks := make([][]trust.Check, len(s.platforms))
	for n, p := range s.platforms {
		of := slices.DeleteFunc(slices.Clone(facts), func(f fact) bool {
			return f.Class == provenance.Claimed && f.about != p.desc.Digest && f.about != s.desc.Digest
		})
		checks[n] = []trust.Check{s.claimedSource(of)}
	}
	return worstOf(s.platforms, checks)[0]
}

// claimedSource is the check of what is claimed alone.
func (s *subject) claimedSource(facts []fact) trust.Check {
	source, revision := claimedOrigin(facts)
	switch missed := cmp.Or(s.missed, s.unreadSource()); {
	case source == "" && missed != "":
		return trust.NotKnown(trust.ImageSource, "It does not say from which source it was built, but not all could be read: "+missed+".")
	case source == "":
		return trust.Failed(trust.ImageSource, "It does not say from which source it was built.").
			Advise("Build with labels org.opencontainers.image.source and .revision, or with BuildKit's provenance.")
	case revision == "":
		return trust.Partly(trust.ImageSource, trust.StepSourceOnly, "It names a source, "+source+", and no revision of it.").
			Advise("Name the revision, too: the label org.opencontainers.image.revision.")
	}
	return trust.Partly(trust.ImageSource, trust.StepClaimed, fmt.Sprintf("It claims to be built from %s at %s; nothing proves it.", source, revision)).
		Advise("Have the build sign its provenance: what a trusted builder attests counts most.")
}

// unreadSource says of a document why it may name a source in what was not read, or "".
func (s *subject) unreadSource() string {
	for _, d := range s.documents {
		if d.unreadSource != "" {
			return "of " + string(d.from.Digest) + ", " + d.unreadSource
		}
	}
	return ""
}

// claimedOrigin is a source and the revision that the same voice names, of several the last. Where none names both, it is a
// source alone: a revision of somebody else's is not known to be one of it.
func claimedOrigin(facts []fact) (source, revision string) {
	revisions := map[string]string{}
	for _, f := range facts {
		if f.Class == provenance.Claimed && f.Name == provenance.FactRevision {
			revisions[f.voice] = f.Value
		}
	}
	for _, f := range facts {
		if f.Class != provenance.Claimed || f.Name != provenance.FactSource {
			continue
		}
		if at := revisions[f.voice]; at != "" || revision == "" {
			source, revision = f.Value, at
		}
	}
	return source, revision
}

// of returns the documents of a kind about a platform, or about the whole image.
func (s *subject) of(k kind, p *platform) (found []*document) {
	for _, d := range s.documents {
		if d.kind == k && (d.isAbout(p.desc.Digest) || d.isAbout(s.desc.Digest)) {
			found = append(found, d)
		}
	}
	return found
}

func evidenceOf(documents []*document) (all []Document) {
	for _, d := range documents {
		all = append(all, d.evidence())
	}
	return all
}

// absent is the check of something that should be attached and is not, or that could not be looked for.
func (s *subject) absent(id, what, advice string) trust.Check {
	if s.missed != "" {
		return trust.NotKnown(id, "No "+what+" was found, but not all could be read: "+s.missed+".")
	}
	return trust.Failed(id, "It has no "+what+".").Advise(advice)
}

// claimed is the first value that a document claims of a fact, or "".
func (d *document) claimed(fact string) string {
	for _, c := range d.claims {
		if c.Fact == fact {
			return c.Value
		}
	}
	return ""
}

// checkTag looks for moves of the tag. Setting it for the first time, and pushing the same again, are none.
func (s *subject) checkTag() trust.Check {
	switch {
	case strings.Contains(s.ref, ":"):
		return trust.NotApplicable(trust.ImageTag, "It was asked for by digest, which cannot move.")
	case s.fixed != "":
		return trust.Passed(trust.ImageTag, "The tag is immutable: "+s.fixed+".").With(TagEvidence{Rule: s.fixed})
	case s.Records == nil || len(s.moves) == 0:
		return trust.NotKnown(trust.ImageTag, "No records tell when the tag moved.")
	}
	var moved []TagChange
	for _, r := range s.moves {
		m, ok := provenance.MoveOf(r, s.ref)
		if ok && m.From != "" && m.From != m.To && s.now.Sub(r.Time.Time) < trust.TagStill {
			moved = append(moved, TagChange{Record: r.Index, Time: r.Time, From: m.From, To: m.To})
		}
	}
	if len(moved) == 0 {
		return trust.Passed(trust.ImageTag, "The tag has not moved for 90 days, or since it was set.").With(TagEvidence{Records: len(s.moves)})
	}
	return trust.Failed(trust.ImageTag, fmt.Sprintf("The tag moved %d times in the last 90 days.", len(moved))).With(TagEvidence{Moves: moved}).
		Advise("Pull by digest, or use a tag that does not move: its registry can make it immutable.")
}

// day is a date as people read it.
func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
