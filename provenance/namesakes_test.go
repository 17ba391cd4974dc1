package provenance

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestNamesakesOfOtherKinds has a robot of the same name before and after two accounts of a user, so that neither end of
// what is found by the name is the user's.
func TestNamesakesOfOtherKinds(t *testing.T) {
	by := func(kind Kind, account string) Event {
		return Event{Repository: "a", Digest: dig("x"), Who: Identity{Actor: Actor{Kind: kind, Handle: "sam", Account: account}}}
	}
	second := by(User, "s2").Who.Actor
	for name, c := range map[string]struct {
		between int
		events  []Event
		want    []string
	}{
		"one account":            {1, []Event{by(User, "s2")}, nil},
		"two accounts":           {1, []Event{by(User, "s1"), by(User, "s2")}, []string{"user:sam"}},
		"one account, far away":  {2 * namesRead, []Event{by(User, "s2")}, []string{"user:sam"}}, // it may have had another
		"two accounts, far away": {2 * namesRead, []Event{by(User, "s1"), by(User, "s2")}, []string{"user:sam"}},
	} {
		b, _ := testBook(t)
		for range c.between {
			appendEvent(t, b, by(Robot, "r"))
		}
		for _, e := range c.events {
			appendEvent(t, b, e)
		}
		for range c.between {
			appendEvent(t, b, by(Robot, "r"))
		}
		got, err := b.Namesakes(background, []Actor{second})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// TestNamesakesInWords has two accounts that had one name: a sentence tells which of them it was, as a table does.
func TestNamesakesInWords(t *testing.T) {
	bobs := func(account string) Identity {
		return Identity{Actor: Actor{Kind: User, Handle: "bob", Account: account}}
	}
	now := func(context.Context, []Actor) ([]Actor, error) { return []Actor{bobs("b2").Actor}, nil }
	one := []TagMove{{Name: "1.0", Now: dig("image")}}
	for name, c := range map[string]struct {
		events  []Event
		holders Holders
		says    string
	}{
		"one bob":              {[]Event{{Who: bobs("b1")}}, nil, "First pushed here by bob."},
		"the one who has it":   {[]Event{{Who: bobs("b2")}}, now, "First pushed here by bob."},
		"one who did nothing":  {[]Event{{Who: bobs("b1")}}, now, "First pushed here by bob (account b1)."},
		"one who tagged":       {[]Event{{Who: bobs("b1")}, {Who: bobs("b2"), Tags: one}}, nil, "First pushed here by bob (account b1); tagged by bob (account b2)."},
		"one who did it again": {[]Event{{Who: bobs("b1")}, {Action: Delete, Who: bobs("b1")}, {Who: bobs("b2")}}, nil, "First pushed here by bob (account b1); deleted by bob (account b1) (record 1) and pushed again by bob (account b2)."},
		"of a platform": {
			[]Event{{Who: bobs("b1"), Digest: dig("amd64")}, {Who: aJob("octo/app", "c1", "push")}},
			now,
			"First pushed here by a job of https://github.com/octo/app at c1 (its login proves that, not the build), which does not count: " +
				"its platform " + shortDigest(dig("amd64")) + " was first pushed by bob (account b1).",
		},
	} {
		b, _ := testBook(t)
		ask := ActsOf{Repository: "team/app", Digest: dig("image"), Tag: "1.0", Holders: c.holders}
		for _, e := range c.events {
			if e.Repository = "team/app"; e.Digest == "" {
				e.Digest = dig("image")
			} else {
				ask.Platforms = []digest.Digest{e.Digest}
			}
			appendEvent(t, b, e)
		}
		acts := actsOf(t, b, ask)
		if says := acts.Says("team/app"); says != c.says {
			t.Errorf("%s: it says %q, want %q", name, says, c.says)
		}
		if twice := len(acts.Namesakes) > 0; twice != strings.Contains(c.says, "account") {
			t.Errorf("%s: namesakes %q", name, acts.Namesakes)
		}
	}
}
