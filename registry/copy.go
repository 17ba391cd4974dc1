package registry

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// A roomer is a ResponseWriter that knows how much its connection takes now.
type roomer interface {
	// WaitRoom waits until the connection takes something without waiting, and returns about how many bytes; 0 where
	// it cannot know.
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
	// Buffers that are lent to an answer, in bytes. Larger ones make nothing quicker: TLS sends 16 KiB at a time.
	smallBuffer, mediumBuffer = 16 << 10, 32 << 10
	// quickly is how much a client has to take at its speed before it gets large buffers where room cannot be known, in
	// bytes: more than lies in the buffers of systems and of HTTP/2 on the way.
	quickly = 8 << 20
	// slow is how long a small buffer may take to be taken before its client is slow.
	slow = 100 * time.Millisecond
)

var (
	smallBuffers  = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}
	mediumBuffers = sync.Pool{New: func() any { b := make([]byte, mediumBuffer); return &b }}
)

// ReadFrom implements io.ReaderFrom, which io.Copy looks for. It holds a buffer no longer than it has to: a client that
// reads slowly must not have one for as long as it likes.
func (c *copier) ReadFrom(r io.Reader) (n int64, err error) {
	for isSlow := false; err == nil; {
		var room int
		if room, err = roomOf(c.ResponseWriter); err != nil {
			return n, err
		}
		if room == 0 && n >= quickly && !isSlow {
			room = mediumBuffer
		}
		began, pool := time.Now(), buffersFor(room)
		for asked := n; err == nil && n-asked < int64(max(room, 1)); {
			var written int64
			written, err = c.copy(r, pool)
			n += written
		}
		isSlow = isSlow || time.Since(began) > slow
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// buffersFor returns the largest buffers that fit in a room.
func buffersFor(room int) *sync.Pool {
	if room >= mediumBuffer {
		return &mediumBuffers
	}
	return &smallBuffers
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
