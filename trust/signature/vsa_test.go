package signature

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
)

// summary is a verification summary, with what a test changes.
type summary struct {
	verifier, resource, result, policy, policyDigest string
	at                                               time.Time
	levels                                           []string
}

// passed is a summary that counts.
func passed(changes ...func(*summary)) summary {
	s := summary{
		"https://verifier.example/v1", "registry.example:5443/team/app", "PASSED", "https://policy.example/prod", "aa",
		now.Add(-time.Hour),
		[]string{"SLSA_BUILD_LEVEL_3", "SLSA_SOURCE_LEVEL_2", "FEDRAMP_HIGH"},
	}
	for _, change := range changes {
		change(&s)
	}
	return s
}

func (s summary) signed(m maker) Document {
	verified := ""
	if !s.at.IsZero() {
		verified = `"timeVerified":"` + s.at.Format(time.RFC3339) + `",`
	}
	return m.bundle(fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"name":"app","digest":{"sha256":%q}}],
		"predicate":{"verifier":{"id":%q},%s"resourceUri":%q,"policy":{"uri":%q,"digest":{"sha256":%q}},"verificationResult":%q,"verifiedLevels":["%s"],"slsaVersion":"1.0"}}`,
		provenance.VSAType, image.Encoded(), s.verifier, verified, s.resource, s.policy, s.policyDigest, s.result, strings.Join(s.levels, `","`)))
}

const (
	vsaHead = "    vouches: [image, vsa]\n    verifiers:\n      - id: https://verifier.example/v1\n"
	listed  = "        policies:\n          - uri: https://policy.example/prod\n            digest: sha256:aa\n"
)

// TestSummaries changes one thing about a verification summary at a time.
func TestSummaries(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	for name, c := range map[string]struct {
		entry string
		made  summary
		want  provenance.Reason
	}{
		"it passed":            {"", passed(), ""},
		"it failed":            {"", passed(func(s *summary) { s.result = "FAILED" }), provenance.NotPassed},
		"it says neither":      {"", passed(func(s *summary) { s.result = "passed" }), provenance.NotPassed},
		"another verifier":     {"", passed(func(s *summary) { s.verifier += "/" }), provenance.OtherVerifier},
		"no port":              {"", passed(func(s *summary) { s.resource = "registry.example/team/app" }), ""},
		"a slash behind":       {"", passed(func(s *summary) { s.resource = "oci://registry.example:5443/team/app/" }), ""},
		"a tag":                {"", passed(func(s *summary) { s.resource = "oci://registry.example:5443/team/app:1.0" }), ""},
		"a digest":             {"", passed(func(s *summary) { s.resource = "https://registry.example/team/app:1.0@" + image.String() }), ""},
		"a package":            {"", passed(func(s *summary) { s.resource = "pkg:oci/app@sha256:1?repository_url=registry.example/team/app" }), ""},
		"docker's package":     {"", passed(func(s *summary) { s.resource = "pkg:docker/team/app@1.0?repository_url=registry.example" }), ""},
		"another repository":   {"", passed(func(s *summary) { s.resource += "2" }), provenance.OtherResource},
		"another registry":     {"", passed(func(s *summary) { s.resource = "registry.example.net/team/app" }), provenance.OtherResource},
		"another port":         {"", passed(func(s *summary) { s.resource = "registry.example:5444/team/app" }), ""}, // its name is ours
		"no resource":          {"", passed(func(s *summary) { s.resource = "" }), provenance.OtherResource},
		"a resource listed":    {"        resources: [https://shop.example/**]\n", passed(func(s *summary) { s.resource = "https://shop.example/a/b" }), ""},
		"and no other":         {"        resources: [https://shop.example/**]\n", passed(), provenance.OtherResource},
		"young enough":         {"        maxAge: 2h\n", passed(), ""},
		"too old":              {"        maxAge: 30m\n", passed(), provenance.NotOfNow},
		"of the future":        {"", passed(func(s *summary) { s.at = now.Add(time.Minute) }), provenance.NotOfNow},
		"without a time":       {"", passed(func(s *summary) { s.at = time.Time{} }), provenance.NotOfNow},
		"the policy":           {listed, passed(), ""},
		"another policy":       {listed, passed(func(s *summary) { s.policy += "2" }), provenance.OtherPolicy},
		"another of its texts": {listed, passed(func(s *summary) { s.policyDigest = "bb" }), provenance.OtherPolicy},
		"longer than is kept":  {"", passed(func(s *summary) { s.policy = strings.Repeat("x", 600) }), provenance.NotPassed},
	} {
		trust := trusting(t, m, vsaHead+c.entry).Of("registry.example:5443", "registry.example")
		f := trust.Look(inRepo, c.made.signed(m), now)
		if v := f.Verdict; v.Result != provenance.Good || v.Kind != provenance.VSAKind || v.Summary == nil || f.Attested != nil {
			t.Fatalf("%s: %+v", name, v)
		}
		if why, detail := trust.Standing(&f.Verdict, inRepo, now); why != c.want || (why == "") != (detail == "") {
			t.Errorf("%s: %q (%s), want %q", name, why, detail, c.want)
		}
	}
	aging := trusting(t, m, vsaHead+"        maxAge: 2h\n    notAfter: 2027-01-01\n")
	v := aging.Look(inRepo, passed().signed(m), now).Verdict
	if until := aging.Until(&v); !until.Equal(now.Add(time.Hour)) {
		t.Errorf("it counts until %s", until)
	}
}

// TestLevels wants a level to imply the lower ones of its track, and no other.
func TestLevels(t *testing.T) {
	t.Parallel()
	s := &provenance.Summary{Levels: passed().levels}
	for level, want := range map[string]bool{
		"SLSA_BUILD_LEVEL_3": true, "SLSA_BUILD_LEVEL_1": true, "SLSA_BUILD_LEVEL_4": false, "SLSA_SOURCE_LEVEL_3": false,
		"FEDRAMP_HIGH": true, "FEDRAMP": false, "SLSA_BUILD_LEVEL_UNEVALUATED": false,
	} {
		if got := s.HasLevel(level); got != want {
			t.Errorf("%s: %v", level, got)
		}
	}
}

// TestLatest wants the latest summary about the same to decide, in whatever order they are found.
func TestLatest(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	later, much := now.Add(-time.Minute), now.Add(-time.Second)
	failed := func(at time.Time) func(*summary) { return func(s *summary) { s.result, s.at = "FAILED", at } }
	levels := func(n int) func(*summary) { return func(s *summary) { s.levels = slices.Repeat(s.levels[:1], n) } }
	for name, c := range map[string]struct {
		all    []summary
		counts string // of each, y or n
	}{
		"failed since":                          {[]summary{passed(), passed(failed(later))}, "nn"},
		"passed again":                          {[]summary{passed(), passed(failed(later)), passed(func(s *summary) { s.at = much })}, "nny"},
		"failed before":                         {[]summary{passed(), passed(failed(now.Add(-2 * time.Hour)))}, "yn"},
		"failed at once":                        {[]summary{passed(), passed(failed(passed().at))}, "nn"},
		"failed some day":                       {[]summary{passed(), passed(failed(time.Time{}))}, "nn"},
		"failed by another":                     {[]summary{passed(), passed(failed(later), func(s *summary) { s.verifier = "https://other.example" })}, "yn"},
		"failed elsewhere":                      {[]summary{passed(), passed(failed(later), func(s *summary) { s.resource = "registry.example/team/other" })}, "yn"},
		"failed otherwise":                      {[]summary{passed(), passed(failed(later), func(s *summary) { s.policy += "/2" })}, "yn"},
		"failed in other words":                 {[]summary{passed(), passed(failed(later), func(s *summary) { s.resource = "oci://registry.example:5443/team/app:2.0" })}, "nn"},
		"failed, a new version":                 {[]summary{passed(), passed(failed(later), func(s *summary) { s.policyDigest = "bb" })}, "nn"},
		"failed with a slash behind":            {[]summary{passed(), passed(failed(later), func(s *summary) { s.resource += "/" })}, "nn"},
		"failed without a port":                 {[]summary{passed(), passed(failed(later), func(s *summary) { s.resource = "registry.example/team/app" })}, "nn"},
		"failed in capitals":                    {[]summary{passed(), passed(failed(later), func(s *summary) { s.resource = "Registry.Example:5443/team/app" })}, "nn"},
		"failed with more levels than are read": {[]summary{passed(), passed(failed(later), levels(17))}, "nn"},
		"and before":                            {[]summary{passed(), passed(failed(now.Add(-2*time.Hour)), levels(17))}, "yn"},
		"and elsewhere":                         {[]summary{passed(), passed(failed(later), levels(17), func(s *summary) { s.resource = "registry.example/team/other" })}, "yn"},
		"and by another":                        {[]summary{passed(), passed(failed(later), levels(17), func(s *summary) { s.verifier = "https://other.example" })}, "yn"},
		"failed at a resource that is cut":      {[]summary{passed(), passed(failed(later), func(s *summary) { s.resource = "pkg:oci/app@" + strings.Repeat("0", 600) })}, "nn"},
		"failed, and larger than is read":       {[]summary{passed(), passed(failed(later), func(s *summary) { s.levels = []string{strings.Repeat("x", 1<<20)} })}, "nn"},
		"passed, in the future":                 {[]summary{passed(), passed(func(s *summary) { s.at = now.Add(time.Minute) })}, "yn"},
		"failed, in the future":                 {[]summary{passed(), passed(failed(now.Add(time.Minute)))}, "nn"},
		"fewer levels since":                    {[]summary{passed(), passed(func(s *summary) { s.at, s.levels = later, nil })}, "ny"},
		"twice":                                 {[]summary{passed(), passed()}, "yy"},
	} {
		for _, backwards := range []bool{false, true} {
			trust := trusting(t, m, vsaHead).Of("registry.example:5443", "registry.example")
			looks := make([]Look, len(c.all))
			for i, s := range c.all {
				v := trust.Look(inRepo, s.signed(m), now).Verdict
				at := i
				if backwards {
					at = len(looks) - 1 - i
				}
				looks[at] = Look{About: image, Verdict: &v}
			}
			trust.Weigh(looks, inRepo, now)
			for i, want := range c.counts {
				at := i
				if backwards {
					at = len(looks) - 1 - i
				}
				if got := looks[at].Standing; got.Counts != (want == 'y') {
					t.Errorf("%s, backwards %v: summary %d: %+v", name, backwards, i, got)
				}
			}
		}
	}
	trust := trusting(t, m, vsaHead).Of("registry.example")
	good, bad := trust.Look(inRepo, passed().signed(m), now).Verdict, trust.Look(inRepo, passed(failed(later)).signed(m), now).Verdict
	looks := []Look{{About: image, Verdict: &good}, {About: other, Verdict: &bad}}
	if trust.Weigh(looks, inRepo, now); !looks[0].Standing.Counts {
		t.Errorf("another image failed: %+v", looks[0].Standing)
	}
	withdrawn := trusting(t, newMaker(t), vsaHead).Of("registry.example")
	if withdrawn.Weigh(looks, inRepo, now); looks[0].Standing.Counts || looks[0].Standing.Reason != provenance.NotTrusted {
		t.Errorf("by a key of before: %+v", looks[0].Standing)
	}
}

// TestLatestOfPatterns has a verifier whose patterns have one spelling of a resource: what failed in another one withdraws it.
func TestLatestOfPatterns(t *testing.T) {
	t.Parallel()
	m := newMaker(t)
	trust := trusting(t, m, vsaHead+"        resources: [shop.example:5443/**]\n").Of("registry.example")
	for resource, counts := range map[string]bool{
		"Shop.Example:5443/team/app": false, "shop.example/team/app": false, "oci://shop.example:5443/team/app:1.0": false, "shop.example/team/other": true,
	} {
		good := trust.Look(inRepo, passed(func(s *summary) { s.resource = "shop.example:5443/team/app" }).signed(m), now).Verdict
		bad := trust.Look(inRepo, passed(func(s *summary) { s.resource, s.result, s.at = resource, "FAILED", now.Add(-time.Second) }).signed(m), now).Verdict
		looks := []Look{{About: image, Verdict: &good}, {About: image, Verdict: &bad}}
		if trust.Weigh(looks, inRepo, now); looks[0].Standing.Counts != counts || looks[1].Standing.Counts {
			t.Errorf("%s failed: %+v, %+v", resource, looks[0].Standing, looks[1].Standing)
		}
	}
}
