package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	ask "github.com/seed-260924e6/hallmark/client"
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

// client is a registry as a verb asks it: where it does not answer well, the error has the exit status.
type client struct {
	*ask.Client
	background func(context.Context) // scrubs what this process has open; nil where a server runs
}

func (c *client) get(ctx context.Context, path string, query url.Values, value any) error {
	return status(c.Get(ctx, path, query, value))
}

func (c *client) send(ctx context.Context, method, path string, body, value any) error {
	return status(c.Send(ctx, method, path, body, value))
}

func (c *client) fetch(ctx context.Context, path string, most int64) ([]byte, error) {
	data, err := c.Fetch(ctx, path, most)
	return data, status(err)
}

func (c *client) open(ctx context.Context, method, path string, body any) (*http.Response, error) {
	resp, err := c.Open(ctx, method, path, body)
	return resp, status(err)
}

func (c *client) openWith(ctx context.Context, method, path string, header http.Header) (*http.Response, error) {
	resp, err := c.OpenWith(ctx, method, path, header)
	return resp, status(err)
}

func (c *client) close() error { return c.Close() }

// status gives an error of a question its exit status.
func status(err error) error {
	var e *ask.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Kind {
	case ask.Refused:
		return exitError{exitNo, err}
	case ask.Invalid:
		return exitError{exitUsage, err}
	}
	return exitError{exitAsk, err}
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
	if address := firstOf(t.server, e.getenv("HALLMARK_SERVER")); address != "" && t.data == "" {
		return e.connectRemote(ctx, t, address)
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

func connectSocket(dir string) *client {
	return &client{Client: ask.OverSocket(dir, func(ctx context.Context) (net.Conn, error) { return datadir.DialSocket(ctx, dir) })}
}

// connectFiles opens the data directory in this process, and asks the API without a network.
func (e *env) connectFiles(ctx context.Context, dir string) (*client, error) {
	f, err := server.OpenFiles(ctx, dir, server.FilesOptions{
		Config: func() (config.Config, error) { return config.Load("", e.getenv) }, PasswordCost: passwordCost, Say: e.sayUpgrade,
	})
	if err != nil {
		return nil, err
	}
	return &client{Client: ask.InProcess(dir, f), background: f.Scrub}, nil
}

// connectRemote prepares to ask over the network, signed in.
func (e *env) connectRemote(ctx context.Context, t *target, address string) (*client, error) {
	cl, host, err := e.dialRemote(t, address)
	if err != nil {
		return nil, err
	}
	found, of, err := e.remoteLogin(ctx, t, host)
	if err == nil {
		err = status(cl.SignIn(ctx, found, of))
	}
	if err != nil {
		return nil, errors.Join(err, cl.close())
	}
	return cl, nil
}

// dialRemote prepares to ask over the network, and returns the registry's host[:port].
func (e *env) dialRemote(t *target, address string) (cl *client, host string, err error) {
	c, host, err := ask.Dial(address, firstOf(t.ca, e.getenv("HALLMARK_CA")))
	return &client{Client: c}, host, status(err)
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
	found, of, others, err := ask.StoredLogin(ctx, e.getenv, host, name)
	switch {
	case err != nil:
		err = status(err)
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
