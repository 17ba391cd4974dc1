package host

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/trust"
)

// sample is an image that the pull side is looked at with.
type sample struct {
	by       caller
	repo     string
	tag      string
	list     *answer // the tags
	top      *answer // the manifest that the tag names, by tag
	digest   digest.Digest
	manifest *answer // the image manifest itself: top, or the first child of it
	content  ocispec.Manifest
}

var manifestTypes = http.Header{"Accept": {strings.Join([]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex,
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}, ", ")}}

func (i *inspection) repository() string {
	if i.image != nil {
		return i.image.repo
	}
	return i.Repository
}

// findImage finds an image that we may read: in the repository that was named, else in the first that has
// a tag among those that we may list. With a login it looks with it.
func (i *inspection) findImage(ctx context.Context, catalog *answer) {
	by := i.ask.anonymous
	if i.ask.signedIn != nil {
		by = i.ask.signedIn
		catalog = i.ask.get(ctx, by, "/v2/_catalog?n=10")
	}
	names := []string{i.Repository}
	if i.Repository == "" {
		var list struct{ Repositories []string }
		if !catalog.ok(&list) {
			i.why = "There is no image to try: repositories are not listed to this caller. Name one with --repo, and sign in if it takes that."
			return
		}
		names = list.Repositories
	}
	for _, name := range names[:min(len(names), 3)] {
		if s := i.ask.sample(ctx, by, name); s != nil {
			i.image = s
			return
		}
	}
	i.why = "There is no image to try: none can be read by this caller."
}

// sample reads the first image of a repository, or returns nil.
func (a *asker) sample(ctx context.Context, by caller, repo string) *sample {
	if !validPath(repo) {
		return nil
	}
	s := &sample{by: by, repo: repo}
	s.list = a.get(ctx, by, "/v2/"+repo+"/tags/list")
	var list struct{ Tags []string }
	if !s.list.ok(&list) || len(list.Tags) == 0 {
		return nil
	}
	s.tag = list.Tags[0]
	if slices.Contains(list.Tags, "latest") {
		s.tag = "latest"
	}
	s.top = a.do(ctx, by, http.MethodGet, s.path("manifests", s.tag), manifestTypes)
	var index ocispec.Index
	if !s.top.ok(&index) {
		return nil
	}
	s.digest = digest.FromBytes(s.top.body)
	s.manifest = s.top
	if len(index.Manifests) > 0 {
		s.manifest = a.do(ctx, by, http.MethodGet, s.path("manifests", index.Manifests[0].Digest.String()), manifestTypes)
	}
	if json.Unmarshal(s.manifest.body, &s.content) != nil {
		s.content = ocispec.Manifest{}
	}
	return s
}

// validPath keeps what a server calls a repository from becoming another path.
func validPath(repo string) bool {
	return repo != "" && len(repo) < 256 && strings.Trim(repo, "abcdefghijklmnopqrstuvwxyz0123456789._-/") == "" && !strings.Contains(repo, "..")
}

func (s *sample) path(kind, ref string) string {
	return "/v2/" + s.repo + "/" + kind + "/" + url.PathEscape(ref)
}

// expectation is one thing that OCI's specification says of the pull side.
type expectation struct {
	what string
	ask  *answer
	good bool
}

// conformance makes the requests that a pull is made of, and those that have to fail, and compares the
// answers with the OCI distribution specification 1.1.
func (i *inspection) conformance(ctx context.Context, base *answer) trust.Check {
	if i.image == nil {
		return trust.NotKnown(trust.HostConformity, i.why)
	}
	all := append(i.image.expectTags(ctx, i.ask, base), i.image.expectManifests(ctx, i.ask)...)
	all = append(all, i.image.expectBlobs(ctx, i.ask)...)
	good := 0
	var bad []string
	log := make([]conformed, 0, len(all))
	for _, e := range all {
		if good++; !e.good {
			good--
			bad = append(bad, e.what)
		}
		log = append(log, conformed{e.ask, e.what, e.good})
	}
	says := fmt.Sprintf("All %d requests of a pull were answered as the specification says.", len(all))
	if len(bad) > 0 {
		says = fmt.Sprintf("%d of %d requests were not answered as the specification says: %s.", len(bad), len(all), strings.Join(bad, "; "))
	}
	c := trust.Share(trust.HostConformity, good, len(all), says).With(conformityEvidence{i.image.repo, log})
	if len(bad) > 0 {
		c = c.Advise("Run OCI's conformance suite against it, and update the registry.")
	}
	return c
}

func (s *sample) expectTags(ctx context.Context, a *asker, base *answer) []expectation {
	var list struct{ Tags []string }
	one := a.get(ctx, s.by, "/v2/"+s.repo+"/tags/list?n=1")
	return []expectation{
		{"the base answers 200, or 401 with an error in OCI's shape", base, base.Status == http.StatusOK || base.Status == http.StatusUnauthorized && base.code() != ""},
		{"tags are listed", s.list, s.list.ok(nil)},
		{"n=1 lists one tag", one, one.ok(&list) && len(list.Tags) == 1},
	}
}

const unknownDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

func (s *sample) expectManifests(ctx context.Context, a *asker) []expectation {
	head := a.do(ctx, s.by, http.MethodHead, s.path("manifests", s.tag), manifestTypes)
	byDigest := a.do(ctx, s.by, http.MethodGet, s.path("manifests", s.digest.String()), manifestTypes)
	unknown := a.do(ctx, s.by, http.MethodGet, s.path("manifests", "hallmark-inspect-no-such-tag"), manifestTypes)
	return []expectation{
		{"HEAD of a manifest says its length and type", head, head.ok(nil) && hasLength(head, int64(len(s.top.body))) && head.header.Get("Content-Type") != ""},
		{"a manifest is there under its digest", byDigest, byDigest.ok(nil)},
		{"an unknown tag is 404 with an error in OCI's shape", unknown, unknown.Status == http.StatusNotFound && unknown.code() != ""},
	}
}

func (s *sample) expectBlobs(ctx context.Context, a *asker) []expectation {
	unknown := a.get(ctx, s.by, s.path("blobs", unknownDigest))
	all := []expectation{{"an unknown blob is 404", unknown, unknown.Status == http.StatusNotFound}}
	config := s.content.Config
	if config.Digest == "" || config.Size < 2 {
		return all
	}
	path := s.path("blobs", config.Digest.String())
	head := a.do(ctx, s.by, http.MethodHead, path, nil)
	part := a.do(ctx, s.by, http.MethodGet, path, http.Header{"Range": {"bytes=0-0"}})
	return append(all,
		expectation{"HEAD of a blob says its length", head, head.ok(nil) && hasLength(head, config.Size)},
		expectation{"a range of a blob is 206, or the whole", part, part.Status == http.StatusPartialContent && len(part.body) == 1 || part.Status == http.StatusOK})
}

func hasLength(a *answer, want int64) bool {
	return a.header.Get("Content-Length") == strconv.FormatInt(want, 10)
}

// referrers asks for the list of what refers to an image.
func (i *inspection) referrers(ctx context.Context) trust.Check {
	if i.image == nil {
		return trust.NotKnown(trust.HostReferrers, i.why)
	}
	a := i.ask.get(ctx, i.image.by, i.image.path("referrers", i.image.digest.String()))
	kind, _, _ := mime.ParseMediaType(a.header.Get("Content-Type")) // a type that cannot be read is not the one wanted
	var index ocispec.Index
	switch {
	case a.err != nil:
		return trust.NotKnown(trust.HostReferrers, "The list of referrers was not answered: "+a.Error).With(requests(a))
	case a.ok(&index) && kind == ocispec.MediaTypeImageIndex && index.SchemaVersion == 2:
		return trust.Passed(trust.HostReferrers, "Signatures and SBOMs can be found through the referrers API.").With(requests(a))
	}
	return trust.Failed(trust.HostReferrers, fmt.Sprintf("It has no referrers API: status %d, type %q.", a.Status, kind)).With(requests(a)).
		Advise("Update the registry to OCI 1.1; until then clients fall back to tags that anybody who may push can move.")
}

// hashed is a content that was compared with its digest.
type hashed struct {
	*answer
	Want digest.Digest `json:"want"`
	Got  digest.Digest `json:"got"`
}

// digests recomputes the digests of a manifest, a config and the smallest layer.
func (i *inspection) digests(ctx context.Context) trust.Check {
	s := i.image
	if s == nil {
		return trust.NotKnown(trust.HostDigests, i.why)
	}
	all := s.hashManifests()
	for _, d := range s.blobsToHash() {
		a := i.ask.hash(ctx, s.by, s.path("blobs", d.Digest.String()))
		if a.err != nil || a.Status != http.StatusOK {
			return trust.NotKnown(trust.HostDigests, "A blob could not be read whole.").With(requests(a))
		}
		all = append(all, hashed{a, d.Digest, a.digest})
	}
	for _, h := range all {
		if h.Got != h.Want {
			return trust.Failed(trust.HostDigests, "The bytes that it serves are not those that the digest names.").
				With(digestsEvidence{all}).Advise("Pull nothing from it: it is broken, or it lies.")
		}
	}
	return trust.Passed(trust.HostDigests, fmt.Sprintf("%d contents have the digests that name them.", len(all))).With(digestsEvidence{all})
}

// hashManifests compares manifests with the digests that name them: of the header, and of the index.
func (s *sample) hashManifests() (all []hashed) {
	if d, err := digest.Parse(s.top.header.Get("Docker-Content-Digest")); err == nil && d.Algorithm() == digest.SHA256 {
		all = append(all, hashed{s.top, d, s.digest})
	}
	if s.manifest != s.top && s.manifest.ok(nil) {
		var index ocispec.Index
		if json.Unmarshal(s.top.body, &index) == nil && index.Manifests[0].Digest.Algorithm() == digest.SHA256 {
			all = append(all, hashed{s.manifest, index.Manifests[0].Digest, digest.FromBytes(s.manifest.body)})
		}
	}
	return all
}

// blobsToHash are the config and the smallest layer, where they are small enough.
func (s *sample) blobsToHash() (blobs []ocispec.Descriptor) {
	fits := func(d ocispec.Descriptor) bool {
		return d.Digest.Validate() == nil && d.Digest.Algorithm() == digest.SHA256 && d.Size <= maxBlob
	}
	if fits(s.content.Config) {
		blobs = append(blobs, s.content.Config)
	}
	layers := slices.DeleteFunc(slices.Clone(s.content.Layers), func(d ocispec.Descriptor) bool { return !fits(d) })
	if len(layers) > 0 {
		blobs = append(blobs, slices.MinFunc(layers, func(a, b ocispec.Descriptor) int { return cmp.Compare(a.Size, b.Size) }))
	}
	return blobs
}
