package registry

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A roomer is a ResponseWriter that knows how much its client takes.
type roomer interface {
	// WaitRoom waits until the connection takes something without waiting, where that can be waited for, and returns
	// about how many bytes to write then; 0 where it cannot know.
	WaitRoom() (int, error)
}

// roomOf waits for room in the writer that knows of it, below the others.
func roomOf(w http.ResponseWriter) (int, error) {
	for {
		if r, ok := w.(roomer); ok {
			return r.WaitRoom()
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return 0, nil
		}
		w = u.Unwrap()
	}
}

const (
	// Buffers that are lent to a body or an answer, in bytes. Larger ones make no answer quicker.
	tinyBuffer, smallBuffer, mediumBuffer, largeBuffer = 4 << 10, 16 << 10, 32 << 10, 64 << 10
	// slow is how long a small buffer may take to be filled before its client is slow.
	slow = 100 * time.Millisecond
)

var (
	tinyBuffers   = sync.Pool{New: func() any { b := make([]byte, tinyBuffer); return &b }}
	smallBuffers  = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	mediumBuffers = sync.Pool{New: func() any { b := make([]byte, mediumBuffer); return &b }}
	largeBuffers  = sync.Pool{New: func() any { b := make([]byte, largeBuffer); return &b }}
)

// ReadFrom implements io.ReaderFrom, which io.Copy looks for. It holds a buffer no longer than it has to, and none that
// is larger than what the client takes: one that reads slowly must not have it for as long as it likes.
func (c *copier) ReadFrom(r io.Reader) (n int64, err error) {
	tiny := isTiny(c.Header())
	for err == nil {
		room := tinyBuffer
		if !tiny {
			if room, err = roomOf(c.ResponseWriter); err != nil {
				return n, err
			}
		}
		pool := buffersFor(room)
		for asked := n; err == nil && n-asked < int64(max(room, 1)); {
			var written int64
			written, err = c.copy(r, pool)
			n += written
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// isTiny says that an answer is no longer than the buffer that net/http has for each: it waits for its client there, with
// nothing of ours, so to ask for room would cost two calls to the system for nothing.
func isTiny(h http.Header) bool {
	n, err := strconv.Atoi(h.Get("Content-Length"))
	return err == nil && n <= tinyBuffer
}

// buffersFor returns the largest buffers that fit in a room, and small ones where it is not known.
func buffersFor(room int) *sync.Pool {
	switch {
	case room >= largeBuffer:
		return &largeBuffers
	case room >= mediumBuffer:
		return &mediumBuffers
	case room >= smallBuffer, room == 0:
		return &smallBuffers
	default:
		return &tinyBuffers
	}
}

// copy copies a buffer's length. At the end of r it returns io.EOF.
func (c *copier) copy(r io.Reader, pool *sync.Pool) (int64, error) {
	buf := pool.Get().(*[]byte)
	defer pool.Put(buf)
	read, err := io.ReadFull(r, *buf)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	if read == 0 {
		return 0, err
	}
	n, writeErr := c.ResponseWriter.Write((*buf)[:read])
	if writeErr != nil {
		err = writeErr
	}
	return int64(n), err
}
