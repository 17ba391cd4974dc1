package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// The check of what an image stands on. Clients name a base by the digest of its index, by that of one platform in it
// (ko), or by that of an image in the midst of a build (podman), and most builds name it in their provenance alone.

// maxBaseImages bounds the images of a build that are looked up for one platform.
const maxBaseImages = 4

// basesOf are the images that a platform may stand on: the one that an annotation, a label or a record names; else those
// that its build used, one of which is the base. more says that a list of those was not read to its end: any image may be in it.
func (s *subject) basesOf(p *platform) (used []Named, more bool) {
	var b Named
	for _, c := range s.claimsAbout(p) {
		switch c.Fact {
		case "base-name":
			b.Name = firstText(b.Name, c.Value)
		case provenance.FactBase:
			b.Digest = digest.Digest(firstText(string(b.Digest), c.Value))
		case provenance.FactMaterial:
			one := Named{Name: c.Name, Digest: digest.Digest(c.Value)}
			if !isBuildTool(c.Name) && !slices.Contains(used, one) {
				used = append(used, one)
			}
		case provenance.FactMaterialsLeft:
			more = true
		}
	}
	if b.Digest == "" && (len(used) > 0 || more) {
		return used, more
	}
	return []Named{b}, false
}

// claimsAbout are what a platform, records and documents say of it.
func (s *subject) claimsAbout(p *platform) (claims []provenance.Claim) {
	add := func(said []provenance.Claim) {
		for _, c := range said {
			if c.About == p.desc.Digest {
				claims = append(claims, c)
			}
		}
	}
	add(provenance.NotesOf(p.desc.Digest, p.manifest.Annotations, p.config.Config.Labels))
	for _, r := range s.about {
		add(r.Claimed)
	}
	for _, d := range s.documents {
		add(d.claims)
	}
	return claims
}

func firstText(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// isBuildTool says whether an image is one that BuildKit runs, and builds nothing on: a frontend or a scanner.
func isBuildTool(name string) bool {
	for _, tool := range []string{"docker/dockerfile", "docker/dockerfile-upstream", "docker/buildkit-syft-scanner"} {
		name, _, _ := strings.Cut(strings.TrimPrefix(name, "docker.io/"), ":")
		if name == tool {
			return true
		}
	}
	return false
}

// resolveBases looks each base up, once.
func (s *subject) resolveBases(ctx context.Context) {
	s.bases = map[Named]meaning{}
	for _, p := range s.platforms {
		bases, _ := s.basesOf(p)
		for _, b := range bases[:min(len(bases), maxBaseImages)] {
			if _, known := s.bases[b]; b.Name != "" && b.Digest != "" && !known && s.Resolve != nil {
				m, err := s.Resolve(ctx, b)
				s.bases[b] = meaning{m, err}
			}
		}
	}
}

// meaning is a Meaning, or why there is none.
type meaning struct {
	Meaning
	err error
}

func (s *subject) checkBase(p *platform) trust.Check {
	bases, more := s.basesOf(p)
	if len(bases) == 1 && !more {
		return s.checkOneBase(p, bases[0])
	}
	if len(bases) == 0 {
		return trust.NotKnown(trust.ImageBase, "Its build used more images than are read, so which of them it stands on is not known.").
			Advise("Name the base: the annotations org.opencontainers.image.base.name and .base.digest.")
	}
	var said []BaseEvidence
	current := 0
	for _, b := range bases[:min(len(bases), maxBaseImages)] {
		if c := s.checkOneBase(p, b); c.Result == trust.Pass && c.Points == c.Of {
			current++
		}
		said = append(said, s.baseEvidence(b))
	}
	e := BasesEvidence{Images: len(bases), Used: said}
	says := fmt.Sprintf("Its build used %d images, %d of which are known to be what their names mean now", len(bases), current)
	switch {
	case more:
		says = fmt.Sprintf("Its build used more images than are read: of the %d that are, %d are known to be what their names mean now", len(bases), current)
	case current == len(bases):
		return trust.Passed(trust.ImageBase, fmt.Sprintf("Its build used %d images, all of which are still what their names mean.", current)).With(e)
	}
	return trust.Partly(trust.ImageBase, trust.StepDeclared, says+"; which of them it stands on is not said.").With(e).
		Advise("Name the base: the annotations org.opencontainers.image.base.name and .base.digest.")
}

func (s *subject) baseEvidence(b Named) BaseEvidence {
	e := BaseEvidence{Name: b.Name, Digest: b.Digest}
	if m, ok := s.bases[b]; ok && m.err == nil {
		e.Now, e.Looked, e.Since, e.Left = m.Now, s.now, m.Since.told(), m.Left.told()
	}
	return e
}

// checkOneBase compares a base that is named with what its name means. What cannot be told is no failure.
func (s *subject) checkOneBase(p *platform, b Named) trust.Check {
	declared := func(why string) trust.Check {
		return trust.Partly(trust.ImageBase, trust.StepDeclared, "It names its base, "+string(b.Digest)+"; "+why+".").With(s.baseEvidence(b))
	}
	now, looked := s.bases[b]
	switch {
	case b.Digest == "":
		return trust.Failed(trust.ImageBase, "It does not name its base by digest.").With(s.baseEvidence(b)).
			Advise("Build with the annotations org.opencontainers.image.base.name and .base.digest. From scratch, it has none to name.")
	case b.Name == "":
		return declared("under which name that was is not said, so whether there is a newer one cannot be told").
			Advise("Name it with org.opencontainers.image.base.name, too.")
	case !looked:
		return declared("what " + b.Name + " means now was not looked up")
	case now.err != nil:
		return declared("what " + b.Name + " means now could not be learned: " + plain(now.err))
	case now.Now == b.Digest:
		return trust.Passed(trust.ImageBase, "Its base is still what "+b.Name+" means.").With(s.baseEvidence(b))
	case slices.Contains(now.Lists, b.Digest):
		return trust.Passed(trust.ImageBase, "Its base is in the index that "+b.Name+" still means.").With(s.baseEvidence(b))
	case now.Left.isTold():
		return outdated(declared(fmt.Sprintf("%s is another image since %s (record %d)", b.Name, day(now.Left.Time.Time), now.Left.Record)))
	case now.Left == nil && now.begins(p):
		return trust.Passed(trust.ImageBase, "It begins with the layers of what "+b.Name+" means now, though it names another digest for it.").
			With(s.baseEvidence(b))
	case now.Left == nil && (now.Since != nil || now.Cut):
		never := "was never that, as far as its records go"
		if now.Cut {
			never = fmt.Sprintf("was not that in the last %d changes of its tag", maxRecords)
		}
		return declared("what " + b.Name + " meant here " + never + ", so whether there is a newer one cannot be told: it may be a step of its build").
			Advise("Name the base by the digest that its tag has.")
	}
	return outdated(declared("but " + b.Name + " is another image by now"))
}

// outdated is the check of a base that is not what its name means any more.
func outdated(c trust.Check) trust.Check {
	c.Result = trust.Fail
	return c.Advise("Build it again on the current base.")
}
