package listen

import (
	"context"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// unsent is how many bytes the kernel takes for a client and keeps, until the client has proved quick. Without a
	// bound it takes as much as the socket's buffer, which is 4 MB: a thousand slow readers fill what the kernel has
	// for all of TCP, and then a socket that calls itself writable takes nothing, and who writes waits with a buffer in
	// his hands.
	unsent = 256 << 10
	// beginning is how much a client has to take quickly on HTTP/2 before it gets more at a time, in bytes: as much as a
	// stream's window at first.
	beginning = 64 << 10
	// quickly is how much it has to take before it is quick, in bytes: more than lies in the buffers of systems and of
	// HTTP/2 on the way.
	quickly = 8 << 20
	// slow is how long it may take for something before it is slow.
	slow = 100 * time.Millisecond
)

// watch takes note of what the client took, and how long that was waited for.
func (c *guarded) watch(n int, waited time.Duration) {
	if waited > slow {
		c.taken.Store(0)
		if c.quick.CompareAndSwap(true, false) {
			c.boundUnsent(unsent)
		}
		return
	}
	if c.taken.Add(int64(n)) >= quickly && c.quick.CompareAndSwap(false, true) {
		c.boundUnsent(0)
	}
}

// boundUnsent bounds what the kernel keeps for the client before it is sent, in bytes; 0 is no bound. Kernels that
// cannot do it do without.
func (c *guarded) boundUnsent(most int) {
	_ = c.control(func(raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, most)
		})
	})
}

// control calls do with the connection's socket, if it has one.
func (c *guarded) control(do func(syscall.RawConn) error) error {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return do(raw)
}

// room waits until the connection takes something without waiting, and returns how much, about. What waits here holds no
// buffer: neither the registry's nor one of TLS.
func (c *guarded) room() (n int, err error) {
	err = c.control(func(raw syscall.RawConn) error {
		return raw.Write(func(fd uintptr) bool {
			// The kernel calls a socket writable when a third of what it holds at most is free, and half of what it may
			// keep unsent, and wakes us then.
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			ready, err := unix.Poll(fds, 0)
			if err != nil || ready == 0 {
				return err != nil // where it cannot be asked, the write itself waits
			}
			if n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF); err != nil {
				n = 0
			}
			return true
		})
	})
	if n /= 4; !c.quick.Load() {
		n = min(n, unsent/4)
	}
	return n, err
}

// atOnce is how much to write at once, in bytes, where others may use the connection too. On HTTP/2 streams have windows
// of their own that nobody can ask for, so what is written waits for its client with its buffer, and net/http keeps a
// buffer of the length of the largest frame that it sent.
func (c *guarded) atOnce() int {
	switch taken := c.taken.Load(); {
	case taken < beginning:
		return 4 << 10
	case taken < quickly:
		return 16 << 10
	}
	return 64 << 10
}

// WaitRoom waits until the client takes something, within its deadline; see registry. It returns 0 where nothing is
// known of the connection.
func (w *impatientWriter) WaitRoom() (int, error) {
	switch {
	case w.conn == nil:
		return 0, nil
	case w.shared:
		return w.conn.atOnce(), nil
	}
	w.write()
	began := time.Now()
	n, err := w.conn.room()
	w.conn.watch(0, time.Since(began))
	w.count(err)
	return n, err
}

// connectionOf is the connection that a request came over, or nil.
func connectionOf(ctx context.Context) *guarded {
	c, _ := ctx.Value(connectionKey{}).(*guarded)
	return c
}
