package image

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
)

// The checks of whether an image is a good thing to run.

// checkFresh looks at records of pushes. What an image says of its own time of creation is not asked:
// reproducible builds set it to 1970.
func (s *subject) checkFresh() trust.Check {
	var last time.Time
	for _, r := range s.about {
		if r.Arrives() && r.Digest == s.desc.Digest && r != s.Pending {
			last = r.Time.Time
			break
		}
	}
	if last.IsZero() {
		return trust.NotKnown(trust.ImageFresh, "No record tells when it was pushed.")
	}
	images := min(len(s.lately()), enoughImages)
	e := FreshEvidence{ImagesTaggedInHalfAYear: images, Pushed: last.UTC()}
	aging := trust.Partly(trust.ImageFresh, trust.StepAging, "It was pushed on "+day(last)+", more than a month ago.").With(e).
		Advise("Build it again, so that it has its base's and packages' repairs.").Dropping(trust.Drop{At: last.Add(trust.FreshLeast)})
	drops := []trust.Drop{{At: last.Add(trust.FreshGood), Points: aging.Points}, aging.Drops[0]}
	switch age := s.now.Sub(last); {
	case age > trust.FreshLeast:
		return trust.Failed(trust.ImageFresh, "It was pushed on "+day(last)+", more than 90 days ago.").With(e).Advise(aging.Advice)
	case age > trust.FreshGood:
		return aging
	case images < 2:
		return trust.Partly(trust.ImageFresh, trust.StepOnce, "It was pushed on "+day(last)+", and no other image of its repository in half a year.").With(e).Dropping(drops...)
	}
	had := fmt.Sprint(images)
	if images == enoughImages {
		had += " or more"
	}
	return trust.Passed(trust.ImageFresh, fmt.Sprintf("It was pushed on %s, and its repository had %s images in half a year.", day(last), had)).With(e).Dropping(drops...)
}

func (s *subject) checkPlatforms() trust.Check {
	var names []string
	for _, p := range s.platforms {
		names = append(names, p.name)
	}
	if len(names) < 2 {
		return trust.Failed(trust.ImagePlatforms, "It is there for one platform.").Advise("Build it for linux/amd64 and linux/arm64, so that nobody has to emulate or build it again.")
	}
	says := fmt.Sprintf("It is there for %d platforms.", len(names)+s.leftOut)
	if s.leftOut > 0 {
		says += fmt.Sprintf(" The last %d were not looked at.", s.leftOut)
	}
	return trust.Passed(trust.ImagePlatforms, says).With(PlatformsEvidence{names})
}

// checkSBOM wants one that names this digest: an SBOM of another image is worse than none.
func (s *subject) checkSBOM(p *platform) trust.Check {
	if found := s.of(sbomKind, p); len(found) > 0 {
		return trust.Passed(trust.ImageSBOM, "It has an SBOM that names its digest.").With(SBOMEvidence{evidenceOf(found)})
	}
	for _, d := range s.documents {
		if d.kind == sbomKind && (d.on == p.desc.Digest || d.on == s.desc.Digest) {
			return trust.Failed(trust.ImageSBOM, "The SBOM that is attached to it is about another image.").With(SBOMEvidence{evidenceOf([]*document{d})}).
				Advise("Make one of this image; tell the one who attached this one.")
		}
	}
	return s.absent(trust.ImageSBOM, "SBOM", "Build with BuildKit's --sbom, or attach one, as with syft and oras.")
}

func (s *subject) checkSecrets(p *platform) trust.Check {
	if p.why != "" {
		return trust.NotKnown(trust.ImageSecrets, "Whether it holds secrets is not known: "+p.why+".")
	}
	found, whole := p.secrets(&s.secretTexts)
	if len(found) == 0 && !whole {
		return trust.NotKnown(trust.ImageSecrets, "Whether it holds secrets is not known: its config and history are longer than is looked through, and no secret was found in the part that was.")
	}
	if len(found) == 0 && p.kind != trust.Image {
		return trust.Passed(trust.ImageSecrets, "No secret was found in its config and annotations. What is in its layers was not read.")
	}
	if len(found) == 0 {
		return trust.Passed(trust.ImageSecrets, "No secret was found in its config, environment and history. Files in its layers were not read.")
	}
	sure := slices.ContainsFunc(found, func(f Secret) bool { return f.Sure })
	fail := trust.Doubted
	if sure {
		fail = trust.Failed
	}
	return fail(trust.ImageSecrets, fmt.Sprintf("%s: %s.", found[0].Place, found[0].What)).With(SecretsEvidence{found}).
		Advise("Everybody who can pull has it: revoke it now, then build with secret mounts.")
}

// checkUser looks at the config. No user means root.
func (s *subject) checkUser(p *platform) trust.Check {
	user := p.config.Config.User
	name, _, _ := strings.Cut(user, ":")
	e := UserEvidence{user}
	switch {
	case p.why != "":
		return trust.NotKnown(trust.ImageUser, "As whom it runs is not known: "+p.why+".")
	case strings.HasPrefix(strings.ToLower(user), "containeradministrator"), name == "root", strings.Trim(name, "0") == "":
		return trust.Failed(trust.ImageUser, "It runs as root.").With(e).Advise("Set USER to a number other than 0.")
	}
	return trust.Passed(trust.ImageUser, "It runs as "+user+".").With(e)
}

// checkVulnerabilities looks for a report, and how old it is. What it says is for people to judge.
func (s *subject) checkVulnerabilities(p *platform) trust.Check {
	found := s.of(vulnerabilityKind, p)
	if len(found) == 0 {
		return s.absent(trust.ImageVulnerabilities, "vulnerability report", "Scan it, and attach the report, as with trivy or grype and cosign attest.")
	}
	newest := slices.MaxFunc(found, func(a, b *document) int { return a.time().Compare(b.time()) })
	made := newest.time()
	e := VulnerabilityEvidence{evidenceOf(found), made}
	says := "Its newest vulnerability report is of " + day(made)
	stale := trust.Partly(trust.ImageVulnerabilities, trust.StepStale, says+", more than a week old.").With(e).
		Advise("Scan it again: new vulnerabilities are found in old images every day.").Dropping(trust.Drop{At: made.Add(trust.ReportLeast)})
	switch age := s.now.Sub(made); {
	case made.IsZero():
		return trust.NotKnown(trust.ImageVulnerabilities, "It has a vulnerability report that does not say when it was made.").With(e)
	case age > trust.ReportLeast:
		return trust.Failed(trust.ImageVulnerabilities, says+", more than a month old.").With(e).Advise(stale.Advice)
	case age > trust.ReportGood:
		return stale
	}
	return trust.Passed(trust.ImageVulnerabilities, says+".").With(e).
		Dropping(trust.Drop{At: made.Add(trust.ReportGood), Points: stale.Points}, stale.Drops[0])
}

func (s *subject) checkLicences(p *platform) trust.Check {
	if v := cmp.Or(p.label(ocispec.AnnotationLicenses), s.manifest.Annotations[ocispec.AnnotationLicenses], p.licences()); v != "" {
		v = provenance.CutSecrets(v)
		return trust.Passed(trust.ImageLicences, "It states its licences: "+v+".").With(LicencesEvidence{v})
	}
	for _, d := range s.of(sbomKind, p) {
		if d.licensed > 0 {
			return trust.Passed(trust.ImageLicences, fmt.Sprintf("Its SBOM states the licences of %d packages.", d.licensed)).With(d.evidence())
		}
	}
	return s.absent(trust.ImageLicences, "statement of its licences", "Set the label org.opencontainers.image.licenses, as an SPDX expression.")
}

// checkHealth looks for docker's health check. OCI's config has no place for one.
func (s *subject) checkHealth(p *platform) trust.Check {
	h := p.config.Config.Healthcheck
	switch {
	case p.why != "":
		return trust.NotKnown(trust.ImageHealth, "Whether it has a health check is not known: "+p.why+".")
	case h != nil && len(h.Test) > 0 && h.Test[0] != "NONE":
		return trust.Passed(trust.ImageHealth, "It says how to tell that it is well.")
	case p.manifest.Config.MediaType == ocispec.MediaTypeImageConfig:
		return trust.NotApplicable(trust.ImageHealth, "OCI's image config has no health checks; Kubernetes has its own.")
	}
	return trust.Failed(trust.ImageHealth, "It has no health check.").Advise("Add HEALTHCHECK to its Dockerfile.")
}

// checkSize compares the size with the median of the images that the repository had before.
func (s *subject) checkSize(p *platform) trust.Check {
	size := p.size()
	before := s.sizesBefore(p)
	e := SizeEvidence{Before: before, Size: size}
	if len(before) < 2 || p.manifest.Config.Digest == "" {
		return trust.NotKnown(trust.ImageSize, "There are too few records of earlier images to compare its size with.").With(e)
	}
	slices.Sort(before)
	median := before[len(before)/2]
	if float64(size) > trust.SizeGrowth*float64(median) {
		return trust.Failed(trust.ImageSize, fmt.Sprintf("It has %d bytes; earlier ones had about %d.", size, median)).With(e).
			Advise("Look at what has come in: hallmark show, or a tool that shows layers.")
	}
	return trust.Passed(trust.ImageSize, fmt.Sprintf("It has %d bytes, and earlier ones had about %d.", size, median)).With(e)
}

// size is the size of what the registry holds of the image, or, where it does not say that, the sum of the sizes in
// the manifest, each digest once.
func (p *platform) size() (sum int64) {
	if p.measured {
		return p.has
	}
	seen := map[digest.Digest]bool{}
	for _, d := range append([]ocispec.Descriptor{p.manifest.Config}, p.manifest.Layers...) {
		if !seen[d.Digest] {
			sum += max(0, min(d.Size, math.MaxInt64-sum))
		}
		seen[d.Digest] = true
	}
	return sum
}

// checkSizes looks at the sizes that a manifest states. Clients that check them refuse the image.
func (s *subject) checkSizes(p *platform) trust.Check {
	switch {
	case len(p.wrong) > 0:
		w := p.wrong[0]
		return trust.Failed(trust.ImageSizes, fmt.Sprintf("Its manifest has %d wrong sizes: it says that %s has %d bytes, and it has %d.", len(p.wrong), w.Digest, w.Says, w.Has)).
			With(SizesEvidence{p.wrong[:min(len(p.wrong), provenance.MaxWrongSizes)]}).
			Advise("Build it again with another tool: some clients refuse to pull it.")
	case !p.measured:
		return trust.NotKnown(trust.ImageSizes, "The sizes of its layers were not looked at.")
	}
	return trust.Passed(trust.ImageSizes, "The sizes in its manifest are those that its parts have.")
}

// AttachedTag says whether a tag is of what clients attach to a manifest: cosign its signatures, others their lists of
// referrers.
func AttachedTag(tag string) bool { return attachedTag.MatchString(tag) }

var attachedTag = regexp.MustCompile(`^sha(256|512)-[0-9a-f]{64,128}(\..*)?$`)

// isImagePush says whether a record is of an image that got a tag, and not of what is attached to one.
func isImagePush(r *provenance.Record) bool {
	return r.Observed.Subject == "" && slices.ContainsFunc(r.Tags, func(t provenance.TagMove) bool { return !AttachedTag(t.Name) })
}

// arrival is the first record of the image's push, or past all of them where none is known.
func (s *subject) arrival() uint64 {
	first := uint64(math.MaxUint64)
	for _, r := range slices.Concat(s.pushes, s.about) {
		if r.Arrives() && r.Digest == s.desc.Digest && r != s.Pending {
			first = min(first, r.Index)
		}
	}
	return first
}

// sizesBefore are the sizes of up to enoughEarlier images that were tagged before it came, or of the same platform in them.
func (s *subject) sizesBefore(p *platform) (sizes []int64) {
	sizeOf := map[digest.Digest]int64{}
	for _, r := range s.pushes {
		sizeOf[r.Digest] = r.Observed.ImageSize
	}
	seen, arrived := map[digest.Digest]bool{p.desc.Digest: true, s.desc.Digest: true}, s.arrival()
	for _, r := range s.pushes {
		d := r.Digest
		for _, c := range r.Observed.Children {
			if c.Platform == p.name {
				d = c.Digest
			}
		}
		if r.Index > arrived || !isImagePush(r) || seen[d] || sizeOf[d] == 0 || len(sizes) == enoughEarlier {
			continue
		}
		seen[d] = true
		sizes = append(sizes, sizeOf[d])
	}
	return sizes
}
