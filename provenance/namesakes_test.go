package provenance

import (
	"slices"
	"testing"
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
