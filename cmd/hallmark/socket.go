package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// The socket lets whoever owns the data directory administrate the running server, and ask it anything,
// without a password.

// listenSocket makes the socket in a data directory, which this process has open.
func listenSocket(dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketFile)
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

// dialSocket connects to the server that runs on a data directory.
func dialSocket(ctx context.Context, dir string) (conn net.Conn, err error) {
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
	path := filepath.Join(dir, socketFile)
	if len(path) <= maxSocketPath {
		return fn(path)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // it was only looked through
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketFile))
}
