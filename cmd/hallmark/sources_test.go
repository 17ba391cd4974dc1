package main

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestEachOnce wants one row for an image that is both said and derived to be on a base, with all that says so.
func TestEachOnce(t *testing.T) {
	one, two := digest.FromString("one"), digest.FromString("two")
	found := eachOnce([]originEntry{
		{Repository: "app", Digest: one, Rules: []string{"base"}},
		{Repository: "app", Digest: two, Rules: []string{"material"}},
		{Repository: "other", Digest: one, Rules: []string{"derived"}, Compared: "diffIDs"},
		{Repository: "app", Digest: one, Rules: []string{"derived"}, Compared: "layers"},
	})
	var rows []string
	for _, f := range found {
		rows = append(rows, f.Repository+" "+short(f.Digest)+": "+f.rules())
	}
	want := []string{
		"app " + short(one) + ": base, derived (layers)", "app " + short(two) + ": material", "other " + short(one) + ": derived (diff ids)",
	}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
}
