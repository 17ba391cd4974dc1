package retention

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/registry"
)

// The repositories of these tests are looked at on the day today/day; each day has so many records.
const day, today = 100, 100 * 100

var noon = time.Date(2027, 1, 1, 12, 0, 0, 0, time.UTC)

func moment() Moment {
	return Moment{Now: noon, Since: func(ago time.Duration) uint64 {
		return uint64(max(0, today-int(ago/(24*time.Hour))*day))
	}}
}

// repo is a repository that a test makes of words: see newRepo.
type repo struct {
	Facts
	at map[string]int // manifests by their names here
}

func digestOf(name string) digest.Digest { return digest.FromString(name) }

func (r *repo) manifest(name string) int {
	if i, ok := r.at[name]; ok {
		return i
	}
	r.at[name] = len(r.Manifests)
	r.Manifests = append(r.Manifests, Manifest{Digest: digestOf(name), Subject: -1})
	return r.at[name]
}

// days reads how many days ago something was.
func days(text string) (n int) {
	if _, err := fmt.Sscan(text, &n); err != nil {
		panic(text)
	}
	return n
}

func recordAgo(text string) uint64  { return uint64(today - days(text)*day) }
func timeAgo(text string) time.Time { return noon.AddDate(0, 0, -days(text)) }

// newRepo makes a repository of words:
//
//	TAG=MANIFEST@DAYS    a tag, and how many days ago it was set; ~DAYS behind that: when it was pulled
//	beside:IMAGE.sig=…   the same for a tag that is made from the digest of an image
//	MANIFEST@DAYS        when it arrived
//	MANIFEST-DAYS        when its last tag left it
//	MANIFEST~DAYS        when it was pulled by digest
//	MANIFEST!held        TAG!fixed for an immutable tag that is there
//	INDEX>CHILD          REFERRER^SUBJECT
func newRepo(words string) *repo {
	r := &repo{Facts: Facts{Repository: "team/app"}, at: map[string]int{}}
	for word := range strings.FieldsSeq(words) {
		r.add(word)
	}
	return r
}

func (r *repo) add(word string) {
	at := strings.IndexByte(word, '=')
	if at < 0 {
		at = strings.IndexAny(word, ">^!-~@")
	}
	name, rest := word[:at], word[at+1:]
	switch word[at] {
	case '=':
		r.addTag(name, rest)
	case '>':
		i, child := r.manifest(name), r.manifest(rest)
		r.Manifests[i].Lists = append(r.Manifests[i].Lists, child)
	case '^':
		i, subject := r.manifest(name), r.manifest(rest)
		r.Manifests[i].Subject = subject
	case '!':
		if rest == "fixed" {
			i := slices.IndexFunc(r.Tags, func(t Tag) bool { return t.Name == tagName(name) })
			r.Tags[i].Immutable = "a rule"
			return
		}
		r.Manifests[r.manifest(name)].Held = "until 2028"
	case '-':
		n := recordAgo(rest)
		r.Manifests[r.manifest(name)].Meant = &n
	case '~':
		r.Manifests[r.manifest(name)].Pulled = timeAgo(rest)
	case '@':
		r.Manifests[r.manifest(name)].Record = recordAgo(rest)
	}
}

func (r *repo) addTag(name, rest string) {
	rest, pulled, wasPulled := strings.Cut(rest, "~")
	m, set, _ := strings.Cut(rest, "@")
	t := Tag{Name: tagName(name), Manifest: r.manifest(m), Record: recordAgo(set)}
	if wasPulled {
		t.Pulled = timeAgo(pulled)
	}
	r.Tags = append(r.Tags, t)
}

func tagName(word string) string {
	about, found := strings.CutPrefix(word, "beside:")
	if !found {
		return word
	}
	about, suffix, dotted := strings.Cut(about, ".")
	if name := registry.BesideName(digestOf(about)); !dotted {
		return name
	} else {
		return name + "." + suffix
	}
}

// goes are the names of the tags and manifests that go.
func goes(r *repo, e *Evaluation) string {
	var all []string
	for i, v := range e.Tags {
		if v.Goes {
			name := r.Tags[i].Name
			for m := range r.at {
				name = strings.Replace(name, registry.BesideName(digestOf(m)), "beside:"+m, 1)
			}
			all = append(all, name)
		}
	}
	for name, i := range r.at {
		if e.Manifests[i].Goes {
			all = append(all, "@"+name)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func rulesOf(t testing.TB, text string) *Set {
	t.Helper()
	s, err := Parse("rules.yaml", []byte(text), fakeExpressions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fakeExpressions compiles the names of tags: such an expression is true of these, and fails for the tag bad.
type fakeExpressions struct{}

func (fakeExpressions) Compile(text string) (Expression, error) {
	if strings.Contains(text, "(") {
		return nil, errors.New("1:1: it does not end")
	}
	return fakeExpression(text), nil
}

type fakeExpression string

func (f fakeExpression) Holds(_ context.Context, _, tag string, _ digest.Digest) (bool, error) {
	if tag == "bad" {
		return false, errors.New("the report cannot be made")
	}
	return slices.Contains(strings.Fields(string(f)), tag), nil
}

func untagged(keep string) string { return "untagged: {keep: " + keep + "}\n" }

func keeping(keep string) string {
	return "rules: [{name: old, repositories: team/**, keep: {" + keep + "}}]\n"
}

func evaluate(t *testing.T, rules string, r *repo) *Evaluation {
	t.Helper()
	e, err := Evaluate(t.Context(), rulesOf(t, rules), &r.Facts, moment())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvaluate(t *testing.T) {
	for _, tt := range []struct{ name, rules, repo, goes string }{
		{"no rules", "", "1=a@50 b@50", ""},
		{"another repository", "rules: [{name: old, repositories: prod/**, keep: {newest: 0}}]", "1=a@50", ""},
		{"the newest", keeping("newest: 2"), "1=a@4 2=b@3 3=c@2 4=d@1", "1 2"},
		{"the newest, when there are fewer", keeping("newest: 9"), "1=a@4 2=b@3", ""},
		{"the newest goes by when the tag was set", keeping("newest: 1"), "1=new@4 2=old@3 new@1 old@90", "1"},
		{"of one push all are equally new", keeping("newest: 1"), "1=a@2 latest=a@2 0=b@3", "0"},
		{"none", keeping("newest: 0"), "1=a@0", "1"},
		{"younger", keeping("younger: 3d"), "1=a@5 2=b@3 3=c@1", "1"},
		{"pulled lately", keeping("pulled: 3d"), "1=a@50 2=b@50~10 3=c@50~1", "1 2"},
		{"a name", keeping("tags: [v*, lts]"), "1=a@9 v1=b@9 lts=c@9 lts2=d@9", "1 lts2"},
		{"an expression", keeping("when: x y"), "x=a@9 y=b@9 z=c@9", "z"},
		{"an expression that fails keeps", keeping("when: x"), "bad=a@9 z=c@9", "z"},
		{"one condition is enough", keeping("newest: 1, younger: 2d, tags: v1"), "v1=a@9 1=b@9 2=c@1 3=d@0", "1"},
		{"immutable", keeping("newest: 0"), "1=a@9 2=b@9 1!fixed", "2"},
		{"held", keeping("newest: 0"), "1=a@9 2=a@9 3=b@9 a!held", "3"},
		{"what no rule covers stays", "rules: [{name: n, repositories: team/**, tags: night-*, keep: {newest: 0}}]", "night-1=a@9 v1=b@9", "night-1"},
		{"keep wins over delete", "rules: [{name: a, repositories: team/**, keep: {newest: 0}}, {name: b, repositories: team/app, tags: v*, keep: {newest: 1}}]", "v1=a@9 v2=b@8 x=c@7", "v1 x"},
		{"keep wins in the other order", "rules: [{name: b, repositories: team/app, tags: v*, keep: {newest: 1}}, {name: a, repositories: team/**, keep: {newest: 0}}]", "v1=a@9 v2=b@8 x=c@7", "v1 x"},

		{"manifests stay by default", keeping("newest: 0"), "1=a@9 b@90", "1"},
		{"manifests go at once", untagged("0s") + keeping("newest: 0"), "1=a@9 b@0", "1 @a @b"},
		{"one that loses its tag stays for now", untagged("3d") + keeping("newest: 0"), "1=a@90 a@90", "1"},
		{"a former meaning", untagged("3d") + keeping("newest: 0"), "a@90 a-2 b@90 b-4", "@b"},
		{"pulled by digest", untagged("3d") + keeping("newest: 0"), "a@90 a~1 b@90 b~5", "@b"},
		{"never tagged", untagged("3d") + keeping("newest: 0"), "a@2 b@5", "@b"},
		{"held without a tag", untagged("0s") + keeping("newest: 0"), "a@90 a!held b@90", "@b"},
		{"another tag keeps the manifest", untagged("0s") + keeping("newest: 1"), "1=a@9 2=a@8", "1"},

		{"platforms stay with their index", untagged("0s") + keeping("newest: 1"), "1=i@9 2=e@8 i>x i>y e>y e>z", "1 @i @x"},
		{"an index within an index", untagged("0s") + keeping("newest: 1"), "1=i@9 i>e e>x", ""},
		{"a platform with a tag stays, its index need not", untagged("0s") + keeping("tags: x"), "1=i@9 x=p@9 i>p i>q", "1 @i @q"},
		{"referrers follow their subject", untagged("0s") + keeping("newest: 1"), "1=a@9 2=b@8 s^a s@0 t^b u^t", "1 @a @s"},
		{"a referrer has no time of its own", untagged("3d") + keeping("newest: 0"), "a@9 s^a s@0", "@a @s"},
		{"a referrer of an index's platform", untagged("0s") + keeping("newest: 1"), "1=i@9 i>x s^x", ""},
		{"a referrer with a tag stays without its subject", untagged("0s") + keeping("tags: sbom"), "1=a@9 sbom=s@9 s^a", "1 @a"},
		{"tags beside images are not counted", keeping("newest: 1"), "1=a@9 2=b@8 beside:b.sig=s@7", "1"},
		{
			"tags beside images stay with them", untagged("0s") + keeping("newest: 1"),
			"1=a@9 2=b@8 beside:a.sig=s@9 beside:a.att=t@9 beside:a=l@9 beside:b.sbom=u@8 l>s", "1 @a @l @s @t beside:a beside:a.att beside:a.sig",
		},
		{"a signature of a signature", untagged("0s") + keeping("newest: 1"), "1=a@9 beside:a.sig=s@9 beside:s.sig=t@9", ""},
		{"a signature stays with what stays without a tag", untagged("3d") + keeping("newest: 0"), "1=a@9 beside:a.sig=s@9", "1"},
		{"an immutable signature stays alone", untagged("0s") + keeping("newest: 0"), "1=a@9 beside:a.sig=s@9 beside:a.sig!fixed", "1 @a"},
		{"a signature without an image has time", untagged("3d") + keeping("newest: 0"), "beside:gone.sig=s@2 beside:lost.sig=t@5", "@t " + tagName("beside:lost.sig")},
		{"a signature without an image stays by default", keeping("newest: 0"), "beside:gone.sig=s@90", ""},
		{"beside itself", keeping("newest: 0"), "beside:a=a@9", "beside:a"},
		{"beside each other, by default", keeping("newest: 0"), "beside:a.sig=b@9 beside:b.sig=a@9", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRepo(tt.repo)
			e := evaluate(t, tt.rules, r)
			if got := goes(r, e); got != tt.goes {
				t.Errorf("goes %q, want %q\n%+v\n%+v", got, tt.goes, e.Tags, e.Manifests)
			}
		})
	}
}

// TestClockGoesBack wants nothing to be older than the records say, whatever the clock shows.
func TestClockGoesBack(t *testing.T) {
	r := newRepo("1=a@5 2=b@1 3=c@1~1")
	at := moment()
	at.Now, at.Since = at.Now.AddDate(-1, 0, 0), func(time.Duration) uint64 { return 0 }
	e, err := Evaluate(t.Context(), rulesOf(t, untagged("1d")+keeping("younger: 1d, pulled: 1d")), &r.Facts, at)
	if err != nil {
		t.Fatal(err)
	}
	if got := goes(r, e); got != "" {
		t.Errorf("goes %q", got)
	}
}

// TestCounts wants each rule's counts to say what it does: rules that cover nothing, keep nothing, or are overruled.
func TestCounts(t *testing.T) {
	e := evaluate(t, `
rules:
- {name: all, repositories: team/**, keep: {newest: 0}}
- {name: versions, repositories: team/**, tags: v*, keep: {newest: 1}}
- {name: nothing, repositories: team/**, tags: z*, keep: {newest: 1}}
- {name: elsewhere, repositories: prod, keep: {newest: 1}}
- {name: asks, repositories: team/**, keep: {when: never}}
`, newRepo("v1=a@9 v2=b@8 x=c@7 y=d@6 y!fixed"))
	want := []Count{
		{Rule: "all", Covers: 4, Goes: 2, Overruled: 2},
		{Rule: "versions", Covers: 2, Keeps: 1, Goes: 1},
		{Rule: "nothing"},
		{Rule: "elsewhere"},
		{Rule: "asks", Covers: 4, Goes: 2, Overruled: 2},
	}
	if !slices.Equal(e.Rules, want) {
		t.Errorf("counts %+v, want %+v", e.Rules, want)
	}
}

// TestEvaluateRandom evaluates random repositories: whatever stays has a reason, and nothing goes that something keeps.
func TestEvaluateRandom(t *testing.T) {
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		r, s := randomRepo(rnd), randomRules(t, rnd)
		e, err := Evaluate(t.Context(), s, &r.Facts, moment())
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range contradictions(r, s, e) {
			t.Errorf("seed %d: %s", seed, wrong)
		}
	}
}

func randomRepo(rnd *rand.Rand) *repo {
	r := newRepo("m0@90")
	for i := range 1 + rnd.IntN(30) {
		name, older := fmt.Sprintf("m%d", i+1), fmt.Sprintf("m%d", rnd.IntN(i+1))
		r.add(fmt.Sprintf("%s@%d", name, rnd.IntN(100)))
		for _, words := range []string{
			fmt.Sprintf("t%d=%s@%d~%d", i, older, rnd.IntN(90), rnd.IntN(90)), fmt.Sprintf("i%d=%s@%d i%d!fixed", i, older, rnd.IntN(90), i),
			name + ">" + older, name + "^" + older, name + "!held", fmt.Sprintf("%s-%d", name, rnd.IntN(90)), fmt.Sprintf("%s~%d", name, rnd.IntN(90)),
			fmt.Sprintf("beside:%s.sig=%s@3", older, name), "beside:x" + name + "=" + name + "@9",
		} {
			if rnd.IntN(5) == 0 {
				for word := range strings.FieldsSeq(words) {
					r.add(word)
				}
			}
		}
	}
	return r
}

func randomRules(t *testing.T, rnd *rand.Rand) *Set {
	text := []string{"", untagged("0s"), untagged("10d"), untagged("40d")}[rnd.IntN(4)] + "rules:\n"
	for i := range 1 + rnd.IntN(3) {
		keep := []string{"newest: 3", "younger: 20d", "pulled: 20d", "tags: [t1*]", "when: t2 t3"}[rnd.IntN(5)]
		tags := []string{"", "tags: t*, ", "tags: [t1*, t2*], "}[rnd.IntN(3)]
		text += fmt.Sprintf("- {name: r%d, repositories: team/**, %skeep: {%s}}\n", i, tags, keep)
	}
	return rulesOf(t, text)
}

// contradictions says what an evaluation must not say.
func contradictions(r *repo, s *Set, e *Evaluation) (all []string) {
	bad := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	for i, v := range e.Tags {
		m := r.Tags[i].Manifest
		switch {
		case v.Why == "" && !v.Goes, v.Goes != (v.Rule != ""):
			bad("tag %s has no reason: %+v", r.Tags[i].Name, v)
		case v.Goes && (r.Tags[i].Immutable != "" || r.Manifests[m].Held != ""):
			bad("tag %s goes, and is held or immutable", r.Tags[i].Name)
		case !v.Goes && e.Manifests[m].Goes:
			bad("tag %s stays, and its manifest goes", r.Tags[i].Name)
		}
	}
	for i, v := range e.Manifests {
		m := r.Manifests[i]
		switch {
		case v.Why == "", v.Goes != (v.Rule != ""):
			bad("manifest %d has no reason: %+v", i, v)
		case v.Goes && (m.Held != "" || s.Untagged == nil):
			bad("manifest %d goes, and is held, or untagged.keep is for ever", i)
		case v.Goes && m.Subject >= 0 && !e.Manifests[m.Subject].Goes:
			bad("manifest %d goes, and its subject stays", i)
		case v.Goes && m.Meant != nil && *s.Untagged > 0 && *m.Meant >= moment().Since(*s.Untagged):
			bad("manifest %d goes, and had a tag lately", i)
		}
		for _, listed := range m.Lists {
			if !v.Goes && e.Manifests[listed].Goes {
				bad("manifest %d stays, and %d goes, which it lists", i, listed)
			}
		}
	}
	return all
}
