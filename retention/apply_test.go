package retention

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
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// world is a registry with a keeper, and alice, who may do everything.
type world struct {
	*Keeper
	t        testing.TB
	registry *disturbed
	store    *watched
	gate     *access.Access
	book     *provenance.Book
	repo     *remote.Repository // team/app
	attached string             // a digest that a test keeps
}

// watched is a store in which somebody does something after a View of the keeper.
type watched struct {
	storage.Store
	after func() // or nil
}

func (w *watched) View(ctx context.Context, fn func(storage.Reader) error) error {
	err := w.Store.View(ctx, fn)
	if w.after != nil {
		w.after()
	}
	return err
}

// disturbed is a registry in which somebody does something just before a removal.
type disturbed struct {
	*registry.Registry
	before  func(n int) // is told how many removals there were
	removed int
}

func (d *disturbed) Prune(ctx context.Context, who provenance.Identity, p registry.Pruning) (*provenance.Record, bool, error) {
	if d.before != nil {
		d.before(d.removed)
	}
	d.removed++
	return d.Registry.Prune(ctx, who, p)
}

// longCounted is a registry as if it had counted pulls for ever.
type longCounted struct{ *registry.Registry }

func (l longCounted) Flush(ctx context.Context) error { return l.FlushPulls(ctx) }

func (l longCounted) NoneAfter(ctx context.Context, repo string, refs []string) ([]time.Time, error) {
	asked, times := make([]registry.PullRef, len(refs)), make([]time.Time, len(refs))
	for i, ref := range refs {
		asked[i] = registry.PullRef{Repository: repo, Ref: ref}
	}
	found, err := l.PullsOf(ctx, asked)
	for i, f := range found {
		times[i] = f.Last
	}
	return times, err
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, rules string) *world {
	t.Helper()
	store := &watched{Store: storagetest.Twice(engines.Open(t, filepath.Join(t.TempDir(), "store.db")))}
	blobs, err := files.Open(filepath.Join(t.TempDir(), "blobs"), "")
	must(t, err)
	book, err := provenance.NewBook(store, "https://registry.example")
	must(t, err)
	keys, err := provenance.GenerateKeys()
	must(t, err)
	must(t, book.Begin(t.Context(), keys))
	gate, err := access.New(t.Context(), store, access.Config{URL: "https://registry.example", Book: book, BcryptCost: 4})
	must(t, err)
	_, err = gate.AddUser(t.Context(), access.Operator, "alice", "correct horse", true)
	must(t, err)
	log := slog.New(slog.DiscardHandler)
	g, err := registry.New(t.Context(), store, blobs, book, gate, log, registry.Config{Reserve: 1})
	must(t, err)
	g.UseTrash(registry.TrashConfig{Keep: units.Duration(time.Hour)})
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, registry: &disturbed{Registry: g}, store: store, gate: gate, book: book}
	w.repo = w.repository(strings.TrimPrefix(server.URL, "http://"), "team/app")
	must(t, g.CountPulls(t.Context()))
	w.Keeper = NewKeeper(Config{Store: store, Registry: w.registry, Book: book, Pulls: longCounted{g}, Log: log, Most: 1})
	w.rest = func(context.Context, time.Duration, bool) {}
	w.Use(rulesOf(t, rules))
	return w
}

// repository is one as alice asks it.
func (w *world) repository(host, name string) *remote.Repository {
	repo, err := remote.NewRepository(host + "/" + name)
	must(w.t, err)
	repo.PlainHTTP = true
	login := "Basic " + base64.StdEncoding.EncodeToString([]byte("alice:correct horse"))
	repo.Client = &auth.Client{Header: http.Header{"Authorization": {login}}}
	return repo
}

// in is the same world, where alice pushes to another repository.
func (w *world) in(name string) *world {
	other := *w
	other.repo = w.repository(w.repo.Reference.Registry, name)
	return &other
}

// push pushes an image, which has a subject where that is given, by digest where tag is empty.
func (w *world) push(tag, name string, subject *ocispec.Descriptor) ocispec.Descriptor {
	w.t.Helper()
	data := []byte(`{"created_by":"` + name + `"}`)
	config := content.NewDescriptorFromBytes(ocispec.MediaTypeImageConfig, data)
	must(w.t, w.repo.Blobs().Push(context.Background(), config, bytes.NewReader(data)))
	data, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{},
		Subject: subject, Annotations: map[string]string{"name": name},
	})
	must(w.t, err)
	d := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, data)
	if tag == "" {
		tag = d.Digest.String()
	}
	must(w.t, w.repo.PushReference(context.Background(), d, bytes.NewReader(data), tag))
	return d
}

func (w *world) has(ref string) bool {
	_, err := w.repo.Resolve(context.Background(), ref)
	return err == nil
}

// planned makes a plan by the rules in force.
func (w *world) planned() *Plan {
	w.t.Helper()
	var text bytes.Buffer
	_, _, err := w.Plan(w.t.Context(), &text)
	must(w.t, err)
	p, err := ReadPlan(&text, nil)
	must(w.t, err)
	return p
}

func (w *world) apply(p *Plan) (Applied, error) {
	return w.Apply(w.t.Context(), access.Operator, p, func(Skipped) error { return nil }, func(Applied) error { return nil })
}

// TestApplyKeepsSignatures tags or holds an image just before each removal of a plan in turn. The image stays, and so does whatever is
// attached to it and was there by then.
func TestApplyKeepsSignatures(t *testing.T) {
	for name, keep := range map[string]func(*world, ocispec.Descriptor){
		"tag": func(w *world, d ocispec.Descriptor) { must(t, w.repo.Tag(context.Background(), d, "zz")) },
		"hold": func(w *world, d ocispec.Descriptor) {
			_, err := w.registry.Hold(context.Background(), access.Operator, "team/app", d.Digest, time.Now().Add(time.Hour), "an audit")
			must(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for at, last := 0, false; !last; at++ {
				w := newWorld(t, untagged("0s")+keeping("newest: 1"))
				image := w.push("z1", "image", nil)
				sig := registry.BesideName(image.Digest) + ".sig"
				w.push(sig, "signature", nil)
				attached := []string{sig, w.push("", "referrer", &image).Digest.String()}
				w.push("a1", "other", nil)
				w.push("b1", "newest", nil)
				p := w.planned()
				if len(p.Goes) != 7 {
					t.Fatalf("%d things go: %+v", len(p.Goes), p.Goes)
				}
				last = at == len(p.Goes)-1
				w.registry.before = func(n int) {
					if n != at {
						return
					}
					attached = slices.DeleteFunc(attached, func(ref string) bool { return !w.has(ref) })
					if w.has(image.Digest.String()) {
						keep(w, image)
					}
				}
				_, err := w.apply(p)
				must(t, err)
				if !w.has(image.Digest.String()) {
					continue
				}
				for _, ref := range attached {
					if !w.has(ref) {
						t.Errorf("before removal %d: %s is gone, and its image stays", at, ref)
					}
				}
			}
		})
	}
}

// pull gets a manifest.
func (w *world) pull(ref string) {
	w.t.Helper()
	_, body, err := w.repo.FetchReference(context.Background(), ref)
	must(w.t, err)
	must(w.t, body.Close())
}

// TestApplyKeepsWhatIsPulled pulls an image after the plan was made, or while it is applied: the image stays, with its tag and its signature.
func TestApplyKeepsWhatIsPulled(t *testing.T) {
	for at := -1; at < 3; at++ {
		w := newWorld(t, untagged("1h")+keeping("pulled: 1h"))
		var sig string
		for i := range 6 {
			image := w.push(fmt.Sprint("t", i), fmt.Sprint("image ", i), nil)
			sig = registry.BesideName(image.Digest) + ".sig"
			w.push(sig, fmt.Sprint("signature ", i), nil)
		}
		p := w.planned()
		if len(p.Goes) != 6 { // their images had a tag until now
			t.Fatalf("%d things go", len(p.Goes))
		}
		if at < 0 {
			w.pull("t5")
		}
		w.fresh = func(time.Duration) time.Duration { return time.Nanosecond } // the next removal evaluates again
		w.registry.before = func(n int) {
			if n == at {
				w.pull("t5")
			}
		}
		done, err := w.apply(p)
		must(t, err)
		if done.Skipped != 1 || done.Tags != 5 || !w.has("t5") || !w.has(sig) {
			t.Errorf("pulled before removal %d: %+v", at, done)
		}
	}
}

// TestApplyRests wants a plan to leave the store to others after each removal, longer where these write too, and not to rest once nobody waits for it.
func TestApplyRests(t *testing.T) {
	for _, others := range []bool{false, true} {
		w := newWorld(t, untagged("0s")+keeping("newest: 1"))
		for i := range 4 {
			w.push(fmt.Sprint(i), fmt.Sprint("image ", i), nil)
		}
		elsewhere := w.in("elsewhere/app")
		if others {
			w.registry.before = func(n int) { elsewhere.push(fmt.Sprint(n), fmt.Sprint("another ", n), nil) }
		}
		rests, crowded := 0, 0
		w.rest = func(_ context.Context, took time.Duration, others bool) {
			if rests++; others {
				crowded++
			}
			if took <= 0 {
				t.Errorf("rest %d is of %s", rests, took)
			}
		}
		done, err := w.apply(w.planned())
		if err != nil || done.Tags+done.Manifests != 6 || rests != 6 || others && crowded != 5 || !others && crowded != 0 { // the first has no one before it
			t.Errorf("others write %t: %+v, %v, %d rests, %d of them beside others", others, done, err, rests, crowded)
		}
	}
	left, cancel := context.WithCancel(t.Context())
	cancel()
	rest(left, 24*time.Hour, true)
}
