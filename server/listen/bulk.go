package listen

import (
	"cmp"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
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
		if err := c.readAhead(); err != nil {
			c.bulk = false
			return 0, err
		}
		c.bulk = len(c.ahead) >= len(p)
	}
	n = copy(p, c.ahead)
	if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
		bulkBuffers.Put(c.buffer)
		c.buffer = nil
	}
	return n, err
}

// readAhead reads what has come, or waits for it. While it waits it holds no buffer: that more came just now does not
// mean that more is to come.
func (c *bulkConn) readAhead() error {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return c.fill(c.Conn.Read)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		failed = c.fill(func(p []byte) (int, error) { return syscall.Read(int(fd), p) })
		return !errors.Is(failed, syscall.EAGAIN) && !errors.Is(failed, syscall.EINTR)
	})
	return cmp.Or(err, failed)
}

// fill lends the connection a buffer with what read puts into it, and takes it back where that is nothing.
func (c *bulkConn) fill(read func([]byte) (int, error)) error {
	buffer := bulkBuffers.Get().(*[256 << 10]byte)
	n, err := read(buffer[:])
	if n > 0 {
		c.buffer, c.ahead = buffer, buffer[:n]
		return nil // the next read meets an error again
	}
	bulkBuffers.Put(buffer)
	if err == nil {
		return io.EOF
	}
	return err
}
