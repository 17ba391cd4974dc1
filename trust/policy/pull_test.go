package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
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
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/signature"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// TestPusherIsAnswered wants the one who may push to read what a rule refuses, and to be warned; and the one who may only
// pull, also by a token that they made for that, to be refused.
func TestPusherIsAnswered(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	d, err := w.push(repo, "1.0", m, blobs...)
	must(t, err)
	w.allow("paula", access.Push)
	for who, c := range map[string]struct {
		login    string
		answered bool
	}{
		"an administrator": {basic("alice"), true}, "a pusher": {basic("paula"), true}, "a puller": {basic("pat"), false},
		"a pusher's token for a pull": {w.bearer("paula"), true}, "a puller's": {w.bearer("pat"), false},
		"a token that a pusher made for pulls": {w.token("paula", access.Pull), false}, "one for pushes": {w.token("paula", access.Push), true},
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			for _, ref := range []string{"1.0", d.Digest.String()} {
				r, err := http.NewRequest(method, w.http.URL+"/v2/team/app/manifests/"+ref, nil)
				must(t, err)
				r.Header.Set("Authorization", c.login)
				resp, err := http.DefaultClient.Do(r)
				must(t, err)
				must(t, resp.Body.Close())
				want := map[bool]int{true: http.StatusOK, false: http.StatusForbidden}[c.answered]
				warned := strings.HasPrefix(resp.Header.Get("Warning"), `299 - "rule sbom: sbom: It has no SBOM`)
				if resp.StatusCode != want || warned != (c.answered || method == http.MethodHead) {
					t.Errorf("%s, %s %s: %d, %q", who, method, ref, resp.StatusCode, resp.Header.Get("Warning"))
				}
			}
		}
	}
	w.attach(repo, d)
	w.pull(repo, "1.0", "")
	must(t, repo.Tag(context.Background(), d, "2.0"))
	must(t, repo.Delete(context.Background(), d))
}

// bearer is a token as clients ask for one that are about to read.
func (w *world) bearer(user string) string {
	w.t.Helper()
	who := w.who(basic(user))
	issued, err := w.gate.Issue(w.t.Context(), who, access.TokenAsk{Scopes: []string{"repository:team/app:pull"}})
	must(w.t, err)
	return "Bearer " + issued.Token
}

// token is a personal access token for one role.
func (w *world) token(user string, role access.Right) string {
	w.t.Helper()
	_, secret, err := w.gate.AddToken(w.t.Context(), w.who(basic(user)), access.NewToken{Name: "x", Scopes: access.Scopes{access.UpTo(access.Everything, role)}})
	must(w.t, err)
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(user, secret)
	return r.Header.Get("Authorization")
}

func (w *world) who(login string) provenance.Identity {
	w.t.Helper()
	who, err := w.gate.Identify(&http.Request{Header: http.Header{"Authorization": {login}}, RemoteAddr: "127.0.0.1:1"})
	must(w.t, err)
	return who
}

// TestRecursiveCopy copies an image for two platforms, with what makes it good, into an empty repository whose rule
// asks for that. oras reads a platform back before its index is there.
func TestRecursiveCopy(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull, tag", "deny"))
	from, to := w.repo("elsewhere/app"), w.repo("team/app")
	var children []ocispec.Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		m, blobs := imageOf(arch, nil)
		d, err := w.push(from, "", m, blobs...)
		must(t, err)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
		children = append(children, d)
	}
	index, err := w.push(from, "1.0", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children})
	must(t, err)
	if _, err := oras.ExtendedCopy(t.Context(), from, "1.0", to, "1.0", oras.DefaultExtendedCopyOptions); err == nil || !strings.Contains(err.Error(), "rule sbom") {
		t.Errorf("a copy of what has no SBOM: %v", err)
	}
	w.attach(from, index)
	_, err = oras.ExtendedCopy(t.Context(), from, "1.0", to, "1.0", oras.DefaultExtendedCopyOptions)
	must(t, err)
	w.pull(to, "1.0", "")
	w.pull(to, children[1].Digest.String(), "")
}

// wait gives a channel's value, or fails the test where none comes.
func wait[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatal(what)
	}
	return v
}

// underWay begins a pull of a new image, and returns when all that is attached to it was read, and nothing decided.
// The pull ends when goOn is called.
func (w *world) underWay(t *testing.T) (d ocispec.Descriptor, ends <-chan error, goOn func()) {
	t.Helper()
	m, blobs := imageOf("one", map[string]string{
		ocispec.AnnotationBaseImageName: "base.example/x:1", ocispec.AnnotationBaseImageDigest: digest.FromString("x").String(),
	})
	d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(t, err)
	began, blocked := make(chan bool, 1), make(chan struct{})
	var another atomic.Bool
	w.resolve = func(context.Context, image.Named) (image.Meaning, error) {
		if !another.Swap(true) {
			began <- true
			<-blocked
		}
		return image.Meaning{Now: d.Digest}, nil
	}
	pull := w.pulling(d)
	wait(t, began, "no base was looked up")
	return d, pull, sync.OnceFunc(func() { close(blocked) })
}

func (w *world) pulling(d ocispec.Descriptor) <-chan error {
	ends := make(chan error, 1)
	go func() { _, err := w.pulled(context.Background(), d.Digest); ends <- err }()
	return ends
}

// TestOtherRulesMeanwhile wants a pull that begins under other rules to be answered by these, while a decision by
// the former ones is under way.
func TestOtherRulesMeanwhile(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	d, former, goOn := w.underWay(t)
	defer goOn()
	w.use(`rules: [{name: never, repositories: "**", at: pull, require: 'repository == ""', owner: alice}]`)
	if err := wait(t, w.pulling(d), "a pull waits for a decision by rules that are not in force"); err == nil || !strings.Contains(err.Error(), "rule never") {
		t.Errorf("it is answered by other rules than those in force: %v", err)
	}
	goOn()
	if err := wait(t, former, "it goes on for ever"); err == nil || !registry.IsRefusal(err) {
		t.Errorf("the former: %v", err)
	}
}

// TestAttachedMeanwhile wants a pull to know what was attached before it began, while a decision is under way that
// has read what is attached already.
func TestAttachedMeanwhile(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	d, former, goOn := w.underWay(t)
	defer goOn()
	w.attach(w.repo("team/app"), d)
	if err := wait(t, w.pulling(d), "a pull waits for a decision that knows less"); err != nil {
		t.Errorf("what was attached is not known: %v", err)
	}
	goOn()
	if err := wait(t, former, "it goes on for ever"); err != nil {
		t.Errorf("the change came before it was over, and it is answered as if there was none: %v", err)
	}
}

// TestReportOfOtherTrust wants a report to be kept under whom it was made with, and not under whom the rules were
// put in force with: a reload changes one after the other.
func TestReportOfOtherTrust(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "warn"))
	m, blobs := imageOf("one", nil)
	d, err := w.push(w.repo("team/app"), "1.0", m, blobs...)
	must(t, err)
	file := filepath.Join(t.TempDir(), "trust.yaml")
	must(t, os.WriteFile(file, []byte("keys: []\n"), 0o600))
	w.trust, err = signature.ReadFile(file)
	must(t, err)
	w.subject = "of other trust"
	w.pull(w.repo("team/app"), "1.0", "")
	w.trust, w.subject = nil, "made anew"
	c, err := w.asked(t, registry.RepoDigest{Repository: "team/app", Digest: d.Digest})
	must(t, err)
	kept, err := w.storedReport(t.Context(), c)
	if err != nil || !strings.HasPrefix(kept.Subject, "made anew") {
		t.Errorf("the report of before counts: %v, %v", kept.Subject, err)
	}
}

// TestChildrenBehindMany wants a decision to know of what is attached to a platform that stands behind many others
// of BuildKit's attestations, none of which is there.
func TestChildrenBehindMany(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	child, err := w.push(repo, "", m, blobs...)
	must(t, err)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for n := range provenance.MaxChildren + 1 {
		index.Manifests = append(index.Manifests, ocispec.Descriptor{
			MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(n)), Size: 1,
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		})
	}
	index.Manifests = append(index.Manifests, child)
	_, err = w.push(repo, "1.0", index)
	must(t, err)
	w.pull(repo, "1.0", "rule sbom")
	w.attach(repo, child)
	w.pull(repo, "1.0", "")
	w.restart()
	w.pull(repo, "1.0", "")
}

// TestWrongSizes wants an image with wrong sizes to be graded as any other, its report to say so, also where it is
// inspected from outside, and rules about the manifest to be asked of documents too.
func TestWrongSizes(t *testing.T) {
	const rules = `rules:
  - {name: sizes, repositories: "strict/*", at: [push, pull], require: manifest.sizesTrue, owner: alice}
  - {name: types, repositories: "typed/*", at: push, require: 'manifest.artifactType.matches("^([^/]+/[^/]+)?$")', owner: alice}
  - {name: reported, repositories: "reported/*", at: push, require: 'report.check("sizes-true").result == "pass"', owner: alice}`
	w := newWorld(t, rules)
	m, blobs := imageOf("one", nil)
	for _, repo := range []string{"strict/app", "typed/app", "reported/app"} {
		_, err := w.push(w.repo(repo), "", m, blobs...)
		must(t, err)
	}
	m.Layers[0].Size = 9e18
	m.Layers = append(m.Layers, m.Layers[0], m.Config)
	m.Config.Size++
	refused := func(repo, says string) {
		t.Helper()
		if _, err := w.push(w.repo(repo), "1.0", m, blobs...); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", repo, err, says)
		}
	}
	refused("strict/app", "rule sizes: it is "+ocispec.MediaTypeImageManifest+", with wrong sizes; alice")
	refused("reported/app", "rule reported: sizes-true: Its manifest has 2 wrong sizes")
	m.ArtifactType = "sbom"
	refused("typed/app", "of type sbom, with wrong sizes; alice can change it")
	doc := []byte("{}")
	signature := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "x;y", Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{{MediaType: "application/vnd.in-toto+json", Digest: digest.FromBytes(doc), Size: 3}},
	}
	if _, err := w.push(w.repo("strict/app"), "sig", signature, doc); err == nil || !strings.Contains(err.Error(), "of type x;y, with wrong sizes") {
		t.Errorf("a document: %v", err)
	}
	w.use("rules: []")
	d, err := w.push(w.repo("strict/app"), "1.0", m, blobs...)
	must(t, err)
	w.use(rules)
	w.pull(w.repo("strict/app"), "1.0", "rule sizes")
	for name, from := range map[string]image.Source{"within": image.Local{From: w.c.Registry, Repository: "strict/app", Absent: registry.ErrUnknown}, "from outside": w.remote("strict/app")} {
		r, err := image.Inspect(t.Context(), from, d.Digest.String(), image.Config{Subject: name})
		must(t, err)
		for _, c := range r.Checks {
			if c.ID == trust.ImageSizes && (c.Result != trust.Fail || c.Of != 0) || c.ID == trust.ImageUser && c.Result != trust.Pass || strings.Contains(c.Says, "-") && c.ID == trust.ImageSize {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
	size, wrong, err := w.c.Registry.Measure(t.Context(), "strict/app", d.Digest)
	if err != nil || len(wrong) != 2 || size != int64(len(blobs[0])+len(blobs[1])) {
		t.Errorf("it measures %d bytes, %+v, %v", size, wrong, err)
	}
}

// remote is a repository as a stranger's registry over TLS.
func (w *world) remote(name string) image.Source {
	w.t.Helper()
	s := httptest.NewTLSServer(w.http.Config.Handler)
	w.t.Cleanup(s.Close)
	r, err := image.NewRemote(strings.TrimPrefix(s.URL, "https://")+"/"+name, &auth.Client{Client: s.Client(), Header: http.Header{"Authorization": {basic("alice")}}})
	must(w.t, err)
	return r
}

// TestLateSizes wants a decision about sizes to end when something comes whose size the image has wrong: a foreign layer of it or of a
// platform, a manifest that an index lists, a subject; also where the report was kept, and where very much is absent.
func TestLateSizes(t *testing.T) {
	const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	late := []byte("late")
	wrong := ocispec.Descriptor{MediaType: foreign, Digest: digest.FromBytes(late), Size: 1}
	lateImage, lateBlobs := imageOf("late", nil)
	lateBody, err := json.Marshal(lateImage)
	must(t, err)
	index := func(children ...ocispec.Descriptor) ocispec.Index {
		return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: children}
	}
	wrongImage := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromBytes(lateBody), Size: 1}
	m, blobs := imageOf("one", nil)
	withLayer, withMany, withSubject := m, m, m
	withLayer.Layers = append(slices.Clone(m.Layers), wrong)
	withMany.Layers = slices.Clone(m.Layers)
	for i := range 200 {
		withMany.Layers = append(withMany.Layers, ocispec.Descriptor{MediaType: foreign, Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	withMany.Layers = append(withMany.Layers, wrong)
	withSubject.Subject = &wrongImage
	pushBlob := func(w *world, repo *remote.Repository) {
		must(t, repo.Blobs().Push(t.Context(), content.NewDescriptorFromBytes("", late), bytes.NewReader(late)))
	}
	mount := func(w *world, repo *remote.Repository) {
		elsewhere := w.repo("elsewhere/app")
		pushBlob(w, elsewhere)
		must(t, repo.Mount(t.Context(), content.NewDescriptorFromBytes("", late), "elsewhere/app", nil))
	}
	pushImage := func(w *world, repo *remote.Repository) {
		_, err := w.push(repo, "", lateImage, lateBlobs...)
		must(t, err)
	}
	for name, c := range map[string]struct {
		manifest any
		arrive   func(*world, *remote.Repository)
	}{
		"a foreign layer": {withLayer, pushBlob}, "a foreign layer by a mount": {withLayer, mount}, "one of many": {withMany, pushBlob},
		"a child": {index(wrongImage), pushImage}, "a subject": {withSubject, pushImage},
	} {
		for _, rule := range []string{"manifest.sizesTrue", `report.check("sizes-true").result != "fail"`} {
			for _, again := range []string{"remembered", "kept"} {
				t.Run(name+" "+rule+" "+again, func(t *testing.T) {
					w := newWorld(t, `rules: [{name: sizes, repositories: "team/*", at: pull, owner: alice, require: '`+rule+`'}]`)
					repo := w.repo("team/app")
					_, err := w.push(repo, "1.0", c.manifest, blobs...)
					must(t, err)
					w.pull(repo, "1.0", "")
					if again == "kept" {
						w.decided.Purge()
					}
					c.arrive(w, repo)
					w.pull(repo, "1.0", "rule sizes")
					w.Forget()
					w.pull(repo, "1.0", "rule sizes")
				})
			}
		}
	}
}

// TestReadBeforeAttached wants a pull whose manifest was read before something was attached to know of it, and so a platform
// and its index.
func TestReadBeforeAttached(t *testing.T) {
	w := newWorld(t, fmt.Sprintf(sbomRule, "pull", "deny"))
	repo := w.repo("team/app")
	m, blobs := imageOf("one", nil)
	child, err := w.push(repo, "", m, blobs...)
	must(t, err)
	index, err := w.push(repo, "1.0", ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child}})
	must(t, err)
	w.pull(repo, "1.0", "rule sbom") // its report is kept
	w.decided.Purge()
	var read []registry.Reading
	for _, d := range []digest.Digest{child.Digest, index.Digest} {
		p, err := w.c.Registry.Reading(t.Context(), "team/app", d)
		must(t, err)
		read = append(read, p)
	}
	w.attach(repo, child)
	for _, p := range read {
		if _, err := w.Pull(t.Context(), p); err != nil {
			t.Errorf("%s: what was attached is not known: %v", p.Digest, err)
		}
	}
}
