package policy

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// TestSignedBy asks for kinds of statements, of a report in which the image is not signed.
func TestSignedBy(t *testing.T) {
	document := func(on digest.Digest, signer string, kind provenance.StatementKind, predicateType string, result provenance.Result, counts bool) image.Document {
		return image.Document{AttachedTo: on, Signed: &image.Signed{Standing: provenance.Standing{Counts: counts}, Verdict: provenance.Verdict{
			Result: result, Signer: signer, Kind: kind, Evidence: provenance.Evidence{PredicateType: predicateType},
		}}}
	}
	ours := document("sha256:1", "k", "svr", "", provenance.Good, true)
	ours.NamesRepository = true
	const spdx, tests = "https://spdx.dev/Document/v2.3", "https://in-toto.io/attestation/test-result/v0.1"
	check := Check{ID: trust.ImageSignature, Result: "fail", Evidence: image.SignatureEvidence{Documents: []image.Document{
		document("sha256:1", "k", "sbom", spdx, "good", true),
		document("sha256:1", "k", "vex", "https://openvex.dev/ns", "good", false),
		document("sha256:1", "k", "release", "", "failed", true),
		document("sha256:2", "k", "test", tests, "good", true),
		document("sha256:1", "other", "image", "", "good", true),
		ours,
		{AttachedTo: "sha256:1", Kind: "SBOM"}, // not signed
	}}}
	for text, want := range map[string]bool{
		`report.signedBy("k", "sbom")`:                           true,
		`report.signedBy("k", "` + spdx + `")`:                   true,
		`report.signedBy("k", "https://spdx.dev/Document/v2.2")`: false,
		`report.signedBy("k", "vex")`:                            false, // it does not count
		`report.signedBy("k", "release")`:                        false, // it does not hold
		`report.signedBy("k", "test")`:                           false, // of one platform of two
		`report.signedBy("k", "image")`:                          false,
		`report.signedBy("k")`:                                   false,
		`report.signedBy("other")`:                               false, // the check did not pass
		`report.signedBy("other", "sbom")`:                       false,
		`report.named("k", "svr")`:                               true,
		`report.named("k", "sbom")`:                              false, // by another name
		`report.named("k")`:                                      false,
	} {
		o := &Object{Report: &Report{Digest: "sha256:1", Checks: []Check{check}, Platforms: []Platform{{Digest: "sha256:2"}, {Digest: "sha256:3"}}}}
		set := parse(t, `rules: [{name: r, repositories: "**", at: pull, owner: alice, require: '`+text+`'}]`)
		if v := set.Rules[0].Ask(t.Context(), o); v.Holds != want || v.Err != nil {
			t.Errorf("%s: %v, %v", text, v.Holds, v.Err)
		}
	}
	check.Cap = "D" // another signature does not hold
	if r := (&Report{Digest: "sha256:1", Checks: []Check{check}}); holds(r.signedBy("k", "sbom", counts)) {
		t.Error("a statement counts beside one that was changed")
	}
}

func holds(answer bool, err error) bool { return answer || err != nil }

// TestVerified asks for levels in verification summaries.
func TestVerified(t *testing.T) {
	document := func(on digest.Digest, signer string, counts bool, levels ...string) image.Document {
		return image.Document{AttachedTo: on, Signed: &image.Signed{Standing: provenance.Standing{Counts: counts}, Verdict: provenance.Verdict{
			Result: provenance.Good, Signer: signer, Kind: provenance.VSAKind, Summary: &provenance.Summary{Result: "PASSED", Levels: levels},
		}}}
	}
	other := document("sha256:1", "k", true)
	other.Verdict.Kind, other.Verdict.Summary = provenance.ImageKind, nil
	check := Check{ID: trust.ImageSignature, Result: "fail", Evidence: image.SignatureEvidence{Documents: []image.Document{
		document("sha256:1", "k", true, "SLSA_BUILD_LEVEL_2"),
		document("sha256:1", "k", false, "SLSA_BUILD_LEVEL_3"),
		document("sha256:1", "other", true, "SLSA_BUILD_LEVEL_4", "REVIEWED"),
		other,
	}}}
	for text, want := range map[string]bool{
		`report.verified("k", "SLSA_BUILD_LEVEL_1")`:      true,
		`report.verified("k", "SLSA_BUILD_LEVEL_2")`:      true,
		`report.verified("k", "SLSA_BUILD_LEVEL_3")`:      false,
		`report.verified("k", "REVIEWED")`:                false,
		`report.verified("other", "REVIEWED")`:            true,
		`report.verified("nobody", "SLSA_BUILD_LEVEL_1")`: false,
	} {
		o := &Object{Report: &Report{Digest: "sha256:1", Checks: []Check{check}}}
		set := parse(t, `rules: [{name: r, repositories: "**", at: pull, owner: alice, require: '`+text+`'}]`)
		v := set.Rules[0].Ask(t.Context(), o)
		if v.Holds != want || v.Err != nil {
			t.Errorf("%s: %v, %v", text, v.Holds, v.Err)
		}
		if !want && !strings.Contains(v.Says(Pull), "not verified by ") {
			t.Errorf("it says %s", v.Says(Pull))
		}
	}
}
