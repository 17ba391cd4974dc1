package retention

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"oras.land/oras-go/v2/content"
)

// pushIndex pushes an index of some manifests.
func (w *world) pushIndex(tag string, lists ...ocispec.Descriptor) ocispec.Descriptor {
	w.t.Helper()
	data, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: lists})
	must(w.t, err)
	d := content.NewDescriptorFromBytes(ocispec.MediaTypeImageIndex, data)
	must(w.t, w.repo.PushReference(context.Background(), d, bytes.NewReader(data), tag))
	return d
}

// deleteTag deletes a tag, or by its digest an image.
func (w *world) deleteTag(tag string) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), "DELETE", "http://"+w.repo.Reference.Registry+"/v2/team/app/manifests/"+tag, nil)
	must(w.t, err)
	resp, err := w.repo.Client.Do(r)
	must(w.t, err)
	must(w.t, resp.Body.Close())
	if resp.StatusCode != http.StatusAccepted {
		w.t.Fatal(tag, resp.Status)
	}
}

func (w *world) undelete(ref string) {
	w.t.Helper()
	_, err := w.registry.Undelete(context.Background(), access.Operator, httptest.NewRequest("POST", "/", nil), "team/app", ref)
	must(w.t, err)
}

func (w *world) fix(tags string) {
	w.t.Helper()
	var rule access.FixedTags
	must(w.t, errors.Join(rule.Repositories.UnmarshalText([]byte("team/**")), rule.Tags.UnmarshalText([]byte(tags))))
	_, err := w.gate.Fix(context.Background(), access.Operator, rule)
	must(w.t, err)
}

// between is what others do between a plan and its application. The plan has the tag old, its image, and nothing else.
type between struct {
	name, rules string // the rules are "" where they keep the newest tag
	change      func(w *world, old ocispec.Descriptor)
	tag, image  string   // why each is skipped, as a regular expression of each way to say it; "" where it goes
	stay        []string // other tags and manifests that are there in the end, beside "new"
	early       bool     // it is only seen before the application: a pull leaves no record (TestApplyKeepsWhatIsPulled)
}

var changes = []between{
	{name: "nothing", change: func(*world, ocispec.Descriptor) {}},
	{
		name: "another image is pushed", stay: []string{"newer"}, // "new" is not the newest any more, but the plan does not have it
		change: func(w *world, _ ocispec.Descriptor) { w.push("newer", "newer", nil) },
	},
	{
		name: "the tag moves", tag: "^it is kept by now: rule old: among the newest 1|^it was set again by record \\d+", stay: []string{"old"},
		change: func(w *world, _ ocispec.Descriptor) { w.push("old", "another", nil) },
	},
	{
		name: "the same image is pushed again", stay: []string{"old"},
		tag: "^it is kept by now: rule old: among the newest 1|^it was set again by record \\d+", image: "^it is kept by now: tag old|^it has the tag old",
		change: func(w *world, _ ocispec.Descriptor) { w.push("old", "old", nil) },
	},
	{
		name: "the image gets another tag", image: "^it is kept by now: tag zz|^it has the tag zz", stay: []string{"zz"},
		change: func(w *world, old ocispec.Descriptor) { must(w.t, w.repo.Tag(context.Background(), old, "zz")) },
	},
	{
		name: "the image is held", tag: "^it is (kept by now: )?held until", image: "^it is (kept by now: )?(held until|tag old)", stay: []string{"old"},
		change: func(w *world, old ocispec.Descriptor) {
			_, err := w.registry.Hold(context.Background(), access.Operator, "team/app", old.Digest, time.Now().Add(time.Hour), "an audit")
			must(w.t, err)
		},
	},
	{
		name: "the tag is immutable", tag: "immutable", image: "^it is kept by now: tag old|^it has the tag old", stay: []string{"old"},
		change: func(w *world, _ ocispec.Descriptor) { w.fix("o*") },
	},
	{
		name: "the image is pulled", rules: untagged("0s") + keeping("newest: 1, pulled: 1h"), stay: []string{"old"},
		tag: "^it is kept by now: rule old: pulled", image: "^it is kept by now: tag old|^it has the tag old",
		early:  true,
		change: func(w *world, _ ocispec.Descriptor) { w.pull("old") },
	},
	{
		name: "something is attached to the image", stay: []string{"sha256:attached"},
		change: func(w *world, old ocispec.Descriptor) { w.attached = w.push("", "attached", &old).Digest.String() },
	},
	{
		name: "an index lists the image", image: "^it is kept by now: |^the manifest sha256:.* needs this manifest", stay: []string{"index"},
		change: func(w *world, old ocispec.Descriptor) { w.pushIndex("index", old) },
	},
	{name: "the tag is deleted", tag: "^it is not there any more$", change: func(w *world, _ ocispec.Descriptor) { w.deleteTag("old") }},
	{
		name: "the image is deleted", tag: "^it is not there any more$", image: "^it is not there any more$",
		change: func(w *world, old ocispec.Descriptor) { w.deleteTag(old.Digest.String()) },
	},
	{
		name: "the image is deleted and brought back", stay: []string{"old"},
		tag: "^it is kept by now: rule old: among the newest 1|^it was set again by record \\d+", image: "^it is kept by now: tag old|^it came again with record \\d+",
		change: func(w *world, old ocispec.Descriptor) {
			w.deleteTag(old.Digest.String())
			w.undelete(old.Digest.String())
		},
	},
}

// TestBetween changes a repository between a plan and its application, or just before the first removal. What moved or is kept by then stays, and who
// applies the plan is told why; nothing goes that the plan does not have.
func TestBetween(t *testing.T) {
	for _, b := range changes {
		t.Run(b.name, func(t *testing.T) {
			b.apply(t, false)
			if !b.early {
				b.apply(t, true)
			}
		})
	}
}

func (b between) apply(t *testing.T, late bool) {
	t.Helper()
	rules := untagged("0s") + keeping("newest: 1")
	if b.rules != "" {
		rules = b.rules
	}
	w := newWorld(t, rules)
	old := w.push("old", "old", nil)
	w.push("new", "new", nil)
	p := w.planned()
	if len(p.Goes) != 2 || p.Goes[0].Tag != "old" || p.Goes[1].Digest != old.Digest {
		t.Fatalf("the plan has %+v", p.Goes)
	}
	if late {
		w.registry.before = func(n int) {
			if n == 0 {
				b.change(w, old)
			}
		}
	} else {
		b.change(w, old)
	}
	var skipped []Skipped
	done, err := w.Apply(t.Context(), access.Operator, p, func(s Skipped) error { skipped = append(skipped, s); return nil }, func(Applied) error { return nil })
	must(t, err)
	w.registry.before = nil
	if !done.Done || done.Skipped != len(skipped) || done.Tags+done.Manifests+done.Skipped != 2 {
		t.Errorf("late %t: %+v, and %+v", late, done, skipped)
	}
	for i, why := range []string{b.tag, b.image} {
		got := slices.IndexFunc(skipped, func(s Skipped) bool {
			return s.Tag == p.Goes[i].Tag && s.Digest == old.Digest && s.Repository == "team/app"
		})
		switch {
		case (got >= 0) != (why != ""):
			t.Errorf("late %t: %+v was skipped %t: %+v", late, p.Goes[i], got >= 0, skipped)
		case got >= 0 && !regexp.MustCompile(why).MatchString(skipped[got].Why):
			t.Errorf("late %t: %+v was skipped because %q, want %q", late, p.Goes[i], skipped[got].Why, why)
		}
	}
	for _, ref := range append(b.stay, "new") {
		if ref = strings.Replace(ref, "sha256:attached", w.attached, 1); !w.has(ref) {
			t.Errorf("late %t: %s is gone", late, ref)
		}
	}
	if w.has("old") != slices.Contains(b.stay, "old") || w.has(old.Digest.String()) != (b.image != "" && !strings.Contains(b.image, "not there")) {
		t.Errorf("late %t: old is there %t, and its image %t", late, w.has("old"), w.has(old.Digest.String()))
	}
}

// TestAppliedTwice applies a plan twice: the second time all of it is gone, and is reported so. What came back meanwhile, under the same tag, stays.
func TestAppliedTwice(t *testing.T) {
	w := newWorld(t, untagged("0s")+keeping("newest: 1"))
	w.push("old", "old", nil)
	w.push("new", "new", nil)
	p := w.planned()
	if done, err := w.apply(p); err != nil || done.Tags != 1 || done.Manifests != 1 || done.Skipped != 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	twice := func(when, want string) {
		t.Helper()
		var why []string
		done, err := w.Apply(t.Context(), access.Operator, p, func(s Skipped) error { why = append(why, s.Why); return nil }, func(Applied) error { return nil })
		if err != nil || !done.Done || done.Tags+done.Manifests > 0 || done.Skipped != 2 || !strings.Contains(why[0], want) {
			t.Errorf("%s: %+v, %v: %q", when, done, err, why)
		}
	}
	twice("a second time", "it is not there any more")
	w.undelete("old")
	twice("after an undeletion", "it is kept by now: rule old: among the newest 1")
	w.push("newest", "newest", nil)
	twice("when it would go again", "it was set again by record")
	if !w.has("old") {
		t.Error("it went by a plan that does not mean it")
	}
}

// TestWarnings wants a plan to warn of rules that match nothing, everything, or what others keep, with counts; and keeping to win where rules contradict.
func TestWarnings(t *testing.T) {
	w := newWorld(t, `
rules:
- {name: none-there, repositories: team/**, tags: z*, keep: {newest: 1}}
- {name: elsewhere, repositories: prod/**, keep: {newest: 0}}
- {name: keeps-all, repositories: team/**, tags: v*, keep: {newest: 10}}
- {name: keeps-none, repositories: team/**, tags: [n*, v*], keep: {newest: 0}}
- {name: fine, repositories: team/**, tags: n*, keep: {newest: 1}}
`)
	for _, tag := range []string{"v1", "v2", "n1", "n2", "other"} {
		w.push(tag, tag, nil)
	}
	p := w.planned()
	want := []string{
		"rule none-there covers no tag",
		"rule elsewhere covers no tag",
		"rule keeps-all keeps all of the tags that it covers (2)",
		"rule keeps-none keeps none of the tags that it covers (4)",
		"rule keeps-none would let tags go (3) that another rule, a hold or an immutable tag keeps",
	}
	if !slices.Equal(p.Summary.Warnings, want) {
		t.Errorf("it warns\n%s\nwant\n%s", strings.Join(p.Summary.Warnings, "\n"), strings.Join(want, "\n"))
	}
	if len(p.Goes) != 1 || p.Goes[0].Tag != "n1" {
		t.Errorf("%+v goes, want n1 alone", p.Goes)
	}
	w.Use(nil)
	if p := w.planned(); len(p.Goes) > 0 || len(p.Summary.Warnings) != 1 || !strings.Contains(p.Summary.Warnings[0], "there are no rules: name a file of rules under retention.file") {
		t.Errorf("without rules: %+v", p.Summary)
	}
}
