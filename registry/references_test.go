package registry

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/internal/unraced"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

// typed is a descriptor of a content under another type.
func typed(mediaType, content string) ocispec.Descriptor {
	d := descriptorOf(content)
	d.MediaType = mediaType
	return d
}

// listing is an index that lists some descriptors.
func listing(listed ...ocispec.Descriptor) string {
	return marshal(map[string]any{"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageIndex, "manifests": listed})
}

// holders are manifests that refer to the blobs "held" and "held too", each in its own way, and need not have
// them. They are built over a config that is there.
var holders = map[string]func(config ocispec.Descriptor) string{
	"docker's foreign layer":      foreignLayer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
	"docker's bare foreign layer": foreignLayer("application/vnd.docker.image.rootfs.foreign.diff.tar"),
	"OCI's bare foreign layer":    foreignLayer(ocispec.MediaTypeImageLayerNonDistributable),     //nolint:staticcheck // images have it
	"OCI's foreign layer":         foreignLayer(ocispec.MediaTypeImageLayerNonDistributableGzip), //nolint:staticcheck // images have it
	"OCI's foreign layer in zstd": foreignLayer(ocispec.MediaTypeImageLayerNonDistributableZstd), //nolint:staticcheck // images have it
	"foreign layers of another kind": func(config ocispec.Descriptor) string {
		return otherKind("layers", foreign("held"), foreign("held too"))
	},
	"foreign blobs of another kind": func(config ocispec.Descriptor) string {
		return otherKind("blobs", foreign("held"), foreign("held too"))
	},
	"what another kind lists": func(config ocispec.Descriptor) string {
		return otherKind("manifests", descriptorOf("held"), descriptorOf("held too"))
	},
	"an index, as of BuildKit's cache": func(config ocispec.Descriptor) string { return listing(descriptorOf("held"), descriptorOf("held too")) },
	"an index that lists one two times": func(config ocispec.Descriptor) string {
		return listing(descriptorOf("held"), descriptorOf("held too"), descriptorOf("held"))
	},
	"a large index": func(config ocispec.Descriptor) string { return largeIndex() },
}

func foreignLayer(mediaType string) func(ocispec.Descriptor) string {
	return func(config ocispec.Descriptor) string {
		return imageManifest(config, typed(mediaType, "held"), typed(mediaType, "held too"), typed(mediaType, "held"))
	}
}

func foreign(content string) ocispec.Descriptor {
	return typed("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", content)
}

func otherKind(field string, descriptors ...ocispec.Descriptor) string {
	return marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.example.thing+json", field: descriptors})
}

// largeIndex is too large for the store.
func largeIndex() string {
	listed := []ocispec.Descriptor{descriptorOf("held"), descriptorOf("held too")}
	for i := range 600 {
		listed = append(listed, descriptorOf(fmt.Sprint("absent ", i)))
	}
	return listing(listed...)
}

// typeOf sends a manifest as what it says that it is.
func typeOf(body string) option {
	var m struct{ MediaType string }
	if err := json.Unmarshal([]byte(body), &m); err != nil {
		panic(err)
	}
	return header("Content-Type", m.MediaType)
}

// TestHeldStays wants what a manifest refers to, and need not have, to stay as long as the manifest does: what
// came before it, what came after it, and what came between two pushes of it.
func TestHeldStays(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	orders := map[string]func(s *server, push func()){
		"before":  func(s *server, push func()) { s.pushBlob("app", "held"); s.pushBlob("app", "held too"); push() },
		"after":   func(s *server, push func()) { push(); s.pushBlob("app", "held"); s.pushBlob("app", "held too") },
		"between": func(s *server, push func()) { push(); s.pushBlob("app", "held"); s.pushBlob("app", "held too"); push() },
		"mounted": func(s *server, push func()) {
			push()
			for _, content := range []string{"held", "held too"} {
				blob := s.pushBlob("elsewhere", content)
				s.want(s.do("POST", "/v2/app/blobs/uploads/?from=elsewhere&mount="+blob.Digest.String(), nil), 201, "")
			}
		},
	}
	for name, holder := range holders {
		for order, arrive := range orders {
			t.Run(name+" "+order, func(t *testing.T) {
				t.Parallel()
				s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
				body := holder(s.pushBlob("app", configOf("x")))
				d := digest.FromString(body)
				arrive(s, func() { s.pushManifest("app", "held", body, typeOf(body)) })
				s.wantHeld(d)
				s.want(s.do("DELETE", "/v2/app/manifests/"+d.String(), nil), 202, "")
				s.later(time.Hour / 2)
				s.wantBlobs(true, "held", "held too") // the lease begins with the delete
				s.later(2 * time.Hour)
				s.wantBlobs(false, "held", "held too")
				for _, table := range []storage.Table{needsTable, neededTable, linkTable, blobTable, goingTable} {
					if n := s.rows(table); n != 0 {
						t.Errorf("%d rows are left in %s", n, table)
					}
				}
			})
		}
	}
}

// wantHeld wants the held blobs to outlive their leases, and not to be deleted.
func (s *server) wantHeld(holder digest.Digest) {
	s.t.Helper()
	s.later(2 * time.Hour)
	s.wantBlobs(true, "held", "held too")
	got := s.want(s.do("DELETE", "/v2/app/blobs/"+digest.FromString("held").String(), nil), 403, "DENIED")
	if !strings.Contains(got.body, holder.String()) {
		s.t.Errorf("it does not say who needs it: %s", got.body)
	}
	s.later(2 * time.Hour)
	s.wantBlobs(true, "held", "held too")
}

// wantBlobs collects, and wants blobs to be there or not.
func (s *server) wantBlobs(there bool, contents ...string) {
	s.t.Helper()
	if err := s.collect(background); err != nil {
		s.t.Fatal(err)
	}
	for _, content := range contents {
		if s.do("GET", "/v2/app/blobs/"+digest.FromString(content).String(), nil).status == 200 != there {
			s.t.Errorf("%q: want it there: %v", content, there)
		}
	}
	s.wantClean()
}

// TestSubjectStays is the same for a subject that is a blob: it stays, and the provenance that is rendered of an
// image keeps nothing.
func TestSubjectStays(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	about := s.artifact("app", digest.FromString("held"), "application/sbom", "x")
	s.pushBlob("app", "held")
	tagged := s.pushImage("app", "1.0", "one")
	s.pushBlob("app", tagged.body) // the very bytes of a manifest that has provenance
	s.later(2 * time.Hour)
	s.wantBlobs(true, "held")
	s.wantBlobs(false, tagged.body)
	s.want(s.do("DELETE", "/v2/app/blobs/"+digest.FromString("held").String(), nil), 403, "DENIED")
	s.want(s.do("DELETE", "/v2/app/manifests/"+about.digest.String(), nil), 202, "")
	s.wantBlobs(true, "held")
	s.later(2 * time.Hour)
	s.wantBlobs(false, "held")
}

// TestLastTypeCounts pushes the same bytes, which do not say what they are, under one type after another.
func TestLastTypeCounts(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	config := s.pushBlob("app", "{}")
	subject := digest.FromString("a subject")
	body := marshal(map[string]any{
		"schemaVersion": 2, "config": typed("application/vnd.cncf.helm.config.v1+json", "{}"), "layers": []any{},
		"subject": ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: 1},
	})
	if config.Digest != digest.FromString("{}") {
		t.Fatal(config)
	}
	first := s.pushManifest("app", "one", body, header("Content-Type", "application/vnd.foo+json"))
	for i, mediaType := range []string{"application/vnd.foo+json", ocispec.MediaTypeImageManifest, dockerManifest, "application/vnd.foo+json"} {
		s.pushManifest("app", "two", body, header("Content-Type", mediaType))
		for _, ref := range []string{"one", "two", first.digest.String()} {
			for _, method := range []string{"GET", "HEAD"} {
				got := s.want(s.do(method, "/v2/app/manifests/"+ref, nil), 200, "")
				if got.header.Get("Content-Type") != mediaType {
					t.Errorf("push %d: %s %s has type %s, want %s", i, method, ref, got.header.Get("Content-Type"), mediaType)
				}
			}
		}
		all, _ := s.listReferrers("app", subject, "")
		if len(all) != 1 || all[0].MediaType != mediaType {
			t.Errorf("push %d: listed as %s", i, marshal(all))
		}
		if img, err := s.Image(background, "app", "one"); err != nil || img.MediaType != mediaType {
			t.Errorf("push %d: %+v, %v", i, img, err)
		}
	}
	if got := s.do("HEAD", "/v2/app/manifests/"+first.digest.String(), nil); got.header.Get("Hallmark-Record") != first.record {
		t.Errorf("it came with record %s, and says %s", first.record, got.header.Get("Hallmark-Record"))
	}
	s.wantClean()
}

// TestListedStays deletes a manifest that an index lists.
func TestListedStays(t *testing.T) {
	for name, list := range map[string]func(child image) string{
		"an index": func(child image) string { return listing(typed(ocispec.MediaTypeImageManifest, child.body)) },
		"another kind": func(child image) string {
			return otherKind("manifests", typed(ocispec.MediaTypeImageManifest, child.body))
		},
		"a large index": func(child image) string {
			listed := []ocispec.Descriptor{typed(ocispec.MediaTypeImageManifest, child.body)}
			for i := range 600 {
				listed = append(listed, descriptorOf(fmt.Sprint("absent ", i)))
			}
			return listing(listed...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, t.TempDir(), Config{})
			child := s.pushImage("app", "child", "one")
			body := list(child)
			index := s.pushManifest("app", "multi", body, typeOf(body))
			s.want(s.do("DELETE", "/v2/app/manifests/child", nil), 202, "") // the tag, which keeps nothing
			refused := func(hint string) {
				t.Helper()
				got := s.want(s.do("DELETE", "/v2/app/manifests/"+child.digest.String(), nil), 403, "DENIED")
				if !strings.Contains(got.body, index.digest.String()) || !strings.Contains(got.body, hint) {
					t.Errorf("it does not name the index: %s", got.body)
				}
				s.want(s.do("GET", "/v2/app/manifests/"+child.digest.String(), nil), 200, "")
			}
			refused("multi")
			s.want(s.do("DELETE", "/v2/app/manifests/multi", nil), 202, "")
			refused("") // also without a tag, as a blob
			elsewhere := s.pushImage("other", "", "one")
			s.want(s.do("DELETE", "/v2/other/manifests/"+elsewhere.digest.String(), nil), 202, "")
			s.want(s.do("DELETE", "/v2/app/manifests/"+index.digest.String(), nil), 202, "")
			s.want(s.do("DELETE", "/v2/app/manifests/"+child.digest.String(), nil), 202, "")
			s.wantClean()
		})
	}
}

// fix makes tags immutable.
func (s *server) fix(repositories, tags string) {
	s.t.Helper()
	repos, err1 := access.ParsePattern(repositories)
	names, err2 := access.ParseGlob(tags)
	if err1 != nil || err2 != nil {
		s.t.Fatal(err1, err2)
	}
	if _, err := s.gate.(*access.Access).Fix(background, access.Operator, access.FixedTags{Repositories: repos, Tags: names}); err != nil {
		s.t.Fatal(err)
	}
}

// TestImmutableChild wants a rule for a tag to keep all that the tag means.
func TestImmutableChild(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.fix("rel/**", "v*")
	child := s.pushImage("rel/app", "", "one")
	index := s.pushManifest("rel/app", "v1.0", listing(typed(ocispec.MediaTypeImageManifest, child.body)), header("Content-Type", ocispec.MediaTypeImageIndex))
	for _, ref := range []string{"v1.0", index.digest.String(), child.digest.String()} {
		s.want(s.do("DELETE", "/v2/rel/app/manifests/"+ref, nil), 403, "DENIED")
	}
	s.want(s.do("GET", "/v2/rel/app/manifests/"+child.digest.String(), nil), 200, "")
}

// TestImmutableChain wants the list of an older client to keep what it lists once something else lists it.
func TestImmutableChain(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.fix("app", "v*")
	index := header("Content-Type", ocispec.MediaTypeImageIndex)
	subject := digest.FromString("a subject")
	listed := s.artifact("app", subject, "application/sbom", "listed")
	list := s.pushManifest("app", fallbackTag(subject), listing(typed(ocispec.MediaTypeImageManifest, listed.body)), index)
	outer := s.pushManifest("app", "v1.0", listing(typed(ocispec.MediaTypeImageIndex, list.body)), index)
	for _, d := range []digest.Digest{outer.digest, list.digest, listed.digest} {
		s.want(s.do("DELETE", "/v2/app/manifests/"+d.String(), nil), 403, "DENIED")
		s.want(s.do("GET", "/v2/app/manifests/"+d.String(), nil), 200, "")
	}
	s.wantClean()
}

// TestListedRecord wants an image to stay while something lists the registry's record of it, which would go with it, and to go
// when the record has another place.
func TestListedRecord(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	s.fix("app", "v*")
	image := s.pushImage("app", "1.0", "one")
	record := s.provenanceOf("app", image.digest)
	envelope := s.layersOf(record.Digest)[0]
	path := "/v2/app/manifests/" + image.digest.String()
	index := header("Content-Type", ocispec.MediaTypeImageIndex)
	list := s.pushManifest("app", "list", listing(record), index)
	if got := s.want(s.do("DELETE", path, nil), 403, "DENIED"); !strings.Contains(got.body, list.digest.String()) {
		t.Errorf("it does not name the index: %s", got.body)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+list.digest.String(), nil), 202, "")
	s.pushManifest("app", fallbackTag(image.digest), listing(record), index) // as an older client's list, which keeps nothing
	s.pushManifest("app", "v1", listing(envelope), index)                    // as a blob, which an index may list, too
	s.want(s.do("DELETE", path, nil), 403, "DENIED")
	if x, err := s.Deletable(background, "app", image.digest); err != nil || x.Refused == "" || x.ListedBy == "" {
		t.Errorf("%+v, %v", x, err)
	}
	s.want(s.do("GET", "/v2/app/blobs/"+envelope.Digest.String(), nil), 200, "")
	s.want(s.do("POST", "/v2/app/blobs/uploads/?from=app&mount="+envelope.Digest.String(), nil), 201, "") // now it is a blob by itself
	s.want(s.do("DELETE", path, nil), 202, "")
	s.want(s.do("GET", "/v2/app/blobs/"+envelope.Digest.String(), nil), 200, "")
	s.wantClean()
}

// TestImmutableType wants a manifest to be served as the type that it has where an immutable tag means it, or an index lists it.
func TestImmutableType(t *testing.T) {
	const kind, page = ocispec.MediaTypeImageManifest, "text/html"
	body := func(s *server) string {
		return marshal(map[string]any{"schemaVersion": 2, "config": s.pushBlob("app", "{}"), "layers": []any{}})
	}
	for name, keep := range map[string]func(s *server, body string){
		"a tag": func(s *server, body string) { s.pushManifest("app", "v2", body, header("Content-Type", kind)) },
		"one of many tags": func(s *server, body string) {
			s.pushManifest("app", "v2", body, header("Content-Type", kind))
			for i := range 2 { // more than one transaction looks at
				query := ""
				for j := range provenance.MaxTags {
					query += fmt.Sprintf("&tag=t%d-%d", i, j)
				}
				s.pushManifest("app", digest.FromString(body).String()+"?"+query[1:], body, header("Content-Type", kind))
			}
		},
		"an index": func(s *server, body string) {
			s.pushManifest("app", "", body, header("Content-Type", kind))
			s.pushManifest("app", "v2", listing(typed(kind, body)), header("Content-Type", ocispec.MediaTypeImageIndex))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, t.TempDir(), Config{})
			s.fix("app", "v*")
			body := body(s)
			keep(s, body)
			path := "/v2/app/manifests/" + digest.FromString(body).String()
			for _, ref := range []string{digest.FromString(body).String(), "other"} {
				s.want(s.putManifest("app", ref, body, header("Content-Type", page)), 403, "DENIED")
				s.pushManifest("app", ref, body, header("Content-Type", kind))
			}
			if got := s.want(s.do("GET", path, nil), 200, ""); got.header.Get("Content-Type") != kind {
				t.Errorf("it is served as %s", got.header.Get("Content-Type"))
			}
			s.wantClean()
		})
	}
}

// TestReferrersGo wants what has a subject to be deleted in any order, also where a list of an older client has it.
func TestReferrersGo(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{})
	subject := s.pushImage("app", "1.0", "one")
	listed := s.artifact("app", subject.digest, "application/sbom", "listed")
	list := listing(typed(ocispec.MediaTypeImageManifest, listed.body))
	index := header("Content-Type", ocispec.MediaTypeImageIndex)
	s.pushManifest("app", fallbackTag(subject.digest), list, index)
	s.pushManifest("app", "release", list, index)
	s.want(s.do("DELETE", "/v2/app/manifests/"+listed.digest.String(), nil), 403, "DENIED") // the list is more than one of older clients
	s.want(s.do("DELETE", "/v2/app/manifests/release", nil), 202, "")
	s.want(s.do("DELETE", "/v2/app/manifests/"+subject.digest.String(), nil), 202, "")
	s.want(s.do("DELETE", "/v2/app/manifests/"+listed.digest.String(), nil), 202, "")
	s.wantClean()
}

// TestEvery201Renews wants a blob to stay for a lease after each answer that says that it is there.
func TestEvery201Renews(t *testing.T) {
	for name, again := range map[string]func(s *server, blob ocispec.Descriptor) answer{
		"mount from itself": func(s *server, blob ocispec.Descriptor) answer {
			return s.do("POST", "/v2/app/blobs/uploads/?from=app&mount="+blob.Digest.String(), nil)
		},
		"mount from anywhere": func(s *server, blob ocispec.Descriptor) answer {
			return s.do("POST", "/v2/app/blobs/uploads/?mount="+blob.Digest.String(), nil)
		},
		"mount from another": func(s *server, blob ocispec.Descriptor) answer {
			s.pushBlob("other", "content")
			return s.do("POST", "/v2/app/blobs/uploads/?from=other&mount="+blob.Digest.String(), nil)
		},
		"single POST": func(s *server, blob ocispec.Descriptor) answer {
			return s.do("POST", "/v2/app/blobs/uploads/?digest="+blob.Digest.String(), strings.NewReader("content"))
		},
		"POST and PUT": func(s *server, blob ocispec.Descriptor) answer {
			begun := s.want(s.do("POST", "/v2/app/blobs/uploads/", nil), 202, "")
			return s.do("PUT", withDigest(begun.header.Get("Location"), blob.Digest), strings.NewReader("content"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
			blob := s.pushBlob("app", "content")
			for range 3 {
				s.later(40 * time.Minute)
				s.want(again(s, blob), 201, "")
				s.wantBlobs(true, "content")
			}
			s.later(59 * time.Minute)
			s.wantBlobs(true, "content")
			s.later(2 * time.Minute)
			s.wantBlobs(false, "content")
		})
	}
}

// TestCompleteReferences takes away the rows that older versions did not write, and wants them back, and nothing
// to be collected or deleted before.
func TestCompleteReferences(t *testing.T) {
	if unraced.Test(t) {
		return
	}
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	s.pushBlob("app", "held")
	s.pushBlob("app", "held too")
	child := s.pushImage("app", "", "child")
	var holders []image
	for i := range completeStep + 20 { // more than one transaction
		holders = append(holders, s.pushManifest("app", fmt.Sprint("t", i), listing(typed(ocispec.MediaTypeImageManifest, child.body), descriptorOf(fmt.Sprint(i))), header("Content-Type", ocispec.MediaTypeImageIndex)))
	}
	foreign := foreignLayer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")(s.pushBlob("app", configOf("x")))
	s.pushManifest("app", "foreign", foreign)
	large := s.pushManifest("app", "large", largeIndex(), header("Content-Type", ocispec.MediaTypeImageIndex))
	all := s.rows(needsTable) + s.rows(neededTable)
	s.forgetOptional()
	if s.rows(needsTable)+s.rows(neededTable) >= all {
		t.Fatal("nothing was taken away")
	}
	found := 0
	if _, err := s.Check(background, false, func(error) { found++ }); err != nil || found != len(holders)+2 {
		t.Errorf("the check found %d, %v", found, err)
	}
	if err := CompleteReferences(background, s.store); err != nil {
		t.Fatal(err)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+child.digest.String(), nil), 503, "UNAVAILABLE") // the large one was not read yet
	s.later(2 * time.Hour)
	s.wantHeld(large.digest)
	if now := s.rows(needsTable) + s.rows(neededTable); now != all || s.rows(incompleteTable) != 0 {
		t.Errorf("%d rows, want %d", now, all)
	}
	s.want(s.do("DELETE", "/v2/app/manifests/"+child.digest.String(), nil), 403, "DENIED")
	s.wantClean()
}

// forgetOptional takes away the rows of what may be absent.
func (s *server) forgetOptional() {
	s.t.Helper()
	err := s.store.Update(background, func(tx storage.Tx) error {
		for item, err := range tx.Scan(needsTable, nil, nil) {
			if err != nil {
				return err
			}
			repo, manifest, named, err := cutPair(item.Key)
			if err != nil || len(item.Value) == 0 {
				continue
			}
			tx.Delete(needsTable, item.Key)
			tx.Delete(neededTable, repoKey(repo, digestKey(named), digestKey(manifest)))
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestCompleteLost wants a manifest whose file is lost not to keep the collector from its work for ever.
func TestCompleteLost(t *testing.T) {
	s := startServer(t, t.TempDir(), Config{Lease: units.Duration(time.Hour)})
	large := s.pushManifest("app", "large", largeIndex(), header("Content-Type", ocispec.MediaTypeImageIndex))
	row, err := s.blobRow(large.digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.blobs.Remove(background, row.at); err != nil {
		t.Fatal(err)
	}
	if err := CompleteReferences(background, s.store); err != nil {
		t.Fatal(err)
	}
	if err := s.collect(background); err != nil || s.rows(incompleteTable) != 0 {
		t.Errorf("%v; %d manifests wait", err, s.rows(incompleteTable))
	}
}
