package registry

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// serveContent answers with a file, or the range that was asked for, or 304 when the client has it. The
// headers that describe it, Etag among them, are set by the caller.
func serveContent(w http.ResponseWriter, r *http.Request, f storage.Blob) error {
	limitRange(r, f.Size())
	out := &copier{ResponseWriter: w}
	// A section seeks in memory, where a file would ask the system three times.
	http.ServeContent(out, r, "", time.Time{}, io.NewSectionReader(f, 0, f.Size()))
	switch out.refused {
	case 0:
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		refused := newFailure(out.refused, "RANGE_INVALID", "this has %d bytes, and nothing of the range that was asked for", f.Size())
		refused.header = http.Header{"Content-Range": {"bytes */" + strconv.FormatInt(f.Size(), 10)}}
		return refused
	case http.StatusPreconditionFailed:
		return newFailure(out.refused, "UNSUPPORTED", "what is here has another ETag than the request wants: its digest")
	default:
		return newFailure(out.refused, "UNKNOWN", "%s", http.StatusText(out.refused))
	}
}

// copier is a ResponseWriter that is filled through our own buffers. It holds refusals of net/http back, which are
// answered in OCI's shape.
type copier struct {
	http.ResponseWriter
	refused int // the status of one
}

// WriteHeader implements http.ResponseWriter.
func (c *copier) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		c.refused = status
		return
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *copier) Write(p []byte) (int, error) {
	if c.refused != 0 {
		return len(p), nil
	}
	return c.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (c *copier) Unwrap() http.ResponseWriter { return c.ResponseWriter }
