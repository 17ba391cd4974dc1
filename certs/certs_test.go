package certs

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func open(t *testing.T, c Config) *Keeper {
	t.Helper()
	k, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// verifies says whether a client that trusts the keeper's CA accepts its certificate for a host.
func verifies(k *Keeper, host string) error {
	return verify(k.CA(), []*x509.Certificate{k.Certificate()}, host)
}

func TestFirstStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	k := open(t, Config{Dir: dir, Hosts: []string{"registry.example", "192.0.2.1", "2001:db8::1", "Other.Example."}})
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"registry.example", "other.example", "localhost", "127.0.0.1", "::1", "192.0.2.1", "2001:db8::1", machine} {
		if err := verifies(k, host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for _, host := range []string{"elsewhere.example", "192.0.2.2", "example"} {
		if verifies(k, host) == nil {
			t.Errorf("it is good for %s too", host)
		}
	}
	if k.Certificate().Subject.CommonName != "registry.example" {
		t.Errorf("the first name is %s", k.Certificate().Subject.CommonName)
	}
	ca := k.CA()
	if !ca.IsCA || !ca.MaxPathLenZero || !ca.PermittedDNSDomainsCritical || ca.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("the CA: %v %v %v %v", ca.IsCA, ca.MaxPathLenZero, ca.PermittedDNSDomainsCritical, ca.KeyUsage)
	}
	for _, secret := range []string{"ca.key", "server.key"} {
		info, err := os.Stat(filepath.Join(dir, secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", secret, info, err)
		}
	}
	again := open(t, Config{Dir: dir, Hosts: []string{"registry.example", "192.0.2.1", "2001:db8::1", "other.example"}})
	if !again.CA().Equal(ca) || !again.Certificate().Equal(k.Certificate()) {
		t.Error("the second start made new certificates")
	}
}

// TestConstrained signs for a name outside with the CA's own key, as a thief would: clients refuse it.
func TestConstrained(t *testing.T) {
	k := open(t, Config{Dir: t.TempDir(), Hosts: []string{"registry.example"}})
	for _, names := range []Names{{DNS: []string{"bank.example"}}, {IPs: []net.IP{net.IPv4(192, 0, 2, 9)}}} {
		certPEM, _, err := k.ca.sign(names, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		cert, err := ParseCertificate(certPEM)
		if err != nil {
			t.Fatal(err)
		}
		err = verify(k.CA(), []*x509.Certificate{cert}, names.first())
		if invalid := new(x509.CertificateInvalidError); !errors.As(err, invalid) || invalid.Reason != x509.CANotAuthorizedForThisName {
			t.Errorf("%s: %v", names.first(), err)
		}
	}
}

func TestHosts(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Config{Dir: dir, Hosts: []string{"example.com"}})
	below := open(t, Config{Dir: dir, Hosts: []string{"example.com", "eu.example.com"}})
	if !below.CA().Equal(first.CA()) {
		t.Error("a name below the CA's made a new CA")
	}
	if err := verifies(below, "eu.example.com"); err != nil {
		t.Error(err)
	}
	_, err := Open(Config{Dir: dir, Hosts: []string{"example.com", "example.org"}})
	if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), "cert renew --ca") || !strings.Contains(err.Error(), "example.org") {
		t.Errorf("a name outside: %v", err)
	}
	if _, err := Open(Config{Dir: dir, Hosts: []string{"example.com", "192.0.2.1"}}); !errors.Is(err, ErrName) {
		t.Errorf("an address outside: %v", err)
	}
	for _, bad := range []string{"", "a b", "-a", "a..b", "a_b", "host:5443", "https://host"} {
		if _, err := Open(Config{Dir: t.TempDir(), Hosts: []string{bad}}); err == nil {
			t.Errorf("host %q was taken", bad)
		}
	}
}

// TestRenews moves the clock.
func TestRenews(t *testing.T) {
	now := time.Now()
	k := open(t, Config{Dir: t.TempDir(), Hosts: []string{"registry.example"}, Now: func() time.Time { return now }})
	refresh := func() *x509.Certificate {
		t.Helper()
		if err := k.Refresh(); err != nil {
			t.Fatal(err)
		}
		return k.Certificate()
	}
	first := refresh()
	now = now.Add(59 * 24 * time.Hour)
	if !refresh().Equal(first) {
		t.Error("renewed with 31 days left")
	}
	now = now.Add(2 * 24 * time.Hour)
	second := refresh()
	if second.Equal(first) {
		t.Error("not renewed with 29 days left")
	}
	now = now.Add(-(61*24 + 12) * time.Hour) // the clock was wrong, and is set right
	if third := refresh(); third.Equal(second) || now.Before(third.NotBefore) {
		t.Errorf("after the clock went back it is valid from %s", third.NotBefore)
	}
}

func TestInterruptedSign(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir, Hosts: []string{"registry.example"}})
	other := t.TempDir()
	open(t, Config{Dir: other, Hosts: []string{"registry.example"}})
	key, err := os.ReadFile(filepath.Join(other, serverKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, serverKeyFile), key, 0o600); err != nil {
		t.Fatal(err)
	}
	k := open(t, Config{Dir: dir, Hosts: []string{"registry.example"}})
	if err := verifies(k, "registry.example"); err != nil {
		t.Error(err)
	}
}

// TestInterruptedRenewCA stops a new authority at each moment of taking the place of the old one: it is the one or the
// other, with its key.
func TestInterruptedRenewCA(t *testing.T) {
	config := Config{Dir: t.TempDir(), Hosts: []string{"registry.example"}}
	old, now := open(t, config).CA(), open(t, Config{Dir: t.TempDir(), Hosts: config.Hosts})
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(now.c.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(config.Dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(caNextKeyFile, read(caKeyFile))
	if k := open(t, config); !k.CA().Equal(old) {
		t.Error("stopped before its certificate was there, the new authority is in force")
	}
	if _, err := os.Stat(filepath.Join(config.Dir, caNextKeyFile)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key that never came into force is left: %v", err)
	}
	write(caNextKeyFile, read(caKeyFile))
	write(caFile, read(caFile))
	for range 2 {
		k := open(t, config)
		if !k.CA().Equal(now.CA()) {
			t.Error("stopped behind its certificate, the new authority is not in force")
		}
		if err := verifies(k, "registry.example"); err != nil {
			t.Error(err)
		}
	}
}

func TestLostKey(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir, Hosts: []string{"registry.example"}})
	if err := os.Remove(filepath.Join(dir, caKeyFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir, Hosts: []string{"registry.example"}}); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("without the CA's key: %v", err)
	}
}

func TestRenewCA(t *testing.T) {
	dir := t.TempDir()
	k := open(t, Config{Dir: dir, Hosts: []string{"registry.example"}})
	ca, cert := k.CA(), k.Certificate()
	if err := k.Renew(false); err != nil || k.Certificate().Equal(cert) || !k.CA().Equal(ca) {
		t.Errorf("renew: %v", err)
	}
	if err := k.Renew(true); err != nil || k.CA().Equal(ca) {
		t.Errorf("renew the CA: %v", err)
	}
	if err := verifies(k, "registry.example"); err != nil {
		t.Error(err)
	}
	if again := open(t, Config{Dir: dir, Hosts: []string{"registry.example"}}); !again.CA().Equal(k.CA()) {
		t.Error("the new CA was not kept")
	}
}

// ownFiles writes a certificate that some other CA made.
func ownFiles(t *testing.T, host string) (certFile, keyFile string, ca *x509.Certificate) {
	t.Helper()
	dir := t.TempDir()
	k := open(t, Config{Dir: dir, Hosts: []string{host}})
	return filepath.Join(dir, serverFile), filepath.Join(dir, serverKeyFile), k.CA()
}

func TestOwnFiles(t *testing.T) {
	certFile, keyFile, _ := ownFiles(t, "one.example")
	dir := filepath.Join(t.TempDir(), "unused")
	k := open(t, Config{Dir: dir, CertFile: certFile, KeyFile: keyFile})
	if k.CA() != nil || k.CAPath() != "" {
		t.Error("it has a CA")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something was made: %v", err)
	}
	if err := k.Renew(false); !errors.Is(err, ErrNotRenewed) {
		t.Error("renewed somebody's own certificate")
	}
	otherCert, otherKey, _ := ownFiles(t, "two.example")
	copyFile(t, otherCert, certFile) // half-way through a replacement
	if err := k.Refresh(); err == nil || k.Certificate().Subject.CommonName != "one.example" {
		t.Errorf("half replaced: %v, %s", err, k.Certificate().Subject.CommonName)
	}
	copyFile(t, otherKey, keyFile)
	if err := k.Refresh(); err != nil || k.Certificate().Subject.CommonName != "two.example" {
		t.Errorf("replaced: %v, %s", err, k.Certificate().Subject.CommonName)
	}
	if _, err := Open(Config{CertFile: certFile + ".no", KeyFile: keyFile}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestReplacedUnderTheSameTime wants a certificate to be read that replaces another one of its size, under its time.
func TestReplacedUnderTheSameTime(t *testing.T) {
	certFile, keyFile, _ := ownFiles(t, "one.example")
	otherCert, otherKey, _ := ownFiles(t, "two.example")
	then := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, file := range []string{certFile, keyFile, otherCert, otherKey} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		padded := append(data, strings.Repeat("\n", 4096-len(data))...)
		if err := errors.Join(os.WriteFile(file, padded, 0o600), os.Chtimes(file, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	k := open(t, Config{CertFile: certFile, KeyFile: keyFile})
	if err := errors.Join(os.Rename(otherKey, keyFile), os.Rename(otherCert, certFile), k.Refresh()); err != nil {
		t.Fatal(err)
	}
	if name := k.Certificate().Subject.CommonName; name != "two.example" {
		t.Errorf("it still shows the certificate of %s", name)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(to, later, later); err != nil {
		t.Fatal(err)
	}
}

// serve starts a real server with the keeper's TLS configuration.
func serve(t *testing.T, k *Keeper, h http.Handler) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, TLSConfig: k.TLS(), ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { s.Close(); <-done })
	return l.Addr().String()
}

// TestSwapKeepsConnections renews under a connection that goes on.
func TestSwapKeepsConnections(t *testing.T) {
	var clock atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(clock.Load())) }
	k := open(t, Config{Dir: t.TempDir(), Hosts: []string{"localhost"}, Now: now})
	address := serve(t, k, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }))
	ctx, cancel := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		k.Watch(ctx, time.Millisecond, slog.New(slog.DiscardHandler))
	}()
	defer func() { cancel(); <-watched }()
	roots := x509.NewCertPool()
	roots.AddCert(k.CA())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	from := func() string {
		resp, err := client.Get("https://" + address)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	before, first := from(), k.Certificate()
	clock.Store(int64(80 * 24 * time.Hour))
	for deadline := time.Now().Add(10 * time.Second); k.Certificate().Equal(first); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it was not renewed")
		}
	}
	if after := from(); after != before {
		t.Errorf("the connection was dropped: %s, then %s", before, after)
	}
}

func TestVersions(t *testing.T) {
	k := open(t, Config{Dir: t.TempDir(), Hosts: []string{"localhost"}})
	address := serve(t, k, http.NotFoundHandler())
	roots := x509.NewCertPool()
	roots.AddCert(k.CA())
	for version, want := range map[uint16]bool{
		tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true,
	} {
		conn, err := tls.Dial("tcp", address, &tls.Config{
			RootCAs: roots, MinVersion: version, MaxVersion: version,
		})
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

func TestFingerprint(t *testing.T) {
	ca := open(t, Config{Dir: t.TempDir(), Hosts: []string{"localhost"}}).CA()
	f := Fingerprint(ca)
	if len(f) != 32*3-1 {
		t.Errorf("fingerprint %s", f)
	}
	for _, same := range []string{f, strings.ToLower(f), strings.ReplaceAll(f, ":", ""), "sha256:" + f, "SHA256:" + strings.ToLower(f), " " + f + "\n"} {
		if !MatchesFingerprint(ca, same) {
			t.Errorf("%q does not match", same)
		}
	}
	for _, other := range []string{"", "00", f[:len(f)-3], strings.Replace(f, f[:1], "0", 1) + "00", "sha256:", "xyz"} {
		if MatchesFingerprint(ca, other) {
			t.Errorf("%q matches", other)
		}
	}
}

func TestFetch(t *testing.T) {
	k := open(t, Config{Dir: t.TempDir(), Hosts: []string{"localhost"}})
	ca := k.CA()
	var answer atomic.Pointer[[]byte]
	set := func(b []byte) { answer.Store(&b) }
	set(EncodePEM(ca))
	address := serve(t, k, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(*answer.Load()) }))
	ctx := context.Background()
	if got, err := Fetch(ctx, address, Fingerprint(ca)); err != nil || !got.Equal(ca) {
		t.Errorf("fetch: %v", err)
	}
	other := open(t, Config{Dir: t.TempDir(), Hosts: []string{"localhost"}}).CA()
	if _, err := Fetch(ctx, address, Fingerprint(other)); err == nil || !strings.Contains(err.Error(), "NOT the one") || strings.Contains(err.Error(), Fingerprint(ca)[:20]) {
		t.Errorf("another fingerprint: %v", err)
	}
	if _, err := Fetch(ctx, address, Fingerprint(k.Certificate())); err == nil || !strings.Contains(err.Error(), "that of its authority") {
		t.Errorf("the certificate's own fingerprint: %v", err)
	}
	set(EncodePEM(other)) // the right fingerprint of a CA that did not sign this server
	if _, err := Fetch(ctx, address, Fingerprint(other)); err == nil {
		t.Error("took a CA that did not sign the server's certificate")
	}
	for _, bad := range []string{"", "hello", strings.Repeat("x", 1<<20)} {
		set([]byte(bad))
		if _, err := Fetch(ctx, address, Fingerprint(ca)); err == nil {
			t.Errorf("took %.10q for a CA", bad)
		}
	}
}

func TestTrust(t *testing.T) {
	ca := open(t, Config{Dir: t.TempDir(), Hosts: []string{"registry.example"}}).CA()
	for _, client := range Clients {
		root := t.TempDir()
		plan, err := Trust(client, Registry{Address: "registry.example:5443", CA: ca}, Dirs{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		var printed bytes.Buffer
		plan.Print(&printed)
		if !strings.Contains(printed.String(), "BEGIN CERTIFICATE") {
			t.Errorf("%s: what is printed holds no certificate:\n%s", client, &printed)
		}
		plan.Commands = nil // only a real machine has them
		for range 2 {
			if err := plan.Do(context.Background(), io.Discard); err != nil {
				t.Errorf("%s: %v", client, err)
			}
		}
		for _, f := range plan.Files {
			got, err := os.ReadFile(f.Path)
			if err != nil || !bytes.Equal(got, f.Content) {
				t.Errorf("%s: %s holds %q, %v", client, f.Path, got, err)
			}
		}
		if err := plan.Reverse(context.Background(), io.Discard); err != nil {
			t.Errorf("%s: %v", client, err)
		}
		for _, f := range plan.Files {
			if _, err := os.Stat(f.Path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %s is there still: %v", client, f.Path, err)
			}
		}
		if len(plan.Files) == 0 && len(plan.Undo) == 0 {
			t.Errorf("%s: nothing says how to undo it", client)
		}
	}
	for _, client := range []string{"containerd", "kubernetes"} { // which ask the server what the host does not have
		var printed bytes.Buffer
		plan, err := Trust(client, Registry{Address: "registry.example:5443", CA: ca}, Dirs{Root: "/"})
		if err != nil {
			t.Fatal(err)
		}
		plan.Print(&printed)
		const file = "/etc/containerd/certs.d/registry.example:5443/ca.crt"
		if want := "server = \"https://registry.example:5443\"\nca = \"" + file + "\"\n\n[host.\"https://registry.example:5443\"]\n  ca = \"" + file + "\"\n"; !strings.Contains(printed.String(), want) {
			t.Errorf("%s: hosts.toml is not\n%s\nin\n%s", client, want, &printed)
		}
	}
	for _, bad := range []string{"", "../../etc", "a/b", "host:port", "host:1:2", "a\nb", `a"b`} {
		if _, err := Trust("docker", Registry{Address: bad, CA: ca}, Dirs{}); err == nil {
			t.Errorf("address %q was taken", bad)
		}
	}
	if _, err := Trust("netscape", Registry{Address: "registry.example", CA: ca}, Dirs{}); err == nil {
		t.Error("an unknown client was taken")
	}
	plan, err := Trust("docker", Registry{Address: "registry.example:443", CA: ca}, Dirs{Home: "/home/alice"})
	if err != nil || plan.Files[0].Path != "/home/alice/.config/docker/certs.d/registry.example/ca.crt" {
		t.Errorf("%+v, %v", plan.Files, err)
	}
}

// TestTrustKeepsSettings appends to a buildkitd.toml that somebody wrote.
func TestTrustKeepsSettings(t *testing.T) {
	ca := open(t, Config{Dir: t.TempDir(), Hosts: []string{"registry.example"}}).CA()
	root := t.TempDir()
	path := filepath.Join(root, "etc/buildkit/buildkitd.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	theirs := "debug = true\n"
	if err := os.WriteFile(path, []byte(theirs), 0o644); err != nil {
		t.Fatal(err)
	}
	plan, err := Trust("buildkit", Registry{Address: "registry.example:5443", CA: ca}, Dirs{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := plan.Do(context.Background(), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), theirs) || strings.Count(string(got), `[registry."registry.example:5443"]`) != 1 {
		t.Errorf("the file holds\n%s", got)
	}
	if err := plan.Reverse(context.Background(), io.Discard); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadFile(path); err != nil || string(left) != theirs {
		t.Errorf("after it was taken back the file holds %q, %v", left, err)
	}
	if err := os.WriteFile(path, []byte("[registry.\"registry.example:5443\"]\n  http = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := plan.Do(context.Background(), io.Discard); err == nil || !strings.Contains(err.Error(), "yourself") {
		t.Errorf("a section of theirs: %v", err)
	}
}
