// Package image inspects an image in a registry, its own or another's: is it from a trusted source, and
// is it itself trustworthy?
//
// First it reads everything, within limits (read.go): manifests, configs, what refers to them, records of
// pushes. Then each check looks only at what was read. An image for several platforms is
// as good as its worst platform; each platform has its own result beside that.
package image

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"github.com/seed-260924e6/hallmark/trust/word"
)

// Config says how an image is inspected. The zero value of a field is its default.
type Config struct {
	// Subject is how the report names the image, without its digest: registry.example/team/app.
	Subject string
	// Repository is its name in the records.
	Repository string
	// Records are those of its registry. Default: there are none, and what they tell is unknown.
	Records Records
	// Pending is the one among them that a push would add, which has no index yet. Default: there is none.
	Pending *provenance.Record
	// Fixed returns which rule keeps the tag as it is, or "". Default: it is unknown.
	Fixed func(ctx context.Context, tag string) (string, error)
	// Resolve looks up what a base's name means now. Default: it is unknown.
	Resolve Resolver
	// Holds recognises records of the image's own registry that come back to it. Default: none is.
	Holds word.Holds
	// Trust says whose signatures count, and the word of which registries. Default: nobody's, and signatures prove nothing.
	Trust *signature.Trust
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// A Report is a report about an image. For an image of several platforms it has one about each.
type Report struct {
	*trust.Report
	Kind      trust.Kind    `json:"kind"` // what it is, on which depends what is asked
	Digest    digest.Digest `json:"digest"`
	Platforms []Platform    `json:"platforms,omitempty"`
}

// A Platform is one platform of an image, and how it came out.
type Platform struct {
	Platform string                         `json:"platform"`
	Digest   digest.Digest                  `json:"digest"`
	Grade    trust.Grade                    `json:"grade,omitempty"`
	Grades   map[trust.Question]trust.Score `json:"grades"`
	Checks   []trust.Check                  `json:"checks"`
}

// Inspect reads an image and judges it. ref is a tag or a digest. Errors: ErrNotFound, and those of the
// source.
func Inspect(ctx context.Context, from Source, ref string, c Config) (*Report, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	s, err := read(ctx, from, ref, c)
	if err != nil {
		return nil, err
	}
	return s.report(), nil
}

// report judges what was read. Anyone who takes the image gets one of its platforms, with what is so of the whole: so the
// grade of the whole is that of the platform that comes out worst, and the checks that are shown of it are the worst of each.
func (s *subject) report() *Report {
	k := s.kind()
	whole := apply(k, []trust.Check{s.checkSource(), s.checkSignature(), s.checkFresh(), s.checkTag(), s.checkPlatforms()})
	perPlatform := make([][]trust.Check, len(s.platforms))
	parts := make([]trust.Part, len(s.platforms))
	for n, p := range s.platforms {
		perPlatform[n] = apply(p.kind, s.checksOf(p))
		parts[n] = trust.Part{Checks: slices.Concat(whole, perPlatform[n]), Ungraded: ungraded(p.kind)}
		if len(s.platforms) > 1 {
			parts[n].Name = p.name
		}
	}
	subject := s.Subject + "@" + s.desc.Digest.String()
	r := &Report{Kind: k, Digest: s.desc.Digest}
	for n, p := range s.platforms {
		if len(s.platforms) > 1 {
			one := trust.NewReportOf(subject, s.now, parts[n].Checks, parts[n:n+1])
			r.Platforms = append(r.Platforms, Platform{p.name, p.desc.Digest, one.Grade, one.Grades, one.Checks})
		}
	}
	if s.leftOut > 0 {
		parts = append(parts, trust.Part{Ungraded: fmt.Sprintf("It has %d platforms, of which %d were looked at, so it has no grade.", len(s.platforms)+s.leftOut, len(s.platforms))})
	}
	r.Report = trust.NewReportOf(subject, s.now, slices.Concat(whole, worstOf(s.platforms, perPlatform)), parts)
	return r
}

// checksOf are the checks of one platform, in the same order for each.
func (s *subject) checksOf(p *platform) []trust.Check {
	return []trust.Check{
		s.checkBuild(p), s.checkBase(p), s.checkSBOM(p), s.checkSecrets(p), s.checkUser(p),
		s.checkVulnerabilities(p), s.checkLicences(p), s.checkHealth(p), s.checkSize(p), s.checkSizes(p),
	}
}

// worstOf takes, of each check, the platform's that came out worst.
func worstOf(platforms []*platform, all [][]trust.Check) []trust.Check {
	if len(all) == 0 {
		return nil
	}
	worst := make([]trust.Check, len(all[0]))
	for k := range worst {
		from, best := 0, badness(all[0][k])
		for n, checks := range all {
			best = min(best, badness(checks[k]))
			if badness(checks[k]) > badness(all[from][k]) {
				from = n
			}
		}
		worst[k] = all[from][k]
		if badness(worst[k]) > best { // not all platforms are like this
			worst[k].Says = platforms[from].name + ": " + worst[k].Says
		}
	}
	return worst
}

// badness orders results: a failure that caps, a failure, unknown, few points.
func badness(c trust.Check) int {
	switch {
	case c.Result == trust.Fail && c.Cap != "":
		return 1000
	case c.Result == trust.Fail:
		return 500 + c.Of - c.Points
	case c.Result == trust.Unknown:
		return 100
	}
	return c.Of - c.Points
}
