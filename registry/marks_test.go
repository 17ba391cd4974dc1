package registry

import (
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestMarks wants a mark to see what changes after its moment, and nothing that came before, and never to go back when
// changes come at once.
func TestMarks(t *testing.T) {
	g := &Registry{marks: new(marks)}
	one, two := digest.FromString("one"), digest.FromString("two")
	before := g.Now()
	g.changed([]digest.Digest{one, ""})
	for what, c := range map[string]struct {
		mark  Mark
		moved bool
	}{
		"read before":       {g.Mark(one, before), true},
		"read after":        {g.Mark(one, g.Now()), false},
		"of another digest": {g.Mark(two, before), false},
	} {
		if c.mark.Moved() != c.moved {
			t.Errorf("%s: it moved: %v", what, c.mark.Moved())
		}
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				g.changed([]digest.Digest{two})
			}
		})
	}
	all.Wait()
	if g.Changed(two) != g.Now() || g.Now() != before+8001 {
		t.Errorf("the last change is %d, and it changed last with %d", g.Now(), g.Changed(two))
	}
}

// TestEncodeKept gives back what a row says that it is about.
func TestEncodeKept(t *testing.T) {
	parts := []digest.Digest{digest.FromString("image"), digest.FromString("part"), digest.SHA512.FromString("part")}
	optional := []Optional{{digest.FromString("absent"), false}, {digest.SHA512.FromString("here"), true}}
	for n := 1; n <= len(parts); n++ {
		for m := range len(optional) + 1 {
			k := Kept{Of: parts[:n], Optional: optional[:m], Body: []byte("body")}
			got, err := decodeKept(parts[0], k.encode())
			if err != nil || !slices.Equal(got.Of, k.Of) || !slices.Equal(got.Optional, k.Optional) || string(got.Body) != "body" {
				t.Errorf("%d parts, %d optional: %+v, %v", n, m, got, err)
			}
		}
	}
	for _, bad := range [][]byte{nil, {1}, {1, 9, 9}, {0}, {0, 1}, {0, 1, 1}, {0, 1, 1, 9}} {
		if _, err := decodeKept(parts[0], bad); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
