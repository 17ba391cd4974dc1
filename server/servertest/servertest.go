// Package servertest gives a test a whole server in one line, in the test's own process: a data directory, real TLS, a client
// that trusts it, and an administrator.
package servertest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server"
	"github.com/seed-260924e6/hallmark/server/config"
	"github.com/seed-260924e6/hallmark/server/datadir"
	"github.com/seed-260924e6/hallmark/storage/s3/s3test"
	"github.com/seed-260924e6/hallmark/storage/storagetest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
	"golang.org/x/crypto/bcrypt"
)

// Login is the first administrator's, as NAME:PASSWORD.
const Login = "admin:correct horse"

// Server is a server that answers.
type Server struct {
	*server.Server
	// Dir is its data directory.
	Dir string
	// Client trusts its certificate, and signs in as nobody.
	Client *http.Client
	// Operator asks it through the socket in its data directory, where everything is allowed. Its URLs are of any host.
	Operator *http.Client

	t    testing.TB
	stop func()
}

// Options are those of a server for tests: on a free port of this machine, without an administration's listener, over a store
// that runs every closure twice.
func Options() server.Options {
	c := config.Default()
	c.Listen, c.AdminListen = "127.0.0.1:0", config.NoListen
	_, password, _ := strings.Cut(Login, ":")
	return server.Options{Config: c, AdminPassword: password, PasswordCost: bcrypt.MinCost, Wrap: storagetest.Twice}
}

// Start starts a server on a new data directory. It ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartOn(t, filepath.Join(t.TempDir(), "data"), Options())
}

// StartOn starts a server on a data directory. It ends with the test.
func StartOn(t testing.TB, dir string, o server.Options) *Server {
	t.Helper()
	if s3test.Wanted() && o.Config.Blobs.Remote() == nil {
		c := s3test.For(t, dir).Config(s3test.Prefix(dir))
		c.Region, c.Keep = "us-east-1", units.Duration(time.Hour)
		o.Config.Blobs.S3.Config = c
	}
	if engines.InDatabase() && o.Config.Store == "" {
		o.Config.Store = engines.Database(t, filepath.Join(dir, datadir.StoreFile))
	}
	s, err := TryOn(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	s.t = t
	t.Cleanup(s.Stop)
	return s
}

// TryOn starts a server on a data directory, until Stop is called.
func TryOn(dir string, o server.Options) (*Server, error) {
	ctx, cancel := context.WithCancel(context.Background())
	opened, err := server.Open(ctx, dir, o)
	if err != nil {
		cancel()
		return nil, err
	}
	s := &Server{Server: opened, Dir: dir, Operator: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return datadir.DialSocket(ctx, dir) },
	}}}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- opened.Run(ctx, func() { close(ready) }) }()
	s.stop = func() {
		s.Client.CloseIdleConnections() // the server waits for those that have asked nothing yet
		s.Operator.CloseIdleConnections()
		cancel()
		if err := <-ended; err != nil && s.t != nil {
			s.t.Errorf("the server ended: %v", err)
		}
		opened.Close()
		s.stop = func() {}
	}
	s.Client = &http.Client{}
	select {
	case err := <-ended:
		ended <- err
		s.stop()
		return nil, err
	case <-ready:
	}
	s.Client = connecting(opened.Addr().String(), filepath.Join(dir, datadir.CertsDir, "ca.pem"))
	return s, nil
}

// connecting is a client that connects to one address, whatever the server's name, and trusts the authority in a file, where
// there is one.
func connecting(address, ca string) *http.Client {
	roots := x509.NewCertPool()
	if pem, err := os.ReadFile(ca); err == nil {
		roots.AppendCertsFromPEM(pem)
	}
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}}
}

// Stop ends the server, once the requests under way have come to their end.
func (s *Server) Stop() { s.stop() }

// Do asks with a login as NAME:PASSWORD, or as a stranger where it is "".
func (s *Server) Do(method, path, login string, body []byte, header ...string) (status int, answer string, err error) {
	r, err := http.NewRequest(method, s.URL()+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	if user, password, ok := strings.Cut(login, ":"); ok {
		r.SetBasicAuth(user, password)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	got, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got), err
}

// Push pushes an image of one layer as the administrator, and returns its digest.
func (s *Server) Push(repo, tag, layer string) digest.Digest {
	s.t.Helper()
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: s.pushBlob(repo, ocispec.MediaTypeImageConfig, []byte(`{"architecture":"amd64","os":"linux"}`)),
		Layers: []ocispec.Descriptor{s.pushBlob(repo, ocispec.MediaTypeImageLayer, []byte(layer))},
	}
	data, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	s.want(http.StatusCreated, "PUT", "/v2/"+repo+"/manifests/"+tag, data, "Content-Type", m.MediaType)
	return digest.FromBytes(data)
}

func (s *Server) pushBlob(repo, mediaType string, data []byte) ocispec.Descriptor {
	s.t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	s.want(http.StatusCreated, "POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.Digest.String(), data, "Content-Type", "application/octet-stream")
	return d
}

func (s *Server) want(status int, method, path string, body []byte, header ...string) {
	s.t.Helper()
	if got, said, err := s.Do(method, path, Login, body, header...); err != nil || got != status {
		s.t.Fatalf("%s %s: %d %s, %v", method, path, got, said, err)
	}
}
