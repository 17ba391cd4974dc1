package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// download reads a blob from a registry. Where the connection breaks, it goes on behind what has come, a few times; whether the
// pieces belong together, the digest of it all tells.
type download struct {
	ctx  context.Context //nolint:containedctx // of one request, in which it is read
	r    *remote
	repo string
	at   string

	body   io.ReadCloser
	size   int64 // of all of it, or -1 where the registry does not say
	came   int64 // bytes
	breaks int   // since the last byte came
	total  int   // breaks in all
}

// maxBreaks is how often a download is taken up again without a byte in between, and maxAllBreaks in all.
const maxBreaks, maxAllBreaks = 3, 100

// open asks for what has not come yet.
func (d *download) open() error {
	header := http.Header{}
	if d.came > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", d.came))
	}
	resp, err := d.r.get(d.ctx, d.repo, d.at, header)
	if err != nil {
		return err
	}
	switch {
	case d.came == 0:
		d.size = resp.ContentLength
	case resp.StatusCode != http.StatusPartialContent:
		return errors.Join(errors.New("the connection broke, and the registry sends only all of it"), resp.Body.Close())
	}
	d.body = resp.Body
	return nil
}

// Read implements io.Reader.
func (d *download) Read(p []byte) (int, error) {
	for {
		n, err := d.body.Read(p)
		d.came += int64(n)
		if n > 0 {
			d.breaks = 0
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
	err := d.body.Close()
	if d.breaks++; d.ctx.Err() != nil || d.breaks > maxBreaks || d.total >= maxAllBreaks || d.size < 0 {
		return errors.Join(fmt.Errorf("it broke off after %d bytes: %w", d.came, broke), err)
	}
	d.total++
	return d.open()
}

// Close implements io.Closer.
func (d *download) Close() error {
	return d.body.Close()
}
