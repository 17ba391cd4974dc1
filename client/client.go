// Package client calls a registry's API: over the network, signed in with docker's logins, through the socket in a data
// directory, or in this process.
//
// It does not know what the questions mean. If a request fails it returns an [Error], which says whether the
// answer is no, the request was wrong, or the registry could not be reached.
package client

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/seed-260924e6/hallmark/internal/peer"
)

// Client talks to one registry's API.
type Client struct {
	// Base is the URL before each path.
	Base string
	// Name is what this registry is remembered by: its URL, or its data directory.
	Name string
	// User is who signs in, where a name is known.
	User string

	http      *http.Client
	sign      func(*http.Request)
	keptBy    string // who keeps the login that is used, where somebody does
	inProcess bool
}

func newClient(base, name string, transport http.RoundTripper) *Client {
	return &Client{Base: base, Name: name, http: &http.Client{Transport: transport}, sign: func(*http.Request) {}}
}

// local is the base of a registry that is asked without a network.
const local = "http://localhost"

// OverSocket asks a server through the socket in its data directory.
func OverSocket(dir string, dial func(context.Context) (net.Conn, error)) *Client {
	return newClient(local, Absolute(dir), &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	})
}

// InProcess asks what answers for a data directory in this process, whose errors it returns as they are.
func InProcess(dir string, transport http.RoundTripper) *Client {
	c := newClient(local, Absolute(dir), transport)
	c.inProcess = true
	return c
}

// Dial prepares to ask over the network, as nobody yet, and returns the registry's host[:port] too. ca is a file of a
// certificate authority, or "": those that docker and podman trust for the host count too. Error: *Error.
func Dial(server, ca string) (c *Client, host string, err error) {
	u, err := ParseServer(server)
	if err != nil {
		return nil, "", err
	}
	if u.Scheme != "https" && !peer.LoopbackHost(u.Hostname()) {
		return nil, "", invalid("--server %s: a password is sent over https only", server)
	}
	roots, err := Roots(ca, u.Host)
	if err != nil {
		return nil, "", invalid("--ca: %w", err)
	}
	base := u.Scheme + "://" + u.Host
	return newClient(base, base, &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}), u.Host, nil
}

// ParseServer reads what names a registry: a URL without a path, or host[:port]. Error: *Error.
func ParseServer(server string) (*url.URL, error) {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return nil, invalid("--server %q is not https://host[:port]", server)
	}
	return u, nil
}

// Close ends the connections that nothing uses, and what answers in this process.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	if closer, ok := c.http.Transport.(io.Closer); ok {
		return closer.Close()
	}
	return nil
}

// Absolute is a path that means the same from every directory, where that can be found out.
func Absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}
