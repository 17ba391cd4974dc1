package image

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// What the logins say of an image, and what they do not: a CI job that was the first to push an image counts for
// something, and one that tagged what somebody else had pushed does not.

// readActs asks the registry who did what with the image.
func (s *subject) readActs(ctx context.Context) (err error) {
	q := provenance.ActsOf{Repository: s.Repository, Digest: s.desc.Digest, Platforms: s.manifest.runnable()}
	if !strings.Contains(s.ref, ":") {
		q.Tag = s.ref
	}
	s.acts, err = s.Records.Acts(ctx, q)
	return err
}

// runnable are the manifests that an index lists, but for BuildKit's attestations. One that names a platform is run on
// it by clients, whatever else is said of it.
func (m *manifest) runnable() (list []digest.Digest) {
	for _, c := range m.Manifests {
		if !isAttestations(c) || !provenance.IsUnknownPlatform(platformName(c.Platform)) {
			list = append(list, c.Digest)
		}
	}
	return list
}

// firstJob is the CI job that the image counts as first pushed by, or nil.
func (s *subject) firstJob() *provenance.Job {
	if f := s.acts.First; f != nil && f.Job != nil && f.Job.Counts {
		return f.Job
	}
	return nil
}

// jobFacts are where the job ran that was the first to push the image.
func (s *subject) jobFacts() []fact {
	j := s.firstJob()
	if j == nil {
		return nil
	}
	f := s.acts.First
	from := fmt.Sprintf("login of %s at the first push, record %d", f.Issuer, f.Record)
	elsewhere := f.Repository != s.Repository
	return []fact{
		{Fact: Fact{Name: provenance.FactRevision, Value: j.Revision, Class: provenance.Authenticated, From: from, Elsewhere: elsewhere}},
		{Fact: Fact{Name: provenance.FactSource, Value: j.Source, Class: provenance.Authenticated, From: from, Elsewhere: elsewhere}},
	}
}

// agree says whether the image's own claims name a source, and nothing but that of the job.
func agree(j *provenance.Job, facts []fact) bool {
	named := false
	for _, f := range facts {
		switch {
		case f.Class != provenance.Claimed:
		case f.Name == provenance.FactSource && !j.RanOn(f.Value), f.Name == provenance.FactRevision && !j.RanAt(f.Value):
			return false
		case f.Name == provenance.FactSource:
			named = true
		}
	}
	return named
}

// pushedSource is the check where a CI job was the first to push the image.
func (s *subject) pushedSource(facts []fact) (trust.Check, bool) {
	j := s.firstJob()
	if j == nil {
		return trust.Check{}, false
	}
	step, and := trust.StepAuthenticated, "It claims the same source."
	if !agree(j, facts) {
		step, and = trust.StepPushed, "It claims no source itself."
		if slices.ContainsFunc(facts, func(f fact) bool { return f.Class == provenance.Claimed }) {
			and = "What it claims itself is not the same."
		}
	}
	return trust.Partly(trust.ImageSource, step, s.acts.Says(s.Repository)+" "+and).
		Advise("Have the build sign its provenance: what a trusted builder attests counts most."), true
}

// A Judgment is asked of what was found of signatures before.
type Judgment struct {
	Trust      *signature.Trust // may be nil
	From       Source
	Repository string
	Now        time.Time
}

// Of says what the verdicts about an image are worth now, and those behind what is attested of it; and until when that is so if
// nothing changes but the time, or zero.
func (j Judgment) Of(ctx context.Context, d digest.Digest, sum *provenance.ByClass) (until time.Time, err error) {
	until = weigh(j.Trust, j.Repository, sum.Verdicts, j.Now)
	if err := markRemoved(ctx, j.From, d, sum.Verdicts); err != nil {
		return until, err
	}
	for i := range sum.Behind {
		ends, err := j.behind(ctx, &sum.Behind[i])
		if err != nil {
			return until, err
		}
		until = sooner(until, ends)
	}
	return until, nil
}

// behind is Of for a verdict about another manifest, which may be gone itself.
func (j Judgment) behind(ctx context.Context, b *provenance.Behind) (until time.Time, err error) {
	one := []provenance.WeighedVerdict{b.WeighedVerdict}
	until = weigh(j.Trust, j.Repository, one, j.Now)
	if _, _, err := j.From.Manifest(ctx, b.Digest.String()); errors.Is(err, ErrNotFound) {
		one[0].Standing = removed()
	} else if err != nil {
		return until, err
	}
	err = markRemoved(ctx, j.From, b.Digest, one)
	b.WeighedVerdict = one[0]
	return until, err
}

// sooner is the first of two moments that are set.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// weigh says what verdicts of before are worth now, and until when.
func weigh(trusted *signature.Trust, repo string, verdicts []provenance.WeighedVerdict, now time.Time) (until time.Time) {
	looks := make([]signature.Look, len(verdicts))
	for i := range verdicts {
		looks[i].Verdict = &verdicts[i].Verdict
	}
	trusted.Weigh(looks, repo, now)
	for i := range verdicts {
		verdicts[i].Standing = &looks[i].Standing
		until = sooner(until, trusted.Turns(&verdicts[i].Verdict, looks[i].Standing, now))
	}
	return until
}
