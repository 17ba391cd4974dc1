package registry

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/unraced"
)

// artifact pushes an artifact about a subject, without a tag.
func (s *server) artifact(repo string, subject digest.Digest, artifactType, note string) image {
	s.t.Helper()
	config := s.pushBlob(repo, "{}")
	return s.pushManifest(repo, "", artifactManifest(config, subject, artifactType, note))
}

func artifactManifest(config ocispec.Descriptor, subject digest.Digest, artifactType, note string) string {
	config.MediaType = ocispec.MediaTypeEmptyJSON
	m := map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest, "config": config, "layers": []any{},
		"subject":     ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1},
		"annotations": map[string]string{"note": note},
	}
	if artifactType != "" {
		m["artifactType"] = artifactType
	}
	return marshal(m)
}

// listReferrers follows all pages.
func (s *server) listReferrers(repo string, subject digest.Digest, query string) (all []ocispec.Descriptor, pages int) {
	s.t.Helper()
	for path := "/v2/" + repo + "/referrers/" + subject.String() + query; path != ""; pages++ {
		got := s.want(s.do("GET", path, nil), 200, "")
		var index ocispec.Index
		if err := json.Unmarshal([]byte(got.body), &index); err != nil || index.MediaType != ocispec.MediaTypeImageIndex || index.Manifests == nil {
			s.t.Fatalf("%v: %s", err, got.body)
		}
		if got := got.header.Get("Content-Type"); got != ocispec.MediaTypeImageIndex {
			s.t.Errorf("Content-Type %q", got)
		}
		all = append(all, index.Manifests...)
		path, _, _ = strings.Cut(strings.TrimPrefix(got.header.Get("Link"), "<"), ">")
	}
	return all, pages
}

func TestReferrers(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	missing := digest.FromString("a subject that is not there yet")
	if all, _ := s.listReferrers("nowhere", missing, ""); len(all) != 0 {
		t.Errorf("the referrers of nothing: %v", all)
	}
	first := s.artifact("app", missing, "application/sbom", "one")
	second := s.artifact("app", missing, "", "two")
	got := s.want(s.putManifest("app", "tagged", artifactManifest(s.pushBlob("app", "{}"), missing, "application/sbom", "three")), 201, "")
	if got.header.Get("OCI-Subject") != missing.String() {
		t.Errorf("OCI-Subject %q", got.header.Get("OCI-Subject"))
	}
	all, _ := s.listReferrers("app", missing, "")
	if len(all) != 3 {
		t.Fatalf("%d referrers: %v", len(all), all)
	}
	for _, d := range all {
		want := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/sbom"}
		switch d.Digest {
		case first.digest:
			want.Annotations, want.Size = map[string]string{"note": "one"}, int64(len(first.body))
		case second.digest:
			want.Annotations, want.Size = map[string]string{"note": "two"}, int64(len(second.body))
			want.ArtifactType = ocispec.MediaTypeEmptyJSON // that of its config
		default:
			continue
		}
		want.Digest = d.Digest
		if marshal(d) != marshal(want) {
			t.Errorf("%s, want %s", marshal(d), marshal(want))
		}
	}
	if elsewhere, _ := s.listReferrers("other", missing, ""); len(elsewhere) != 0 {
		t.Errorf("in another repository: %v", elsewhere)
	}
	path := "/v2/app/referrers/" + missing.String()
	filtered := s.want(s.do("GET", path+"?artifactType=application/sbom", nil), 200, "")
	if filtered.header.Get("OCI-Filters-Applied") != "artifactType" || strings.Count(filtered.body, `"digest"`) != 2 {
		t.Errorf("filtered: %v\n%s", filtered.header, filtered.body)
	}
	s.want(s.do("GET", "/v2/app/referrers/latest", nil), 400, "DIGEST_INVALID")
	s.want(s.do("PUT", path, nil), 405, "UNSUPPORTED")
	s.wantClean()

	s.want(s.do("DELETE", "/v2/app/manifests/"+first.digest.String(), nil), 202, "")
	if all, _ := s.listReferrers("app", missing, ""); len(all) != 2 {
		t.Errorf("after a delete: %v", all)
	}
	s.wantClean()
}

func TestReferrersInPages(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	subject := s.pushImage("app", "", "one")
	want := map[digest.Digest]bool{}
	for i := range 25 {
		kind := "application/" + []string{"sbom", "signature"}[i%2]
		want[s.artifact("app", subject.digest, kind, fmt.Sprint(i)).digest] = true
	}
	all, pages := s.listReferrers("app", subject.digest, "?n=10")
	if len(all) != 25 || pages != 3 {
		t.Errorf("%d in %d pages", len(all), pages)
	}
	for _, d := range all {
		delete(want, d.Digest)
	}
	if len(want) != 0 {
		t.Errorf("not listed: %v", want)
	}
	if !slices.IsSortedFunc(all, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) }) {
		t.Error("out of order")
	}
	if some, pages := s.listReferrers("app", subject.digest, "?n=4&artifactType=application/sbom"); len(some) != 13 || pages != 4 {
		t.Errorf("%d of one type in %d pages", len(some), pages)
	}
	// Large annotations make pages shorter.
	for i := range 3 {
		s.artifact("app", subject.digest, "application/large", strings.Repeat("x", 1<<20)+fmt.Sprint(i))
	}
	if some, pages := s.listReferrers("app", subject.digest, "?artifactType=application/large"); len(some) != 3 || pages != 2 {
		t.Errorf("%d large ones in %d pages", len(some), pages)
	}
	s.wantClean()
}

// TestReferrersTag has what a client of an older registry pushed: the artifacts, and an index of them under a tag.
func TestReferrersTag(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	subject := s.pushImage("app", "", "one")
	a := s.artifact("app", subject.digest, "application/sbom", "one")
	index := marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		Manifests: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageManifest, Digest: a.digest, Size: int64(len(a.body)), ArtifactType: "application/sbom"}},
	})
	s.pushManifest("app", strings.Replace(subject.digest.String(), ":", "-", 1), index)
	if all, _ := s.listReferrers("app", subject.digest, ""); len(all) != 1 || all[0].Digest != a.digest {
		t.Errorf("referrers %v", all)
	}
}

func TestOtherKinds(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("app", "content")
	const kind = "application/vnd.oci.artifact.manifest.v1+json"
	body := marshal(map[string]any{"mediaType": kind, "artifactType": "application/x", "blobs": []any{blob}})
	pushed := s.pushManifest("app", "other", body)
	if got := s.want(s.do("GET", "/v2/app/manifests/other", nil, header("Accept", "text/html")), 200, ""); got.body != body || got.header.Get("Content-Type") != kind {
		t.Errorf("%v %s", got.header, got.body)
	}
	if r := s.record(pushed.record); r.Observed.ArtifactType != "application/x" || r.Observed.ImageSize != 7 {
		t.Errorf("record %+v", r.Observed)
	}
	s.want(s.do("DELETE", "/v2/app/blobs/"+blob.Digest.String(), nil), 403, "DENIED") // the artifact needs it
	missing := marshal(map[string]any{"mediaType": kind, "blobs": []any{ocispec.Descriptor{MediaType: "a/b", Digest: digest.FromString("no"), Size: 2}}})
	s.want(s.putManifest("app", "missing", missing), 400, "MANIFEST_BLOB_UNKNOWN")
	s.wantClean()
}

func TestTagParameters(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	old := s.pushImage("app", "a", "old")
	body := imageManifest(s.pushBlob("app", "{}"))
	d := digest.SHA512.FromString(body)
	got := s.want(s.putManifest("app", d.String()+"?tag=b&tag=a&tag=b", body), 201, "")
	if got.header.Get("OCI-Tag") != "a, b" || got.header.Get("Docker-Content-Digest") != d.String() {
		t.Errorf("%v", got.header)
	}
	r := s.record(got.header.Get("Hallmark-Record"))
	if len(r.Tags) != 2 || r.Tags[0].Previous != old.digest || r.Tags[1].Previous != "" {
		t.Errorf("tags %+v", r.Tags)
	}
	for _, tag := range []string{"a", "b"} {
		if got := s.want(s.do("GET", "/v2/app/manifests/"+tag, nil), 200, ""); got.header.Get("Docker-Content-Digest") != d.String() {
			t.Errorf("%s means %s", tag, got.header.Get("Docker-Content-Digest"))
		}
	}
	s.want(s.putManifest("app", d.String()+"?tag=-", body), 400, "TAG_INVALID")
	s.want(s.putManifest("app", d.String()+strings.Replace(strings.Repeat("&tag=x", 101), "&", "?", 1), body), 201, "") // one tag
	many := "?"
	for i := range 101 {
		many += fmt.Sprintf("tag=t%d&", i)
	}
	s.want(s.putManifest("app", d.String()+many, body), 400, "MANIFEST_INVALID")
	s.wantClean()
}

func TestSinglePost(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	for _, d := range []digest.Digest{digest.FromString("content"), digest.SHA512.FromString("content")} {
		got := s.want(s.do("POST", "/v2/app/blobs/uploads/?digest="+d.String(), strings.NewReader("content")), 201, "")
		if got.header.Get("Docker-Content-Digest") != d.String() {
			t.Errorf("%v", got.header)
		}
		if got := s.want(s.do("GET", got.header.Get("Location"), nil), 200, ""); got.body != "content" {
			t.Errorf("it holds %q", got.body)
		}
	}
	d := digest.FromString("other").String()
	s.want(s.do("POST", "/v2/app/blobs/uploads/?digest="+d, strings.NewReader("content")), 400, "DIGEST_INVALID")
	s.want(s.do("POST", "/v2/app/blobs/uploads/?digest=nonsense", strings.NewReader("content")), 400, "DIGEST_INVALID")
	s.want(s.do("POST", "/v2/app/blobs/uploads/?digest="+d, io.MultiReader()), 400, "DIGEST_INVALID") // a body of no bytes, in chunks
	if uploads, _ := s.leftovers(); uploads != 0 {
		t.Errorf("%d uploads are left", uploads)
	}
	s.wantClean()
}

func TestMountFromAnywhere(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := s.pushBlob("one", "content")
	got := s.want(s.do("POST", "/v2/two/blobs/uploads/?mount="+blob.Digest.String(), nil), 201, "")
	if got.header.Get("Docker-Content-Digest") != blob.Digest.String() {
		t.Errorf("%v", got.header)
	}
	s.want(s.do("GET", "/v2/two/blobs/"+blob.Digest.String(), nil), 200, "")
	none := s.want(s.do("POST", "/v2/two/blobs/uploads/?mount="+digest.FromString("none").String(), nil), 202, "")
	if none.header.Get("OCI-Chunk-Min-Length") == "" {
		t.Error("a session does not say how long its chunks should be")
	}
	s.wantClean()
}

// TestPostWithoutBody names a digest and sends nothing: that begins a session, which ends with the digest or not.
func TestPostWithoutBody(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	blob := descriptorOf("content")
	path := "/v2/app/blobs/uploads/?digest="
	s.want(s.do("POST", path+"nonsense", nil), 400, "DIGEST_INVALID")
	got := s.want(s.do("POST", path+blob.Digest.String(), nil), 202, "")
	if got.header.Get("Docker-Upload-UUID") == "" || got.header.Get("OCI-Chunk-Min-Length") == "" {
		t.Errorf("this is no session: %v", got.header)
	}
	s.want(s.do("PUT", withDigest(got.header.Get("Location"), blob.Digest), strings.NewReader("content")), 201, "")
	s.want(s.do("GET", "/v2/app/blobs/"+blob.Digest.String(), nil), 200, "")
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		empty := algorithm.FromString("").String() // nothing is all of it
		s.want(s.do("POST", path+empty, nil), 201, "")
		s.want(s.do("HEAD", "/v2/app/blobs/"+empty, nil), 200, "")
	}
	s.wantClean()
}

// TestFilterWithPlus writes media types in all the ways in which clients do.
func TestFilterWithPlus(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	subject := digest.FromString("a subject")
	s.artifact("app", subject, "application/spdx+json", "wanted")
	s.artifact("app", subject, "application/spdx", "another")
	for _, text := range []string{"application/spdx+json", "application/spdx%2Bjson", "application%2Fspdx%2bjson"} {
		if all, _ := s.listReferrers("app", subject, "?artifactType="+text); len(all) != 1 || all[0].Annotations["note"] != "wanted" {
			t.Errorf("%s finds %s", text, marshal(all))
		}
	}
	for i := range 3 {
		s.artifact("app", subject, "application/spdx+json", fmt.Sprint(i))
	}
	if all, pages := s.listReferrers("app", subject, "?n=1&artifactType=application/spdx+json"); len(all) != 4 || pages < 4 {
		t.Errorf("%d in %d pages", len(all), pages)
	}
}

// TestReferrersTagSchema pushes what older clients, and `cosign copy`, put under the tag that is made from a digest.
// A manifest is a referrer of what its own subject says, and of nothing else.
func TestReferrersTagSchema(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		s := startServer(t, t.TempDir(), Config{})
		platform := s.pushImage("app", "", "a platform")
		child := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: platform.digest, Size: int64(len(platform.body))}
		index := marshal(ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{child},
		})
		subject := algorithm.FromString(index)
		tag := algorithm.String() + "-" + subject.Encoded()[:64]
		s.pushManifest("app", tag, index)
		s.pushManifest("app", "latest", index)
		all, _ := s.listReferrers("app", subject, "")
		if slices.ContainsFunc(all, func(d ocispec.Descriptor) bool { return d.Digest == platform.digest }) {
			t.Errorf("an index under its own tag: %s", marshal(all))
		}
		artifact := s.artifact("app", subject, "application/sbom", "sbom")
		other := s.artifact("app", digest.FromString("another subject"), "application/sbom", "of another")
		child.ArtifactType, child.Annotations = "application/sbom", map[string]string{"note": "of the index"}
		var list ocispec.Index
		list.SchemaVersion, list.MediaType = 2, ocispec.MediaTypeImageIndex
		for _, img := range []image{platform, artifact, other} {
			child.Digest, child.Size = img.digest, int64(len(img.body))
			list.Manifests = append(list.Manifests, child)
		}
		s.pushManifest("app", tag, marshal(list))
		all, _ = s.listReferrers("app", subject, "?artifactType=application/sbom")
		if len(all) != 1 || all[0].Digest != artifact.digest || all[0].Annotations["note"] != "sbom" {
			t.Errorf("listed: %s", marshal(all))
		}
		s.wantClean()
	}
}

// pieces is a ResponseWriter that notes how much it is given at once, and may do something before.
type pieces struct {
	*httptest.ResponseRecorder
	longest int
	before  func(written int)
}

func (p *pieces) Write(b []byte) (int, error) {
	p.before(p.Body.Len())
	p.longest = max(p.longest, len(b))
	return p.ResponseRecorder.Write(b)
}

// referrersInPieces asks for a list, and says what it was given and whether it was broken off.
func (s *server) referrersInPieces(subject digest.Digest, before func(written int)) (got *pieces, broken any) {
	s.t.Helper()
	got = &pieces{ResponseRecorder: httptest.NewRecorder(), before: before}
	r := httptest.NewRequest("GET", "/v2/app/referrers/"+subject.String(), nil)
	r.SetBasicAuth("alice", password)
	defer func() { broken = recover() }()
	s.ServeHTTP(got, r)
	return got, nil
}

// TestReferrersInPieces wants no long list to be in memory for a client that takes it slowly, and the list to be whole, or to be
// broken off where what was being read went away.
func TestReferrersInPieces(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{})
	subject := s.pushImage("app", "", "one")
	for i := range 40 {
		s.artifact("app", subject.digest, "application/note", strings.Repeat("x", 9_000)+fmt.Sprint(i))
	}
	large := s.artifact("app", subject.digest, "application/large", strings.Repeat("y", 1<<20))
	nothing := func(int) {}
	got, broken := s.referrersInPieces(subject.digest, nothing)
	var index ocispec.Index
	if err := json.Unmarshal(got.Body.Bytes(), &index); err != nil || broken != nil || len(index.Manifests) != 41 || got.Body.Len() < 1<<20 {
		t.Fatalf("%v, %v: %d manifests in %d bytes", err, broken, len(index.Manifests), got.Body.Len())
	}
	if got.longest > 64<<10 {
		t.Errorf("%d bytes were in memory at once", got.longest)
	}
	if some, pages := s.listReferrers("app", subject.digest, "?artifactType=application/large"); len(some) != 1 || pages != 1 || some[0].Digest != large.digest {
		t.Errorf("of one type: %d in %d pages", len(some), pages)
	}
	if head := s.want(s.do("HEAD", "/v2/app/referrers/"+subject.digest.String(), nil), 200, ""); head.header.Get("Content-Type") != ocispec.MediaTypeImageIndex {
		t.Errorf("HEAD: %v", head.header)
	}
	last := index.Manifests[40].Digest
	remove := func(d digest.Digest) func(int) {
		return func(written int) {
			if written > 0 && d != "" {
				s.want(s.do("DELETE", "/v2/app/manifests/"+d.String(), nil), 202, "")
				d = ""
			}
		}
	}
	if last != large.digest { // what is not yet read may go
		got, broken = s.referrersInPieces(subject.digest, remove(last))
		if err := json.Unmarshal(got.Body.Bytes(), &index); err != nil || broken != nil || len(index.Manifests) != 40 {
			t.Errorf("after one went: %v, %v, %d manifests", err, broken, len(index.Manifests))
		}
	}
	only := s.pushImage("app", "", "two")
	large = s.artifact("app", only.digest, "application/large", strings.Repeat("y", 1<<20))
	if _, broken := s.referrersInPieces(only.digest, remove(large.digest)); broken != http.ErrAbortHandler { //nolint:errorlint // it is what was panicked with, as it is
		t.Errorf("what was being read went away: %v", broken)
	}
	s.wantClean()
}
