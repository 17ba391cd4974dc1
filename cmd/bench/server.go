package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const password = "bench-password"

// server is a registry under measurement.
type server struct {
	name    string
	dir     string // its data
	address string
	tls     *tls.Config
	login   string // the value of Authorization, or empty
	cmd     *exec.Cmd
	said    *bytes.Buffer
	store   bool  // it is an object store, which has no /v2/
	anon    int64 // RssAnon, in bytes, as it was last seen
	peak    int64 // and at most
}

func startHallmark(ctx context.Context, program, dir string, env ...string) (*server, error) {
	s := &server{name: "hallmark", dir: dir, login: "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+password))}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s.address = address
	env = append([]string{"HALLMARK_ADMIN_PASSWORD=" + password, "HALLMARK_LOG_LEVEL=warn", "HALLMARK_ADMIN_LISTEN=none"}, env...)
	err = s.start(ctx, program, env, "serve", "--data", dir, "--listen", s.address, "--url", "https://"+s.address)
	if err != nil {
		return nil, err
	}
	return s, s.ready(filepath.Join(dir, "certs/ca.pem"))
}

// startBefore starts an earlier Hallmark, to be compared with the one of now.
func startBefore(ctx context.Context, program, dir string) (*server, error) {
	s, err := startHallmark(ctx, program, dir)
	if err != nil {
		return nil, err
	}
	s.name = "before"
	return s, nil
}

const upstreamConfig = `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %[1]s/data, maxthreads: 100}
  cache: {blobdescriptor: inmemory}
  delete: {enabled: true}
http:
  addr: %[2]s
  secret: bench
  tls: {certificate: %[1]s/cert.pem, key: %[1]s/key.pem}
`

func startUpstream(ctx context.Context, program, dir string) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &server{name: "upstream", dir: dir, address: address}
	if err := selfSigned(dir); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, upstreamConfig, dir, s.address), 0o600); err != nil {
		return nil, err
	}
	if err := s.start(ctx, program, []string{"OTEL_TRACES_EXPORTER=none"}, "serve", config); err != nil {
		return nil, err
	}
	return s, s.ready(filepath.Join(dir, "cert.pem"))
}

func startFloor(ctx context.Context, dir string) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{name: "floor", dir: dir, address: address}
	if err := s.start(ctx, self, nil, "-floor", address, "-dir", dir); err != nil {
		return nil, err
	}
	return s, s.ready(filepath.Join(dir, "cert.pem"))
}

// forgetLayers makes the system drop the layers that it keeps in memory, so that it keeps the next in the same pages.
// A page that a virtual machine uses for the first time costs its host up to 20 µs, and a few GB of layers later that
// was half of each push, of every server.
func (s *server) forgetLayers() error {
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil || info.Size() != layerSize {
			return err
		}
		return forget(path)
	})
}

// selfSigned makes a certificate of the kind that Hallmark makes for itself.
func selfSigned(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600),
	)
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *server) start(ctx context.Context, program string, env []string, args ...string) error {
	s.cmd = exec.CommandContext(ctx, program, args...)
	s.cmd.Env = append(os.Environ(), env...)
	s.said = new(bytes.Buffer)
	s.cmd.Stdout, s.cmd.Stderr = s.said, s.said
	return s.cmd.Start()
}

func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait() // its status is that of the signal
}

// ready waits until the server answers over TLS.
func (s *server) ready(roots string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := s.tryOnce(roots)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			s.stop()
			return fmt.Errorf("%s does not start: %w\n%s", s.name, err, s.said)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *server) tryOnce(roots string) error {
	text, err := os.ReadFile(roots)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	s.tls = &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"}
	c, err := s.dial()
	if err != nil {
		return err
	}
	defer c.close()
	if s.store {
		return nil
	}
	return c.want(200, request{method: "GET", path: "/v2/"})
}

// cpuSeconds returns how long the server has computed since it was started.
func (s *server) cpuSeconds() (float64, error) {
	// The clock of another process, clock_getcpuclockid(3): /proc counts in hundredths of a second.
	const scheduled = 2
	var t unix.Timespec
	err := unix.ClockGettime(int32(^s.cmd.Process.Pid<<3|scheduled), &t)
	return time.Duration(t.Nano()).Seconds(), err
}

// lookAtMemory keeps the most that was seen of memory that is the server's own: pages of a mapped file
// belong to the system's cache.
func (s *server) lookAtMemory() error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			s.anon = kb << 10
			s.peak = max(s.peak, s.anon)
			return err
		}
	}
	return errors.New("/proc tells no RssAnon")
}
