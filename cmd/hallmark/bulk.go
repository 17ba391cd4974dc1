package main

import (
	"net"
	"sync"
)

// bulkBuffers are lent to a connection while more comes than is asked for: idle and slow ones have none.
var bulkBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// bulkConn is a connection that reads ahead while bulk arrives, in large pieces. TLS asks for one record at a time,
// which is 16 KiB: for a layer that is a system call each. One goroutine reads at a time.
type bulkConn struct {
	net.Conn
	bulk   bool // the last read got all that it asked for, so there is more
	buffer *[256 << 10]byte
	ahead  []byte // the unread part of buffer
}

// CloseWrite lets net/http end an answer before it closes: without TLS it asks the connection itself.
func (c *bulkConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Read implements net.Conn.
func (c *bulkConn) Read(p []byte) (n int, err error) {
	if len(c.ahead) == 0 {
		if !c.bulk {
			n, err = c.Conn.Read(p)
			c.bulk = n == len(p)
			return n, err
		}
		c.buffer = bulkBuffers.Get().(*[256 << 10]byte)
		n, err = c.Conn.Read(c.buffer[:])
		if n > 0 {
			err = nil // the next read meets it again
		}
		c.ahead = c.buffer[:n]
		c.bulk = n >= len(p)
	}
	n = copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		bulkBuffers.Put(c.buffer)
		c.buffer = nil
	}
	return n, err
}
