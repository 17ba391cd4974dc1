package image

import (
	"slices"
	"testing"

	"github.com/seed-260924e6/hallmark/provenance"
)

// TestFactsInOrder wants the same facts in the same order each time: a report of the same image is the same.
func TestFactsInOrder(t *testing.T) {
	r := &provenance.Record{Action: provenance.Push, Authenticated: &provenance.Login{
		Issuer: "https://ci.example", Claims: map[string]string{"sha": "c0ffee", "repository": "octo/app", "project_path": "octo/app"},
	}}
	first := authenticatedFacts(r)
	if len(first) != 2 {
		t.Fatalf("%d facts: %v", len(first), first)
	}
	for range 50 {
		if again := authenticatedFacts(r); !slices.Equal(first, again) {
			t.Fatalf("%v, then %v", first, again)
		}
	}
}
