package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
	"github.com/seed-260924e6/hallmark/storage/files"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"golang.org/x/crypto/bcrypt"
)

var background = context.Background()

// server is a registry with the users alice and bob, reached over HTTP. Every closure of its store runs
// twice.
type server struct {
	*Registry
	t    testing.TB
	dir  string
	http *httptest.Server
	stop func()
}

const password = "correct horse"

func startServer(t testing.TB, dir string, c Config) *server {
	t.Helper()
	if c.Reserve == 0 {
		c.Reserve = 1
	}
	store := engines.Open(t, filepath.Join(dir, "store.db"))
	s := &server{t: t, dir: dir}
	rows := storagetest.Twice(store)
	s.Registry = newRegistry(t, rows, openBlobs(t, dir, rows), c)
	s.http = httptest.NewServer(s.Registry)
	s.stop = func() {
		s.http.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })
	return s
}

// openBlobs opens the blobs of a server in a directory, by whichever engine the tests are run over.
func openBlobs(t testing.TB, dir string, rows storage.Store) storage.Blobs {
	t.Helper()
	if s3test.Wanted() {
		return s3test.Blobs(t, dir, rows)
	}
	blobs, err := files.Open(filepath.Join(dir, "blobs"), "")
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

// noRecords keeps the records of grants out of the book, whose records these tests count.
type noRecords struct{}

func (noRecords) RightsOnRecord(storage.Reader, uint64, digest.Digest) error { return nil }

func (noRecords) Append(storage.Tx, provenance.Event) (*provenance.Record, error) { return nil, nil }

func newRegistry(t testing.TB, store storage.Store, blobs storage.Blobs, c Config) *Registry {
	t.Helper()
	book, err := provenance.NewBook(store, "https://registry.example")
	if err != nil {
		t.Fatal(err)
	}
	gate, err := access.New(background, store, access.Config{URL: "https://registry.example", Book: noRecords{}, BcryptCost: bcrypt.MinCost})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "bob"} {
		if _, err := gate.AddUser(background, access.Operator, name, password, true); err != nil && !errors.Is(err, access.ErrUserExists) {
			t.Fatal(err)
		}
	}
	if err := book.Begin(background, testKeys()); err != nil {
		t.Fatal(err)
	}
	g, err := New(background, store, blobs, book, gate, slog.New(slog.DiscardHandler), c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// testKeys are the keys of all registries of this test.
var testKeys = sync.OnceValue(func() provenance.Keys {
	keys, err := provenance.GenerateKeys()
	if err != nil {
		panic(err)
	}
	return keys
})

// restart stops the server and starts another on the same files.
func (s *server) restart() *server {
	s.t.Helper()
	s.stop()
	return startServer(s.t, s.dir, s.c)
}

// wantClean runs a deep check.
func (s *server) wantClean() {
	s.t.Helper()
	if _, err := s.Check(background, true, func(err error) { s.t.Errorf("fsck: %v", err) }); err != nil {
		s.t.Error(err)
	}
	if _, err := s.book.Check(background, func(err error) { s.t.Errorf("fsck: %v", err) }); err != nil {
		s.t.Error(err)
	}
}

// answer is a response with its body read.
type answer struct {
	status int
	header http.Header
	body   string
}

// code is the first error code of an answer.
func (a answer) code() string {
	var e errorBody
	if json.Unmarshal([]byte(a.body), &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Code
}

// option changes a request before it is sent.
type option func(*http.Request)

func as(user string) option { return func(r *http.Request) { r.SetBasicAuth(user, password) } }

func header(name, value string) option {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (s *server) do(method, path string, body io.Reader, options ...option) answer {
	s.t.Helper()
	r, err := http.NewRequest(method, s.http.URL+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	r.SetBasicAuth("alice", password)
	for _, o := range options {
		o(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

// want checks a status, and the error code when there is one.
func (s *server) want(got answer, status int, code string) answer {
	s.t.Helper()
	if got.status != status || got.code() != code {
		s.t.Errorf("status %d, code %q; want %d, %q\n%s", got.status, got.code(), status, code, got.body)
	}
	var e errorBody
	if json.Unmarshal([]byte(got.body), &e) == nil && len(e.Errors) > 0 && len(e.Errors[0].Message) >= 200 {
		s.t.Errorf("a message of %d bytes: %s", len(e.Errors[0].Message), e.Errors[0].Message)
	}
	return got
}

// pushBlob uploads a blob the way docker does: POST, PATCH, PUT.
func (s *server) pushBlob(repo, content string, options ...option) ocispec.Descriptor {
	s.t.Helper()
	d := digest.FromString(content)
	begun := s.want(s.do("POST", "/v2/"+repo+"/blobs/uploads/", nil, options...), 202, "")
	sent := s.want(s.do("PATCH", begun.header.Get("Location"), strings.NewReader(content), options...), 202, "")
	done := s.want(s.do("PUT", withDigest(sent.header.Get("Location"), d), nil, options...), 201, "")
	if got := done.header.Get("Docker-Content-Digest"); got != d.String() {
		s.t.Errorf("blob pushed under %s, want %s", got, d)
	}
	return descriptorOf(content)
}

func descriptorOf(content string) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromString(content), Size: int64(len(content))}
}

func withDigest(location string, d digest.Digest) string {
	if strings.Contains(location, "?") {
		return location + "&digest=" + d.String()
	}
	return location + "?digest=" + d.String()
}

// image is a pushed image.
type image struct {
	digest digest.Digest
	body   string
	record string
}

// pushImage pushes an image of one layer, under a tag or, with none, under its digest.
func (s *server) pushImage(repo, tag, content string, options ...option) image {
	s.t.Helper()
	config := s.pushBlob(repo, configOf(content), options...)
	layer := s.pushBlob(repo, "layer "+content, options...)
	return s.pushManifest(repo, tag, imageManifest(config, layer), options...)
}

func configOf(content string) string {
	return fmt.Sprintf(`{"config":{"Labels":{"org.opencontainers.image.source":"https://git.example/%s"}}}`, content)
}

func imageManifest(config ocispec.Descriptor, layers ...ocispec.Descriptor) string {
	config.MediaType = ocispec.MediaTypeImageConfig
	return marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": append([]ocispec.Descriptor{}, layers...),
	})
}

func marshal(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (s *server) pushManifest(repo, ref, body string, options ...option) image {
	s.t.Helper()
	d := digest.FromString(body)
	if ref == "" {
		ref = d.String()
	}
	got := s.want(s.putManifest(repo, ref, body, options...), 201, "")
	return image{digest: d, body: body, record: got.header.Get("Hallmark-Record")}
}

func (s *server) putManifest(repo, ref, body string, options ...option) answer {
	s.t.Helper()
	return s.do("PUT", "/v2/"+repo+"/manifests/"+ref, strings.NewReader(body), options...)
}

func (s *server) record(index string) *provenance.Record {
	s.t.Helper()
	var n uint64
	if _, err := fmt.Sscan(index, &n); err != nil {
		s.t.Fatalf("record %q: %v", index, err)
	}
	r, err := s.book.Get(background, n)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func TestPushAndPull(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	pushed := s.pushImage("team/app", "1.0", "one")
	for _, ref := range []string{"1.0", pushed.digest.String()} {
		path := "/v2/team/app/manifests/" + ref
		got := s.want(s.do("GET", path, nil), 200, "")
		if got.body != pushed.body {
			t.Errorf("%s: pulled\n%s\nwant\n%s", ref, got.body, pushed.body)
		}
		for name, want := range map[string]string{
			"Content-Type":          ocispec.MediaTypeImageManifest,
			"Docker-Content-Digest": pushed.digest.String(),
			"Etag":                  `"` + pushed.digest.String() + `"`,
			"Hallmark-Record":       "0",
			"Link":                  `</api/v1/records/0>; rel="describedby"`,
			"Content-Length":        fmt.Sprint(len(pushed.body)),
		} {
			if got := got.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", ref, name, got, want)
			}
		}
		head := s.want(s.do("HEAD", path, nil), 200, "")
		if head.body != "" || head.header.Get("Content-Length") != fmt.Sprint(len(pushed.body)) {
			t.Errorf("HEAD: %q, %v", head.body, head.header)
		}
		s.want(s.do("GET", path, nil, header("If-None-Match", `W/"x", "`+pushed.digest.String()+`"`)), 304, "")
		s.want(s.do("GET", path, nil, header("If-None-Match", `"sha256:x"`)), 200, "")
	}
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(pushed.body), &m); err != nil {
		t.Fatal(err)
	}
	blob := "/v2/team/app/blobs/" + m.Layers[0].Digest.String()
	if got := s.want(s.do("GET", blob, nil), 200, ""); got.body != "layer one" {
		t.Errorf("pulled layer %q", got.body)
	}
	if got := s.want(s.do("GET", blob, nil, header("Range", "bytes=6-")), 206, ""); got.body != "one" {
		t.Errorf("a range: %q", got.body)
	}
	s.want(s.do("GET", blob, nil, header("Range", "bytes=100-")), 416, "RANGE_INVALID")
	s.want(s.do("GET", blob, nil, header("If-None-Match", `"`+m.Layers[0].Digest.String()+`"`)), 304, "")
	if got := s.want(s.do("HEAD", blob, nil), 200, ""); got.header.Get("Content-Length") != "9" {
		t.Errorf("HEAD of a layer: %v", got.header)
	}
	s.wantClean()
}

// TestRecord reads what a push leaves behind.
func TestRecord(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	first := s.pushImage("team/app", "1.0", "one")
	second := s.pushImage("team/app", "1.0", "two", as("bob"), header("User-Agent", "test/1"), header("X-Forwarded-For", "198.51.100.1"))
	r := s.record(second.record)
	if r.Action != provenance.Push || r.Repository != "team/app" || r.Digest != second.digest || r.Registry != "https://registry.example" {
		t.Errorf("record %+v", r)
	}
	move := provenance.TagMove{Name: "1.0", Previous: first.digest, Now: second.digest, Since: &s.record(first.record).Index}
	if len(r.Tags) != 1 || !reflect.DeepEqual(r.Tags[0], move) {
		t.Errorf("tags %+v", r.Tags)
	}
	if before := s.record(first.record); r.Manifest != provenance.ManifestAdded || *r.Before != before.Index || before.Before != nil {
		t.Errorf("%s after record %v, whose own is %v", r.Manifest, r.Before, before.Before)
	}
	if r.Actor.Handle != "bob" || r.Actor.Account == "" || r.Authenticated.Identity != "bob" || r.Authenticated.Credential == "" {
		t.Errorf("actor %+v, login %+v", r.Actor, r.Authenticated)
	}
	if o := r.Observed; o.Size != int64(len(second.body)) || o.ImageSize != 9+int64(len(configOf("two"))) || o.MediaType != ocispec.MediaTypeImageManifest {
		t.Errorf("observed %+v", o)
	}
	if len(r.Claimed) != 1 || r.Claimed[0] != (provenance.Claim{
		Fact: "source", Value: "https://git.example/two", About: second.digest, From: "label org.opencontainers.image.source",
	}) {
		t.Errorf("claimed %+v", r.Claimed)
	}
	if u := r.Unsigned; u == nil || u.ClientAddress != "127.0.0.1" || u.UserAgent != "test/1" || u.ForwardedFor != "198.51.100.1" {
		t.Errorf("unsigned %+v", u)
	}
	again := s.pushManifest("team/app", "1.0", second.body)
	if again.record == second.record {
		t.Error("a push of the same again has no record of its own")
	}
	if got := s.do("GET", "/v2/team/app/manifests/"+second.digest.String(), nil); got.header.Get("Hallmark-Record") != second.record {
		t.Errorf("by digest: record %s, want that of the first arrival, %s", got.header.Get("Hallmark-Record"), second.record)
	}
	if got := s.do("GET", "/v2/team/app/manifests/1.0", nil); got.header.Get("Hallmark-Record") != again.record {
		t.Errorf("by tag: record %s, want that of the last move, %s", got.header.Get("Hallmark-Record"), again.record)
	}
	s.wantClean()
}

func TestDockerTypes(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config, layer := s.pushBlob("app", `{"created":"2026-01-02T03:04:05Z","config":{"Labels":{"org.opencontainers.image.source":"https://git.example/app"}}}`), s.pushBlob("app", "layer")
	const docker = "application/vnd.docker.distribution.manifest.v2+json"
	body := strings.Replace(imageManifest(config, layer), ocispec.MediaTypeImageManifest, docker, 1)
	child := s.pushManifest("app", "", body, header("Content-Type", docker))
	const list = "application/vnd.docker.distribution.manifest.list.v2+json"
	index := s.pushManifest("app", "multi", marshal(map[string]any{
		"schemaVersion": 2, "mediaType": list,
		"manifests": []any{map[string]any{
			"mediaType": docker, "size": len(body), "digest": child.digest,
			"platform": map[string]any{"os": "linux", "architecture": "arm64", "variant": "v8"},
		}},
	}), header("Content-Type", list+"; charset=utf-8"))
	if got := s.do("GET", "/v2/app/manifests/multi", nil); got.header.Get("Content-Type") != list {
		t.Errorf("Content-Type %q", got.header.Get("Content-Type"))
	}
	r := s.record(index.record)
	if len(r.Observed.Children) != 1 || r.Observed.Children[0] != (provenance.Child{Digest: child.digest, Platform: "linux/arm64/v8"}) {
		t.Errorf("children %+v", r.Observed.Children)
	}
	if len(r.Claimed) != 1 || r.Claimed[0].Fact != "source" || r.Claimed[0].About != child.digest {
		t.Errorf("an index repeats where its children claim to come from: %+v", r.Claimed)
	}
	s.wantClean()
}

// TestLargeManifest pushes one that does not fit into the store.
func TestLargeManifest(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config := s.pushBlob("app", "{}")
	m := marshal(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": []any{},
		"annotations": map[string]string{"filler": strings.Repeat("x", 100<<10)},
	})
	pushed := s.pushManifest("app", "large", m)
	s = s.restart()
	if got := s.want(s.do("GET", "/v2/app/manifests/large", nil), 200, ""); got.body != m {
		t.Errorf("pulled %d bytes of %d", len(got.body), len(m))
	}
	s.want(s.do("DELETE", "/v2/app/blobs/"+pushed.digest.String(), nil), 403, "DENIED")
	s.wantClean()
	s.want(s.do("DELETE", "/v2/app/manifests/"+pushed.digest.String(), nil), 202, "")
	s.wantClean()
}

func TestTagsAndCatalog(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for _, tag := range []string{"b", "a", "A", "10", "9", "latest"} {
		s.pushImage("team/app", tag, "same")
	}
	s.pushImage("team", "x", "x")
	s.pushImage("team/app2", "x", "x")
	all := func(path, key string) string {
		var found []string
		for path != "" {
			got := s.want(s.do("GET", path, nil), 200, "")
			var body map[string]json.RawMessage
			var names []string
			if err := errors.Join(json.Unmarshal([]byte(got.body), &body), json.Unmarshal(body[key], &names)); err != nil {
				t.Fatal(err)
			}
			found = append(found, names...)
			path, _, _ = strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), ">")
		}
		return strings.Join(found, " ")
	}
	for _, n := range []string{"", "?n=1", "?n=2", "?n=5", "?n=6", "?n=100000"} {
		if got := all("/v2/team/app/tags/list"+n, "tags"); got != "10 9 A a b latest" {
			t.Errorf("tags%s: %q", n, got)
		}
		if got := all("/v2/_catalog"+n, "repositories"); got != "team team/app team/app2" {
			t.Errorf("catalog%s: %q", n, got)
		}
	}
	if got := all("/v2/team/app/tags/list?last=a&n=0", "tags"); got != "" {
		t.Errorf("n=0: %q", got)
	}
	if got := all("/v2/team/app/tags/list?last=a", "tags"); got != "b latest" {
		t.Errorf("behind a: %q", got)
	}
	for _, n := range []string{"-1", "x", "1e3", "99999999999999999999"} {
		s.want(s.do("GET", "/v2/team/app/tags/list?n="+n, nil), 400, "PAGINATION_NUMBER_INVALID")
	}
	s.want(s.do("GET", "/v2/nothing/tags/list", nil), 404, "NAME_UNKNOWN")
	s.wantClean()
}

func TestDelete(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("team/app", "1.0", "one")
	again := s.record(s.pushManifest("team/app", "latest", one.body).record)
	two := s.pushImage("team/app", "2.0", "two")
	s.want(s.do("DELETE", "/v2/team/app/manifests/latest", nil, as("bob"), header("If-Match", `"sha256:another"`)), 412, "DENIED")
	got := s.want(s.do("DELETE", "/v2/team/app/manifests/latest", nil, as("bob"), header("If-Match", `"x", "`+one.digest.String()+`"`)), 202, "")
	move := provenance.TagMove{Name: "latest", Previous: one.digest, Since: &again.Index}
	if r := s.record(got.header.Get("Hallmark-Record")); r.Action != provenance.Untag || r.Digest != one.digest || again.Manifest != provenance.ManifestAgain ||
		len(r.Tags) != 1 || !reflect.DeepEqual(r.Tags[0], move) || r.Actor.Handle != "bob" {
		t.Errorf("record %+v", r)
	}
	s.want(s.do("GET", "/v2/team/app/manifests/latest", nil), 404, "MANIFEST_UNKNOWN")
	s.want(s.do("DELETE", "/v2/team/app/manifests/latest", nil), 404, "MANIFEST_UNKNOWN")
	s.want(s.do("GET", "/v2/team/app/manifests/1.0", nil), 200, "")
	got = s.want(s.do("DELETE", "/v2/team/app/manifests/"+one.digest.String(), nil), 202, "")
	if r := s.record(got.header.Get("Hallmark-Record")); r.Action != provenance.Delete || r.Digest != one.digest ||
		len(r.Tags) != 1 || r.Tags[0].Name != "1.0" {
		t.Errorf("record %+v", r)
	}
	for _, ref := range []string{"1.0", one.digest.String()} {
		s.want(s.do("GET", "/v2/team/app/manifests/"+ref, nil), 404, "MANIFEST_UNKNOWN")
	}
	s.wantClean()
	s.want(s.do("GET", "/v2/team/app/tags/list", nil), 200, "")
	s.want(s.do("DELETE", "/v2/team/app/manifests/"+two.digest.String(), nil), 202, "")
	s.want(s.do("GET", "/v2/team/app/tags/list", nil), 404, "NAME_UNKNOWN")
	if got := s.do("GET", "/v2/_catalog", nil); got.body != `{"repositories":[]}`+"\n" {
		t.Errorf("catalog %s", got.body)
	}
	s.wantClean()
	back := s.pushManifest("team/app", "1.0", one.body)
	if got := s.do("GET", "/v2/team/app/manifests/"+one.digest.String(), nil); got.header.Get("Hallmark-Record") != back.record {
		t.Errorf("pushed again after a delete: record %s, want %s", got.header.Get("Hallmark-Record"), back.record)
	}
	s.wantClean()
}

// TestDeleteManyTags removes a manifest with more tags than a record may move.
func TestDeleteManyTags(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "", "one")
	tags := s.tagMany("app", one, 2*provenance.MaxTags+50)
	s.want(s.do("DELETE", "/v2/app/manifests/"+one.digest.String(), nil), 202, "")
	for _, tag := range []string{tags[0], tags[100], tags[249]} {
		s.want(s.do("GET", "/v2/app/manifests/"+tag, nil), 404, "MANIFEST_UNKNOWN")
		moves, _, err := s.book.History(background, "app", tag, nil, 1)
		if err != nil || len(moves) != 1 || moves[0].To != "" {
			t.Errorf("history of %s: %+v, %v", tag, moves, err)
		}
	}
	s.wantClean()
}

func TestBlobs(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("team/app", "1.0", "one")
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(one.body), &m); err != nil {
		t.Fatal(err)
	}
	layer := m.Layers[0].Digest
	t.Run("visible where it was pushed only", func(t *testing.T) {
		s.want(s.do("GET", "/v2/other/blobs/"+layer.String(), nil), 404, "BLOB_UNKNOWN")
		s.want(s.do("HEAD", "/v2/other/blobs/"+layer.String(), nil), 404, "")
	})
	t.Run("mount", func(t *testing.T) {
		got := s.want(s.do("POST", "/v2/other/blobs/uploads/?mount="+layer.String()+"&from=team/app", nil), 201, "")
		if got.header.Get("Location") != "/v2/other/blobs/"+layer.String() || got.header.Get("Docker-Content-Digest") != layer.String() {
			t.Errorf("headers %v", got.header)
		}
		s.want(s.do("GET", "/v2/other/blobs/"+layer.String(), nil), 200, "")
		for _, query := range []string{
			"mount=" + layer.String() + "&from=nowhere", "mount=" + digest.FromString("no").String() + "&from=team/app",
			"mount=nonsense&from=team/app", "mount=" + layer.String() + "&from=../etc",
		} {
			got := s.want(s.do("POST", "/v2/third/blobs/uploads/?"+query, nil), 202, "")
			s.want(s.do("DELETE", got.header.Get("Location"), nil), 204, "")
		}
	})
	t.Run("delete", func(t *testing.T) {
		got := s.want(s.do("DELETE", "/v2/team/app/blobs/"+layer.String(), nil), 403, "DENIED")
		if !strings.Contains(got.body, one.digest.String()) {
			t.Errorf("it does not say who needs it: %s", got.body)
		}
		s.want(s.do("DELETE", "/v2/other/blobs/"+layer.String(), nil), 202, "")
		s.want(s.do("DELETE", "/v2/other/blobs/"+layer.String(), nil), 404, "BLOB_UNKNOWN")
		s.want(s.do("GET", "/v2/other/blobs/"+layer.String(), nil), 404, "BLOB_UNKNOWN")
		s.want(s.do("GET", "/v2/team/app/blobs/"+layer.String(), nil), 200, "")
	})
	s.wantClean()
}

func TestMissingBlobFile(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "1.0", "one")
	layer := digest.FromString("layer one")
	s.harm(layer, harms["lost"])
	var found []error
	if _, err := s.Check(background, false, func(err error) { found = append(found, err) }); err != nil || len(found) != 1 {
		t.Errorf("fsck found %v, %v", found, err)
	}
	got := s.want(s.do("GET", "/v2/app/blobs/"+layer.String(), nil), 404, "BLOB_UNKNOWN")
	if !strings.Contains(got.body, "push it again") {
		t.Errorf("it says %s", got.body)
	}
	s.want(s.do("HEAD", "/v2/app/blobs/"+layer.String(), nil), 404, "")
	s.pushBlob("app", "layer one")
	s.want(s.do("GET", "/v2/app/blobs/"+layer.String(), nil), 200, "")
	s.wantClean()
}

func (s *server) blobRow(d digest.Digest) (row blobRow, err error) {
	err = s.store.View(background, func(tx storage.Reader) error {
		row, err = readBlobRow(tx, d)
		return err
	})
	return row, err
}

// TestNothingWithoutLogin asks every kind of path.
func TestNothingWithoutLogin(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "1.0", "one")
	none := func(r *http.Request) { r.Header.Del("Authorization") }
	wrong := func(r *http.Request) { r.SetBasicAuth("alice", "wrong password") }
	for _, path := range []string{
		"/v2/", "/v2", "/v2/_catalog", "/v2/app/tags/list", "/v2/app/manifests/1.0", "/v2/app/blobs/" + digest.FromString("layer one").String(),
		"/v2/app/blobs/uploads/", "/v2/nowhere", "/v2/app/blobs/uploads/x",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"} {
			code := "UNAUTHORIZED"
			if method == "HEAD" {
				code = ""
			}
			got := s.want(s.do(method, path, nil, none), 401, code)
			if !strings.HasPrefix(got.header.Get("Www-Authenticate"), "Bearer ") {
				t.Errorf("%s %s: no challenge", method, path)
			}
		}
	}
	s.want(s.do("GET", "/v2/", nil, wrong), 401, "UNAUTHORIZED")
	if got := s.want(s.do("GET", "/v2/", nil), 200, ""); got.body != "{}" {
		t.Errorf("base: %q", got.body)
	}
}

func TestBadManifests(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config := s.pushBlob("app", "{}")
	good := imageManifest(config)
	foreign := s.pushBlob("elsewhere", "a layer of another repository")
	edit := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s holds no %s", good, old)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	for name, c := range map[string]struct {
		body   string
		status int
		code   string
	}{
		"empty":                 {"", 400, "MANIFEST_INVALID"},
		"no JSON":               {"hello", 400, "MANIFEST_INVALID"},
		"half":                  {good[:len(good)/2], 400, "MANIFEST_INVALID"},
		"more behind":           {good + "{}", 400, "MANIFEST_INVALID"},
		"a list":                {"[" + good + "]", 400, "MANIFEST_INVALID"},
		"null":                  {"null", 400, "MANIFEST_INVALID"},
		"nested":                {strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000), 400, "MANIFEST_INVALID"},
		"nested lists":          {strings.Repeat("[", 1<<20), 400, "MANIFEST_INVALID"},
		"key twice":             {edit(`"layers"`, `"layers":[],"layers"`), 400, "MANIFEST_INVALID"},
		"key in another case":   {edit(`"layers"`, `"Layers":[],"layers"`), 400, "MANIFEST_INVALID"},
		"key with a kelvin":     {edit(`"layers"`, `"layerſ":[],"layers"`), 400, "MANIFEST_INVALID"},
		"schema 1":              {edit(`"schemaVersion":2`, `"schemaVersion":1`), 400, "MANIFEST_INVALID"},
		"other type, empty":     {`{"schemaVersion":2,"mediaType":"application/nonsense"}`, 400, "MANIFEST_INVALID"},
		"other type, schema 1":  {`{"schemaVersion":1,"mediaType":"application/nonsense","layers":[]}`, 400, "MANIFEST_INVALID"},
		"type without a slash":  {`{"mediaType":"nonsense","layers":[]}`, 400, "MANIFEST_INVALID"},
		"type without an end":   {`{"mediaType":"a/` + strings.Repeat("b", 1<<20) + `","layers":[]}`, 400, "MANIFEST_INVALID"},
		"type with a line end":  {`{"mediaType":"a/b\r\nHallmark-Record: 1","layers":[]}`, 400, "MANIFEST_INVALID"},
		"type of its config":    {edit(`"size":2`, `"mediaType":"a/`+strings.Repeat("b", 1<<20)+`","size":2`), 400, "MANIFEST_INVALID"},
		"artifact of an escape": {edit(`"layers"`, `"artifactType":"a\u001b[2J","layers"`), 400, "MANIFEST_INVALID"},
		"image in capitals":     {`{"schemaVersion":2,"mediaType":"application/vnd.OCI.image.manifest.v1+json","manifests":[]}`, 400, "MANIFEST_INVALID"},
		"type with a kelvin":    {`{"mediaType":"a/\u212aind","layers":[]}`, 400, "MANIFEST_INVALID"},
		"image with blobs":      {edit(`"layers"`, `"blobs":[],"layers"`), 400, "MANIFEST_INVALID"},
		"other data":            {edit(`"size":2`, `"data":"e10K","size":2`), 400, "MANIFEST_INVALID"},
		"subject no digest":     {edit(`"layers"`, `"subject":{"digest":"x"},"layers"`), 400, "MANIFEST_INVALID"},
		"bad digest":            {edit(config.Digest.String(), "sha256:abc"), 400, "MANIFEST_INVALID"},
		"digest is a path":      {edit(config.Digest.String(), "sha256:../../etc/passwd"), 400, "MANIFEST_INVALID"},
		"negative size":         {edit(`"size":2`, `"size":-2`), 400, "MANIFEST_INVALID"},
		"huge size":             {edit(`"size":2`, `"size":1e400`), 400, "MANIFEST_INVALID"},
		"config not there":      {edit(config.Digest.String(), digest.FromString("no").String()), 400, "MANIFEST_BLOB_UNKNOWN"},
		"layer of another":      {imageManifest(config, foreign), 400, "MANIFEST_BLOB_UNKNOWN"},
		"index with layers":     {edit("image.manifest", "image.index"), 400, "MANIFEST_INVALID"},
		"5 MB":                  {edit(`"layers"`, `"annotations":{"x":"`+strings.Repeat("x", 5<<20)+`"},"layers"`), 413, "SIZE_INVALID"},
		"many descriptors":      {imageManifest(config, make([]ocispec.Descriptor, maxDescriptors+1)...), 400, "MANIFEST_INVALID"},
		"annotations no map":    {edit(`"layers"`, `"annotations":[1],"layers"`), 400, "MANIFEST_INVALID"},
		"no config":             {edit(`"config"`, `"nothing"`), 400, "MANIFEST_INVALID"},
		"invalid UTF-8":         {edit(`"layers"`, "\"annotations\":{\"a\":\"\xff\xfe\"},\"layers\""), 400, "MANIFEST_INVALID"},
		"lone surrogate":        {edit(`"layers"`, `"annotations":{"a":"\ud800"},"layers"`), 400, "MANIFEST_INVALID"},
		"lone surrogate in key": {edit(`"layers"`, `"annotations":{"\udc00":"a"},"layers"`), 400, "MANIFEST_INVALID"},
		"key twice, escaped":    {edit(`"layers"`, `"l\u0061yers":[],"layers"`), 400, "MANIFEST_INVALID"},
		"annotation twice":      {edit(`"layers"`, `"annotations":{"a":"1","a":"2"},"layers"`), 400, "MANIFEST_INVALID"},
		"subject with a long s": {edit(`"layers"`, `"ſubject":null,"layers"`), 400, "MANIFEST_INVALID"},
		"byte order mark":       {"\xef\xbb\xbf" + good, 400, "MANIFEST_INVALID"},
		"zero byte behind":      {good + "\x00", 400, "MANIFEST_INVALID"},
		"size no whole number":  {edit(`"size":2`, `"size":2.5`), 400, "MANIFEST_INVALID"},
		"schema huge":           {edit(`"schemaVersion":2`, `"schemaVersion":2e999`), 400, "MANIFEST_INVALID"},
		"invalid UTF-8 in key":  {edit(`"layers"`, "\"\xff\xfe\":1,\"\xff\xff\":1,\"layers\""), 400, "MANIFEST_INVALID"},
	} {
		t.Run(name, func(t *testing.T) {
			s.want(s.putManifest("app", "bad", c.body), c.status, c.code)
		})
	}
	t.Run("types disagree", func(t *testing.T) {
		s.want(s.putManifest("app", "bad", good, header("Content-Type", ocispec.MediaTypeImageIndex)), 400, "MANIFEST_INVALID")
		s.want(s.putManifest("app", "bad", good, header("Content-Type", "a/b/c")), 400, "MANIFEST_INVALID")
	})
	t.Run("other digest", func(t *testing.T) {
		s.want(s.putManifest("app", digest.FromString("x").String(), good), 400, "DIGEST_INVALID")
	})
	t.Run("5 MB without a length", func(t *testing.T) {
		body := io.MultiReader(strings.NewReader(`{"x":"`), strings.NewReader(strings.Repeat("x", 5<<20)), strings.NewReader(`"}`))
		s.want(s.do("PUT", "/v2/app/manifests/bad", struct{ io.Reader }{body}), 413, "SIZE_INVALID")
	})
	s.want(s.do("GET", "/v2/app/manifests/bad", nil), 404, "MANIFEST_UNKNOWN")
	if n, err := s.book.Len(background); n != 0 || err != nil {
		t.Errorf("%d records of what was refused, %v", n, err)
	}
	s.wantClean()
	s.pushManifest("app", "good", good)
	annotated := edit(`"layers"`, `"annotations":{"Size":"1","size":"2","Config":"3"},"layers"`)
	s.pushManifest("app", "annotated", annotated) // the keys of annotations are anybody's
	s.wantClean()
}

func TestBadPaths(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.pushImage("app", "1.0", "one")
	long := strings.Repeat("a", 256)
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/v2/App/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/a..b/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/../etc/tags/list", 400, "NAME_INVALID"},
		{"GET", "/v2/a/../b/manifests/x", 400, "NAME_INVALID"},
		{"GET", "/v2/%2e%2e/manifests/x", 400, "NAME_INVALID"},
		{"GET", "/v2/a%00b/manifests/x", 400, "NAME_INVALID"},
		{"GET", "/v2//manifests/x", 400, "NAME_INVALID"},
		{"PUT", "/v2//manifests/x", 400, "NAME_INVALID"},
		{"GET", "/v2/manifests/x", 404, "UNSUPPORTED"},
		{"GET", "/v2/" + long + "/manifests/x", 400, "NAME_INVALID"},
		{"GET", "/v2/a/manifests/-x", 404, "MANIFEST_UNKNOWN"},
		{"PUT", "/v2/a/manifests/-x", 400, "TAG_INVALID"},
		{"PUT", "/v2/a/manifests/" + long, 400, "TAG_INVALID"},
		{"GET", "/v2/a/manifests/sha256:abc", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/manifests/sha256:" + strings.Repeat("A", 64), 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/blobs/latest", 400, "DIGEST_INVALID"},
		{"GET", "/v2/a/blobs/sha256:..%2f..%2f", 404, "UNSUPPORTED"},
		{"GET", "/v2/a/nonsense/x", 404, "UNSUPPORTED"},
		{"GET", "/v2/a", 404, "UNSUPPORTED"},
		{"PUT", "/v2/a/tags/list", 405, "UNSUPPORTED"},
		{"PATCH", "/v2/app/manifests/1.0", 405, "UNSUPPORTED"},
		{"PUT", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"},
		{"TRACE", "/v2/", 405, "UNSUPPORTED"},
		{"GET", "/v2/a/blobs/uploads/xyz", 404, "BLOB_UPLOAD_UNKNOWN"},
		{"GET", "/v2/a/blobs/uploads/..%2f..%2fid", 404, "UNSUPPORTED"},
	} {
		got := s.want(s.do(c.method, c.path, nil), c.status, c.code)
		if c.status == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
	s.want(s.do("GET", "/v2/app/manifests/"+strings.Replace(digest.FromString("x").String(), ":", "%3A", 1), nil), 404, "MANIFEST_UNKNOWN")
}

// TestNameIsOCI compares validName with the specification's own expression.
func TestNameIsOCI(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "a/b": true, "a.b": true, "a_b": true, "a__b": true, "a-b": true, "a---b": true, "a/b/c/d": true, "0": true,
		"manifests": true, "blobs/uploads": true, strings.Repeat("a", 255): true,
		"": false, "/": false, "a/": false, "/a": false, "a//b": false, "a..b": false, "a___b": false, "a._b": false, "A": false,
		"-a": false, "a-": false, "a.": false, "a b": false, "ä": false, "a\x00": false, strings.Repeat("a", 256): false,
	} {
		if got := validName(name); got != want {
			t.Errorf("validName(%q) is %v", name, got)
		}
	}
}

// TestRepositoriesNamedLikeRoutes uses every word of the routes as a name.
func TestRepositoriesNamedLikeRoutes(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for _, repo := range []string{"manifests", "blobs", "tags/list", "blobs/uploads", "a/manifests", "tags", "v2", "a/blobs"} {
		img := s.pushImage(repo, "1.0", "one")
		if got := s.want(s.do("GET", "/v2/"+repo+"/manifests/1.0", nil), 200, ""); got.body != img.body {
			t.Errorf("%s: pulled %s", repo, got.body)
		}
		s.want(s.do("GET", "/v2/"+repo+"/tags/list", nil), 200, "")
	}
	s.wantClean()
}

func TestImage(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	one := s.pushImage("app", "1.0", "one")
	s.pushManifest("app", "latest", one.body)
	img, err := s.Image(background, "app", "1.0")
	if err != nil {
		t.Fatal(err)
	}
	if img.Digest != one.digest || img.Size != int64(len(one.body)) || strings.Join(img.Tags, " ") != "1.0 latest" || img.Record != 0 {
		t.Errorf("%+v", img)
	}
	for _, c := range [][2]string{{"app", "2.0"}, {"nowhere", "1.0"}, {"App", "1.0"}, {"app", "../x"}, {"app", digest.FromString("x").String()}} {
		if _, err := s.Image(background, c[0], c[1]); !errors.Is(err, ErrUnknown) {
			t.Errorf("%v: %v", c, err)
		}
	}
}

// TestCheckFinds damages one row of each table.
func TestCheckFinds(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	manifestKeyOf := func(d digest.Digest) []byte { return repoKey("app", digestKey(d)) }
	layer := digest.FromString("layer one")
	for name, damage := range map[string]func(tx storage.Tx, one image){
		"repository gone": func(tx storage.Tx, _ image) { tx.Delete(repositoryTable, []byte("app")) },
		"repository more": func(tx storage.Tx, _ image) { tx.Put(repositoryTable, []byte("b"), nil) },
		"manifest gone":   func(tx storage.Tx, one image) { tx.Delete(manifestTable, manifestKeyOf(one.digest)) },
		"manifest changed": func(tx storage.Tx, one image) {
			row, _ := tx.Get(manifestTable, manifestKeyOf(one.digest))
			tx.Put(manifestTable, manifestKeyOf(one.digest), bytes.Replace(row, []byte("layers"), []byte("Layers"), 1))
		},
		"manifest cut": func(tx storage.Tx, one image) { tx.Put(manifestTable, manifestKeyOf(one.digest), []byte{1}) },
		"tag elsewhere": func(tx storage.Tx, _ image) {
			tx.Put(tagTable, repoKey("app", []byte("1.0")), tagRow{0, layer}.encode())
		},
		"tag gone": func(tx storage.Tx, _ image) { tx.Delete(tagTable, repoKey("app", []byte("1.0"))) },
		"tag's record": func(tx storage.Tx, one image) {
			tx.Put(tagTable, repoKey("app", []byte("1.0")), tagRow{7, one.digest}.encode())
		},
		"tagged gone": func(tx storage.Tx, one image) {
			tx.Delete(taggedTable, repoKey("app", digestKey(one.digest), []byte("1.0")))
		},
		"needs gone": func(tx storage.Tx, one image) {
			tx.Delete(needsTable, repoKey("app", digestKey(one.digest), digestKey(layer)))
		},
		"needed gone": func(tx storage.Tx, one image) {
			tx.Delete(neededTable, repoKey("app", digestKey(layer), digestKey(one.digest)))
		},
		"link gone":   func(tx storage.Tx, _ image) { tx.Delete(linkTable, repoKey("app", digestKey(layer))) },
		"linked gone": func(tx storage.Tx, _ image) { tx.Delete(linkedTable, append(digestKey(layer), "app"...)) },
		"blob gone":   func(tx storage.Tx, _ image) { tx.Delete(blobTable, digestKey(layer)) },
		"blob's size": func(tx storage.Tx, _ image) { tx.Put(blobTable, digestKey(layer), blobRow{size: 1, at: "x"}.encode()) },
		"repository lost": func(tx storage.Tx, one image) { // as a lost write would leave it: consistent, but not with the records
			tx.Delete(repositoryTable, []byte("app"))
			tx.Delete(manifestTable, manifestKeyOf(one.digest))
			tx.Delete(tagTable, repoKey("app", []byte("1.0")))
			tx.Delete(taggedTable, repoKey("app", digestKey(one.digest), []byte("1.0")))
			for item := range tx.Scan(needsTable, nil, nil) {
				tx.Delete(needsTable, item.Key)
			}
			for item := range tx.Scan(neededTable, nil, nil) {
				tx.Delete(neededTable, item.Key)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, t.TempDir(), Config{})
			one := s.pushImage("app", "1.0", "one")
			s.wantClean()
			if err := s.store.Update(background, func(tx storage.Tx) error { damage(tx, one); return nil }); err != nil {
				t.Fatal(err)
			}
			found := 0
			if _, err := s.Check(background, true, func(error) { found++ }); err != nil {
				t.Fatal(err)
			}
			if found == 0 {
				t.Error("the check found nothing")
			}
		})
	}
}
