package signature

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A verification summary (VSA) says that somebody verified an image, and how that came out. What it is worth is asked in
// the order in which SLSA has it: does its signer speak for that verifier, is it about this resource, by a policy that is
// listed; is it of now; did it pass. Of those who get as far as the time, the latest about the same decides.

// checker is one for which a signer speaks.
type checker struct {
	id        string
	resources []access.Glob // none: the image's repository, under the registry's names
	maxAge    units.Duration
	policies  []policy // none: any
}

// policy is one by which a verifier may have decided; empty is any.
type policy struct{ uri, digest string }

type verifiers []checker

// of is the verifier that a summary names, or nil.
func (all verifiers) of(s *provenance.Summary) *checker {
	i := slices.IndexFunc(all, func(v checker) bool { return v.id == s.Verifier })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// entitled says why a summary does not speak about images of a repository, or "".
func (t *Trust) entitled(who *signer, v *provenance.Verdict, repository string) (provenance.Reason, string) {
	s := v.Summary
	switch {
	case s == nil: // a record from before they were read
		return provenance.NotPassed, "what it says was not read when it came"
	case s.Cut:
		return provenance.NotPassed, "it is longer than is read"
	}
	by := who.verifiers.of(s)
	switch {
	case by == nil:
		return provenance.OtherVerifier, fmt.Sprintf("%s does not speak for the verifier %.120q", v.Signer, s.Verifier)
	case !by.isAbout(s.Resource, repository, t.hosts):
		return provenance.OtherResource, fmt.Sprintf("it is about the resource %.120q", s.Resource)
	case !by.decidesBy(s):
		return provenance.OtherPolicy, fmt.Sprintf("it was made by the policy %.120q, which is not listed", s.Policy)
	}
	return "", ""
}

// timely says why a summary of a verifier that counts does not count now, or "".
func (all verifiers) timely(v *provenance.Verdict, now time.Time) (provenance.Reason, string) {
	s, by := v.Summary, all.of(v.Summary)
	switch {
	case s.Result != provenance.Passed:
		return provenance.NotPassed, fmt.Sprintf("the verifier %s says %.20q", s.Verifier, s.Result)
	case s.Verified == nil:
		return provenance.NotOfNow, "it does not say when it was made"
	case s.Verified.After(now):
		return provenance.NotOfNow, fmt.Sprintf("it says that it was made at %s, which is to come", s.Verified)
	case by.maxAge > 0 && now.Sub(s.Verified.Time) > time.Duration(by.maxAge):
		return provenance.NotOfNow, fmt.Sprintf("it was made at %s, and counts for %s", s.Verified, by.maxAge)
	}
	return "", ""
}

// until is the moment from which a summary is too old, or zero.
func (v *checker) until(s *provenance.Summary) time.Time {
	if v == nil || v.maxAge == 0 || s.Verified == nil {
		return time.Time{}
	}
	return s.Verified.Add(time.Duration(v.maxAge))
}

func (v *checker) isAbout(resource, repository string, hosts []string) bool {
	if len(v.resources) > 0 {
		return slices.ContainsFunc(v.resources, func(g access.Glob) bool { return g.Matches(resource) })
	}
	return isPlace(resource, repository, hosts)
}

func (v *checker) decidesBy(s *provenance.Summary) bool {
	return len(v.policies) == 0 || slices.ContainsFunc(v.policies, func(p policy) bool {
		return (p.uri == "" || p.uri == s.Policy) && (p.digest == "" || slices.Contains(s.PolicyDigests, p.digest))
	})
}

// A Look is a verdict about an image, and what it is worth.
type Look struct {
	About    digest.Digest
	Verdict  *provenance.Verdict
	Standing provenance.Standing
}

// Weigh says what verdicts are worth in a repository at a moment, beside each other: of verification summaries about the
// same the latest decides.
func (t *Trust) Weigh(looks []Look, repository string, at time.Time) {
	for i := range looks {
		why, detail := t.Standing(looks[i].Verdict, repository, at)
		looks[i].Standing = provenance.Standing{Counts: looks[i].Verdict.Result == provenance.Good && why == "", Reason: why, Detail: detail}
	}
	latest := t.latest(looks, repository, at)
	for i := range looks {
		l := &looks[i]
		if l.Verdict.Summary == nil || !l.Standing.Counts {
			continue
		}
		if by := latest[t.questionOf(l, repository)]; by.after(l.Verdict.Summary) {
			l.Standing = provenance.Standing{Reason: provenance.Overtaken, Detail: fmt.Sprintf("the same verifier says %.20q later", by.Result)}
		} else if slices.ContainsFunc(looks, func(other Look) bool { return t.mayOvertake(&other, l, repository, at) }) {
			l.Standing = provenance.Standing{Reason: provenance.Overtaken, Detail: "the same signer signed another summary, which is longer than is read: it may say something else later"}
		}
	}
}

// mayOvertake says whether a summary of which not all is read may be a later answer to the question of another one. Of one that
// could not be read at all the verifier, the resource and the time are not known.
func (t *Trust) mayOvertake(cut, l *Look, repository string, at time.Time) bool {
	s, of := cut.Verdict.Summary, l.Verdict.Summary
	if s == nil || !s.Cut || cut.Verdict.Result != provenance.Good || cut.About != l.About || s.Verified != nil && s.Verified.Before(of.Verified.Time) {
		return false
	}
	who, why, _ := t.speaks(cut.Verdict, repository, at)
	if why != provenance.NotPassed { // its signer or what it calls the image does not count
		return false
	}
	is, asked := t.questionOf(cut, repository), t.questionOf(l, repository)
	if s.Verifier == "" {
		return who.verifiers.of(of) != nil
	}
	if s.MayGoOn(s.Resource) {
		is.resource = asked.resource
	}
	return is == asked
}

// question is what a summary answers. A policy is the same in its next version.
type question struct {
	about                      digest.Digest
	verifier, resource, policy string
}

func (t *Trust) questionOf(l *Look, repository string) question {
	s := l.Verdict.Summary
	return question{l.About, s.Verifier, placeOf(s.Resource, repository, t.hosts), s.Policy}
}

// placeOf is the one spelling of a resource. What isPlace takes for the repository has one, whatever its host and port.
func placeOf(resource, repository string, hosts []string) string {
	if isPlace(resource, repository, hosts) {
		return repository
	}
	host, name := provenance.SplitImageName(resource)
	return strings.ToLower(withoutPort(host) + "/" + name)
}

// answer is the summary that decides a question.
type answer struct{ *provenance.Summary }

// after says whether it decides over another one: it is later, or of the same time and did not pass.
func (a answer) after(other *provenance.Summary) bool {
	if a.Summary == other {
		return false
	}
	if a.Verified == nil || other.Verified == nil {
		return timeless(a.Summary) > timeless(other)
	}
	return a.Verified.After(other.Verified.Time) || a.Result != provenance.Passed && a.Verified.Equal(other.Verified.Time)
}

// timeless orders summaries that do not say when they were made among the others: what did not pass is behind all.
func timeless(s *provenance.Summary) int {
	switch {
	case s.Verified != nil:
		return 0
	case s.Result != provenance.Passed:
		return 1
	}
	return -1
}

// latest are the summaries that decide, of those whose signers and verifiers count.
func (t *Trust) latest(looks []Look, repository string, at time.Time) map[question]answer {
	latest := map[question]answer{}
	for i := range looks {
		l := &looks[i]
		if l.Verdict.Summary == nil || l.Verdict.Result != provenance.Good || !t.decides(l.Verdict, repository, at) {
			continue
		}
		of := t.questionOf(l, repository)
		if known, ok := latest[of]; !ok || (answer{l.Verdict.Summary}).after(known.Summary) {
			latest[of] = answer{l.Verdict.Summary}
		}
	}
	return latest
}

// decides says whether a summary may be the one that decides. What did not pass does so in every spelling of its resource, also one
// that the patterns of its verifier do not have. What will have passed at a time to come does not decide before.
func (t *Trust) decides(v *provenance.Verdict, repository string, at time.Time) bool {
	_, why, _ := t.speaks(v, repository, at)
	if s := v.Summary; s.Result == provenance.Passed {
		return why == "" && (s.Verified == nil || !s.Verified.After(at))
	}
	return why == "" || why == provenance.OtherResource
}
