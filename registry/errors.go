package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/obs"
)

// maxMessage bounds a message in bytes: clients print it in one line.
const maxMessage = 199

// failure is an error with its answer.
type failure struct {
	status  int
	code    string // of the OCI distribution specification, "Error Codes"
	message string
	header  http.Header // added to the answer; may be nil
	rule    string      // that refuses it; "" where none does
	quota   string      // that has no room for it, by its pattern; "" where none refuses
}

// ErrUnknown says that there is no such repository, tag or manifest. The errors that wrap it say which.
var ErrUnknown = fault.New(fault.Missing, "it is not there")

func (f *failure) Error() string { return f.message }

// Is makes what is answered with 404 an ErrUnknown.
func (f *failure) Is(target error) bool {
	return target == ErrUnknown && f.status == http.StatusNotFound
}

// Class is that of ErrUnknown where it is one. Everything else has an answer of its own.
func (f *failure) Class() fault.Class {
	if f.status == http.StatusNotFound {
		return ErrUnknown.Class()
	}
	return fault.None
}

func newFailure(status int, code, format string, args ...any) *failure {
	return &failure{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

// An Answer is how something is refused.
type Answer struct {
	Status int
	Says   string      // a sentence for people
	Header http.Header // what is added to the answer, as Retry-After; may be nil
}

// AnswerOf is how an error of this room that refuses something is answered.
func AnswerOf(err error) (a Answer, ok bool) {
	f := failureOf(err)
	if f == nil {
		return a, false
	}
	return Answer{f.status, f.message, f.header}, true
}

// failureOf is the failure in an error, or nil.
func failureOf(err error) *failure {
	var f *failure
	if !errors.As(err, &f) {
		return nil
	}
	return f
}

func errNoRoute() error {
	return newFailure(http.StatusNotFound, "UNSUPPORTED", "there is no such path in the OCI distribution API")
}

func errMethod(k kind) error {
	var allowed []string
	for method := range handlers[k] {
		allowed = append(allowed, method)
	}
	slices.Sort(allowed)
	list := strings.Join(allowed, ", ")
	f := newFailure(http.StatusMethodNotAllowed, "UNSUPPORTED", "this path takes %s", list)
	f.header = http.Header{"Allow": {list}}
	return f
}

func errForm(kind string) error {
	return newFailure(http.StatusUnsupportedMediaType, "UNSUPPORTED", "a registry takes no form bodies (%.40s): send the bytes as application/octet-stream", kind)
}

func errName(name string) error {
	return newFailure(http.StatusBadRequest, "NAME_INVALID",
		"%.60q is no repository name: lower-case letters and digits, separated by '.', '_', '__', '-' and '/'", name)
}

func errNameUnknown(name string) error {
	return newFailure(http.StatusNotFound, "NAME_UNKNOWN", "there is no repository %.150s here, or you may not see it", name)
}

func errTag(tag string) error {
	return newFailure(http.StatusBadRequest, "TAG_INVALID", "%.60q is no tag: up to 128 letters, digits, '_', '.' and '-', not beginning with '.' or '-'", tag)
}

func errDigest(s string) error {
	return newFailure(http.StatusBadRequest, "DIGEST_INVALID", "%.90q is no digest: sha256 or sha512, a colon, and the hash in lower-case hexadecimal", s)
}

func errManifestUnknown(repo, ref string) error {
	return newFailure(http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no manifest %.140s in %.150s", ref, repo)
}

func errManifestInvalid(format string, args ...any) error {
	return newFailure(http.StatusBadRequest, "MANIFEST_INVALID", format, args...)
}

func errManifestBlobUnknown(d digest.Digest) error {
	return newFailure(http.StatusBadRequest, "MANIFEST_BLOB_UNKNOWN", "the manifest needs %s, which was not pushed to this repository: push it first", d)
}

func errBlobUnknown(repo string, d digest.Digest) error {
	return newFailure(http.StatusNotFound, "BLOB_UNKNOWN", "there is no blob %s in %.150s", d, repo)
}

func errUploadUnknown() error {
	return newFailure(http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "there is no such upload: it ended, was left for too long, or was begun by someone else; begin a new one")
}

func errDenied(format string, args ...any) error {
	return newFailure(http.StatusForbidden, "DENIED", format, args...)
}

// fail answers a request with an error.
func (g *Registry) fail(w http.ResponseWriter, r *http.Request, err error) {
	g.noteFull(err)
	f := g.answerFor(r, err)
	if f == nil {
		return // the client is gone
	}
	h := w.Header()
	for _, stale := range []string{"Content-Length", "Content-Range", "Location", "Range", "Etag", "Docker-Upload-Uuid", "Docker-Content-Digest", "Cache-Control", "Oci-Chunk-Min-Length"} {
		h.Del(stale)
	}
	for name, values := range f.header {
		h[name] = values
	}
	if f.rule != "" && r.Method == http.MethodHead { // which has no body to say it in
		addWarnings(h, []string{f.message})
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	body, err := json.Marshal(errorBody{[]errorItem{{f.code, cut(f.message)}}})
	if err == nil && r.Method != http.MethodHead {
		_, _ = w.Write(append(body, '\n')) // a client that left does not matter any more
	}
}

// errorBody is the shape of an error of the OCI distribution specification.
type errorBody struct {
	Errors []errorItem `json:"errors"`
}

type errorItem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func cut(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	return strings.ToValidUTF8(message[:maxMessage-3], "") + "…"
}

// answerFor finds the answer for an error. What only the operator can mend is logged, and told to the
// client without its details.
func (g *Registry) answerFor(r *http.Request, err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return nil
	}
	id := obs.RequestID(r.Context())
	t := access.TroubleOf(err, id)
	if t.Operator {
		g.log.Error("a request failed", "id", id, "method", r.Method, "path", r.URL.Path, "err", err)
	}
	f = newFailure(t.Status, codeOf(t.Status), "%s", t.Says)
	if f.header = t.Header(); t.Challenge {
		f.header = http.Header{"Www-Authenticate": {g.gate.Challenge(r, scopeOf(r), err)}}
	}
	return f
}

// codeOf is the code for what every room answers alike.
func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHORIZED"
	case http.StatusTooManyRequests:
		return "TOOMANYREQUESTS"
	case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		return "UNAVAILABLE"
	default:
		return "UNKNOWN"
	}
}
