package provenance

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestPlatformsAttested wants an index to know what is attested of all of its platforms, and nothing that is attested of
// some.
func TestPlatformsAttested(t *testing.T) {
	b, _ := testBook(t)
	index, arm, amd, beside := dig("index"), dig("arm"), dig("amd"), dig("beside")
	children := []Child{{Digest: arm, Platform: "linux/arm64"}, {Digest: amd, Platform: "linux/amd64"}, {Digest: beside, Platform: "unknown/unknown"}}
	appendEvent(t, b, Event{Action: Push, Repository: "app", Digest: index, Observed: Observation{Children: children}})
	attest := func(about digest.Digest, fact, value string) {
		v := &Verdict{Result: Good, Evidence: Evidence{Digest: dig("layer" + value)}, Signer: "ci"}
		appendEvent(t, b, Event{Action: Attest, Repository: "app", Digest: about, Verdict: v, Attested: []Attestation{
			{Fact: fact, Value: value, About: about, From: "slsa v1 workflow", Evidence: v.Evidence, Signer: "ci"},
		}})
	}
	known := func() (facts []string) {
		parts := Parts(index, children)
		said, err := b.Testimony(background, "app", parts)
		if err != nil {
			t.Fatal(err)
		}
		sum := SumUp(said.Records, said.Beside, parts)
		if len(sum.Verdicts) != 0 {
			t.Errorf("verdicts about platforms are taken for some about the index: %v", sum.Verdicts)
		}
		for _, a := range sum.Attested {
			facts = append(facts, a.Fact+"="+a.Value)
		}
		slices.Sort(facts)
		return facts
	}
	attest(arm, FactSource, "https://git.example/app")
	attest(arm, FactBuilder, "https://ci.example")
	if facts := known(); len(facts) != 0 {
		t.Errorf("what is attested of one platform: %v", facts)
	}
	attest(amd, FactSource, "https://git.example/app")
	if facts := known(); !slices.Equal(facts, []string{"source=https://git.example/app", "source=https://git.example/app"}) {
		t.Errorf("what is attested of both: %v", facts)
	}
	attest(beside, FactRevision, "0123456")
	if facts := known(); len(facts) != 2 {
		t.Errorf("what is attested of an attestation: %v", facts)
	}
}
