package word

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/torchwood"
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/bolt"
	"golang.org/x/mod/sumdb/note"
)

var background = context.Background()

// other is another registry, as far as its book goes.
type other struct {
	t     *testing.T
	path  string
	url   string
	store storage.Store
	book  *provenance.Book
	keys  provenance.Keys
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newOther(t *testing.T, url string) *other {
	t.Helper()
	keys, err := provenance.GenerateKeys()
	must(t, err)
	o := &other{t: t, path: filepath.Join(t.TempDir(), "store.db"), keys: keys, url: url}
	o.open()
	t.Cleanup(func() { must(t, o.store.Close()) })
	return o
}

func (o *other) open() {
	o.t.Helper()
	store, err := bolt.Open(o.path, bolt.Config{})
	must(o.t, err)
	o.store = store
	o.book, err = provenance.NewBook(o.store, o.url)
	must(o.t, err)
	must(o.t, o.book.Begin(background, o.keys))
}

// copied is the same registry again, which goes its own way from here on.
func (o *other) copied() *other {
	o.t.Helper()
	must(o.t, o.store.Close())
	data, err := os.ReadFile(o.path)
	must(o.t, err)
	c := &other{t: o.t, path: filepath.Join(o.t.TempDir(), "store.db"), keys: o.keys, url: o.url}
	must(o.t, os.WriteFile(c.path, data, 0o600))
	o.open()
	c.open()
	o.t.Cleanup(func() { must(o.t, c.store.Close()) })
	return c
}

var alice = provenance.Identity{
	Actor: provenance.Actor{Kind: provenance.User, Handle: "alice", Account: "a1"},
	Login: &provenance.Login{Method: "basic", Identity: "alice", Credential: "secret-1"},
}

// job is a CI job of GitHub.
var job = provenance.Identity{
	Actor: provenance.Actor{Kind: provenance.CI, Handle: "acme/app"},
	Login: &provenance.Login{Method: "oidc", Issuer: "https://token.actions.githubusercontent.com", Identity: "repo:acme/app", Claims: map[string]string{
		"repository": "acme/app", "sha": "0123456789abcdef0123456789abcdef01234567",
	}},
}

// record makes a record of an image, and returns its index.
func (o *other) record(e provenance.Event) (index uint64) {
	o.t.Helper()
	must(o.t, o.store.Update(background, func(tx storage.Tx) error {
		r, err := o.book.Append(tx, e)
		if err == nil {
			index = r.Index
		}
		return err
	}))
	return index
}

func (o *other) push(who provenance.Identity, repo string, image digest.Digest) uint64 {
	return o.record(provenance.Event{Action: provenance.Push, Repository: repo, Digest: image, Who: who})
}

// artifact is what the registry renders of a record.
func (o *other) artifact(index uint64) (a Artifact) {
	o.t.Helper()
	must(o.t, o.store.View(background, func(tx storage.Reader) error {
		r, err := provenance.ReadRecord(tx, index)
		must(o.t, err)
		proved, err := provenance.ReadReceipt(tx, index)
		must(o.t, err)
		steps, err := provenance.ReadKeySteps(tx, index, proved.Leaf)
		must(o.t, err)
		a = Artifact{Subject: r.Digest, Manifest: digest.FromString("manifest"), Annotations: provenance.Notes(r)}
		a.add(provenance.EnvelopeType, receipt.Envelope(proved.Payload, proved.Signature))
		for _, p := range append([]*receipt.Receipt{proved}, steps...) {
			bundle, err := p.Bundle()
			must(o.t, err)
			a.add(receipt.LayerType, bundle)
		}
		return nil
	}))
	return a
}

func (a *Artifact) add(mediaType string, body []byte) {
	a.Layers = append(a.Layers, Layer{MediaType: mediaType, Digest: digest.FromBytes(body), Body: body})
}

// kept are its files, as somebody keeps them today.
func (o *other) kept() (logs, keys []byte) {
	o.t.Helper()
	entries, err := o.book.LogEntries(background)
	must(o.t, err)
	logs, err = json.Marshal(receipt.LogFile{Logs: entries})
	must(o.t, err)
	of, err := o.book.KeyEntries(background)
	must(o.t, err)
	keys, err = json.Marshal(receipt.KeyFile{Keys: of})
	must(o.t, err)
	return logs, keys
}

// as is the registry as it is trusted here now.
func (o *other) as(name string, policy []byte) *Registry {
	o.t.Helper()
	logs, keys := o.kept()
	pattern, err := NewMapping("team/**", "mirror/team/**")
	must(o.t, err)
	renamed, err := NewMapping("team/web", "prod/site")
	must(o.t, err)
	r, err := NewRegistry(name, logs, keys, policy, []Mapping{pattern, renamed})
	must(o.t, err)
	return r
}

func trusting(t *testing.T, registries ...*Registry) *Trust {
	t.Helper()
	trust, err := NewTrust(registries)
	must(t, err)
	return trust
}

// weigh looks at an artifact in mirror/team/app.
func weigh(t *testing.T, trust *Trust, a Artifact, holds Holds) provenance.WeighedWord {
	t.Helper()
	w, err := trust.Look(background, a, holds)
	must(t, err)
	return trust.Weigh(w, "mirror/team/app")
}

// wantWord wants a word of a class, for a reason, that says something.
func wantWord(t *testing.T, w provenance.WeighedWord, class provenance.Class, why provenance.Reason, says string) {
	t.Helper()
	if text := w.Says + "; " + w.Standing.Detail; w.Class != class || w.Standing.Reason != why || w.Standing.Counts != (why == "") || !strings.Contains(text, says) {
		t.Errorf("it is %s, because of %q: %s\nwant %s, %q: %s", w.Class, w.Standing.Reason, text, class, why, says)
	}
}

var image = digest.FromString("image")

// TestFacts wants what is attested to be what the registry saw, and no more.
func TestFacts(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	w := weigh(t, trust, a.artifact(a.push(job, "team/app", image)), nil)
	wantWord(t, w, provenance.Attested, "", "attested by registry a: pushed by ci:acme/app at https://a.example, record 0 of team/app, ")
	facts := map[string]string{}
	for name, f := range w.Facts() {
		facts[name] = f.Value
	}
	want := map[string]string{
		"pushed-by": "ci:acme/app", "pushed-from": "https://github.com/acme/app", "pushed-revision": "0123456789abcdef0123456789abcdef01234567",
	}
	if !maps.Equal(facts, want) {
		t.Errorf("it attests %v, want %v", facts, want)
	}
	w = weigh(t, trust, a.artifact(a.push(alice, "team/app", image)), nil)
	if w.Said.Actor.Account != "" || w.Said.Login.Credential != "" {
		t.Errorf("ids of that registry came along: %+v", w.Said)
	}
}

// TestHostileLogin has a registry that is trusted and records what no registry should: of a login only what says where the job ran comes
// along, bounded and without credentials.
func TestHostileLogin(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	hostile := job
	hostile.Login = &provenance.Login{Method: "oidc", Issuer: "https://u:secret@issuer.example?token=secret", Identity: "repo:acme/app", Claims: map[string]string{
		"repository": "https://u:secret@git.example/app?token=secret", "sha": strings.Repeat("0", 4000), "email": "mona@example.org", "secret": "secret",
	}}
	w := weigh(t, trust, a.artifact(a.push(hostile, "team/app", image)), nil)
	said, err := json.Marshal(w.Said)
	must(t, err)
	if w.Said.Login.Claims["repository"] != "https://git.example/app" || len(w.Said.Login.Claims) != 2 || len(w.Said.Login.Claims["sha"]) > provenance.MaxValue {
		t.Errorf("its login is %+v", w.Said.Login)
	}
	if text := string(said) + w.Says; strings.Contains(text, "secret") || strings.Contains(text, "mona") {
		t.Errorf("it says %s", text)
	}
}

// TestHostileNested has a registry that is trusted and records what no registry should of the record of another one: that is cut like
// its own.
func TestHostileNested(t *testing.T) {
	a := newOther(t, "https://a.example")
	hostile := provenance.Word{Result: provenance.Good, Said: &provenance.Saying{
		At: "https://u:secret@b.example?token=secret", Action: provenance.Push, Repository: strings.Repeat("r", 3000),
		Actor: provenance.Actor{Kind: provenance.User, Handle: "https://u:secret@c.example", Account: "secret"},
		Login: &provenance.Login{Method: "basic", Identity: "mona", Credential: "secret", Claims: map[string]string{"email": "secret@example.org"}},
		Of:    &provenance.Saying{At: "secret"},
	}}
	said := a.record(provenance.Event{Action: provenance.Attest, Repository: "team/app", Digest: image, Who: alice, Word: &hostile})
	w := weigh(t, trusting(t, a.as("a", nil)), a.artifact(said), nil)
	if w.Said == nil || w.Said.Of == nil {
		t.Fatalf("it is not taken: %+v", w)
	}
	text, err := json.Marshal(w.Said)
	must(t, err)
	if all := string(text) + w.Says; strings.Contains(all, "secret") || len(w.Said.Of.Repository) > provenance.MaxValue {
		t.Errorf("it says %s", all)
	}
}

// TestPlaces wants patterns and other names to decide where a word counts.
func TestPlaces(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	app, web := a.artifact(a.push(alice, "team/app", image)), a.artifact(a.push(alice, "team/web", image))
	for _, of := range []struct {
		a      Artifact
		here   string
		counts bool
	}{
		{app, "mirror/team/app", true},
		{app, "mirror/team/web", false},
		{app, "team/app", false},
		{app, "prod/site", false},
		{web, "prod/site", true},
		{web, "mirror/team/web", true},
	} {
		w, err := trust.Look(background, of.a, nil)
		must(t, err)
		if got := trust.Weigh(w, of.here); got.Standing.Counts != of.counts {
			t.Errorf("%s: %s, %s", of.here, got.Says, got.Standing.Detail)
		}
	}
	for repo, expects := range map[string]bool{"mirror/team/app": true, "prod/site": true, "prod/other": false} {
		if trust.Expects(repo) != expects {
			t.Errorf("%s: a word is expected: %t", repo, !expects)
		}
	}
}

// TestBadArtifacts has artifacts that are not what they say.
func TestBadArtifacts(t *testing.T) {
	a, b := newOther(t, "https://a.example"), newOther(t, "https://a.example") // of the same name, with other keys
	trust := trusting(t, a.as("a", nil))
	index := a.push(alice, "team/app", image)
	second := a.artifact(a.push(alice, "team/app", digest.FromString("another")))
	for name, of := range map[string]struct {
		change func(x *Artifact)
		class  provenance.Reason
		says   string
	}{
		"no receipt":               {func(x *Artifact) { x.Layers = x.Layers[:1] }, provenance.NoReceipt, "it carries no receipt"},
		"nothing in it":            {func(x *Artifact) { x.Layers = nil }, provenance.NoReceipt, "it carries no receipt"},
		"a foreign envelope":       {func(x *Artifact) { x.Layers[0] = second.Layers[0] }, provenance.OtherEnvelope, "the statement in its envelope is not the one that its receipt proves"},
		"an envelope that is none": {func(x *Artifact) { x.Layers[0].Body = []byte("{") }, provenance.OtherEnvelope, "the statement in its envelope"},
		"another image's record":   {func(x *Artifact) { x.Layers = second.Layers }, provenance.OtherDigest, "its record 1 is about sha256:"},
		"a proof at another size": {func(x *Artifact) {
			x.Layers[1].Body = bytes.Replace(x.Layers[1].Body, []byte(`"treeSize":"1"`), []byte(`"treeSize":"2"`), 1)
		}, provenance.NoReceipt, "treeSize is not what follows from the rest"},
		"a checkpoint of another size": {func(x *Artifact) {
			x.Layers[1].Body = bytes.Replace(x.Layers[1].Body, []byte(`\n1\n`), []byte(`\n2\n`), 1)
		}, provenance.NoReceipt, "the checkpoint of the log"},
		"annotations that say something else": {func(x *Artifact) {
			x.Annotations = maps.Clone(x.Annotations)
			x.Annotations["vnd.hallmark.pushed-by"] = "root"
		}, provenance.OtherNotes, `its annotation vnd.hallmark.pushed-by says "root", and its statement "alice"`},
		"a source that the record does not claim": {func(x *Artifact) {
			x.Annotations = maps.Clone(x.Annotations)
			x.Annotations["org.opencontainers.image.source"] = "https://evil.example/x"
		}, provenance.OtherNotes, `its annotation org.opencontainers.image.source says "https://evil.example/x", which its statement does not`},
		"other keys of the same name": {func(x *Artifact) { *x = b.artifact(b.push(alice, "team/app", image)) }, provenance.NotTrusted, "which is not one of those that are kept here"},
		"a receipt that is none":      {func(x *Artifact) { x.Layers[1].Body = []byte(`{"mediaType":1}`) }, provenance.NotTrusted, "its log is not one of those"},
	} {
		x := a.artifact(index)
		of.change(&x)
		w := weigh(t, trust, x, b.book.Holds)
		if name == "other keys of the same name" {
			w = weigh(t, trust, x, nil)
		}
		t.Run(name, func(t *testing.T) { wantWord(t, w, provenance.Claimed, of.class, of.says) })
		if len(w.Facts()) > 0 {
			t.Errorf("%s: it attests %v", name, w.Facts())
		}
	}
}

// TestNewerArtifact has an annotation that a registry of a later version may give: the word is what its statement says, and nothing is
// taken from the annotation.
func TestNewerArtifact(t *testing.T) {
	a := newOther(t, "https://a.example")
	x := a.artifact(a.push(alice, "team/app", image))
	x.Annotations = maps.Clone(x.Annotations)
	x.Annotations["vnd.hallmark.grade"] = "A"
	w := weigh(t, trusting(t, a.as("a", nil)), x, nil)
	wantWord(t, w, provenance.Attested, "", "attested by registry a")
	if w.Detail != "annotations that are not known here, and that nothing proves: vnd.hallmark.grade" || strings.Contains(fmt.Sprint(w.Facts()), "grade") {
		t.Errorf("it says %q, and attests %v", w.Detail, w.Facts())
	}
}

// TestUnread wants nothing to be said of an artifact of which some was not read, but where the rest refutes it.
func TestUnread(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	index := a.push(alice, "team/app", image)
	const large = "it has 9 bytes, and at most 8 are read"
	unread := func(l *Layer) { l.Body, l.Unread = nil, large }
	for name, of := range map[string]struct {
		change func(x *Artifact)
		class  provenance.Reason
		says   string
	}{
		"the receipt":          {func(x *Artifact) { unread(&x.Layers[1]) }, provenance.NotRead, "a receipt of it was not read: " + large},
		"the envelope":         {func(x *Artifact) { unread(&x.Layers[0]) }, provenance.NotRead, "its envelope was not read: " + large},
		"all of it":            {func(x *Artifact) { x.Layers, x.Unread = nil, "its manifest is not there" }, provenance.NotRead, "its manifest is not there"},
		"a receipt of another": {func(x *Artifact) { x.Subject = digest.FromString("other"); unread(&x.Layers[0]) }, provenance.OtherDigest, "and not about this image"},
		"what is behind": {func(x *Artifact) {
			x.Layers = append(x.Layers, Layer{MediaType: receipt.LayerType, Unread: TooMany})
		}, provenance.NotRead, "it carries more than 9 documents"},
	} {
		x := a.artifact(index)
		of.change(&x)
		w := weigh(t, trust, x, nil)
		t.Run(name, func(t *testing.T) { wantWord(t, w, provenance.Claimed, of.class, of.says) })
		if unknown := of.class == provenance.NotRead; unknown != (w.Result == provenance.Unread) || len(w.Facts()) > 0 {
			t.Errorf("%s: it is %s, and attests %v", name, w.Result, w.Facts())
		}
		if of.class != provenance.NotRead {
			continue
		}
		ours := weigh(t, nil, x, a.book.Holds)
		t.Run(name+", come back", func(t *testing.T) { wantWord(t, ours, provenance.Claimed, of.class, of.says) })
	}
	// The change of its key may be in what was not read.
	a.rotate()
	x := a.artifact(a.push(alice, "team/app", image))
	unread(&x.Layers[2])
	wantWord(t, weigh(t, trust, x, nil), provenance.Claimed, provenance.NotRead, "a receipt of it was not read")
}

// TestOwn wants our own evidence to be recognised by our own log alone.
func TestOwn(t *testing.T) {
	a := newOther(t, "https://a.example")
	index := a.push(alice, "team/app", image)
	w := weigh(t, nil, a.artifact(index), a.book.Holds)
	wantWord(t, w, provenance.Observed, "", "this registry's own record, come back: pushed by alice")
	if len(w.Facts()) > 0 {
		t.Errorf("it attests %v", w.Facts())
	}
	// A copy of the store went another way with the same keys: its records are not ours.
	copied := a.copied()
	theirs := copied.artifact(copied.push(alice, "team/app", image))
	for range 2 {
		wantWord(t, weigh(t, trusting(t, copied.as("copy", nil)), theirs, a.book.Holds), provenance.Claimed, provenance.NotInOurLog, "which does not hold it")
		a.push(alice, "team/app", image) // there is a record of that number now
	}
}

// TestTwoTrustEachOther wants two registries that trust each other to believe of the other what it saw, and of themselves nothing by
// way of the other.
func TestTwoTrustEachOther(t *testing.T) {
	a, b, c := newOther(t, "https://a.example"), newOther(t, "https://b.example"), newOther(t, "https://c.example")
	atB := weigh(t, trusting(t, a.as("a", nil)), a.artifact(a.push(alice, "team/app", image)), b.book.Holds)
	wantWord(t, atB, provenance.Attested, "", "attested by registry a")
	said := b.record(provenance.Event{Action: provenance.Attest, Repository: "team/app", Digest: image, Who: alice, Word: &atB.Word})
	atA := weigh(t, trusting(t, b.as("b", nil)), b.artifact(said), a.book.Holds)
	wantWord(t, atA, provenance.Attested, "", "attested by registry b: looked at signatures of by alice at https://b.example, record 0 of team/app, ")
	wantWord(t, atA, provenance.Attested, "", "; it says that the record of another registry says: pushed by alice at https://a.example, record 0 of team/app")
	if len(atA.Facts()) > 0 {
		t.Errorf("what B says of A is attested as %v", atA.Facts())
	}
	// Through B alone, A says nothing to C; with A's own keys it does.
	own := a.artifact(0)
	wantWord(t, weigh(t, trusting(t, b.as("b", nil)), own, c.book.Holds), provenance.Claimed, provenance.NotTrusted, "which is not one of those")
	wantWord(t, weigh(t, trusting(t, b.as("b", nil), a.as("a", nil)), own, c.book.Holds), provenance.Attested, "", "attested by registry a")
}

// TestKeysAreFollowed wants a key to be followed by the records that it is carried with, and nothing else to be.
func TestKeysAreFollowed(t *testing.T) {
	a := newOther(t, "https://a.example")
	before := trusting(t, a.as("a", nil))
	a.rotate()
	a.rotate()
	x := a.artifact(a.push(alice, "team/app", image))
	wantWord(t, weigh(t, before, x, nil), provenance.Attested, "", "attested by registry a")
	alone := x
	alone.Layers = x.Layers[:2]
	wantWord(t, weigh(t, before, alone, nil), provenance.Claimed, provenance.UnknownKey, "is signed with a key that is not known here")
	gap := x
	gap.Layers = append(append([]Layer{}, x.Layers[:2]...), x.Layers[3])
	wantWord(t, weigh(t, before, gap, nil), provenance.Claimed, provenance.UnknownKey, "keep its /keys/receipts.json anew")
	// Of many changes the newest come along.
	later := trusting(t, a.as("a", nil))
	for range 4 {
		a.rotate()
	}
	wantWord(t, weigh(t, later, a.artifact(a.push(alice, "team/app", image)), nil), provenance.Attested, "", "attested by registry a")
	// A new log is never followed, though its first record names the old one and its key.
	a.end(provenance.Ending{Action: provenance.KeyChange, Reason: "stolen"})
	wantWord(t, weigh(t, before, a.artifact(a.push(alice, "team/app", image)), nil), provenance.Claimed, provenance.NotTrusted, "which is not one of those")
}

func (o *other) rotate() {
	o.t.Helper()
	next, err := receipt.GenerateSigner()
	must(o.t, err)
	_, err = o.book.Rotate(background, alice, next)
	must(o.t, err)
}

func (o *other) end(how provenance.Ending) {
	o.t.Helper()
	keys, err := provenance.GenerateKeys()
	must(o.t, err)
	_, err = o.book.Succeed(background, alice, keys, how)
	must(o.t, err)
	o.keys = keys
}

// TestEnds closes the log, after a restored backup and after a theft: only what is proved to its end counts.
func TestEnds(t *testing.T) {
	for _, how := range []provenance.Ending{{Action: provenance.Restore, Reason: "restored"}, {Action: provenance.KeyChange, Reason: "stolen"}} {
		a := newOther(t, "https://a.example")
		before := trusting(t, a.as("a", nil))
		early, last := a.artifact(a.push(alice, "team/app", image)), a.artifact(a.push(alice, "team/app", image))
		w, err := before.Look(background, early, nil)
		must(t, err)
		a.end(how)
		after := trusting(t, a.as("a", nil))
		says := fmt.Sprintf("(%s), and this record is not proved to the end of that", how.Reason)
		wantWord(t, after.Weigh(w, "mirror/team/app"), provenance.Claimed, provenance.LogClosed, says)
		wantWord(t, weigh(t, after, early, nil), provenance.Claimed, provenance.LogClosed, says)
		wantWord(t, weigh(t, after, last, nil), provenance.Attested, "", "attested by registry a") // which is the end
		size := uint64(2)
		proved, err := a.book.Receipt(background, 0, &size)
		must(t, err)
		early.Layers = []Layer{{MediaType: receipt.LayerType, Digest: digest.FromBytes(proved), Body: proved}}
		wantWord(t, weigh(t, after, early, nil), provenance.Attested, "", "attested by registry a")
	}
}

// TestForked has two histories by the same keys. Anyone who has seen both can prove it, and believes nothing of that log.
func TestForked(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	copied := a.copied()
	one := weigh(t, trust, a.artifact(a.push(alice, "team/app", image)), nil)
	two := copied.artifact(copied.push(alice, "team/app", image))
	w, err := trust.Look(background, two, nil)
	must(t, err)
	kept := []*provenance.Record{{Index: 57, Word: &one.Word}}
	if same := trust.Fork(one.Word, kept); same.Result != provenance.Good {
		t.Errorf("one checkpoint twice is a fork: %s", same.Detail)
	}
	w = trust.Fork(w, kept)
	if w.Result != provenance.Failed || w.Against == nil || *w.Against != 57 || !strings.Contains(w.Detail, "has two checkpoints of 1 leaves that contradict each other, this one and that in record 57; its key signed both") {
		t.Errorf("it is %s: %s", w.Result, w.Detail)
	}
	c, _ := w.Shows()
	knowing := trust.Forked(map[string]uint64{c.Origin: 57})
	wantWord(t, knowing.Weigh(one.Word, "mirror/team/app"), provenance.Claimed, provenance.LogForked, "has shown two histories, as record 57 and the one against it prove: nothing in it counts")
	if knowing.Stamp() == trust.Stamp() {
		t.Error("a fork does not show in the stamp")
	}
}

// TestStolenLogIsNotForked has a thief go on with the keys of a log that was closed for that. What he signs shows no second history
// of the registry, and takes nothing from what is proved to the end that it declared.
func TestStolenLogIsNotForked(t *testing.T) {
	a := newOther(t, "https://a.example")
	thief := a.copied()
	last := a.artifact(a.push(alice, "team/app", image))
	forged := thief.artifact(thief.push(alice, "team/app", image))
	a.end(provenance.Ending{Action: provenance.KeyChange, Reason: "stolen"})
	after := trusting(t, a.as("a", nil))
	w, err := after.Look(background, last, nil)
	must(t, err)
	x, err := after.Look(background, forged, nil)
	must(t, err)
	if got := after.Fork(x, []*provenance.Record{{Index: 57, Word: &w}}); got.Reason == provenance.LogForked {
		t.Errorf("a thief's word condemns the log: %s", got.Detail)
	}
	c, _ := w.Shows()
	knowing := after.Forked(map[string]uint64{c.Origin: 57}) // by an older version
	wantWord(t, knowing.Weigh(w, "mirror/team/app"), provenance.Attested, "", "attested by registry a")
	if got := knowing.Weigh(x, "mirror/team/app"); got.Class == provenance.Attested {
		t.Errorf("a thief's word counts: %+v", got)
	}
}

// TestForkedAtOtherSizes has two histories of which never two checkpoints of one size come: what both fix of the tree shows it, and
// nothing does where they fix nothing in common behind the fork.
func TestForkedAtOtherSizes(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	look := func(o *other) provenance.Word {
		t.Helper()
		w, err := trust.Look(background, o.artifact(o.push(alice, "team/app", image)), nil)
		must(t, err)
		return w
	}
	for range 2 {
		look(a)
	}
	copied := a.copied()
	var one, two []provenance.Word // the third to the tenth of each
	for range 8 {
		one, two = append(one, look(a)), append(two, look(copied))
	}
	for n, w := range one {
		for m, x := range two {
			kept := []*provenance.Record{{Index: 57, Word: &x}}
			got := trust.Fork(w, kept)
			large, small := max(n, m)+3, min(n, m)+3
			if power := 1 << (bits.Len(uint(large)) - 1); (n == m || power > 2 && small >= power) && got.Reason != provenance.LogForked {
				t.Errorf("checkpoints of %d and of %d leaves: %s %s", n+3, m+3, got.Result, got.Detail)
			}
		}
	}
	got := trust.Fork(one[6], []*provenance.Record{{Index: 57, Word: &two[7]}})
	if want := "has two checkpoints, of 9 and of 10 leaves, that contradict each other: leaf 8 is another in one than in the other, this one and that in record 57"; !strings.Contains(got.Detail, want) {
		t.Errorf("%s\nwant %s", got.Detail, want)
	}
	got = trust.Fork(one[5], []*provenance.Record{{Index: 58, Word: &two[6]}})
	if want := "leaves 0 to 7 are others in one than in the other, this one and that in record 58"; !strings.Contains(got.Detail, want) {
		t.Errorf("%s\nwant %s", got.Detail, want)
	}
	if got := trust.Fork(one[4], []*provenance.Record{{Index: 59, Word: &two[6]}}); got.Result != provenance.Good {
		t.Errorf("7 and 9 leaves have nothing in common behind the fork: %s", got.Detail)
	}
	// One history contradicts itself at no sizes, and a log of the same name with another key proves nothing.
	for _, w := range one {
		for _, x := range one {
			if got := trust.Fork(w, []*provenance.Record{{Index: 60, Word: &x}}); got.Result != provenance.Good {
				t.Errorf("one history: %s", got.Detail)
			}
		}
	}
	forged := two[0]
	forged.Checkpoint = strings.Replace(forged.Checkpoint, "— ", "— x", 1)
	if got := trust.Fork(one[0], []*provenance.Record{{Index: 61, Word: &forged}}); got.Result != provenance.Good {
		t.Errorf("a checkpoint that its log has not signed: %s", got.Detail)
	}
}

// TestForkedUnread has words of two histories of which some was not read. That they were signed is known, and shows the fork.
func TestForkedUnread(t *testing.T) {
	a := newOther(t, "https://a.example")
	trust := trusting(t, a.as("a", nil))
	look := func(o *other) provenance.Word {
		t.Helper()
		x := o.artifact(o.push(alice, "team/app", image))
		x.Layers[0].Body, x.Layers[0].Unread = nil, "it is not there"
		w, err := trust.Look(background, x, nil)
		must(t, err)
		if w.Result != provenance.Unread || w.Said != nil {
			t.Fatalf("it is %s, and says %v", w.Result, w.Said)
		}
		return w
	}
	copied := a.copied()
	var one, two []provenance.Word
	for range 4 {
		one, two = append(one, look(a)), append(two, look(copied))
	}
	for _, of := range [][2]int{{0, 0}, {1, 3}, {3, 1}} {
		kept := []*provenance.Record{{Index: 57, Word: &two[of[1]]}}
		if got := trust.Fork(one[of[0]], kept); got.Result != provenance.Failed || got.Reason != provenance.LogForked || *got.Against != 57 {
			t.Errorf("checkpoints of %d and of %d leaves: %s %s", of[0]+1, of[1]+1, got.Result, got.Detail)
		}
	}
	if got := trust.Fork(one[1], []*provenance.Record{{Index: 58, Word: &one[3]}}); got.Result != provenance.Unread {
		t.Errorf("one history: %s %s", got.Result, got.Detail)
	}
}

// TestQuorum demands witnesses: what a checkpoint alone proves is claimed then.
func TestQuorum(t *testing.T) {
	a := newOther(t, "https://a.example")
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	w, err := torchwood.NewCosignatureSigner("witness.example", key)
	must(t, err)
	logs, err := a.book.LogEntries(background)
	must(t, err)
	policy := fmt.Sprintf("log %s\nwitness w %s\nquorum w\n", logs[0].VKey, w.Verifier())
	trust := trusting(t, a.as("a", []byte(policy)))
	x := a.artifact(a.push(alice, "team/app", image))
	wantWord(t, weigh(t, trust, x, nil), provenance.Claimed, provenance.NotCosigned, "its checkpoint of 1 leaves has not the cosignatures that are wanted of the registry a: there are 0")
	x.Layers[1].Body = cosign(t, x.Layers[1].Body, w)
	wantWord(t, weigh(t, trust, x, nil), provenance.Attested, "", "attested by registry a")
	none := trusting(t, a.as("a", []byte(strings.Replace(policy, "log ", "#", 1)+"")))
	wantWord(t, weigh(t, none, x, nil), provenance.Attested, "", "attested by registry a")
}

// cosign adds a witness's signature to the checkpoint in a receipt.
func cosign(t *testing.T, bundle []byte, by note.Signer) []byte {
	t.Helper()
	var b map[string]any
	must(t, json.Unmarshal(bundle, &b))
	entry := b["verificationMaterial"].(map[string]any)["tlogEntries"].([]any)[0].(map[string]any)
	at := entry["inclusionProof"].(map[string]any)["checkpoint"].(map[string]any)
	text, sigs, _ := strings.Cut(at["envelope"].(string), "\n\n")
	signed, err := note.Sign(&note.Note{Text: text + "\n"}, by)
	must(t, err)
	_, cosigned, _ := strings.Cut(string(signed), "\n\n")
	at["envelope"] = text + "\n\n" + sigs + cosigned
	out, err := json.Marshal(b)
	must(t, err)
	return out
}

// TestNotToBeTrusted has files of which it would be unclear whose word counts, or where.
func TestNotToBeTrusted(t *testing.T) {
	a := newOther(t, "https://a.example")
	one := a.as("a", nil)
	if _, err := NewTrust([]*Registry{one, a.as("again", nil)}); err == nil || !strings.Contains(err.Error(), "is one of a, and one of again") {
		t.Errorf("one log of two registries: %v", err)
	}
	first := trusting(t, one)
	if _, err := first.With(trusting(t, a.as("again", nil))); err == nil || !strings.Contains(err.Error(), "is one of a, and one of again") {
		t.Errorf("one log of two files: %v", err)
	}
	if _, err := first.With(trusting(t, newOther(t, "https://b.example").as("a", nil))); err == nil || !strings.Contains(err.Error(), "the name a is one of a, and one of a") {
		t.Errorf("one name in two files: %v", err)
	}
	both, err := first.With(trusting(t, newOther(t, "https://b.example").as("b", nil)))
	if err != nil || len(both.registries) != 2 {
		t.Errorf("two registries of two files: %v", err)
	}
	for _, m := range [][2]string{{"team/**", "mirror/*"}, {"team/*", "mirror"}, {"", "x"}, {"team/**", "mirror/team/**/**"}, {"Team", "team"}} {
		if _, err := NewMapping(m[0], m[1]); err == nil {
			t.Errorf("%q is called %q", m[0], m[1])
		}
	}
	logs, keys := a.kept()
	root, err := receipt.TrustedRoot(nil)
	must(t, err)
	for name, files := range map[string][2][]byte{"no logs": {nil, keys}, "no keys": {logs, nil}, "a trusted root": {root, keys}} {
		if _, err := NewRegistry("a", files[0], files[1], nil, nil); err == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
	if _, err := NewRegistry("a", logs, keys, []byte("quorum x"), nil); err == nil {
		t.Error("a policy without its witness is taken")
	}
}
