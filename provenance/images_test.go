package provenance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

// allImages reads every page of a question.
func allImages(t *testing.T, b *Book, q ImageQuery) (images []ClaimedImage, pages int) {
	t.Helper()
	for {
		page, err := b.Images(background, q)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		images = append(images, page.Images...)
		if page.Next == nil {
			return images, pages
		}
		q.After = page.Next
	}
}

// imageNames are sorted within a repository, because rows are in the order of a hash.
func imageNames(images []ClaimedImage) []string {
	var names []string
	for _, img := range images {
		names = append(names, fmt.Sprintf("%s@%s by %d", img.Repository, short(img.Digest), img.Record.Index))
	}
	slices.Sort(names)
	return names
}

func TestImages(t *testing.T) {
	b, _ := testBook(t)
	claims := func(about string, said ...string) (claims []Claim) {
		for _, s := range said {
			fact, value, _ := strings.Cut(s, "=")
			claims = append(claims, Claim{Fact: fact, Value: value, About: dig(about), From: "test"})
		}
		return claims
	}
	base, stage := dig("base").String(), dig("stage").String()
	for _, e := range []Event{
		0: {Repository: "a", Digest: dig("attestation"), Claimed: claims("one", "source=https://git.example/x", "revision=c1", "material="+stage)},
		1: {Repository: "a", Digest: dig("one"), Claimed: claims("one", "source=git@git.example:x", "base="+base)},
		2: {Repository: "a", Digest: dig("index"), Claimed: slices.Concat(claims("one", "source=https://git.example/x", "revision=c1"), claims("two", "source=https://git.example/x", "revision=c2-dirty"))},
		3: {Repository: "ab", Digest: dig("one"), Claimed: claims("one", "source=https://git.example/x", "revision=c1", "base="+base)},
		4: {Repository: "a/b", Digest: dig("three"), Claimed: claims("three", "source=https://git.example/y", "revision=c1")},
		5: {Repository: "a", Digest: dig("one"), Claimed: claims("one", "source=https://git.example/x", "revision=c1")},
		6: {Repository: "a", Digest: dig("one"), Action: Delete},
	} {
		appendEvent(t, b, e)
	}
	one, two, three := short(dig("one")), short(dig("two")), short(dig("three"))
	for name, c := range map[string]struct {
		q    ImageQuery
		want []string
	}{
		"nothing":             {ImageQuery{}, nil},
		"source":              {ImageQuery{Source: "git.example/x.git"}, []string{"a@" + two + " by 2", "a@" + one + " by 0", "ab@" + one + " by 3"}},
		"source and revision": {ImageQuery{Source: "git.example/x", Revision: "C1"}, []string{"a@" + one + " by 0", "ab@" + one + " by 3"}},
		"uncommitted changes": {ImageQuery{Source: "git.example/x", Revision: "c2"}, []string{"a@" + two + " by 2"}},
		"revision":            {ImageQuery{Revision: "c1"}, []string{"a/b@" + three + " by 4", "a@" + one + " by 0", "ab@" + one + " by 3"}},
		"in one repository":   {ImageQuery{Revision: "c1", Repository: "a"}, []string{"a@" + one + " by 0"}},
		"base":                {ImageQuery{Bases: []digest.Digest{dig("base")}}, []string{"a@" + one + " by 1", "ab@" + one + " by 3"}},
		"two bases":           {ImageQuery{Bases: []digest.Digest{dig("stage"), dig("base")}}, []string{"a@" + one + " by 0", "ab@" + one + " by 3"}},
		"visible":             {ImageQuery{Revision: "c1", Visible: func(r string) bool { return r == "ab" }}, []string{"ab@" + one + " by 3"}},
		"none visible":        {ImageQuery{Revision: "c1", Visible: func(string) bool { return false }}, nil},
		"no such source":      {ImageQuery{Source: "git.example"}, nil},
	} {
		for limit := range 3 {
			c.q.Limit = limit
			got, _ := allImages(t, b, c.q)
			if names := imageNames(got); !slices.Equal(names, c.want) {
				t.Errorf("%s, limit %d: %q, want %q", name, limit, names, c.want)
			}
		}
	}
	images, _ := allImages(t, b, ImageQuery{Source: "git.example/x", Revision: "c1", Repository: "a"})
	if got := claimLines(images[0].Claims); len(got) != 2 || !strings.HasPrefix(got[0], "source=https://git.example/x (test)") {
		t.Errorf("the claims that answer: %q", got)
	}
	if _, err := b.Images(background, ImageQuery{Revision: "c1", After: []byte("x")}); !errors.Is(err, ErrNoPage) {
		t.Errorf("an After from nowhere: %v", err)
	}
	wantClean(t, b)
}

// TestHiddenImages wants that what one may not see has no part in how pages look.
func TestHiddenImages(t *testing.T) {
	b, _ := testBook(t)
	visible := func(repository string) bool { return !strings.HasPrefix(repository, "hidden") }
	for i := range 40 {
		repository := fmt.Sprintf("hidden-%02d", i/2)
		if i == 20 || i == 30 {
			repository = "open/" + fmt.Sprint(i)
		}
		d := dig(fmt.Sprint(i))
		appendEvent(t, b, Event{Repository: repository, Digest: d, Claimed: []Claim{{Fact: FactRevision, Value: "c1", About: d}}})
	}
	if images, pages := allImages(t, b, ImageQuery{Revision: "c1", Limit: 2, Visible: visible}); len(images) != 2 || pages != 1 {
		t.Errorf("two images on a page of two: %d on %d pages", len(images), pages)
	}
	for name, q := range map[string]Query{
		"revision":         {Revision: "c1", Limit: 2},
		"other way round":  {Revision: "c1", Limit: 2, Descending: true},
		"everything":       {Limit: 2},
		"hidden":           {Repository: "hidden-01", Limit: 1},
		"digest of hidden": {Digest: dig("1"), Limit: 1},
	} {
		q.Visible = visible
		page, err := b.Find(background, q)
		if err != nil || page.Next != nil {
			t.Errorf("%s: what is hidden makes a next page: %v", name, err)
		}
	}
	if arrivals, more, err := b.Arrivals(background, dig("1"), visible); err != nil || more || len(arrivals) != 0 {
		t.Errorf("hidden arrivals: %v, %v, %v", arrivals, more, err)
	}
}

func TestManyHiddenImages(t *testing.T) {
	b, _ := testBook(t)
	err := b.store.Update(background, func(tx storage.Tx) error {
		for i := range maxLook + 10 {
			tx.Put(imageTable, imageKey(newTerm(byRevision, "c1"), fmt.Sprintf("hidden-%05d", i), dig("x")), indexKey(0))
		}
		_, err := b.Append(tx, Event{Action: Push, Repository: "open", Digest: dig("x"), Who: alice, Claimed: []Claim{{Fact: FactRevision, Value: "c1", About: dig("x")}}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	images, pages := allImages(t, b, ImageQuery{Revision: "c1", Visible: func(r string) bool { return r == "open" }})
	if len(images) != 1 || pages != 2 {
		t.Errorf("%d images on %d pages", len(images), pages)
	}
}

func TestArrivals(t *testing.T) {
	b, _ := testBook(t)
	for _, repository := range []string{"z", "secret", "a", "z", "b"} {
		appendEvent(t, b, Event{Repository: repository, Digest: dig("x")})
	}
	arrivals, more, err := b.Arrivals(background, dig("x"), func(r string) bool { return r != "secret" })
	if err != nil || more || indexes(arrivals) != "0 2 4" {
		t.Errorf("arrivals %s, %v, %v", indexes(arrivals), more, err)
	}
}

// TestImagesAgainstScan compares random questions with a plain look at every record.
func TestImagesAgainstScan(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	for range 200 {
		e := Event{Repository: pick("r", "r1", "r2", "r/x"), Digest: dig(pick("a", "b", "c"))}
		for range rng.IntN(5) {
			fact := pick(FactSource, FactRevision, FactBase, FactMaterial)
			value := map[string]string{FactSource: pick("https://h/a", "h/b"), FactRevision: pick("c1", "c2", "c1-dirty")}[fact]
			if value == "" {
				value = dig(pick("m", "n")).String()
			}
			e.Claimed = append(e.Claimed, Claim{Fact: fact, Value: value, About: dig(pick("a", "b", "c", "d"))})
		}
		appendEvent(t, b, e)
	}
	indexSome(t, b, 60)
	every := all(t, b, Query{})
	for range 100 {
		q := ImageQuery{Source: pick("", "h/a"), Revision: pick("", "c1", "c2"), Repository: pick("", "", "r"), Limit: 1 + rng.IntN(9)}
		asked := []Query{{Source: q.Source, Revision: q.Revision}}
		if rng.IntN(3) == 0 {
			q.Bases = []digest.Digest{dig("m"), dig("n")}[:1+rng.IntN(2)]
			asked = nil
			for _, base := range q.Bases {
				asked = append(asked, Query{Base: base})
			}
		}
		want := map[string]bool{}
		for _, r := range every {
			for _, a := range asked {
				for _, about := range []string{"a", "b", "c", "d"} {
					if a.Source+a.Revision+string(a.Base) != "" && a.factsAbout(a.facts(r), dig(about)) && (q.Repository == "" || q.Repository == r.Repository) {
						want[r.Repository+"@"+short(dig(about))] = true
					}
				}
			}
		}
		images, _ := allImages(t, b, q)
		got := map[string]bool{}
		for _, img := range images {
			got[img.Repository+"@"+short(img.Digest)] = true
		}
		if len(images) != len(want) || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%+v: %v, want %v", q, got, want)
		}
	}
	wantClean(t, b)
}
