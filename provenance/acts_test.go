package provenance

import (
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// aJob is a CI job of a source at a revision, started by an event of GitHub's.
func aJob(source, revision, event string) Identity {
	return Identity{
		Actor: Actor{Kind: CI, Handle: source, Account: "ci-" + source},
		Login: &Login{Method: "oidc", Issuer: "https://token.actions.githubusercontent.com", Identity: source, Claims: map[string]string{
			"repository": source, "sha": revision, "event_name": event,
		}},
	}
}

func actsOf(t *testing.T, b *Book, q ActsOf) Acts {
	t.Helper()
	acts, err := b.Acts(background, q)
	if err != nil {
		t.Fatal(err)
	}
	return acts
}

// TestActs wants who came first, whatever came later, and the words for it.
func TestActs(t *testing.T) {
	job := aJob("octo/app", "c1", "push")
	only := " (its login proves that, not the build)"
	first := "First pushed here by a job of https://github.com/octo/app at c1" + only
	for name, c := range map[string]struct {
		events []Event
		ask    ActsOf
		counts bool
		says   string
	}{
		"nothing":       {nil, ActsOf{}, false, ""},
		"by hand":       {[]Event{{}}, ActsOf{}, false, "First pushed here by alice."},
		"by a job":      {[]Event{{Who: job}}, ActsOf{}, true, first + "."},
		"the job again": {[]Event{{Who: job}, {Who: job}}, ActsOf{}, true, first + "."},
		"other jobs": {
			[]Event{{Who: job}, {Who: aJob("octo/web", "c2", "push")}, {Who: aJob("octo/web", "c3", "push")}},
			ActsOf{},
			true,
			first + "; also pushed by a job of https://github.com/octo/web at c2; and by other jobs.",
		},
		"import, then CI": {
			[]Event{{Action: Import}, {Who: job}}, ActsOf{}, false, "First imported here by alice; also pushed by a job of https://github.com/octo/app at c1" + only + ".",
		},
		"import by a job": {
			[]Event{{Action: Import, Who: job}},
			ActsOf{},
			false,
			"First imported here by a job of https://github.com/octo/app at c1" + only + ", which does not count: it was imported from elsewhere.",
		},
		"signature before it": {[]Event{{Action: Attest}, {Who: job}}, ActsOf{}, true, first + "."},
		"strangers' event": {
			[]Event{{Who: aJob("octo/app", "c1", "issue_comment")}},
			ActsOf{},
			false,
			first + ", which does not count: it was started by issue_comment, at the default branch's head whatever that was about.",
		},
		"no commit": {
			[]Event{{Who: aJob("octo/app", "", "push")}},
			ActsOf{},
			false,
			"First pushed here by a job of https://github.com/octo/app" + only + ", which does not count: its login does not name source and revision.",
		},
		"elsewhere": {[]Event{{Repository: "staging/app", Who: job}, {}}, ActsOf{}, true, first + "; copied by alice."},
		"elsewhere, unseen": {
			[]Event{{Repository: "staging/app", Who: job}, {}}, ActsOf{Visible: func(r string) bool { return r == "team/app" }}, false, "Pushed here by alice.",
		},
		"elsewhere, for a refusal": {
			[]Event{{Repository: "staging/app", Who: job}, {}},
			ActsOf{Tells: func(r string) bool { return r == "team/app" }},
			true,
			"First pushed here by a job, in another repository" + only + "; copied by alice.",
		},
		"a push that will be": {nil, ActsOf{Pending: &Record{
			Action: Push, Repository: "team/app", Digest: dig("image"), Actor: job.Actor, Authenticated: job.Login, Tags: []TagMove{{Name: "1.0", Now: dig("image")}},
		}, Tag: "1.0"}, true, first + "."},
		"a tag": {
			[]Event{{Who: job, Tags: []TagMove{{Name: "1.0", Now: dig("image")}}}, {Who: bob, Tags: []TagMove{{Name: "1.0", Now: dig("image")}}}},
			ActsOf{Tag: "1.0"},
			true,
			first + "; tagged by bob.",
		},
		"a tag of something else by now": {
			[]Event{{Who: job, Tags: []TagMove{{Name: "1.0", Now: dig("image")}}}, {Who: bob, Digest: dig("other"), Tags: []TagMove{{Name: "1.0", Now: dig("other")}}}},
			ActsOf{Tag: "1.0"},
			true,
			first + ".",
		},
		"all platforms": {
			[]Event{{Who: job, Digest: dig("amd64")}, {Who: job, Digest: dig("arm64")}, {Who: job}}, ActsOf{Platforms: []digest.Digest{dig("amd64"), dig("arm64")}}, true, first + ".",
		},
		"a platform that is not here": {
			[]Event{{Who: job, Digest: dig("amd64")}, {Who: job}}, ActsOf{Platforms: []digest.Digest{dig("amd64"), dig("arm64")}}, false, "is not known.",
		},
		"an index in an index": {
			[]Event{{Who: job, Digest: dig("inner"), Observed: Observation{Children: []Child{{Digest: dig("amd64")}}}}, {Who: job}},
			ActsOf{Platforms: []digest.Digest{dig("inner")}},
			false,
			"it lists another index",
		},
		"too many platforms": {[]Event{{Who: job, Digest: dig("amd64")}, {Who: job}}, ActsOf{Platforms: many(dig("amd64"), MaxChildren+1)}, false, "more than 64 platforms"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := testBook(t)
			for _, e := range c.events {
				if e.Repository == "" {
					e.Repository = "team/app"
				}
				if e.Digest == "" {
					e.Digest = dig("image")
				}
				appendEvent(t, b, e)
			}
			c.ask.Repository, c.ask.Digest = "team/app", dig("image")
			acts := actsOf(t, b, c.ask)
			says := acts.Says("team/app")
			if says != c.says && (c.says == "" || strings.HasSuffix(c.says, "here by alice.") || !strings.Contains(says, c.says)) {
				t.Errorf("it says %q, want %q", says, c.says)
			}
			if counts := acts.First != nil && acts.First.Job != nil && acts.First.Job.Counts; counts != c.counts {
				t.Errorf("the job counts: %t, of %+v", counts, acts.First)
			}
		})
	}
}

func many(d digest.Digest, n int) (all []digest.Digest) {
	for range n {
		all = append(all, d)
	}
	return all
}

// TestManyActs has a digest that was pushed a thousand times: the list is cut, says so, and has both ends.
func TestManyActs(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	b, _ := testBook(t)
	job := aJob("octo/app", "c1", "push")
	first := appendEvent(t, b, Event{Repository: "staging/app", Digest: dig("image"), Who: job})
	for n := range 700 {
		appendEvent(t, b, Event{Repository: fmt.Sprint("other/", n%3), Digest: dig("image")})
	}
	last := appendEvent(t, b, Event{Repository: "team/app", Digest: dig("image"), Who: bob})
	acts := actsOf(t, b, ActsOf{Repository: "team/app", Digest: dig("image")})
	n := len(acts.Arrivals)
	if !acts.ArrivalsCut || n > maxActs || n == 0 || acts.Arrivals[0].Record != first.Index || acts.Arrivals[n-1].Record != last.Index || acts.First.Record != first.Index {
		t.Fatalf("%d arrivals, cut %t, first %+v", n, acts.ArrivalsCut, acts.First)
	}
	if says := acts.Says("team/app"); !strings.Contains(says, "copied by bob") {
		t.Error(says)
	}
	mine := actsOf(t, b, ActsOf{Repository: "team/app", Digest: dig("image"), Visible: func(r string) bool { return r == "team/app" }})
	if len(mine.Arrivals) != 1 || mine.First != nil {
		t.Errorf("behind 700 of others: %+v", mine)
	}
}

// TestBuiltOfMore wants it said that documents were not read, also where records had no room to list them.
func TestBuiltOfMore(t *testing.T) {
	one := UnreadDocument{About: dig("image"), Document: dig("document"), Why: "it has 9 bytes, and at most 8 are read"}
	for want, r := range map[string]*Record{
		"": {},
		"4 documents were not read, and its records have no room to list them":       {UnreadLeftOut: 4},
		dig("document").String()[:19] + " was not read: " + one.Why:                  {Unread: []UnreadDocument{one}},
		dig("document").String()[:19] + " was not read: " + one.Why + "; and 2 more": {Unread: []UnreadDocument{one}, UnreadLeftOut: 2},
	} {
		sum := SumUp([]*Record{r}, nil, []digest.Digest{dig("image")})
		got := ""
		if b := sum.Built(); b != nil {
			got = b.Unread
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestUnreadOfOne wants what records of one digest left out to be counted once: they are of the same documents.
func TestUnreadOfOne(t *testing.T) {
	r, beside := Record{Digest: dig("index"), UnreadLeftOut: 3}, Record{Digest: dig("attestation"), UnreadLeftOut: 2}
	sum := SumUp([]*Record{&r, &r, {Digest: r.Digest, UnreadLeftOut: 1}}, []*Record{&beside, &beside}, []digest.Digest{r.Digest})
	if b := sum.Built(); b == nil || !strings.HasPrefix(b.Unread, "5 documents were not read") {
		t.Errorf("%+v", b)
	}
	if b := sum.ClaimedSource(); b != nil {
		t.Errorf("who asks for claims alone is told of what was not read: %+v", b)
	}
}

// TestBuiltOfIndex wants what is claimed of an index, or of each of its platforms: what some of them claim is not known of it.
func TestBuiltOfIndex(t *testing.T) {
	about := func(names ...string) (claims []Claim) {
		for _, name := range names {
			claims = append(claims, Claim{Fact: FactSource, Value: "git.example/app", About: dig(name), From: "label x"})
		}
		return claims
	}
	children := []Child{{Digest: dig("amd64"), Platform: "linux/amd64"}, {Digest: dig("arm64"), Platform: "linux/arm64"}, {Digest: dig("attestation"), Platform: "unknown/unknown"}}
	parts := Parts(dig("index"), children)
	for name, c := range map[string]struct {
		claims []Claim
		known  bool
	}{
		"none":             {nil, false},
		"of one platform":  {about("amd64"), false},
		"of each platform": {about("amd64", "arm64"), true},
		"of the index":     {about("index"), true},
		"of both":          {about("index", "amd64"), true},
	} {
		r := &Record{Digest: dig("index"), Claimed: c.claims, Observed: Observation{Children: children}}
		sum := SumUp([]*Record{r}, nil, parts)
		if b := sum.Built(); (b != nil) != c.known || b != nil && b.Source != "git.example/app" {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

// TestBuiltOfLargeIndex wants the claims about platforms to stand for an index of which not all was read: those of the others may
// be what is missing.
func TestBuiltOfLargeIndex(t *testing.T) {
	children := []Child{{Digest: dig("amd64"), Platform: "linux/amd64"}, {Digest: dig("arm64"), Platform: "linux/arm64"}}
	parts := Parts(dig("index"), children)
	claims := func(n int) []Claim {
		list := []Claim{{Fact: FactSource, Value: "git.example/app", About: dig("amd64"), From: "label x"}}
		for len(list) < n {
			list = append(list, Claim{Fact: FactMaterial, Value: fmt.Sprint("git.example/", len(list)), About: dig("amd64"), From: "label x"})
		}
		return list
	}
	beside := make([]*Record, maxTestimony)
	for i := range beside {
		beside[i] = &Record{Digest: dig(fmt.Sprint(i))}
	}
	for name, c := range map[string]struct {
		r      Record
		beside []*Record
		known  bool
	}{
		"whole":               {Record{Claimed: claims(MaxClaims - 1)}, beside[1:], false},
		"full":                {Record{Claimed: claims(MaxClaims)}, nil, true},
		"some left out":       {Record{Claimed: claims(1), ClaimedLeftOut: 1}, nil, true},
		"children left out":   {Record{Claimed: claims(1), Observed: Observation{ChildrenLeftOut: 1}}, nil, true},
		"some beside it left": {Record{Claimed: claims(1)}, beside, true},
	} {
		c.r.Digest, c.r.Observed.Children = dig("index"), children
		sum := SumUp([]*Record{&c.r}, c.beside, parts)
		if b := sum.Built(); (b != nil) != c.known {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

// TestBuilt wants what is said of a build, and no more: nothing of what a class disputes, and nothing by a signature
// that does not count any more.
func TestBuilt(t *testing.T) {
	claim := func(fact, value string) Stated { return Stated{Claim: Claim{Fact: fact, Value: value, From: "label"}} }
	signed := func(fact, value string) Signed {
		return Signed{Attestation{Fact: fact, Value: value, From: "slsa v1", Signer: "key"}, []uint64{7}}
	}
	by := func(from string, s Stated) Stated { s.From = from; return s }
	document := func(name string, s Stated) Stated { s.Evidence.Digest = dig(name); return s }
	signer := func(name string, s Signed) Signed { s.Signer = name; return s }
	verdict := func(counts bool) []WeighedVerdict {
		return []WeighedVerdict{{Verdict: Verdict{Result: Good}, Record: 7, Standing: &Standing{Counts: counts}}}
	}
	for name, c := range map[string]struct {
		sum  ByClass
		want string
	}{
		"nothing":       {ByClass{}, "<nil>"},
		"no source":     {ByClass{Claimed: []Stated{claim(FactRevision, "c1")}}, "<nil>"},
		"a login alone": {ByClass{Authenticated: []SignedIn{{Login: *aJob("octo/app", "c1", "push").Login}}}, "<nil>"},
		"claimed":       {ByClass{Claimed: []Stated{claim(FactSource, "git.example/a"), claim(FactRevision, "c1")}}, "&{claimed git.example/a c1   label [] }"},
		"one in two spellings": {
			ByClass{Claimed: []Stated{claim(FactSource, "https://git.example/a.git"), claim(FactSource, "git.example/a")}}, "&{claimed https://git.example/a.git    label [] }",
		},
		"disputed": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/a"), claim(FactSource, "git.example/b"), claim(FactRevision, "c1")}},
			"&{claimed  c1   label [source] }",
		},
		"attested": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/b")}, Attested: []Signed{signed(FactSource, "git.example/a"), signed(FactBuilder, "ci")}, Verdicts: verdict(true)},
			"&{attested git.example/a  ci key slsa v1 [] }",
		},
		"of two voices": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/a"), by("annotation", claim(FactRevision, "c1"))}}, "&{claimed git.example/a    label [] }",
		},
		"a whole voice behind half of one": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/a"), by("annotation", claim(FactSource, "git.example/a")), by("annotation", claim(FactRevision, "c1"))}},
			"&{claimed git.example/a c1   annotation [] }",
		},
		"a builder that another signer names": {
			ByClass{Attested: []Signed{signed(FactSource, "git.example/a"), signer("other", signed(FactBuilder, "ci"))}, Verdicts: verdict(true)},
			"&{attested git.example/a   key slsa v1 [] }",
		},
		"a builder that another document names": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/a"), document("one", by("slsa v1", claim(FactBuilder, "ci")))}}, "&{claimed git.example/a    label [] }",
		},
		"not read": {
			ByClass{Unread: []StatedUnread{{UnreadDocument: UnreadDocument{Document: dig("one"), Why: "it has 17 bytes"}}}}, "&{      [] " + shortDigest(dig("one")) + " was not read: it has 17 bytes}",
		},
		"claimed, and not all read": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/b")}, Unread: []StatedUnread{{UnreadDocument: UnreadDocument{Document: dig("one"), Why: "it is too large"}}, {}}},
			"&{claimed git.example/b    label [] " + shortDigest(dig("one")) + " was not read: it is too large; and 1 more}",
		},
		"withdrawn": {
			ByClass{Claimed: []Stated{claim(FactSource, "git.example/b")}, Attested: []Signed{signed(FactSource, "git.example/a")}, Verdicts: verdict(false)},
			"&{claimed git.example/b    label [] }",
		},
	} {
		if got := fmt.Sprint(c.sum.Built()); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMeans wants what somebody signed in with to be told apart, though all of it travels as a token.
func TestMeans(t *testing.T) {
	for _, c := range []struct {
		kind       Kind
		credential string
		want       Means
	}{
		{User, "login-x", ByPassword},
		{User, "hashed", ByPassword},
		{User, "token-x", ByToken},
		{Robot, "token-x", ByRobot},
		{CI, "job-x", ByCI},
	} {
		if got := (&Login{Method: "token", Credential: c.credential}).meansOf(c.kind); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestRanOn compares sources in any spelling, and those of logins that name no host with any host's.
func TestRanOn(t *testing.T) {
	for _, c := range []struct {
		own, other string
		same       bool
	}{
		{"https://git.example/octo/app", "git@git.example:octo/app.git", true},
		{"https://git.example/octo/app", "https://github.com/octo/app", false},
		{"octo/app", "https://git.example/octo/app", true},
		{"octo/app", "octo/app", true},
		{"Octo/App", "https://github.com/octo/app", true},
		{"octo/App", "https://git.example/octo/app", false},
		{"octo/App", "https://git.example/octo/App", true},
		{"https://gitlab/octo/app", "https://git.example/gitlab/octo/app", false},
		{"octo/app", "https://git.example/other/octo/app", false},
		{"octo/app", "https://git.example/octo/web", false},
		{"octo/app", "", false},
	} {
		if got := (&Job{Source: c.own}).RanOn(c.other); got != c.same {
			t.Errorf("%s on %s: %t", c.own, c.other, got)
		}
	}
}
