package provenance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/storage"
)

func indexes(records []*Record) string {
	var s []string
	for _, r := range records {
		s = append(s, fmt.Sprint(r.Index))
	}
	return strings.Join(s, " ")
}

// all reads every page of a query.
func all(t *testing.T, b *Book, q Query) []*Record {
	t.Helper()
	var found []*Record
	for {
		page, err := b.Find(background, q)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, page.Records...)
		if page.Next == nil {
			return found
		}
		q.After = page.Next
	}
}

func TestFind(t *testing.T) {
	b, clock := testBook(t)
	start := *clock
	source := func(about, url, revision string) []Claim {
		return ClaimsOf(dig(about), map[string]string{
			"org.opencontainers.image.source": url, "org.opencontainers.image.revision": revision,
		}, Config{})
	}
	for _, e := range []Event{
		0: {Repository: "team/app", Digest: dig("a"), Tags: []TagMove{{Name: "1.0"}}, Claimed: source("a", "https://git.example/team/app.git", "c1")},
		1: {Repository: "team/app", Digest: dig("b"), Tags: []TagMove{{Name: "1.0", Previous: dig("a")}, {Name: "latest"}}, Who: bob},
		2: {Repository: "team/web", Digest: dig("a"), Claimed: source("a", "git@git.example:team/app", "c2")},
		3: {Repository: "team/web", Digest: dig("c"), Claimed: append(source("x", "https://git.example/one", "c1"), source("y", "https://git.example/two", "c2")...)},
		4: {Action: Untag, Repository: "team/app", Digest: dig("b"), Tags: []TagMove{{Name: "1.0", Previous: dig("b")}}, Who: operator},
		5: {Action: Delete, Repository: "team/app", Digest: dig("b"), Tags: []TagMove{{Name: "latest", Previous: dig("b")}}},
		6: {Repository: "team/app", Digest: dig("d"), Claimed: ClaimsOf(dig("d"), map[string]string{"org.opencontainers.image.base.digest": dig("base").String()}, Config{})},
		7: {Action: "tag", Repository: "team/end", Digest: dig("e"), Who: carol, Claimed: []Claim{
			{Fact: FactMaterial, Value: dig("stage").String(), About: dig("f")},
			{Fact: FactSource, Value: "git+https://git.example/end@refs/heads/main", About: dig("f")},
			{Fact: FactRevision, Value: "ABC123-dirty", About: dig("f")},
		}},
	} {
		appendEvent(t, b, e)
		*clock = clock.Add(time.Minute)
	}
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }
	for name, c := range map[string]struct {
		q    Query
		want string
	}{
		"everything":           {Query{}, "0 1 2 3 4 5 6 7"},
		"repository":           {Query{Repository: "team/web"}, "2 3"},
		"no such repository":   {Query{Repository: "team"}, ""},
		"tag":                  {Query{Repository: "team/app", Tag: "1.0"}, "0 1 4"},
		"digest":               {Query{Digest: dig("a")}, "0 2"},
		"identity":             {Query{Identity: "bob"}, "1"},
		"account":              {Query{Identity: "acct1"}, "0 2 3 5 6"},
		"source":               {Query{Source: "https://token@GIT.example/team/app"}, "0 2"},
		"revision":             {Query{Revision: "c1"}, "0 3"},
		"source and revision":  {Query{Source: "git.example/one", Revision: "c1"}, "3"},
		"not of one digest":    {Query{Source: "git.example/one", Revision: "c2"}, ""},
		"base":                 {Query{Base: dig("base")}, "6"},
		"material":             {Query{Base: dig("stage")}, "7"},
		"about another digest": {Query{About: dig("f")}, "7"},
		"about itself":         {Query{About: dig("d")}, ""},
		"about two":            {Query{About: dig("y")}, "3"},
		"uncommitted changes":  {Query{Source: "https://git.example/end.git", Revision: "abc123"}, "7"},
		"and with their mark":  {Query{Revision: "abc123-Dirty"}, "7"},
		"action":               {Query{Action: Delete}, "5"},
		"class authenticated":  {Query{Class: Authenticated}, "0 1 2 3 5 6 7"},
		"class claimed":        {Query{Class: Claimed}, "0 2 3 6 7"},
		"class observed":       {Query{Class: Observed}, "0 1 2 3 4 5 6 7"},
		"class attested":       {Query{Class: Attested}, ""},
		"claimed source":       {Query{Class: Claimed, Source: "git.example/team/app"}, "0 2"},
		"authenticated source": {Query{Class: Authenticated, Source: "git.example/team/app"}, ""},
		"since":                {Query{Since: at(5)}, "5 6 7"},
		"until":                {Query{Until: at(2)}, "0 1"},
		"since and until":      {Query{Since: at(2), Until: at(4)}, "2 3"},
		"since the future":     {Query{Since: at(100)}, ""},
		"all together": {Query{
			Repository: "team/app", Tag: "1.0", Digest: dig("a"), Identity: "alice", Source: "git.example/team/app",
			Revision: "c1", Action: Push, Class: Claimed, Since: at(0), Until: at(1),
		}, "0"},
		"visible": {Query{Digest: dig("a"), Visible: func(r string) bool { return r == "team/web" }}, "2"},
	} {
		t.Run(name, func(t *testing.T) {
			for limit := range 4 {
				c.q.Limit, c.q.Descending, c.q.After = limit, false, nil
				if got := indexes(all(t, b, c.q)); got != c.want {
					t.Errorf("limit %d, ascending: %q, want %q", limit, got, c.want)
				}
				c.q.Descending = true
				if got, want := indexes(all(t, b, c.q)), reversed(c.want); got != want {
					t.Errorf("limit %d, descending: %q, want %q", limit, got, want)
				}
			}
		})
	}
}

func reversed(s string) string {
	f := strings.Fields(s)
	for i, j := 0, len(f)-1; i < j; i, j = i+1, j-1 {
		f[i], f[j] = f[j], f[i]
	}
	return strings.Join(f, " ")
}

// TestFindAgainstScan compares random queries with a plain look at every record; TestSoakFindAgainstScan many more.
func TestFindAgainstScan(t *testing.T) { findAgainstScan(t, 100, rand.NewPCG(1, 2)) }

func findAgainstScan(t *testing.T, n int, seed rand.Source) {
	t.Helper()
	b, clock := testBook(t)
	rng := rand.New(seed)
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	for range n {
		who := alice
		if rng.IntN(3) == 0 {
			who = bob
		}
		d := dig(pick("a", "b", "c", "d"))
		appendEvent(t, b, Event{
			Action: Action(pick("push", "tag")), Repository: pick("r1", "r2"), Digest: d, Who: who,
			Tags:    []TagMove{{Name: pick("t1", "t2", "t3")}},
			Claimed: ClaimsOf(d, map[string]string{"org.opencontainers.image.source": pick("https://h/a", "https://h/b", "")}, Config{}),
		})
		*clock = clock.Add(time.Duration(rng.IntN(100)-20) * time.Second) // now and then it goes back
	}
	indexSome(t, b, tailOf(t, b)-5) // a tail of five stays
	every := all(t, b, Query{})
	for range n {
		q := Query{
			Repository: pick("r1", "r2"), Tag: pick("", "t1", "t2"), Identity: pick("", "", "bob"),
			Source: pick("", "", "h/a"), Action: Action(pick("", "push")), Digest: digest.Digest(pick("", "", string(dig("a")))),
			Limit: 1 + rng.IntN(20),
		}
		var want []*Record
		for _, r := range every {
			if q.matches(r) {
				want = append(want, r)
			}
		}
		if got := all(t, b, q); indexes(got) != indexes(want) {
			t.Fatalf("%+v: %s, want %s", q, indexes(got), indexes(want))
		}
		q.Descending = true
		if got := all(t, b, q); indexes(got) != reversed(indexes(want)) {
			t.Fatalf("%+v: %s", q, indexes(got))
		}
	}
	wantClean(t, b)
}

// TestFindLooksAtFew wants short pages, and an end, where two common terms hardly ever meet. Only where they meet is
// there a record: nobody may look at the others.
func TestFindLooksAtFew(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	const n = maxLook + maxLook/10
	even, odd := newTerm(byRepository, "even"), newTerm(byRepository, "odd")
	byAlice, byBob := newTerm(byIdentity, "alice"), newTerm(byIdentity, "bob")
	err := b.store.Update(background, func(tx storage.Tx) error {
		h, err := readHead(tx)
		if err != nil {
			return err
		}
		for i := range uint64(n) {
			terms := []term{even, byAlice}
			if i%2 == 1 {
				terms = []term{odd, byBob}
			}
			if i == n-10 || i == 10 {
				terms[1], h.next = byBob, i
				err = errors.Join(err, appendUnsigned(tx, b, &h, Event{Action: Push, Repository: "even", Digest: dig("x"), Who: bob}))
			}
			for _, t := range terms {
				tx.Put(indexTable, t.key(i), nil)
			}
		}
		h.next = n
		indexed{next: n, latest: h.latest}.write(tx)
		return errors.Join(err, h.write(tx))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, descending := range []bool{false, true} {
		q := Query{Repository: "even", Identity: "bob", Descending: descending}
		page, err := b.Find(background, q)
		if err != nil {
			t.Fatal(err)
		}
		if page.Next == nil {
			t.Error("one page looked at everything")
		}
		if got := indexes(all(t, b, q)); len(strings.Fields(got)) != 2 {
			t.Errorf("descending %v: found %q", descending, got)
		}
	}
}

func TestHistory(t *testing.T) {
	b, clock := testBook(t)
	for _, e := range []Event{
		{Digest: dig("a"), Tags: []TagMove{{Name: "latest"}}},
		{Digest: dig("b"), Tags: []TagMove{{Name: "other"}, {Name: "latest", Previous: dig("a")}}},
		{Digest: dig("b"), Tags: []TagMove{{Name: "latest", Previous: dig("b")}}},
		{Digest: dig("b"), Tags: []TagMove{{Name: "latest", Previous: dig("b")}}, Action: Delete},
	} {
		e.Repository = "app"
		appendEvent(t, b, e)
		*clock = clock.Add(time.Hour)
	}
	moves, next, err := b.History(background, "app", "latest", nil, 3)
	if err != nil || next == nil {
		t.Fatal(next, err)
	}
	more, next, err := b.History(background, "app", "latest", next, 3)
	if err != nil || next != nil {
		t.Fatal(next, err)
	}
	var got []string
	for _, m := range append(moves, more...) {
		got = append(got, short(m.From)+">"+short(m.To))
	}
	want := []string{short(dig("b")) + ">", short(dig("b")) + ">" + short(dig("b")), short(dig("a")) + ">" + short(dig("b")), ">" + short(dig("a"))}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("history %v\nwant    %v", got, want)
	}
	start := clock.Add(-4 * time.Hour)
	for hours, want := range map[int]digest.Digest{0: dig("a"), 1: dig("b"), 2: dig("b"), 3: "", 9: ""} {
		m, err := b.Meaning(background, "app", "latest", start.Add(time.Duration(hours)*time.Hour))
		if err != nil || m.To != want {
			t.Errorf("after %d hours latest meant %q, %v; want %q", hours, m.To, err, want)
		}
	}
	if _, err := b.Meaning(background, "app", "latest", start.Add(-time.Second)); !errors.Is(err, ErrNoRecord) {
		t.Errorf("before the first push: %v", err)
	}
	if _, err := b.Meaning(background, "app", "none", *clock); !errors.Is(err, ErrNoRecord) {
		t.Errorf("no such tag: %v", err)
	}
}

// TestHistoryEndsWithDeletion deletes a manifest with more tags than its record names: they have ended with it,
// before and after the records of their own, and where a tag was set again, without any.
func TestHistoryEndsWithDeletion(t *testing.T) {
	b, clock := testBook(t)
	of := uint64(2)
	for _, e := range []Event{
		{Digest: dig("a"), Tags: []TagMove{{Name: "named"}, {Name: "late"}, {Name: "again"}}},
		{Digest: dig("z"), Tags: []TagMove{{Name: "other"}}, Action: Delete},
		{Digest: dig("a"), Tags: []TagMove{{Name: "named", Previous: dig("a")}}, Action: Delete},
		{Digest: dig("b"), Tags: []TagMove{{Name: "again"}}},
		{Digest: dig("a"), Tags: []TagMove{{Name: "late", Previous: dig("a")}}, Action: Untag, Of: &of},
	} {
		e.Repository = "app"
		appendEvent(t, b, e)
		*clock = clock.Add(time.Hour)
	}
	a := short(dig("a"))
	for tag, want := range map[string]string{
		"named": "2:" + a + "> 0:>" + a,
		"late":  "4:" + a + "> 0:>" + a,
		"again": "3:>" + short(dig("b")) + " 2:" + a + "> 0:>" + a,
	} {
		for _, limit := range []int{1, 2, 0} {
			if got := history(t, b, tag, limit); got != want {
				t.Errorf("%s in pages of %d: %s; want %s", tag, limit, got, want)
			}
		}
		start := clock.Add(-5 * time.Hour)
		for hours, want := range map[int]digest.Digest{0: dig("a"), 1: dig("a"), 2: ""} {
			m, err := b.Meaning(background, "app", tag, start.Add(time.Duration(hours)*time.Hour))
			if err != nil || m.To != want {
				t.Errorf("after %d hours %s meant %q, %v; want %q", hours, tag, m.To, err, want)
			}
		}
	}
	if r, err := b.Get(background, 4); err != nil || r.Of == nil || *r.Of != of {
		t.Errorf("%+v, %v", r, err)
	}
}

// history is that of a tag, read in pages.
func history(t *testing.T, b *Book, tag string, limit int) string {
	t.Helper()
	var said []string
	for after := (*uint64)(nil); ; {
		moves, next, err := b.History(background, "app", tag, after, limit)
		if err != nil || limit > 0 && len(moves) > limit {
			t.Fatal(moves, err)
		}
		for _, m := range moves {
			said = append(said, fmt.Sprintf("%d:%s>%s", m.Record.Index, short(m.From), short(m.To)))
		}
		if after = next; next == nil {
			return strings.Join(said, " ")
		}
	}
}

func short(d digest.Digest) string {
	if d == "" {
		return ""
	}
	return d.Encoded()[:6]
}

// TestMeaningWhenClockGoesBack asks about the hour that happened twice.
func TestMeaningWhenClockGoesBack(t *testing.T) {
	b, clock := testBook(t)
	noon := *clock
	appendEvent(t, b, Event{Repository: "app", Digest: dig("a"), Tags: []TagMove{{Name: "latest"}}})
	*clock = noon.Add(-time.Hour)
	appendEvent(t, b, Event{Repository: "app", Digest: dig("b"), Tags: []TagMove{{Name: "latest", Previous: dig("a")}}})
	if _, err := b.Meaning(background, "app", "latest", noon.Add(-30*time.Minute)); !errors.Is(err, ErrNoRecord) {
		t.Errorf("before the clock had ever read noon: %v", err)
	}
	if m, err := b.Meaning(background, "app", "latest", noon); err != nil || m.To != dig("b") {
		t.Errorf("at noon: %v, %v", m.To, err)
	}
}
