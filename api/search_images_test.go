package api

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// beginningAlike makes n indexes whose digests begin with the same digits, in the order of their digests.
func beginningAlike(t *testing.T, n int) (bodies [][]byte, prefix string) {
	t.Helper()
	alike := map[string][][]byte{}
	for i := 0; ; i++ {
		body := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"n":"%d"}}`, ocispec.MediaTypeImageIndex, i)
		prefix := digest.FromBytes(body).String()[:len("sha256:")+provenance.MinDigest]
		if alike[prefix] = append(alike[prefix], body); len(alike[prefix]) == n {
			slices.SortFunc(alike[prefix], func(a, b []byte) int {
				return strings.Compare(digest.FromBytes(a).String(), digest.FromBytes(b).String())
			})
			return alike[prefix], prefix
		}
	}
}

type foundImages struct {
	Images []struct{ Digest digest.Digest }
	More   map[string]string
	Next   string
}

// TestMeaningsOfDigest pages through the images of a cut digest, while one comes that sorts before those that were shown, and
// wants to be told when the digits mean more than is looked for.
func TestMeaningsOfDigest(t *testing.T) {
	l := newLists(t)
	bodies, prefix := beginningAlike(t, maxMeanings+1)
	push := func(body []byte) {
		l.send("PUT", "/v2/team/app/manifests/"+digest.FromBytes(body).String(), ocispec.MediaTypeImageIndex, body, http.StatusCreated)
	}
	for _, body := range bodies[1:maxMeanings] {
		push(body)
	}
	var got []digest.Digest
	for i, target := 0, "/api/v1/search?kind=images&limit=1&q="+prefix; target != ""; i++ {
		var page foundImages
		l.get(target, &page)
		for _, img := range page.Images {
			got = append(got, img.Digest)
		}
		if i == 1 {
			push(bodies[0])
		}
		target = page.Next
	}
	var want []digest.Digest
	for _, body := range bodies[1:maxMeanings] {
		want = append(want, digest.FromBytes(body))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	var page foundImages
	if l.get("/api/v1/search?kind=images&q="+prefix, &page); len(page.Images) != maxMeanings || page.More != nil {
		t.Errorf("%d images, and more: %v", len(page.Images), page.More)
	}
	push(bodies[maxMeanings])
	l.get("/api/v1/search?kind=images&q="+prefix, &page)
	var all struct{ Digests []digest.Digest }
	if l.get(page.More["images"], &all); len(page.Images) != maxMeanings || len(all.Digests) != maxMeanings+1 {
		t.Errorf("%d images, and %d digests at %q", len(page.Images), len(all.Digests), page.More["images"])
	}
}

// TestFinderFrom goes on at the finder of a position, or behind it where that is gone.
func TestFinderFrom(t *testing.T) {
	finders := []imageFinder{{key: "1"}, {key: "2 b"}, {key: "2 d"}, {key: "3 a attested"}}
	for _, c := range []struct{ key, next, from, after string }{
		{"1", "x", "1", "x"}, {"2 b", "", "2 b", ""}, {"2 c", "x", "2 d", ""}, {"2 e", "x", "3 a attested", ""}, {"4", "x", "", ""},
	} {
		from, after := finderFrom(finders, imageFinder{key: c.key}.position([]byte(c.next)))
		key := ""
		if len(from) > 0 {
			key = from[0].key
		}
		if key != c.from || string(after) != c.after || c.after == "" && after != nil {
			t.Errorf("%+v: %q from %q", c, key, after)
		}
	}
	for _, none := range [][]byte{nil, {}, {9, 'x'}, {0x80}} {
		if from, after := finderFrom(finders, none); len(from) != len(finders) || after != nil {
			t.Errorf("%q: %d finders from %q", none, len(from), after)
		}
	}
}
