package main

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
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

// TestOneBaseInTwoForms has an image whose annotation names the index of its base, and whose label a platform of it: that is one
// base, for anyone who may see the index. Another base is another.
func TestOneBaseInTwoForms(t *testing.T) {
	if withoutRace(t) {
		return
	}
	s := newActing(t, "")
	s.hallmark("grant", "user:carol", "team/**", "pull")
	platform := s.image("alice", "base/small", "amd64", "base")
	index := s.index("alice", "base/small", "1", map[string]digest.Digest{"amd64": platform})
	for repo, c := range map[string]struct{ annotation, label digest.Digest }{
		"team/same":  {index, platform},
		"team/turn":  {platform, index},
		"team/other": {index, digest.FromString("other")},
	} {
		s.onBases(repo, c.annotation, c.label)
		for who, want := range map[string]bool{"alice": repo == "team/other", "carol": true} {
			_, _, body := s.do("GET", "/api/v1/image?repo="+repo+"&ref=1", s.login(who), "")
			if got := strings.Contains(body, `"contradictions":[{"fact":"base"`); got != want {
				t.Errorf("%s, asked by %s: a contradiction: %t\n%s", repo, who, got, body)
			}
		}
	}
}

// onBases pushes an image with one base in an annotation and another in a label.
func (a *acting) onBases(repo string, annotation, label digest.Digest) {
	a.t.Helper()
	const base = ocispec.AnnotationBaseImageDigest
	ctx, r := context.Background(), a.as("alice", repo)
	config, err := pushBlob(ctx, r, ocispec.MediaTypeImageConfig, mustMarshal(map[string]any{"config": map[string]any{"Labels": map[string]string{base: label.String()}}}))
	if err == nil {
		_, err = pushManifest(ctx, r, "1", ocispec.Manifest{Config: config, Layers: []ocispec.Descriptor{}, Annotations: map[string]string{base: annotation.String()}})
	}
	if err != nil {
		a.t.Fatal(err)
	}
}
