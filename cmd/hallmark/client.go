package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/spf13/cobra"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// target is the registry that a verb asks: the one in a data directory, or a remote one.
type target struct {
	data, server, ca, user string
	passwordStdin          bool
}

func addTarget(c *cobra.Command) *target {
	t := &target{}
	f := c.PersistentFlags()
	f.StringVar(&t.data, "data", "", "ask the registry in this data `directory` (default ./hallmark-data)")
	f.StringVar(&t.server, "server", "", "ask the registry at this `URL` instead")
	f.StringVar(&t.ca, "ca", "", "`file` of the certificate authority of --server")
	f.StringVar(&t.user, "user", "", "user `name` at --server (default: docker's login)")
	f.BoolVar(&t.passwordStdin, "password-stdin", false, "read the password from standard input")
	return t
}

// client talks to one registry's API. close ends it.
type client struct {
	http  *http.Client
	base  string
	name  string // what this registry is remembered by: its URL, or its data directory
	user  string // who signs in, where a name is known
	kept  string // who keeps the login, where it is a stored one
	host  string // that it is for
	login func(*http.Request)
	close func() error

	background func(context.Context) // scrubs what this process has open; nil where a server runs
}

// connect finds the registry: a remote one when it is named, else the server that runs on the data
// directory, else the directory's files.
func (e *env) connect(ctx context.Context, t *target) (*client, error) {
	cl, err := e.connectServer(ctx, t)
	if errors.Is(err, errNotRunning) {
		return e.connectFiles(ctx, e.dataDir(t))
	}
	return cl, err
}

var errNotRunning = errors.New("no server runs there")

// connectServer finds a server that runs.
func (e *env) connectServer(ctx context.Context, t *target) (*client, error) {
	if server := firstOf(t.server, e.getenv("HALLMARK_SERVER")); server != "" && t.data == "" {
		return e.connectRemote(ctx, t, server)
	}
	dir := e.dataDir(t)
	conn, err := datadir.DialSocket(ctx, dir)
	if err != nil {
		return nil, askf("data directory %s: %w (%w)", dir, errNotRunning, err)
	}
	_ = conn.Close() // it was only tried
	return connectSocket(dir), nil
}

func (e *env) dataDir(t *target) string {
	return firstOf(t.data, e.getenv("HALLMARK_DATA"), "hallmark-data")
}

// connectFiles opens the data directory in this process, and asks the API without a network.
func (e *env) connectFiles(ctx context.Context, dir string) (*client, error) {
	f, err := server.OpenFiles(ctx, dir, server.FilesOptions{
		Config: func() (config.Config, error) { return config.Load("", e.getenv) }, PasswordCost: passwordCost, Say: e.sayUpgrade,
	})
	if err != nil {
		return nil, err
	}
	return &client{
		http: &http.Client{Transport: f}, base: "http://localhost", name: absolute(dir),
		login: func(*http.Request) {}, close: f.Close, background: f.Scrub,
	}, nil
}

// absolute is a path that means the same from every directory, where that can be found out.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

func connectSocket(dir string) *client {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return datadir.DialSocket(ctx, dir) },
	}
	return &client{
		http: &http.Client{Transport: transport}, base: "http://localhost", name: absolute(dir), login: func(*http.Request) {},
		close: func() error { transport.CloseIdleConnections(); return nil },
	}
}

// connectRemote prepares to ask over the network, signed in.
func (e *env) connectRemote(ctx context.Context, t *target, server string) (*client, error) {
	cl, host, err := e.dialRemote(t, server)
	if err != nil {
		return nil, err
	}
	found, of, err := e.remoteLogin(ctx, t, host)
	if err == nil {
		cl.user, cl.host, cl.kept = found.Username, host, of
		cl.login, err = cl.signIn(ctx, found)
		err = cl.explain(err)
	}
	if err != nil {
		return nil, errors.Join(err, cl.close())
	}
	return cl, nil
}

// dialRemote prepares to ask over the network, and returns the registry's host[:port].
func (e *env) dialRemote(t *target, server string) (cl *client, host string, err error) {
	u, err := parseServer(server)
	if err != nil {
		return nil, "", err
	}
	if u.Scheme != "https" && !peer.Loopback(net.JoinHostPort(u.Hostname(), "0")) {
		return nil, "", usagef("--server %s: a password is sent over https only", server)
	}
	roots, err := trustedRoots(firstOf(t.ca, e.getenv("HALLMARK_CA")), u.Host)
	if err != nil {
		return nil, "", usagef("--ca: %w", err)
	}
	transport := &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return &client{
		http: &http.Client{Transport: transport}, base: u.Scheme + "://" + u.Host, name: u.Scheme + "://" + u.Host,
		login: func(*http.Request) {},
		close: func() error { transport.CloseIdleConnections(); return nil },
	}, u.Host, nil
}

// trustedRoots are the authorities of rootSets together.
func trustedRoots(file, host string) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	sets, err := rootFiles(file, host)
	for _, set := range sets {
		for _, data := range set.pem {
			pool.AppendCertsFromPEM(data)
		}
	}
	return pool, err
}

// rootSet is the files of certificate authorities that somebody trusts for a host.
type rootSet struct {
	by  string
	pem [][]byte
}

// rootFiles reads the authority in file, and those that docker and podman trust for this host.
func rootFiles(file, host string) (sets []rootSet, err error) {
	if file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("%s holds no PEM certificate", file)
		}
		sets = append(sets, rootSet{"--ca", [][]byte{data}})
	}
	home, _ := os.UserHomeDir() // without one there are only the system's
	for client, name := range map[string]string{"docker": "docker", "podman": "containers"} {
		set := rootSet{by: client + "'s certs.d"}
		for _, dir := range []string{"/etc", filepath.Join(home, ".config")} {
			matches, _ := filepath.Glob(filepath.Join(dir, name, "certs.d", host, "*.crt")) // a host with a pattern in it matches nothing
			for _, path := range matches {
				if data, err := os.ReadFile(path); err == nil {
					set.pem = append(set.pem, data)
				}
			}
		}
		if len(set.pem) > 0 {
			sets = append(sets, set)
		}
	}
	return sets, nil
}

// remoteLogin finds the login: flags, environment, what docker or podman keep. of says who keeps it, where somebody does.
func (e *env) remoteLogin(ctx context.Context, t *target, host string) (found auth.Credential, of string, err error) {
	found.Username = firstOf(t.user, e.getenv("HALLMARK_USER"))
	if t.passwordStdin {
		found.Password, err = readPassword(e.stdin)
		return found, "", err
	}
	if found.Password = e.getenv("HALLMARK_PASSWORD"); found.Username != "" && found.Password != "" {
		return found, "", nil
	}
	name := found.Username
	found, of, others, err := e.storedLogin(ctx, host, name)
	switch {
	case err != nil:
	case len(others) > 0:
		err = usagef("no password for %s: the login to %s is kept for %s; use --password-stdin or HALLMARK_PASSWORD, or `hallmark login %s --user %s`", name, host, strings.Join(others, " and for "), host, name)
	case name != "" && of == "":
		err = usagef("no password for %s: use --password-stdin or HALLMARK_PASSWORD, or `hallmark login %s --user %s`", name, host, name)
	}
	return found, of, err
}

// readPassword reads a password from the first line of a stream.
func readPassword(r io.Reader) (string, error) {
	data, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", usagef("no password came on standard input")
	}
	return line, nil
}

// timeout bounds a verb that asks a short question.
const timeout = time.Minute
