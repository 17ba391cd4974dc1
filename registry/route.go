package registry

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/query"
)

// request is a parsed request: what is asked of which part of which repository.
type request struct {
	kind   kind
	handle handler
	right  access.Right

	repo   string
	ref    string        // a tag or a digest, as it was written
	digest digest.Digest // of a manifest named by digest, of a blob, or of a subject
	upload string        // an upload's id, unchecked
	query  url.Values
}

// A handler acts on a call. Nothing has been written when it returns an error.
type handler func(*Registry, http.ResponseWriter, *call) error

// kind is a kind of path. Its name labels metrics.
type kind string

// The kinds of path of the OCI distribution specification.
const (
	baseKind      kind = "base"
	catalogKind   kind = "catalog"
	tagsKind      kind = "tags"
	referrersKind kind = "referrers"
	manifestKind  kind = "manifest"
	blobKind      kind = "blob"
	uploadsKind   kind = "uploads"
	uploadKind    kind = "upload"
)

// handlers says what can be done with each kind of path.
var handlers = map[kind]map[string]handler{
	baseKind:      {"GET": (*Registry).toApp, "HEAD": (*Registry).toApp},
	catalogKind:   {"GET": (*Registry).catalog, "HEAD": (*Registry).catalog},
	tagsKind:      {"GET": (*Registry).tags, "HEAD": (*Registry).tags},
	referrersKind: {"GET": (*Registry).referrers, "HEAD": (*Registry).referrers},
	manifestKind: {
		"GET": (*Registry).getManifest, "HEAD": (*Registry).getManifest,
		"PUT": (*Registry).putManifest, "DELETE": (*Registry).deleteManifest,
	},
	blobKind:    {"GET": (*Registry).getBlob, "HEAD": (*Registry).getBlob, "DELETE": (*Registry).toApp},
	uploadsKind: {"POST": (*Registry).beginUpload},
	uploadKind: {
		"GET": (*Registry).toApp, "HEAD": (*Registry).toApp, "PATCH": (*Registry).toApp,
		"PUT": (*Registry).toApp, "DELETE": (*Registry).cancelUpload,
	},
}

// Routes lists what can be asked under /v2/, each as METHOD and kind of path: "GET manifest".
func Routes() (list []string) {
	for on, methods := range handlers {
		for method := range methods {
			list = append(list, method+" "+string(on))
		}
	}
	slices.Sort(list)
	return list
}

// parse reads a request's path and query. A path may hold percent escapes: it is only ever looked at
// decoded, and distribution's App is given one that is built anew from the parts.
func parse(method string, u *url.URL) (request, error) {
	q, err := parsePath(u.Path)
	if err != nil {
		return q, err
	}
	q.query, _ = query.Parse(u.RawQuery) // what is malformed asks for nothing
	var ok bool
	if q.handle, ok = handlers[q.kind][method]; !ok {
		return q, errMethod(q.kind)
	}
	q.right = rightFor(method, q.kind)
	switch {
	case q.kind != baseKind && q.kind != catalogKind && !validName(q.repo):
		return q, errName(q.repo)
	case q.kind == manifestKind:
		return q, q.parseReference(method)
	case q.kind == blobKind || q.kind == referrersKind:
		return q, q.parseDigest()
	}
	return q, nil
}

// parsePath finds the route by the end of the path: a repository's name may hold any of its words.
func parsePath(path string) (q request, err error) {
	path, ok := strings.CutPrefix(path, "/v2")
	if !ok || path != "" && path[0] != '/' {
		return q, errNoRoute()
	}
	path = strings.TrimPrefix(path, "/")
	switch path {
	case "":
		q.kind = baseKind
		return q, nil
	case "_catalog":
		q.kind = catalogKind
		return q, nil
	}
	if q.repo, ok = strings.CutSuffix(path, "/tags/list"); ok {
		q.kind = tagsKind
		return q, nil
	}
	if q.repo, ok = strings.CutSuffix(strings.TrimSuffix(path, "/"), "/blobs/uploads"); ok {
		q.kind = uploadsKind
		return q, nil
	}
	dir, last := cutLast(path)
	if q.repo, ok = strings.CutSuffix(dir, "/blobs/uploads"); ok {
		q.kind, q.upload = uploadKind, last
		return q, nil
	}
	if q.repo, ok = strings.CutSuffix(dir, "/manifests"); ok {
		q.kind, q.ref = manifestKind, last
		return q, nil
	}
	if q.repo, ok = strings.CutSuffix(dir, "/referrers"); ok {
		q.kind, q.ref = referrersKind, last
		return q, nil
	}
	if q.repo, ok = strings.CutSuffix(dir, "/blobs"); ok {
		q.kind, q.ref = blobKind, last
		return q, nil
	}
	return q, errNoRoute()
}

func cutLast(path string) (dir, last string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}

// parseReference reads <reference>: a digest, or a tag. What can be neither cannot be there.
func (q *request) parseReference(method string) error {
	if strings.Contains(q.ref, ":") {
		var ok bool
		if q.digest, ok = parseDigest(q.ref); !ok {
			return errDigest(q.ref)
		}
		return nil
	}
	if method == http.MethodPut {
		return mayBeSet(q.ref)
	}
	if !validTag(q.ref) {
		return errManifestUnknown(q.repo, q.ref)
	}
	return nil
}

func (q *request) parseDigest() error {
	var ok bool
	if q.digest, ok = parseDigest(q.ref); !ok {
		return errDigest(q.ref)
	}
	return nil
}

func rightFor(method string, on kind) access.Right {
	switch {
	case method == http.MethodGet || method == http.MethodHead:
		return access.Pull
	case method == http.MethodDelete && on != uploadKind:
		return access.Delete
	default:
		return access.Push
	}
}

// scopeOf is the scope of a token that a request wants, as the token specification writes it.
func scopeOf(r *http.Request) string {
	q, err := parse(r.Method, r.URL)
	switch {
	case q.kind == catalogKind:
		return "registry:catalog:*"
	case err != nil || q.repo == "":
		return ""
	}
	actions := access.Pull.String()
	if q.right != access.Pull {
		actions += "," + q.right.String()
	}
	scope := "repository:" + q.repo + ":" + actions
	if from := q.query.Get("from"); q.kind == uploadsKind && validName(from) {
		scope += " repository:" + from + ":" + access.Pull.String()
	}
	return scope
}

// refuseForms refuses bodies that distribution would parse as forms, before anybody reads them. An empty
// one is what curl makes of -X POST -d ”.
func refuseForms(r *http.Request) error {
	kind := r.Header.Get("Content-Type")
	if kind == "" {
		return nil
	}
	if parsed, _, err := mime.ParseMediaType(kind); err == nil {
		kind = parsed
	}
	kind = strings.ToLower(strings.TrimSpace(kind))
	if !strings.HasPrefix(kind, "multipart/") && !strings.HasPrefix(kind, "application/x-www-form-urlencoded") {
		return nil
	}
	if r.ContentLength == 0 && !strings.HasPrefix(kind, "multipart/") {
		r.Header.Del("Content-Type")
		return nil
	}
	return errForm(kind)
}

// bounded cuts a header that goes into a record.
func bounded(s string) string {
	if len(s) > 256 {
		s = s[:256]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
