package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// download reads a blob from a registry. Where the connection breaks, it goes on behind what has come, a few times; whether the
// pieces belong together, the digest of it all tells.
type download struct {
	ctx  context.Context //nolint:containedctx // of one request, in which it is read
	r    *remote
	repo string
	at   string

	body   io.ReadCloser
	size   int64           // of all of it, or -1 where the registry does not say
	came   int64           // bytes
	breaks int             // since the last byte came
	total  int             // breaks in all
	asked  context.Context //nolint:containedctx // as ctx; it ends where nothing comes any more
	cancel context.CancelCauseFunc
	stall  *time.Timer
}

const (
	// maxBreaks is how often a download is taken up again without a byte in between, and maxAllBreaks in all.
	maxBreaks, maxAllBreaks = 3, 100
	// stalled is how long a registry may send nothing.
	stalled = time.Minute
)

// errStalled: a registry has sent nothing for a while.
var errStalled = fmt.Errorf("nothing came for %s", stalled)

// open asks for what has not come yet.
func (d *download) open() error {
	asked, cancel := context.WithCancelCause(d.ctx)
	d.asked, d.cancel, d.stall = asked, cancel, time.AfterFunc(stalled, func() { cancel(errStalled) })
	header := http.Header{}
	if d.came > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.came))
	}
	resp, err := d.r.get(asked, d.repo, d.at, header)
	if err != nil {
		err = d.why(err)
		d.end()
		return err
	}
	switch {
	case d.came == 0:
		d.size = resp.ContentLength
	case resp.StatusCode != http.StatusPartialContent:
		d.end()
		return errors.Join(errors.New("the connection broke, and the registry sends only all of it"), resp.Body.Close())
	}
	d.body = resp.Body
	return nil
}

// why is what broke a request: that it was ended here, where it was.
func (d *download) why(err error) error {
	if cause := context.Cause(d.asked); cause != nil {
		return cause
	}
	return err
}

func (d *download) end() {
	d.stall.Stop()
	d.cancel(nil)
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.body.Read(p)
		d.came += int64(n)
		if n > 0 {
			d.breaks = 0
			d.stall.Reset(stalled)
		}
		whole := errors.Is(err, io.EOF) && (d.size < 0 || d.came >= d.size)
		if err == nil || whole || n > 0 {
			if !whole && err != nil {
				err = nil // the next call takes it up again
			}
			return n, err
		}
		if err := d.again(err); err != nil {
			return 0, err
		}
	}
}

// again takes up a download that broke.
func (d *download) again(broke error) error {
	broke = d.why(broke)
	err := d.body.Close()
	d.end()
	if d.breaks++; d.ctx.Err() != nil || d.breaks > maxBreaks || d.total >= maxAllBreaks || d.size < 0 {
		return errors.Join(fmt.Errorf("it broke off after %d bytes: %w", d.came, broke), err)
	}
	d.total++
	return d.open()
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.end()
	return d.body.Close()
}
