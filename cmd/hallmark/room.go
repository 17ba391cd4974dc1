package main

import (
	"net/http"
	"syscall"

	"golang.org/x/sys/unix"
)

// room waits until a connection takes something without waiting, and returns how much, about. What waits here holds no
// buffer: neither the registry's nor one of TLS.
func (c *guarded) room() (n int, err error) {
	conn, ok := c.Conn.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var asked error
	err = raw.Write(func(fd uintptr) bool {
		// The kernel calls a socket writable when a third of what it holds at most is free, and wakes us then.
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		ready, err := unix.Poll(fds, 0)
		if err != nil || ready == 0 {
			return err != nil // where it cannot be asked, the write itself waits
		}
		n, asked = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		return true
	})
	if asked != nil {
		return 0, nil
	}
	return n / 4, err
}

// WaitRoom waits until the client takes something, within its deadline; see registry. It returns 0 where that is not
// known: on HTTP/2 the streams of a connection have windows of their own.
func (w *impatientWriter) WaitRoom() (int, error) {
	if w.conn == nil {
		return 0, nil
	}
	w.write()
	n, err := w.conn.room()
	w.count(err)
	return n, err
}

// connectionOf is the connection of a request that has it for itself, or nil.
func connectionOf(r *http.Request) *guarded {
	c, ok := r.Context().Value(connectionKey{}).(*guarded)
	if !ok || r.ProtoMajor != 1 {
		return nil
	}
	return c
}
