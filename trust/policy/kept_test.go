package policy

import (
	"encoding/json"
	"os"
	"testing"
)

// TestKeptReports asks rules about reports that were kept before evidence had types.
func TestKeptReports(t *testing.T) {
	for file, rules := range map[string]map[string]bool{
		"kept-signed.json": {
			`report.signedBy("team-key")`:                                   true,
			`report.signedBy("team-key", "provenance")`:                     true,
			`report.signedBy("team-key", "https://slsa.dev/provenance/v1")`: true,
			`report.signedBy("team-key", "sbom")`:                           false,
			`report.signedBy("other")`:                                      false,
			`report.named("team-key")`:                                      false,
			`report.facts("source").exists(f, f.class == "attested" && f.by == "team-key" && !f.elsewhere)`:  true,
			`report.facts("revision").all(f, f.class == "claimed")`:                                          false,
			`report.facts("pushed-by").exists(f, f.by == "a")`:                                               false,
			`report.check("signature").evidence.documents.exists(d, d.verdict.signer == "team-key")`:         true,
			`report.check("source-known").evidence.facts.exists(f, f.fact == "source" && f.from != f.value)`: true,
		},
		"kept-verified.json": {
			`report.signedBy("team-key", "vsa")`:                   true,
			`report.signedBy("team-key")`:                          false,
			`report.verified("team-key", "SLSA_BUILD_LEVEL_1")`:    false, // it names no level
			`report.facts("source")[0].value.under("git.example")`: true,
		},
	} {
		text, err := os.ReadFile("testdata/" + file)
		must(t, err)
		for rule, want := range rules {
			r := new(Report)
			must(t, json.Unmarshal(text, r))
			set := parse(t, `rules: [{name: r, repositories: "**", at: pull, owner: alice, require: '`+rule+`'}]`)
			if v := set.Rules[0].Ask(t.Context(), &Object{Report: r}); v.Holds != want || v.Err != nil {
				t.Errorf("%s: %s: %v, %v", file, rule, v.Holds, v.Err)
			}
		}
	}
}

// TestUnreadEvidenceDenies wants a rule to give no answer where the evidence is not what its writer writes.
func TestUnreadEvidenceDenies(t *testing.T) {
	o := good()
	for i := range o.Report.Checks {
		o.Report.Checks[i].Evidence = map[string]any{"documents": "none", "facts": 1}
	}
	for _, rule := range []string{`report.signedBy("k")`, `report.named("k")`, `report.verified("k", "x")`, `report.facts("source").size() == 0`} {
		set := parse(t, `rules: [{name: r, repositories: "**", at: pull, effect: warn, owner: alice, require: '`+rule+`'}]`)
		if v := set.Rules[0].Ask(t.Context(), o); v.Err == nil || !v.Denies() {
			t.Errorf("%s: %+v", rule, v)
		}
	}
}
