package mirror

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	// stalled is how long a registry may send nothing of an answer that it has begun.
	stalled = time.Minute
	// slowest is how many bytes a second it has to send at least, once it was waited for for so long.
	slowest = 1 << 10
)

// errStalled: a registry has sent nothing for a while, or next to nothing.
type errStalled struct {
	idle time.Duration
	came int64
}

func (e errStalled) Error() string {
	if e.came == 0 {
		return fmt.Sprintf("nothing came for %s", e.idle)
	}
	return fmt.Sprintf("it comes at less than %d bytes a second, %d so far", slowest, e.came)
}

// flowing is the body of an answer that has to go on: manifests, lists and tokens as well as blobs. Only the time counts in which somebody waits for it, not
// that in which what has come is written to a disk.
type flowing struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the one request whose body it is
	cancel context.CancelCauseFunc
	idle   time.Duration
	came   int64
	waited time.Duration
}

// Read implements io.Reader.
func (f *flowing) Read(p []byte) (n int, err error) {
	begun := time.Now()
	stall := time.AfterFunc(f.idle, func() { f.cancel(errStalled{idle: f.idle}) })
	n, err = f.ReadCloser.Read(p)
	stall.Stop()
	f.came += int64(n)
	f.waited += time.Since(begun)
	if f.waited > f.idle && float64(f.came) < f.waited.Seconds()*slowest {
		f.cancel(errStalled{f.idle, f.came})
	}
	if cause := context.Cause(f.ctx); cause != nil && err != io.EOF { //nolint:errorlint // io.Reader returns it as it is
		err = cause
	}
	return n, err
}

// Close implements io.Closer.
func (f *flowing) Close() error {
	err := f.ReadCloser.Close()
	f.cancel(nil)
	return err
}
