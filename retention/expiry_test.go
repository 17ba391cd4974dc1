package retention

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/registry"
)

// expiries asks about all tags of team/app, at a moment that is so much later than now.
func (w *world) expiries(later time.Duration) map[string]Expiry {
	w.t.Helper()
	w.now = func() time.Time { return time.Now().Add(later) }
	defer func() { w.now = time.Now }()
	tags, _, err := w.registry.Tags(w.t.Context(), "team/app", registry.TagQuery{Limit: 1000})
	must(w.t, err)
	protected, err := w.registry.Protections(w.t.Context(), "team/app", tags, w.now())
	must(w.t, err)
	aged := make([]Aged, len(tags))
	for i, t := range tags {
		record, err := w.book.Get(w.t.Context(), t.Record)
		must(w.t, err)
		aged[i] = Aged{t, record.Time.Time, protected[i]}
	}
	all, err := w.Expiries(w.t.Context(), "team/app", aged)
	must(w.t, err)
	said := map[string]Expiry{}
	for i, e := range all {
		said[tags[i].Name] = e
	}
	return said
}

// lots fills team/app: old-0 to old-9, of which the last are the newest, keep-me, fixed, held and pulled, and a signature.
func (w *world) lots() {
	w.t.Helper()
	for i := range 10 {
		w.push(fmt.Sprintf("old-%d", i), fmt.Sprintf("old %d", i), nil)
	}
	image := w.push("keep-me", "kept", nil)
	w.push(registry.BesideName(image.Digest)+".sig", "signature", nil)
	var f access.FixedTags
	must(w.t, f.Repositories.UnmarshalText([]byte("team/**")))
	must(w.t, f.Tags.UnmarshalText([]byte("fixed")))
	_, err := w.gate.Fix(w.t.Context(), access.Operator, f)
	must(w.t, err)
	w.push("fixed", "fixed", nil)
	held := w.push("held", "held", nil)
	_, err = w.registry.Hold(w.t.Context(), access.Operator, "team/app", held.Digest, time.Now().Add(time.Hour), "an audit")
	must(w.t, err)
	w.push("pulled", "pulled", nil)
	w.pull("pulled")
	must(w.t, w.registry.FlushPulls(w.t.Context()))
}

// TestExpiriesAreThePlan asks what becomes of tags by many rules, and wants a plan of the same moment to say the same of each; and one that is made when
// a tag is said to go, to let it go.
func TestExpiriesAreThePlan(t *testing.T) {
	w := newWorld(t, keeping("newest: 1"))
	w.lots()
	for _, rules := range []string{
		keeping("newest: 3"), keeping("newest: 0"), keeping("newest: 1000"), keeping("younger: 1h"), keeping("pulled: 2h"), keeping("younger: 1h, pulled: 2h"),
		keeping(`newest: 2, tags: "keep-*"`),
		"rules: [{name: some, repositories: team/**, tags: old-*, keep: {newest: 2}}]",
		"rules: [{name: some, repositories: team/**, tags: old-*, keep: {newest: 2}}, {name: all, repositories: team/app, keep: {younger: 30m}}]",
		"rules: [{name: some, repositories: team/**, tags: 'old-[1-3]', keep: {newest: 2}}, {name: other, repositories: [other, team/app], tags: 'old-*', keep: {younger: 3h}}]",
	} {
		w.Use(rulesOf(t, rules))
		for _, later := range []time.Duration{0, 45 * time.Minute, 90 * time.Minute, 3 * time.Hour} {
			said := w.expiries(later)
			w.wantAsPlanned(rules, said, later)
			for tag, e := range said {
				if e.State == Until {
					at := time.Until(e.At.Time) + time.Second
					if goes := w.goesAt(at); !goes[tag] {
						t.Errorf("%s: %s is said to go at %s: %+v", rules, tag, e.At, e)
					}
				}
			}
		}
	}
}

// goesAt are the tags that a plan lets go that is made so much later than now.
func (w *world) goesAt(later time.Duration) map[string]bool {
	w.now = func() time.Time { return time.Now().Add(later) }
	defer func() { w.now = time.Now }()
	goes := map[string]bool{}
	for _, item := range w.planned().Goes {
		if item.Tag != "" {
			goes[item.Tag] = true
		}
	}
	return goes
}

func (w *world) wantAsPlanned(rules string, said map[string]Expiry, later time.Duration) {
	w.t.Helper()
	goes := w.goesAt(later)
	for _, tag := range slices.Sorted(maps.Keys(said)) {
		switch e := said[tag]; {
		case e.State == Follows && strings.HasPrefix(tag, "sha256-"):
		case e.State == Goes != goes[tag], e.State == Follows, e.State == Open, e.State == Until && e.At == nil:
			w.t.Errorf("%s, %s later: %s is said to be %+v, and a plan lets it go: %t", rules, later, tag, e, goes[tag])
		case (e.Rule == "") != (e.State == Stays), e.State == Stays && e.Why == "":
			w.t.Errorf("%s, %s later: %s is said to be %+v", rules, later, tag, e)
		}
	}
}

// never is an expression that must not be asked.
type never struct{ t *testing.T }

func (n never) Compile(string) (Expression, error) { return n, nil }

func (n never) Holds(context.Context, string, string, digest.Digest) (bool, error) {
	n.t.Error("an expression was asked for a list")
	return false, nil
}

// TestExpiriesAreBounded wants what cannot be told from a few rows to be said to be open: the newest of many, and what an expression keeps.
func TestExpiriesAreBounded(t *testing.T) {
	w := newWorld(t, keeping("newest: 2"))
	w.lots()
	w.ranked = 10
	said := w.expiries(0)
	if said["pulled"].State != Stays || said["held"].State != Stays || said["old-0"].State != Goes {
		t.Errorf("the newest 2 of more than 10: %+v", said)
	}
	w.Use(rulesOf(t, "rules: [{name: some, repositories: team/**, tags: old-*, keep: {newest: 9}}]"))
	said = w.expiries(0)
	if said["old-9"].State != Stays || said["old-0"].State != Open || said["fixed"].State != Stays {
		t.Errorf("the newest 9, of which only 10 records are read: %+v", said)
	}
	set, err := Parse("rules", []byte("rules: [{name: odd, repositories: team/**, keep: {when: x}}]"), never{t})
	must(t, err)
	w.Use(set)
	if said := w.expiries(0); said["old-0"].State != Open || said["fixed"].State != Stays {
		t.Errorf("by an expression: %+v", said)
	}
	w.Use(rulesOf(t, "rules: [{name: other, repositories: other/**, keep: {newest: 0}}]"))
	if said := w.expiries(0); len(said) > 0 {
		t.Errorf("no rule names the repository: %+v", said)
	}
}
