package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
)

// conn is a client as cheap as it can be, because it shares the machine with the server: one connection,
// one request after another, HTTP/1.1, and no goroutine of its own.
type conn struct {
	server *server
	tls    *tls.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	read   int64 // the bytes of the last answer's body, where its head says how many
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

// do sends a request and reads its answer to the end. location is that of the answer.
func (c *conn) do(r request) (status int, location string, err error) {
	if _, err := c.w.WriteString(c.headOf(r)); err != nil {
		return 0, "", err
	}
	if r.body != nil {
		if _, err := io.Copy(c.w, r.body); err != nil {
			return 0, "", err
		}
	}
	if err := c.w.Flush(); err != nil {
		return 0, "", err
	}
	a, err := c.readHead()
	if err != nil {
		return 0, "", err
	}
	c.read = int64(a.length)
	var said []byte
	switch {
	case r.method == "HEAD" || a.status == 204 || a.status == 304:
	case a.chunked:
		said, err = c.readChunked()
	case a.status < 400:
		_, err = c.r.Discard(a.length)
	default:
		said = make([]byte, a.length)
		_, err = io.ReadFull(c.r, said)
	}
	if err == nil && a.status >= 400 && r.method != "HEAD" {
		err = fmt.Errorf("%s %s: %d: %s", r.method, r.path, a.status, said)
	}
	return a.status, a.location, err
}

func (c *conn) headOf(r request) string {
	head := r.method + " " + r.path + " HTTP/1.1\r\nHost: " + c.server.address + "\r\n"
	for _, h := range [...][2]string{{"Authorization", c.server.login}, {"Accept", r.accept}, {"Content-Type", r.contentType}} {
		if h[1] != "" {
			head += h[0] + ": " + h[1] + "\r\n"
		}
	}
	if r.method != "GET" && r.method != "HEAD" {
		head += "Content-Length: " + strconv.FormatInt(r.length, 10) + "\r\n"
	}
	return head + "\r\n"
}

// head is what is read of the head of an answer.
type head struct {
	status   int
	length   int
	chunked  bool
	location string
}

func (c *conn) readHead() (a head, err error) {
	line, err := c.r.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return a, fmt.Errorf("no answer: %w", err)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		name, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		switch {
		case len(name) == 0:
			return a, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			if a.length, err = strconv.Atoi(string(value)); err != nil {
				return a, err
			}
		case bytes.EqualFold(name, []byte("Location")):
			a.location = string(value)
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			a.chunked = true
		}
	}
}

func (c *conn) readChunked() ([]byte, error) {
	body, err := io.ReadAll(httputil.NewChunkedReader(c.r))
	if err == nil {
		_, err = c.r.ReadSlice('\n') // the end of the trailer, of which there is none
	}
	return body, err
}

// want does a request whose answer has to have a status.
func (c *conn) want(status int, r request) error {
	_, err := c.wantLocation(status, r)
	return err
}

func (c *conn) wantLocation(status int, r request) (location string, err error) {
	got, location, err := c.do(r)
	if err == nil && got != status {
		err = fmt.Errorf("%s %s: status %d, and not %d", r.method, r.path, got, status)
	}
	return location, err
}

// goOn is where an upload goes on, with the digest that ends it or none.
func goOn(location, digest string) string {
	if _, rest, ok := strings.Cut(location, "://"); ok {
		location = rest[strings.IndexByte(rest, '/'):]
	}
	if digest == "" {
		return location
	}
	if strings.Contains(location, "?") {
		return location + "&digest=" + digest
	}
	return location + "?digest=" + digest
}
