package mirror_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/server/servertest"
)

// upstream is a registry that does as much as is asked of it, and is wrong in the way that a test wants.
type upstream struct {
	*place
	*httptest.Server
	wrong func(w http.ResponseWriter, r *http.Request) (done bool) // nil: never
	asked atomic.Int64                                             // requests
	extra map[string]digest.Digest                                 // tags beside the place's
	mu    sync.Mutex
	moved map[string]digest.Digest // tags that mean something else now, or nothing; guarded by mu
}

// move has a tag mean another image, or nothing. What it means must be in the place's heap before anybody asks.
func (u *upstream) move(tag string, to ocispec.Descriptor) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.moved[tag] = to.Digest
}

// now is what each tag means.
func (u *upstream) now() map[string]digest.Digest {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := map[string]digest.Digest{}
	for tag, d := range u.tags() {
		all[tag] = d.Digest
	}
	maps.Copy(all, u.extra)
	maps.Copy(all, u.moved)
	maps.DeleteFunc(all, func(_ string, d digest.Digest) bool { return d == "" })
	return all
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{place: newPlace(t), extra: map[string]digest.Digest{}, moved: map[string]digest.Digest{}}
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.asked.Add(1)
	if u.wrong != nil && u.wrong(w, r) {
		return
	}
	_, rest, _ := strings.Cut(r.URL.Path, "/v2/team/app/")
	kind, ref, _ := strings.Cut(rest, "/")
	switch {
	case r.URL.Path == "/v2/_catalog":
		fmt.Fprint(w, `{"repositories":["team/app"]}`)
	case kind == "tags":
		names, _ := json.Marshal(slices.Sorted(maps.Keys(u.now())))
		fmt.Fprintf(w, `{"name":"team/app","tags":%s}`, names)
	case kind == "referrers" && ref == u.multi.Digest.String():
		fmt.Fprintf(w, `{"schemaVersion":2,"manifests":[{"mediaType":"%s","digest":"%s","size":1}]}`, ocispec.MediaTypeImageManifest, u.attached.Digest)
	case kind == "referrers":
		fmt.Fprint(w, `{"schemaVersion":2,"manifests":[]}`)
	case kind == "manifests" || kind == "blobs":
		u.content(w, kind, ref)
	default:
		http.NotFound(w, r)
	}
}

func (u *upstream) content(w http.ResponseWriter, kind, ref string) {
	d := digest.Digest(ref)
	if tag, ok := u.now()[ref]; ok {
		d = tag
	}
	content, ok := u.heap[d]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"UNKNOWN","message":"not here"}]}`)
		return
	}
	if kind == "manifests" {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Docker-Content-Digest", d.String())
	}
	_, _ = w.Write(content)
}

// where is how the upstream is named.
func (u *upstream) where() string { return u.URL }

// about says whether a request is for a manifest or blob of the image 1.0.
func (u *upstream) about(r *http.Request, kind, ref string) bool {
	return strings.HasSuffix(r.URL.Path, "/"+kind+"/"+ref)
}

// TestUpstreams imports from registries that are wrong in one way each, and wants what cannot be had refused in words, and the rest here.
func TestUpstreams(t *testing.T) {
	t.Parallel()
	layer := digest.FromString("b") // of 1.0 alone
	type fault struct {
		wrong func(u *upstream, w http.ResponseWriter, r *http.Request) bool
		says  string // of team/app:1.0; "" where it comes all the same
	}
	begin := func(w http.ResponseWriter, length string) {
		w.Header().Set("Content-Length", length)
		w.WriteHeader(http.StatusOK)
	}
	for name, f := range map[string]fault{
		"well": {},
		"a manifest of another digest": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if !u.about(r, "manifests", "1.0") {
				return false
			}
			w.Header().Set("Docker-Content-Digest", u.two.Digest.String())
			_, _ = w.Write(u.heap[u.one.Digest])
			return true
		}, "has the digest"},
		"a blob of other bytes": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				fmt.Fprint(w, "x")
				return true
			}
			return false
		}, "damaged there, or cut off"},
		"a blob that is longer than it should be": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				fmt.Fprint(w, strings.Repeat("b", 5000)) // without a length
				_ = http.NewResponseController(w).Flush()
				fmt.Fprint(w, strings.Repeat("b", 5000))
				return true
			}
			return false
		}, "sends more than the 1 bytes"},
		"a manifest without an end": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if !u.about(r, "manifests", "1.0") {
				return false
			}
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			return true
		}, "has more than"},
		"a manifest of 10 GB": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if !u.about(r, "manifests", "1.0") {
				return false
			}
			begin(w, "10000000000")
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					break
				}
			}
			return true
		}, "has more than"},
		"a blob that breaks off each time": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				begin(w, "1")
				return true // and nothing comes
			}
			return false
		}, "broke off after 0 bytes"},
		"a blob that is not there": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				http.NotFound(w, r)
				return true
			}
			return false
		}, "does not have it"},
		"a redirect to another address of this machine": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				http.Redirect(w, r, "http://127.0.0.2:1/b", http.StatusTemporaryRedirect)
				return true
			}
			return false
		}, "of this machine"},
		"a redirect to a file": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				http.Redirect(w, r, "file:///etc/passwd", http.StatusTemporaryRedirect)
				return true
			}
			return false
		}, "unsupported protocol"},
		"redirects in a circle": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "blobs", layer.String()) {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
				return true
			}
			return false
		}, "redirect"},
		"no Docker-Content-Digest, and JSON for a type": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if !u.about(r, "manifests", "1.0") {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(u.heap[u.one.Digest])
			return true
		}, ""},
		"an image of schema 1": {func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			if u.about(r, "manifests", "1.0") {
				fmt.Fprint(w, `{"schemaVersion":1,"name":"team/app","tag":"1.0","fsLayers":[{"blobSum":"x"}],"history":[]}`)
				return true
			}
			return false
		}, "schema 1"},
		"busy for a while": {func() func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
			var times atomic.Int64
			return func(u *upstream, w http.ResponseWriter, r *http.Request) bool {
				if u.about(r, "blobs", layer.String()) && times.Add(1) < 3 {
					w.WriteHeader(http.StatusTooManyRequests)
					return true
				}
				return false
			}
		}(), ""},
		"405 to referrers": {func(_ *upstream, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return true
			}
			return false
		}, ""},
		"a page for people in place of referrers": {func(_ *upstream, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				fmt.Fprint(w, "<html>Welcome</html>")
				return true
			}
			return false
		}, ""},
		"no referrers API": {func(_ *upstream, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/referrers/") {
				http.NotFound(w, r)
				return true
			}
			return false
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, s := newUpstream(t), servertest.Start(t)
			u.wrong = func(w http.ResponseWriter, r *http.Request) bool { return f.wrong != nil && f.wrong(u, w, r) }
			r, failed := run(t, s, map[string]any{"registry": u.where()})
			want := int64(1)
			if f.says == "" {
				want = 0
			}
			if r.Refused != want || r.Images != 3 || failed != "" || want == 1 && (r.Refusals[0].Reference != "team/app:1.0" || !strings.Contains(r.Refusals[0].Why, f.says)) {
				t.Errorf("%+v %s; want %q", r, failed, f.says)
			}
			for _, m := range r.Refusals {
				if strings.Contains(m.Why, "context canceled") {
					t.Errorf("it says what happened within: %s", m.Why)
				}
			}
			for tag, want := range map[string]int{"1.0": map[bool]int{true: 200, false: 404}[f.says == ""], "2.0": 200, "latest": 200} {
				if status, _ := get(t, s, "/v2/team/app/manifests/"+tag); status != want {
					t.Errorf("%s answers %d, want %d", tag, status, want)
				}
			}
			if problems := fsck(t, s); problems != "" {
				t.Errorf("fsck: %s", problems)
			}
		})
	}
}

// TestCutOff imports from a registry that closes each connection early: at each byte of a manifest, and after each byte of a blob. A blob is
// taken up where it broke, some times; nothing comes that is not whole.
func TestCutOff(t *testing.T) {
	t.Parallel()
	u, s := newUpstream(t), servertest.Start(t)
	short, long := strings.Repeat("s", 40), strings.Repeat("l", 4000)
	u.extra["short"], u.extra["long"] = u.image(t, "amd64", nil, short).Digest, u.image(t, "amd64", nil, long).Digest
	body := u.heap[u.one.Digest]
	var cut atomic.Int64
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		at, content := 0, []byte(nil)
		switch {
		case u.about(r, "manifests", "1.0"):
			content = body
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content[:cut.Load()])
			return true
		case u.about(r, "blobs", digest.FromString(short).String()):
			content = []byte(short)
		case u.about(r, "blobs", digest.FromString(long).String()):
			content = []byte(long)
		default:
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &at); err == nil {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)-at))
			w.WriteHeader(http.StatusPartialContent)
		}
		_, _ = w.Write(content[at : at+1])
		return true
	}
	for _, n := range []int{0, 1, len(body) / 2, len(body) - 1} {
		cut.Store(int64(n))
		r, failed := run(t, s, map[string]any{"registry": u.where(), "repositories": []string{"team/app"}})
		why := map[string]string{}
		for _, m := range r.Refusals {
			why[m.Reference] = m.Why
		}
		if failed != "" || r.Refused != 2 || !strings.Contains(why["team/app:long"], "broke off after") || !strings.Contains(why["team/app:1.0"], fmt.Sprintf("broke off after %d bytes", n)) {
			t.Errorf("cut off after %d bytes: %+v %s", n, r, failed)
		}
		for tag, want := range map[string]int{"1.0": 404, "long": 404, "short": 200, "2.0": 200} {
			if status, _ := get(t, s, "/v2/team/app/manifests/"+tag); status != want {
				t.Errorf("cut off after %d bytes: %s answers %d, want %d", n, tag, status, want)
			}
		}
	}
	cut.Store(int64(len(body)))
	if r, _ := run(t, s, map[string]any{"registry": u.where(), "repositories": []string{"team/app"}}); r.Refused != 1 || r.Came != 1 {
		t.Errorf("not cut off: %+v", r)
	}
	if problems := fsck(t, s); problems != "" {
		t.Errorf("fsck: %s", problems)
	}
}

// TestLists follows lists in pages of each form, and ends those that go round.
func TestLists(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		link string
		says string
	}{
		"relative":  {`</v2/team/app/tags/list?last=2>; rel="next"`, ""},
		"absolute":  {`<URL/v2/team/app/tags/list?last=2>; rel=next`, ""},
		"round":     {`</v2/team/app/tags/list?n=1000>; rel="next"`, "go round"},
		"elsewhere": {`<http://other.example/v2/team/app/tags/list?last=2>; rel="next"`, "which was not asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, s := newUpstream(t), servertest.Start(t)
			u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case !strings.HasSuffix(r.URL.Path, "/tags/list"):
					return false
				case r.URL.Query().Get("last") == "2":
					fmt.Fprint(w, `{"tags":["latest"]}`)
				default:
					w.Header().Set("Link", strings.ReplaceAll(c.link, "URL", u.URL))
					fmt.Fprint(w, `{"tags":["1.0","2.0"]}`)
				}
				return true
			}
			r, _ := run(t, s, map[string]any{"registry": u.where(), "repositories": []string{"team/app"}})
			switch {
			case c.says == "" && (r.Images != 3 || r.Refused != 0):
				t.Errorf("%+v", r)
			case c.says != "" && (r.Refused != 1 || !strings.Contains(r.Refusals[0].Why, c.says)):
				t.Errorf("%+v, want %q", r, c.says)
			}
		})
	}
}

// TestPrivateBlob wants a blob that is here, and that an upstream names and does not have, to stay where it is.
func TestPrivateBlob(t *testing.T) {
	t.Parallel()
	u, s := newUpstream(t), servertest.Start(t)
	ours, blob := newPlace(t), digest.FromString("a secret of ours")
	ours.one = ours.image(t, "amd64", nil, "a secret of ours")
	run(t, s, map[string]any{"path": ours.layout(t, t.TempDir()), "into": "private/app"})
	if status, _ := get(t, s, "/v2/private/app/blobs/"+blob.String()); status != http.StatusOK {
		t.Fatalf("the blob answers %d where it is", status)
	}
	u.extra["steals"] = u.image(t, "amd64", nil, "a secret of ours").Digest
	delete(u.heap, blob)
	r, _ := run(t, s, map[string]any{"registry": u.where(), "into": "theirs"})
	if r.Refused != 1 || !strings.Contains(r.Refusals[0].Why, "does not have it") {
		t.Errorf("%+v", r)
	}
	if status, _ := get(t, s, "/v2/theirs/team/app/blobs/"+blob.String()); status != http.StatusNotFound {
		t.Errorf("the blob answers %d where the upstream named it", status)
	}
}

// TestMovingTag takes each image whole from a registry whose tag moves while it is copied.
func TestMovingTag(t *testing.T) {
	t.Parallel()
	u, s := newUpstream(t), servertest.Start(t)
	var times atomic.Int64
	u.wrong = func(w http.ResponseWriter, r *http.Request) bool {
		if !u.about(r, "manifests", "1.0") {
			return false
		}
		d := []ocispec.Descriptor{u.one, u.two}[times.Add(1)%2]
		w.Header().Set("Docker-Content-Digest", d.Digest.String())
		w.Header().Set("Content-Type", d.MediaType)
		_, _ = w.Write(u.heap[d.Digest])
		return true
	}
	for range 3 {
		if r, failed := run(t, s, map[string]any{"registry": u.where()}); r.Refused != 0 || failed != "" {
			t.Errorf("%+v %s", r, failed)
		}
		_, body := get(t, s, "/v2/team/app/manifests/1.0")
		if d := digest.FromBytes(body); d != u.one.Digest && d != u.two.Digest {
			t.Errorf("it means %s", d)
		}
	}
	if problems := fsck(t, s); problems != "" {
		t.Errorf("fsck: %s", problems)
	}
}
