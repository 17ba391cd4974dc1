package registry

import (
	"io"
	"net/http"
	"time"

	"github.com/seed-260924e6/hallmark/storage"
)

// serveContent answers with a file, or the range that was asked for, or 304 when the client has it. The
// headers that describe it, Etag among them, are set by the caller.
func serveContent(w http.ResponseWriter, r *http.Request, f storage.Blob) {
	// A section seeks in memory, where a file would ask the system three times.
	http.ServeContent(&copier{w}, r, "", time.Time{}, io.NewSectionReader(f, 0, f.Size()))
}

// copier is a ResponseWriter that is filled through our large buffers.
type copier struct{ http.ResponseWriter }

// Unwrap serves http.ResponseController.
func (c *copier) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// ReadFrom implements io.ReaderFrom, which io.Copy looks for.
func (c *copier) ReadFrom(r io.Reader) (int64, error) {
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{c.ResponseWriter}, struct{ io.Reader }{r}, *buf)
}
