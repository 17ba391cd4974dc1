package policy

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// examples are the rules that issue and manual give as examples.
const examples = `
rules:
  - name: signed-releases
    repositories: release/*
    at: tag
    require: report.signedBy("release")
    owner: release@example.org
  - name: prod-grade
    repositories: [prod/*, "prod/**"]
    at: pull
    require: report.grade.atLeast("B")
    owner: "#platform"
  - name: our-source
    repositories: team/*
    at: [push, tag]
    require: report.facts("source").exists(f, f.value.under("git.example/ours"))
    message: name a source under git.example/ours
    owner: alice
  - name: ci-only
    repositories: prod/*
    at: push
    effect: deny
    require: who.kind == "ci" && who.claims["repository"].startsWith("ours/")
    owner: "#platform"
  - name: small
    repositories: "**"
    at: push
    effect: warn
    when: image.descriptor.size > 100
    require: |
      report.checks.exists(c,
        c.id == "size" && c.result == "pass")
    owner: alice
`

// good is an object that all examples are content with.
func good() *Object {
	return &Object{
		Repository: "team/app", Action: Push, Tag: "1.0",
		Who:   Who{Kind: "ci", Handle: "ours/app", Claims: map[string]string{"repository": "ours/app"}},
		Image: &Image{Descriptor: Descriptor{Size: 200}},
		Report: &Report{Digest: "sha256:1", Grade: "B", Checks: []Check{
			{ID: trust.ImageSource, Result: "pass", Says: "It claims.", Evidence: claims("https://git.example/ours/app.git")},
			{ID: trust.ImageSignature, Result: "pass", Says: "It is signed.", Evidence: signedOn("sha256:1", "release")},
			{ID: trust.ImageSize, Result: "pass"},
		}},
	}
}

// signedOn is the evidence of a good signature.
func signedOn(on digest.Digest, signer string) image.SignatureEvidence {
	return image.SignatureEvidence{Documents: []image.Document{{AttachedTo: on, Signed: &image.Signed{
		Standing: provenance.Standing{Counts: true}, Verdict: provenance.Verdict{Result: provenance.Good, Signer: signer, Kind: provenance.ImageKind},
	}}}}
}

// claims is the evidence of an image that claims a source.
func claims(source string) image.SourceEvidence {
	return image.SourceEvidence{Facts: []image.Fact{{Name: provenance.FactSource, Value: source, Class: provenance.Claimed}}}
}

func parse(t testing.TB, text string) *Set {
	t.Helper()
	set, err := Parse("policy.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestExamples(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Object)
		rule   string // that does not hold, or none
		says   string
	}{
		"all is well":    {func(*Object) {}, "", ""},
		"no signature":   {func(o *Object) { o.Report.Checks[1].Result = "fail"; o.Report.Checks[1].Says = "It has no signature." }, "signed-releases", "not signed by release (It has no signature). Push by digest, sign, then tag; release@example.org can change it"},
		"another signer": {func(o *Object) { o.Report.Checks[1].Evidence = image.SignatureEvidence{} }, "signed-releases", "not signed by release"},
		"a part is signed": {func(o *Object) {
			o.Report.Checks[1].Evidence = signedOn("sha256:2", "release")
			o.Report.Platforms = []Platform{{Digest: "sha256:2"}, {Digest: "sha256:3"}}
		}, "signed-releases", "not signed by release"},
		"all parts are signed": {func(o *Object) {
			o.Report.Checks[1].Evidence = signedOn("sha256:2", "release")
			o.Report.Platforms = []Platform{{Digest: "sha256:2"}}
		}, "", ""},
		"another's signature": {func(o *Object) { o.Report.Checks[1].Evidence = signedOn("sha256:1", "bob") }, "signed-releases", "not signed by release"},
		"worse":               {func(o *Object) { o.Report.Grade = "C" }, "prod-grade", "grade C; worst is source-known: It claims"},
		"no grade":            {func(o *Object) { o.Report.Grade = "" }, "prod-grade", "no grade"},
		"another source": {func(o *Object) {
			o.Report.Checks[0].Evidence = claims("git.example/ours-not")
		}, "our-source", "name a source under git.example/ours: source git.example/ours-not"},
		"a person":          {func(o *Object) { o.Who = Who{Kind: "user", Handle: "bob"} }, "ci-only", "pushed by user:bob"},
		"a job without":     {func(o *Object) { o.Who.Claims = nil }, "ci-only", "the rule gave no answer: no such key: repository"},
		"not asked":         {func(o *Object) { o.Image.Descriptor.Size, o.Report.Checks[2].Result = 1, "fail" }, "", ""},
		"asked, and denied": {func(o *Object) { o.Report.Checks[2].Result = "fail" }, "small", "what it requires is not true"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good()
			c.change(o)
			for _, r := range parse(t, examples).Rules {
				v := r.Ask(t.Context(), o)
				if v.Holds != (r.Name != c.rule) {
					t.Errorf("%s holds: %v, %v", r.Name, v.Holds, v.Err)
				}
				if says := v.Says(r.At[len(r.At)-1]); !v.Holds && (!strings.Contains(says, c.says) || len(says) > maxSaid || !strings.HasPrefix(says, "rule "+r.Name+": ")) {
					t.Errorf("%d bytes: %s", len(says), says)
				}
			}
		})
	}
}

// TestAttestedElsewhere asks the rule in docs/policy.md about what other registries attest: by no other registry, class or source does
// it hold.
func TestAttestedElsewhere(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(page), "## What another registry attests")
	_, text, _ = strings.Cut(text, "\n    rules:\n")
	text, _, _ = strings.Cut(text, "\n\n")
	rule := parse(t, "    rules:\n"+text).Rules[0]
	type facts = []any
	fact := func(name, value, class, by string) map[string]any {
		return map[string]any{"fact": name, "value": value, "class": class, "by": by}
	}
	job := fact("pushed-from", "https://github.com/acme/app", "attested", "upstream")
	for name, of := range map[string]struct {
		facts facts
		holds bool
	}{
		"a job of ours there":             {facts{fact("source", "https://git.example/x", "claimed", ""), job}, true},
		"nothing":                         {nil, false},
		"claimed":                         {facts{fact("source", "https://github.com/acme/app", "claimed", "")}, false},
		"by a signer":                     {facts{fact("source", "https://github.com/acme/app", "attested", "release")}, false},
		"by a signer of that name":        {facts{fact("source", "https://github.com/acme/app", "attested", "upstream")}, false},
		"by a registry in between":        {facts{fact("pushed-from", "https://github.com/acme/app", "attested", "relay")}, false},
		"another source there":            {facts{fact("pushed-from", "https://github.com/acme-not/app", "attested", "upstream")}, false},
		"a login there, and none of CI":   {facts{fact("pushed-by", "https://github.com/acme/app", "attested", "upstream")}, false},
		"here, and a person pushed there": {facts{fact("source", "https://github.com/acme/app", "authenticated", ""), fact("pushed-by", "alice", "attested", "upstream")}, false},
	} {
		o := good()
		o.Report.Checks[0].Evidence = map[string]any{"facts": of.facts}
		if v := rule.Ask(t.Context(), o); v.Holds != of.holds {
			t.Errorf("%s: it holds: %t, %v", name, v.Holds, v.Err)
		}
	}
}

// TestErrorDenies wants that a rule without an answer denies, also one that would only warn.
func TestErrorDenies(t *testing.T) {
	set := parse(t, `rules: [{name: broken, repositories: "**", at: push, effect: warn, require: 'who.claims["none"] == "x"', owner: alice}]`)
	v := set.Rules[0].Ask(t.Context(), good())
	if v.Err == nil || !v.Denies() {
		t.Errorf("it is %+v", v)
	}
	when := parse(t, `rules: [{name: broken, repositories: "**", at: push, when: '1/size(tag) == 1', require: 'true', owner: alice}]`)
	o := good()
	o.Tag = ""
	if v := when.Rules[0].Ask(t.Context(), o); v.Err == nil || !v.Denies() {
		t.Errorf("when it cannot be told whether it is asked: %+v", v)
	}
}

// TestCost wants what could take long to be refused when it is read, and what does take long to be cut.
func TestCost(t *testing.T) {
	const head = `rules: [{name: dear, repositories: "**", at: push, owner: alice, require: '`
	_, err := Parse("p", []byte(head+`report.checks.all(a, report.checks.all(b, report.checks.all(c, a.says == b.says && b.says == c.says)))'}]`))
	if err == nil || !strings.Contains(err.Error(), "p:1: rule dear: require: it could cost up to") {
		t.Errorf("three lists within each other: %v", err)
	}
	set := parse(t, head+`report.checks.all(a, a.says.contains("yyy"))'}]`)
	o := good()
	for range 40 { // far beyond what the estimate assumes
		o.Report.Checks = append(o.Report.Checks, Check{Says: strings.Repeat("xyyy", 300_000)})
	}
	o.Report.Checks = o.Report.Checks[3:]
	began := time.Now()
	v := set.Rules[0].Ask(t.Context(), o)
	if v.Err == nil || !v.Denies() || !strings.Contains(v.Err.Error(), "cost limit exceeded") {
		t.Errorf("after %v: %+v", time.Since(began), v)
	}
}

// TestMistakes wants each mistake in a file to be named with its line, its rule and its place.
func TestMistakes(t *testing.T) {
	rule := func(changes ...string) string {
		lines := map[string]string{"name": "r", "repositories": "'**'", "at": "push", "require": "true", "owner": "alice"}
		for i := 0; i < len(changes); i += 2 {
			lines[changes[i]] = changes[i+1]
		}
		text := "rules:\n"
		begin := "  - "
		for _, key := range []string{"name", "repositories", "at", "effect", "when", "require", "message", "owner", "other"} {
			if lines[key] != "" {
				text += begin + key + ": " + lines[key] + "\n"
				begin = "    "
			}
		}
		return text
	}
	for _, c := range []struct{ name, text, says string }{
		{"no YAML", "rules: [", "L2.C1"},
		{"an unknown key", rule("other", "x"), `p:7: a rule has no key "other"`},
		{"a name", rule("name", "Two Words"), "p:2: rule Two Words: name has"},
		{"a name twice", rule() + strings.TrimPrefix(rule(), "rules:\n"), "p:7: rule r: there is a rule of this name above"},
		{"a pattern", rule("repositories", "[prod/*, Prod/*]"), `p:3: rule r: repositories: pattern "Prod/*"`},
		{"a point", rule("at", "delete"), `p:4: rule r: at is "delete", and should be push, tag or pull`},
		{"an effect", rule("effect", "block"), `p:5: rule r: effect is "block"`},
		{"no owner", rule("owner", ""), "rule r: owner says in"},
		{"no requirement", rule("require", ""), "p:2: rule r: require is missing"},
		{"a field", rule("require", `report.gradee == "A"`), "p:5: rule r: require: 1:7: undefined field 'gradee'\n    report.gradee == \"A\"\n          ^"},
		{"a type", rule("require", `report.grade`), "p:5: rule r: require: it gives a value of type string"},
		{"two types", rule("require", `report.digest == 1`), "no matching overload for '_==_'"},
		{"syntax", rule("require", `report.`), "p:5: rule r: require: 1:8: Syntax error"},
		{"in a block", rule("require", "|\n      true &&\n      nothing"), "p:6: rule r: require: 2:1: undeclared reference to 'nothing'"},
		{"in when", rule("when", "who.name == 'x'"), "p:5: rule r: when: 1:4: undefined field 'name'"},
		{"who at a pull", rule("at", "pull", "require", "who.kind == 'ci'"), "who is not there at a pull"},
		{"a check", rule("require", `report.check("signatur").result == "pass"`), `1:13: there is no check "signatur"`},
		{"a grade", rule("require", `report.grade.atLeast("E")`), `there is no grade "E"`},
		{"a kind", rule("require", `report.signedBy("release", "sboms")`), `1:16: "sboms" is no kind of signed statement`},
		{"a kind that is computed", rule("require", `report.signedBy("release", tag)`), "wants a text between quotes"},
		{"a level of a source", rule("require", `report.verified("k", "SLSA_SOURCE_LEVEL_3")`), `"SLSA_SOURCE_LEVEL_3" is no level of an image`},
		{"a level that there is not", rule("require", `report.verified("k", "SLSA_BUILD_LVL_3")`), `is no level of an image`},
		{"a fact", rule("require", `report.facts("builder") == []`), `there are no facts "builder": facts(…) are of source, revision, pushed-by, pushed-from, pushed-revision`},
		{"no registry", rule("require", `report.facts("pushed-from").exists(f, f.class == "attested" && f.value.under("github.com/acme"))`), "1:13: each registry speaks for itself"},
		{"another's registry", rule("require", `report.facts("pushed-by").exists(f, f.value == "x") && report.facts("source").exists(f, f.by == "a")`), "1:13: each registry speaks for itself"},
		{"the registry of another list", rule("require", `report.facts("source").exists(f, f.by == "a" && report.facts("pushed-by").exists(g, g.value == f.by))`), "each registry speaks for itself"},
		{"no registry of the first", rule("require", `report.facts("pushed-by")[0].value == "admin"`), "1:13: each registry speaks for itself"},
		{"a name that is computed", rule("require", `report.check(tag).result == "pass"`), "wants a text between quotes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("p", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v\nwant %s\nof\n%s", err, c.says, c.text)
			}
		})
	}
	if _, err := Parse("p", []byte(rule("name", "A")+strings.TrimPrefix(rule("name", "B"), "rules:\n"))); err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("of two mistakes it says %v", err)
	}
	for _, empty := range []string{"", "# nothing yet\n", "rules: []\n"} {
		if set := parse(t, empty); len(set.Rules) != 0 {
			t.Errorf("%q has rules", empty)
		}
	}
}

func TestFor(t *testing.T) {
	set := parse(t, examples)
	names := func(p Point, repo string) (all []string) {
		for _, r := range set.For(p, repo) {
			all = append(all, r.Name)
		}
		return all
	}
	for _, c := range []struct {
		p          Point
		repo, want string
	}{{Push, "prod/app", "ci-only small"}, {Tag, "release/app", "signed-releases"}, {Tag, "release/a/b", ""}, {Pull, "prod/a/b", "prod-grade"}, {Pull, "other", ""}} {
		if got := strings.Join(names(c.p, c.repo), " "); got != c.want {
			t.Errorf("at %s in %s: %q, want %q", c.p, c.repo, got, c.want)
		}
	}
	if (*Set)(nil).For(Push, "x") != nil {
		t.Error("no set has rules")
	}
}
