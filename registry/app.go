package registry

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/configuration"
	apphandlers "github.com/distribution/distribution/v3/registry/handlers"
	registrymiddleware "github.com/distribution/distribution/v3/registry/middleware/registry"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	"github.com/sirupsen/logrus"
)

// This file alone imports distribution's handlers. It embeds their App over our namespace, through the
// registry middleware, and gives their answers our words.

// appName is what the driver and the middleware are registered under, once for all Apps of the process.
const appName = "hallmark"

var registerApp = sync.OnceValue(func() error {
	logrus.SetOutput(io.Discard) // the App logs globally; bridgeLogs hands on what is of use
	logrus.SetLevel(logrus.ErrorLevel)
	factory.Register(appName, noDriver{})
	return registrymiddleware.Register(appName,
		func(_ context.Context, _ distribution.Namespace, _ driver.StorageDriver, options map[string]any) (distribution.Namespace, error) {
			return options[appName].(distribution.Namespace), nil
		})
})

// newApp returns distribution's App over the registry.
func newApp(g *Registry) (app http.Handler, err error) {
	if err := registerApp(); err != nil {
		return nil, err
	}
	bridgeLogs(g.log)
	c := &configuration.Configuration{
		Storage: configuration.Storage{
			appName:       {},
			"maintenance": {"uploadpurging": map[any]any{"enabled": false}}, // see sweep.go
			"delete":      {"enabled": true},
			"redirect":    {"disable": true},
		},
		Middleware: map[string][]configuration.Middleware{
			"registry": {{Name: appName, Options: configuration.Parameters{appName: namespace{g}}}},
		},
	}
	c.HTTP.RelativeURLs = true // Location never follows what the client says of the host
	c.HTTP.Secret = hex.EncodeToString(g.secret)
	defer func() {
		if p := recover(); p != nil { // NewApp panics over its configuration
			err = fmt.Errorf("%v", p)
		}
	}()
	return apphandlers.NewApp(context.Background(), c), nil
}

// bridgeLogs hands the App's errors to our log, where they are details: the request's own line and the
// answer say what went wrong.
var bridgeOnce sync.Once

func bridgeLogs(log *slog.Logger) {
	bridgeOnce.Do(func() { logrus.AddHook(logBridge{log}) })
}

type logBridge struct{ log *slog.Logger }

func (logBridge) Levels() []logrus.Level { return logrus.AllLevels }

func (b logBridge) Fire(e *logrus.Entry) error {
	b.log.Debug("distribution says", "message", e.Message)
	return nil
}

// noDriver is the storage driver that the App insists on. Nothing of it is ever used.
type noDriver struct{ driver.StorageDriver }

func (noDriver) Create(context.Context, map[string]any) (driver.StorageDriver, error) {
	return noDriver{}, nil
}

func (noDriver) Name() string { return appName }

// callKey is the call in the context of a request that goes through the App.
type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// toApp lets the App serve a call. It gets a path and a query made anew from what we parsed, so that it
// cannot understand them differently.
func (g *Registry) toApp(w http.ResponseWriter, c *call) error {
	if err := g.prepareUpload(c); err != nil {
		return err
	}
	out := &appWriter{ResponseWriter: w}
	g.app.ServeHTTP(out, c.appRequest())
	if c.open != nil { // the App leaves it open where it refuses a request early
		if err := c.failed(c.open.Close()); err != nil {
			g.log.Error("closing an upload failed", "err", err)
		}
	}
	if c.failure != nil && !out.passed {
		return c.failure
	}
	if out.refused != 0 {
		return g.appFailure(c, out)
	}
	return nil
}

func (c *call) appRequest() *http.Request {
	r := c.r.Clone(context.WithValue(c.r.Context(), callKey{}, c))
	u := &url.URL{Path: "/v2/"}
	switch c.kind {
	case uploadsKind:
		u.Path += c.repo + "/blobs/uploads/"
	case uploadKind:
		u.Path += c.repo + "/blobs/uploads/" + c.upload
	case blobKind:
		u.Path += c.repo + "/blobs/" + c.ref
	}
	query := url.Values{}
	for _, name := range []string{"_state", "digest", "mount", "from"} {
		if v := c.query.Get(name); v != "" {
			query.Set(name, v)
		}
	}
	u.RawQuery = query.Encode()
	r.URL, r.RequestURI = u, u.RequestURI()
	r.Header.Del("X-Forwarded-Host")
	r.Header.Del("X-Forwarded-Proto")
	r.Header.Del("X-Forwarded-Prefix")
	return r
}

// appWriter passes on an answer of the App that is good, and holds back one that is not, so that the
// call's own failure, or our words for the App's, can be sent instead. Without it the App's status 500
// would be all that a client sees of most of our errors.
type appWriter struct {
	http.ResponseWriter
	passed  bool
	refused int          // the status of an answer held back
	body    bytes.Buffer // of that answer
}

// Unwrap serves http.ResponseController.
func (w *appWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *appWriter) WriteHeader(status int) {
	h := w.Header()
	h.Set(apiVersion, h.Get(apiVersion)) // the App adds its own to what is there
	switch {
	case w.passed || w.refused != 0:
	case status >= 400:
		w.refused = status
	default:
		w.passed = status >= 200
		w.ResponseWriter.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (w *appWriter) Write(p []byte) (int, error) {
	if w.refused == 0 {
		w.WriteHeader(http.StatusOK)
		return w.ResponseWriter.Write(p)
	}
	if w.body.Len()+len(p) <= 64<<10 {
		w.body.Write(p)
	}
	return len(p), nil
}

// appFailure puts an error of the App's own into words that help.
func (g *Registry) appFailure(c *call, out *appWriter) error {
	var body errorBody
	if json.Unmarshal(out.body.Bytes(), &body) != nil || len(body.Errors) == 0 {
		body.Errors = []errorItem{{Code: "UNSUPPORTED", Message: http.StatusText(out.refused)}}
	}
	switch first := body.Errors[0]; first.Code {
	case "BLOB_UPLOAD_INVALID": // the state that the App signed into Location is missing or another's
		return errUploadUnknown()
	case "RANGE_INVALID": // the upload has moved on since that state was signed
		return g.errOutOfOrder(c)
	case "DIGEST_INVALID":
		return errDigest(c.query.Get("digest"))
	default:
		return newFailure(out.refused, first.Code, "%s", first.Message)
	}
}

// errOutOfOrder answers a chunk that does not begin where the upload ends. It tells the client where that
// is, and a Location to go on from, which only the App can sign.
func (g *Registry) errOutOfOrder(c *call) error {
	f := newFailure(http.StatusRequestedRangeNotSatisfiable, "RANGE_INVALID",
		"this chunk does not begin where the upload ends; go on behind the Range of this answer, at its Location")
	status := &headerWriter{header: http.Header{}}
	ask := *c
	ask.r = c.r.Clone(c.r.Context())
	ask.r.Method, ask.r.Body, ask.r.ContentLength = http.MethodGet, http.NoBody, 0
	g.app.ServeHTTP(status, ask.appRequest())
	if status.status != http.StatusNoContent {
		return errUploadUnknown()
	}
	f.header = http.Header{"Location": status.header["Location"], "Range": status.header["Range"]}
	return f
}

// headerWriter keeps an answer's status and headers.
type headerWriter struct {
	header http.Header
	status int
}

func (w *headerWriter) Header() http.Header         { return w.header }
func (w *headerWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *headerWriter) WriteHeader(status int)      { w.status = status }

// prepareUpload checks what the App would not, before it reads anything.
func (g *Registry) prepareUpload(c *call) error {
	if c.kind != uploadKind && c.kind != uploadsKind {
		return nil
	}
	c.r.Header.Del("Content-Type") // the App wants none, or application/octet-stream
	if c.kind == uploadKind {
		if _, ok := g.uploadID(c, c.upload); !ok {
			return errUploadUnknown()
		}
	}
	return c.parseContentRange()
}

var errContentRange = errors.New("content range")

// chunk is a Content-Range as OCI has it, "start-end", both inclusive.
type chunk struct{ start, length int64 }

// parseContentRange reads the header into c.chunk, which stays nil where there is none.
func (c *call) parseContentRange() error {
	header := c.r.Header.Get("Content-Range")
	if header == "" {
		return nil
	}
	ch, err := parseChunk(header)
	if err != nil {
		return newFailure(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", "Content-Range %.40q is not start-end, as in 0-1023", header)
	}
	if n := c.r.ContentLength; n >= 0 && n != ch.length {
		return newFailure(http.StatusBadRequest, "SIZE_INVALID", "Content-Range covers %d bytes, and Content-Length says %d", ch.length, n)
	}
	c.chunk = ch
	return nil
}

func parseChunk(s string) (*chunk, error) {
	first, last, ok := bytes.Cut([]byte(s), []byte("-"))
	start, err1 := strconv.ParseUint(string(first), 10, 62)
	end, err2 := strconv.ParseUint(string(last), 10, 62)
	if err := errors.Join(err1, err2); err != nil || !ok || end < start {
		return nil, errContentRange
	}
	return &chunk{start: int64(start), length: int64(end-start) + 1}, nil
}
