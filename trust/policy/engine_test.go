package policy

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// world is a registry over HTTP, with an engine whose clock can be set.
type world struct {
	*Engine
	t       testing.TB
	http    *httptest.Server
	gate    *access.Access
	book    *provenance.Book
	clock   atomic.Pointer[time.Time]
	subject string // of reports
	resolve image.Resolver
	trust   *signature.Trust
	store   *counted
}

// counted is a store that counts what is read of it.
type counted struct {
	storage.Store
	views    atomic.Int64
	full     atomic.Bool                        // it takes no more
	onUpdate atomic.Pointer[context.CancelFunc] // is called when something was written
}

func (c *counted) Update(ctx context.Context, fn func(storage.Tx) error) error {
	if c.full.Load() {
		return storage.ErrFull
	}
	err := c.Store.Update(ctx, fn)
	if called := c.onUpdate.Load(); called != nil {
		(*called)()
	}
	return err
}

func (c *counted) View(ctx context.Context, fn func(storage.Reader) error) error {
	c.views.Add(1)
	return c.Store.View(ctx, fn)
}

func newWorld(t testing.TB, rules string) *world {
	t.Helper()
	store := &counted{Store: storagetest.Twice(engines.Open(t, filepath.Join(t.TempDir(), "store.db")))}
	blobs, err := files.Open(filepath.Join(t.TempDir(), "blobs"), "")
	must(t, err)
	w := &world{t: t, subject: "registry.example", store: store}
	w.book, err = provenance.NewBook(store, "https://registry.example")
	must(t, err)
	keys, err := provenance.GenerateKeys()
	must(t, err)
	must(t, w.book.Begin(t.Context(), keys))
	gate, err := access.New(t.Context(), store, access.Config{URL: "https://registry.example", Book: w.book, BcryptCost: 4})
	must(t, err)
	w.gate = gate
	w.allow("alice", access.Admin)
	w.allow("pat", access.Pull)
	log := slog.New(slog.DiscardHandler)
	g, err := registry.New(t.Context(), store, blobs, w.book, gate, log, registry.Config{Reserve: 1})
	must(t, err)
	w.set(time.Now())
	w.Engine, err = NewEngine(Config{
		Registry: g, Book: w.book, Log: log, Inspect: func() image.Config { return image.Config{Subject: w.subject, Resolve: w.resolve, Trust: w.trust} }, Version: "test",
		Now: func() time.Time { return *w.clock.Load() },
	})
	must(t, err)
	w.use(rules)
	g.SetPolicy(w.Engine)
	w.http = httptest.NewServer(g)
	t.Cleanup(func() { w.http.Close(); must(t, store.Close()) })
	return w
}

// allow adds a user with a right in every repository.
func (w *world) allow(name string, right access.Right) {
	w.t.Helper()
	_, err := w.gate.AddUser(w.t.Context(), access.Operator, name, "correct horse", false)
	must(w.t, err)
	subject, err := access.ParseSubject("user:" + name)
	must(w.t, err)
	_, err = w.gate.Grant(w.t.Context(), access.Operator, access.Grant{Subject: subject, Pattern: access.Everything, Role: right})
	must(w.t, err)
}

func (w *world) use(rules string) {
	w.t.Helper()
	w.Use(parse(w.t, rules))
}

func (w *world) set(now time.Time) { w.clock.Store(&now) }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repo is a repository as alice reaches it, who may do everything.
func (w *world) repo(name string) *remote.Repository { return w.repoAs(basic("alice"), name) }

func basic(user string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":correct horse"))
}

// repoAs is a repository as it is reached with a login.
func (w *world) repoAs(login, name string) *remote.Repository {
	w.t.Helper()
	host := strings.TrimPrefix(w.http.URL, "http://")
	repo, err := remote.NewRepository(host + "/" + name)
	must(w.t, err)
	repo.PlainHTTP = true
	repo.Client = &auth.Client{Header: http.Header{"Authorization": {login}}}
	return repo
}

// push pushes a manifest with its blobs, by digest where tag is empty.
func (w *world) push(repo *remote.Repository, tag string, m any, blobs ...[]byte) (ocispec.Descriptor, error) {
	w.t.Helper()
	for _, b := range append(blobs, []byte("{}")) {
		must(w.t, repo.Blobs().Push(context.Background(), content.NewDescriptorFromBytes("", b), bytes.NewReader(b)))
	}
	data, err := json.Marshal(m)
	must(w.t, err)
	mediaType := ocispec.MediaTypeImageManifest
	if _, ok := m.(ocispec.Index); ok {
		mediaType = ocispec.MediaTypeImageIndex
	}
	d := content.NewDescriptorFromBytes(mediaType, data)
	if tag == "" {
		return d, repo.Push(context.Background(), d, bytes.NewReader(data))
	}
	return d, repo.PushReference(context.Background(), d, bytes.NewReader(data), tag)
}

// imageOf is an image of one layer, with labels.
func imageOf(layer string, labels map[string]string) (m ocispec.Manifest, blobs [][]byte) {
	config, _ := json.Marshal(map[string]any{"architecture": "amd64", "os": "linux", "config": map[string]any{"Labels": labels, "User": "1000"}})
	m.SchemaVersion, m.MediaType = 2, ocispec.MediaTypeImageManifest
	m.Config = content.NewDescriptorFromBytes(ocispec.MediaTypeImageConfig, config)
	m.Layers = []ocispec.Descriptor{content.NewDescriptorFromBytes(ocispec.MediaTypeImageLayer, []byte(layer))}
	return m, [][]byte{config, []byte(layer)}
}

// attach attaches an SBOM to an image.
func (w *world) attach(repo *remote.Repository, to ocispec.Descriptor) ocispec.Descriptor {
	w.t.Helper()
	sbom := fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://spdx.dev/Document","subject":[{"digest":{"sha256":%q}}],"predicate":{}}`, to.Digest.Encoded())
	d, err := w.push(repo, "", ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/vnd.in-toto+json",
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{content.NewDescriptorFromBytes("application/vnd.in-toto+json", sbom)}, Subject: &to,
	}, sbom)
	must(w.t, err)
	return d
}

// asked is the question about a manifest, as it is read now.
func (w *world) asked(t testing.TB, p registry.RepoDigest) (*question, error) {
	t.Helper()
	read, err := w.c.Registry.Reading(t.Context(), p.Repository, p.Digest)
	must(t, err)
	return w.stored(read)
}

// pulled asks about a pull as the registry does.
func (w *world) pulled(ctx context.Context, d digest.Digest) (warnings []string, err error) {
	warnings, refusal, known := w.Decided("team/app", d)
	if known {
		return warnings, refusal
	}
	p, err := w.c.Registry.Reading(ctx, "team/app", d)
	if err != nil {
		return nil, err
	}
	return w.Pull(ctx, p)
}

const sbomRule = `rules: [{name: sbom, repositories: "team/*", at: [%s], effect: %s, require: 'report.check("sbom").result == "pass"', owner: alice}]`

// restart keeps and forgets what a restart does.
func (w *world) restart() {
	w.t.Helper()
	must(w.t, w.c.Registry.FlushNotes(w.t.Context()))
	w.decided.Purge()
}

// pull asks for a manifest as one who may pull alone, and wants a refusal to name something, or none.
func (w *world) pull(repo *remote.Repository, ref, refusal string) {
	w.t.Helper()
	w.pullAs(basic("pat"), repo, ref, refusal)
}

func (w *world) pullAs(login string, repo *remote.Repository, ref, refusal string) {
	w.t.Helper()
	_, body, err := w.repoAs(login, repo.Reference.Repository).FetchReference(context.Background(), ref)
	if err == nil {
		must(w.t, body.Close())
	}
	if (err == nil) != (refusal == "") || err != nil && !strings.Contains(err.Error(), refusal) {
		w.t.Errorf("pull of %s: %v, want %q", ref, err, refusal)
	}
}

// TestPull wants a decision to change with what is attached, with the rules, with time, and not otherwise.
func TestPull(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	w.pull(repo, "1.0", "denied: rule sbom: sbom: It has no SBOM; alice can change it")
	w.pull(repo, d.Digest.String(), "rule sbom")
	w.pull(w.repo("team/none"), "1.0", "not found")

	var own []ocispec.Descriptor // the registry's own record of it, which is no image
	must(t, repo.Referrers(context.Background(), d, "", func(page []ocispec.Descriptor) error {
		own = append(own, page...)
		return nil
	}))
	if len(own) != 1 {
		t.Fatalf("%d things refer to it", len(own))
	}
	w.pull(repo, own[0].Digest.String(), "")
	sbom := w.attach(repo, d)
	w.pull(repo, "1.0", "")
	w.pull(repo, sbom.Digest.String(), "") // a document is not asked for one itself
	must(t, repo.Delete(context.Background(), sbom))
	w.pull(repo, "1.0", "rule sbom")

	w.use(fmt.Sprintf(sbomRule, "pull", "warn"))
	w.pull(repo, "1.0", "")
	w.Use(nil)
	w.pull(repo, "1.0", "")

	w.use(`rules: [{name: fresh, repositories: "**", at: pull, require: 'report.check("fresh").result == "pass"', owner: alice}]`)
	w.pull(repo, "1.0", "")
	w.set(time.Now().Add(100 * 24 * time.Hour))
	w.pull(repo, "1.0", "rule fresh: fresh: It was pushed on")
	_, err = w.push(repo, "1.0", m, blobs...) // again: what records say of it changed
	must(t, err)
	w.set(time.Now())
	w.pull(repo, "1.0", "")
}

// TestOlderTags wants what is kept under a tag in the older way to change a decision, and its removal too.
func TestOlderTags(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	w.pull(repo, "1.0", "rule sbom")
	sbom := []byte(`{"spdxVersion":"SPDX-2.3"}`)
	tag := "sha256-" + d.Digest.Encoded() + ".sbom"
	beside, err := w.push(repo, tag, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.DescriptorEmptyJSON, Layers: []ocispec.Descriptor{content.NewDescriptorFromBytes("application/spdx+json", sbom)},
	}, sbom)
	must(t, err)
	w.pull(repo, "1.0", "")
	w.pull(repo, tag, "")
	must(t, repo.Delete(context.Background(), beside))
	w.pull(repo, "1.0", "rule sbom")
}

// TestPullIsRemembered wants no look at the image while nothing changed, and after a restart none either.
func TestPullIsRemembered(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "warn"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", map[string]string{
		ocispec.AnnotationBaseImageName: "base.example/x:1", ocispec.AnnotationBaseImageDigest: digest.FromString("x").String(),
	})
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	made := 0
	w.resolve = func(context.Context, image.Named) (image.Meaning, error) {
		made++
		return image.Meaning{Now: d.Digest}, nil
	}
	w.pull(repo, "1.0", "")
	p := registry.RepoDigest{Repository: "team/app", Digest: d.Digest}
	first, ok := w.decided.Get(p)
	if !ok || !first.holds(w.inForce.Load(), time.Now()) || len(first.warnings) != 1 {
		t.Fatalf("it is not remembered: %+v", first)
	}
	w.pull(repo, "1.0", "")
	if again, _ := w.decided.Get(p); again != first {
		t.Error("it was decided again")
	}
	w.restart()
	w.pull(repo, "1.0", "")
	c, err := w.asked(t, p)
	must(t, err)
	kept, err := w.storedReport(t.Context(), c)
	if err != nil || made != 1 || !strings.HasPrefix(kept.Subject, "registry.example/team/app@") {
		t.Errorf("the report was not kept, but made %d times: %v, %v", made, kept, err)
	}
	w.attach(repo, d)
	c, err = w.asked(t, p)
	must(t, err)
	if _, err = w.storedReport(t.Context(), c); err != nil || made != 2 {
		t.Errorf("the report of before was kept: %d were made, %v", made, err)
	}
	w.subject = "another.example" // the registry goes by another name, and bases are looked up under it
	c, err = w.asked(t, p)
	must(t, err)
	if kept, err = w.storedReport(t.Context(), c); err != nil || made != 3 || !strings.HasPrefix(kept.Subject, "another.example/") {
		t.Errorf("the report under the name of before was kept: %v, %v", kept, err)
	}
	if _, err := w.c.Registry.Check(t.Context(), true, func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
	must(t, repo.Delete(t.Context(), d))
	if _, err := w.c.Registry.Check(t.Context(), true, func(err error) { t.Error(err) }); err != nil {
		t.Error(err)
	}
}

// TestTry wants a trial to say what would be refused and warned of, by whom the tag was set, and to keep nothing.
func TestTry(t *testing.T) {
	w := newWorld(t, "rules: []")
	m, blobs := imageOf("one", nil)
	d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(t, err)
	set := parse(t, `rules:
  - {name: sbom, repositories: "**", at: [tag, pull], effect: warn, require: 'report.check("sbom").result == "pass"', owner: alice}
  - {name: ci-only, repositories: "**", at: push, require: 'who.kind == "ci"', owner: alice}
  - {name: broken, repositories: "**", at: tag, effect: warn, require: 'who.claims["x"] == "y"', owner: alice}
  - {name: elsewhere, repositories: other/*, at: push, require: 'false', owner: alice}
`)
	by := provenance.Identity{Actor: provenance.Actor{Kind: provenance.User, Handle: "bob"}}
	found, err := w.Try(t.Context(), set, "team/app", provenance.TagMove{Name: "1.0"}, d.Digest, by)
	must(t, err)
	var got []string
	for _, r := range found {
		got = append(got, fmt.Sprint(r.Rule, " ", r.At, " ", r.Outcome, " ", r.Error != ""))
	}
	if want := "ci-only push deny false, sbom tag warn false, broken tag deny true, sbom pull warn false"; strings.Join(got, ", ") != want {
		t.Errorf("%s\nwant %s", strings.Join(got, ", "), want)
	}
	if !strings.Contains(found[0].Says, "pushed by user:bob") {
		t.Errorf("it says %s", found[0].Says)
	}
	if p, err := w.c.Registry.Reading(t.Context(), "team/app", d.Digest); err != nil || p.Kept.Body != nil {
		t.Errorf("it kept %s, %v", p.Kept.Body, err)
	}
}

// TestChildren wants the images of an index to pass through one that passes, and only through that.
func TestChildren(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	var children []ocispec.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		m, blobs := imageOf(arch, nil)
		d, err := w.push(repo, "", m, blobs...)
		must(t, err)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		children = append(children, d)
	}
	index, err := w.push(repo, "1.0", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
	must(t, err)
	w.pull(repo, "1.0", "rule sbom")
	w.pull(repo, children[0].Digest.String(), "rule sbom")
	w.attach(repo, index)
	w.pull(repo, "1.0", "")
	w.pull(repo, children[0].Digest.String(), "")
	w.pull(repo, children[1].Digest.String(), "")
	must(t, repo.Delete(context.Background(), index))
	w.pull(repo, children[0].Digest.String(), "rule sbom")
}

// TestPush wants what a rule refuses to leave nothing, and a signature to get in beside what it is about.
func TestPush(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "tag", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	before, err := w.book.Len(t.Context())
	must(t, err)
	_, err = w.push(repo, "1.0", m, blobs...)
	if err == nil || !strings.Contains(err.Error(), "Push by digest, sign, then tag; alice can change it") {
		t.Errorf("by tag: %v", err)
	}
	if after, err := w.book.Len(t.Context()); err != nil || after != before {
		t.Errorf("there are %d records after %d, %v", after, before, err)
	}
	w.pull(repo, "1.0", "not found")
	d, err := w.push(repo, "", m, blobs...)
	must(t, err)
	w.attach(repo, d)
	_, err = w.push(repo, "1.0", m, blobs...)
	must(t, err)
	other, blobs := imageOf("two", nil)
	if _, err = w.push(repo, "1.0", other, blobs...); err == nil {
		t.Error("the tag moved to what has no SBOM")
	}
	_, err = w.push(w.repo("other/app"), "1.0", other, blobs...)
	must(t, err)
}

// TestDisguise wants an image not to pass as a document, whatever it calls itself.
func TestDisguise(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "push", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	other := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, []byte("x"))
	m.Subject, m.ArtifactType = &other, "application/vnd.dev.sigstore.bundle.v0.3+json"
	if _, err := w.push(repo, "sha256-"+strings.Repeat("0", 64)+".sig", m, blobs...); err == nil || !strings.Contains(err.Error(), "rule sbom") {
		t.Errorf("it got in as a signature: %v", err)
	}
	w.attach(repo, other)
}

// TestManyAtOnce wants pulls, pushes and other rules at the same moment to end with what is true then.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if _, err := w.pulled(t.Context(), d.Digest); err != nil && !registry.IsRefusal(err) {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		sbom := w.attach(repo, d)
		w.pull(repo, "1.0", "")
		must(t, repo.Delete(context.Background(), sbom))
		w.pull(repo, "1.0", "rule sbom")
		w.use(fmt.Sprintf(sbomRule, "pull", "deny"))
	}
	group.Wait()
}

// TestWarning wants the header that the specification has, on pushes and pulls.
func TestWarning(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "push, pull", "warn"))
	repo := w.repo("team/app")
	var said []string
	repo.HandleWarning = func(warning remote.Warning) { said = append(said, warning.Text) }
	m, blobs := imageOf("one", nil)
	_, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	_, body, err := repo.FetchReference(context.Background(), "1.0")
	must(t, err)
	must(t, body.Close())
	if len(said) != 2 || said[0] != "rule sbom: sbom: It has no SBOM; alice can change it" || said[1] != said[0] {
		t.Errorf("%q", said)
	}
}

// TestHead wants a HEAD that is refused to say why: it has no body.
func TestHead(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	m, blobs := imageOf("one", nil)
	_, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(t, err)
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		r, err := http.NewRequest(method, w.http.URL+"/v2/team/app/manifests/1.0", nil)
		must(t, err)
		r.SetBasicAuth("pat", "correct horse")
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		var body struct {
			Errors []struct{ Code, Message string }
		}
		_ = json.NewDecoder(resp.Body).Decode(&body) // a HEAD has none
		must(t, resp.Body.Close())
		warned := strings.Contains(resp.Header.Get("Warning"), `299 - "rule sbom: `)
		said := len(body.Errors) == 1 && body.Errors[0].Code == "DENIED" && strings.HasPrefix(body.Errors[0].Message, "rule sbom: ")
		if resp.StatusCode != http.StatusForbidden || warned != (method == http.MethodHead) || said != (method == http.MethodGet) {
			t.Errorf("%s: %d, %q, %+v", method, resp.StatusCode, resp.Header.Get("Warning"), body)
		}
	}
}

// TestObject holds the types that rules are checked against to what is really made.
func TestObject(t *testing.T) {
	w := newWorld(t, "rules: []")
	repo := w.repo("team/app")
	m, blobs := imageOf("one", map[string]string{ocispec.AnnotationSource: "https://git.example/ours/app"})
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	w.attach(repo, d)
	c, err := w.asked(t, registry.RepoDigest{Repository: "team/app", Digest: d.Digest})
	must(t, err)
	made, err := w.inspect(t.Context(), c, w.c.Inspect())
	must(t, err)
	parts := provenance.Parts(d.Digest, nil)
	said, err := w.book.Testimony(t.Context(), "team/app", parts)
	must(t, err)
	acts, err := c.records.Acts(t.Context(), provenance.ActsOf{Repository: "team/app", Digest: d.Digest, Tag: "1.0", Platforms: parts})
	must(t, err)
	sum := provenance.SumUp(said.Records, said.Beside, parts)
	for from, into := range map[any]any{made: &Report{}, &struct {
		provenance.Acts
		Built      *provenance.Built  `json:"built"`
		Provenance provenance.ByClass `json:"provenance"`
	}{acts, sum.Built(), sum}: &Image{}} {
		data, err := json.Marshal(from)
		must(t, err)
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.DisallowUnknownFields()
		if err := dec.Decode(into); err != nil {
			t.Errorf("%T: %v", into, err)
		}
	}
	img, err := w.image(t.Context(), c)
	if err != nil || len(img.Provenance.Claimed) == 0 || len(img.Tags) != 1 || img.Descriptor.Size != d.Size ||
		img.First.Actor.Handle == "" || len(img.Arrivals) != 1 || img.Built.Class != "claimed" {
		t.Errorf("%+v, %v", img, err)
	}
	r, err := w.report(t.Context(), c)
	must(t, err)
	if facts := r.facts("source").([]Fact); len(facts) == 0 || facts[0].Value != "https://git.example/ours/app" {
		t.Errorf("facts %+v", facts)
	}
}

// BenchmarkPull is a pull whose decision is known.
func BenchmarkPull(b *testing.B) {
	w := newWorld(b, fmt.Sprintf(sbomRule, "pull", "warn"))
	m, blobs := imageOf("one", nil)
	d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if warnings, err := w.pulled(b.Context(), d.Digest); err != nil || len(warnings) != 1 {
			b.Fatal(warnings, err)
		}
	}
}
