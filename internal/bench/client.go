package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// conn is a client as cheap as it can be, because it shares the machine with the server: one connection,
// one request after another, HTTP/1.1, and no goroutine of its own.
type conn struct {
	server *server
	tls    *tls.Conn
	r      *bufio.Reader
	w      *bufio.Writer
}

// bufferedConn reads many TLS records at once.
type bufferedConn struct {
	net.Conn
	r *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

func (s *server) dial() (*conn, error) {
	raw, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	t := tls.Client(bufferedConn{raw, bufio.NewReaderSize(raw, 256<<10)}, s.tls)
	if err := t.Handshake(); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return &conn{server: s, tls: t, r: bufio.NewReaderSize(t, 64<<10), w: bufio.NewWriterSize(t, 64<<10)}, nil
}

func (c *conn) close() { _ = c.tls.Close() } // nothing is under way

type request struct {
	method, path string
	accept       string
	contentType  string
	body         io.Reader
	length       int64
}

// do sends a request and reads its answer to the end.
func (c *conn) do(r request) (status int, header http.Header, err error) {
	fmt.Fprintf(c.w, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.path, c.server.address)
	if c.server.login != "" {
		fmt.Fprintf(c.w, "Authorization: %s\r\n", c.server.login)
	}
	if r.accept != "" {
		fmt.Fprintf(c.w, "Accept: %s\r\n", r.accept)
	}
	if r.contentType != "" {
		fmt.Fprintf(c.w, "Content-Type: %s\r\n", r.contentType)
	}
	if r.method != "GET" && r.method != "HEAD" {
		fmt.Fprintf(c.w, "Content-Length: %d\r\n", r.length)
	}
	if _, err := c.w.WriteString("\r\n"); err != nil {
		return 0, nil, err
	}
	if r.body != nil {
		if _, err := io.Copy(c.w, r.body); err != nil {
			return 0, nil, err
		}
	}
	if err := c.w.Flush(); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(c.r, &http.Request{Method: r.method})
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	if resp.StatusCode >= 400 && r.method != "HEAD" {
		said, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, fmt.Errorf("%s %s: %s: %s", r.method, r.path, resp.Status, said)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header, err
}

// want does a request whose answer has to have a status.
func (c *conn) want(status int, r request) error {
	_, err := c.wantHeader(status, r)
	return err
}

func (c *conn) wantHeader(status int, r request) (http.Header, error) {
	got, header, err := c.do(r)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s: status %d, and not %d", r.method, r.path, got, status)
	}
	return header, err
}

// location is where an upload goes on, with the digest that ends it or none.
func location(h http.Header, digest string) string {
	path := h.Get("Location")
	if _, rest, ok := strings.Cut(path, "://"); ok {
		path = rest[strings.IndexByte(rest, '/'):]
	}
	if digest == "" {
		return path
	}
	if strings.Contains(path, "?") {
		return path + "&digest=" + digest
	}
	return path + "?digest=" + digest
}
