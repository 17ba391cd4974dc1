package datadir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// The socket lets anyone who owns the data directory administrate the running server, and ask it anything,
// without a password.

// ListenSocket makes the socket in a data directory, which this process has open.
func ListenSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, SocketFile)
	if err := removeStale(path); err != nil {
		return nil, err
	}
	var l net.Listener
	err := viaShortPath(dir, func(short string) (err error) {
		l, err = net.Listen("unix", short)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its short path means nothing by then; the next start removes it
	return l, errors.Join(os.Chmod(path, 0o600))
}

// DialSocket connects to the server that runs on a data directory.
func DialSocket(ctx context.Context, dir string) (conn net.Conn, err error) {
	err = viaShortPath(dir, func(short string) (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// maxSocketPath is what the kernel takes, with the zero byte behind it.
const maxSocketPath = 107

// viaShortPath calls fn with a path of the socket that the kernel takes, however deep the directory is.
func viaShortPath(dir string, fn func(path string) error) error {
	path := filepath.Join(dir, SocketFile)
	if len(path) <= maxSocketPath {
		return fn(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it was only looked through
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), SocketFile))
}

// removeStale removes the socket of a process that was killed. No process can still have it: we hold the
// store's lock.
func removeStale(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
