package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/internal/fault"
)

// The files in Config.Dir.
const (
	caFile        = "ca.pem"
	caKeyFile     = "ca.key"
	caNextKeyFile = "ca-next.key" // of an authority that replaces another, until ca.pem is its certificate
	serverFile    = "server.pem"
	serverKeyFile = "server.key"
)

// Config says where certificates come from.
type Config struct {
	// Dir is where the registry keeps the CA and the certificate that it makes itself.
	Dir string
	// Hosts are the names and addresses that clients use, the public one first. localhost, the loopback
	// addresses and the machine's own name are added.
	Hosts []string
	// CertFile and KeyFile are PEM files of a certificate of one's own, with its chain, and its key. When
	// they are given, nothing is made in Dir. They are read again when they change.
	CertFile, KeyFile string
	// Now is the clock. Default: time.Now.
	Now func() time.Time
}

// A Keeper holds the certificate that the server shows, and replaces it while the server runs. It is
// safe for concurrent use.
type Keeper struct {
	c     Config
	names Names
	shown atomic.Pointer[tls.Certificate]

	mu     sync.Mutex
	ca     *authority           // guarded by mu; nil with files of one's own
	loaded [2][sha256.Size]byte // guarded by mu; hashes of the files of the certificate shown
}

// Open loads the certificate, and makes what is missing. Error: ErrName for a host that the CA, made
// earlier for others, may not sign for.
func Open(c Config) (*Keeper, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keeper{c: c}
	if k.own() {
		return k, k.load()
	}
	var err error
	if k.names, err = ParseNames(c.Hosts...); err != nil {
		return nil, err
	}
	if err := durable.Settle(c.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := k.openAuthority(); err != nil {
		return nil, err
	}
	return k, k.Refresh()
}

// Remake makes a new authority and certificate in place of whatever is in Config.Dir. Every client has to
// trust it anew.
func Remake(c Config) (*Keeper, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	k := &Keeper{c: c}
	var err error
	if k.names, err = ParseNames(c.Hosts...); err != nil {
		return nil, err
	}
	return k, k.Renew(true)
}

// own says that the certificate is the operator's, not ours.
func (k *Keeper) own() bool { return k.c.CertFile != "" }

// openAuthority loads the CA, or makes it at the first start.
func (k *Keeper) openAuthority() error {
	ca, err := loadAuthority(k.c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return k.newAuthority()
	}
	if err != nil {
		return err
	}
	k.names = k.names.withLocal().withMachine(ca)
	if err := ca.allows(k.names); err != nil {
		return fmt.Errorf("%w: it was made for %v. Make a new one with `hallmark cert renew --ca`, which every client "+
			"has to trust anew, or give a certificate of your own (tls.cert and tls.key)", err, ca.cert.PermittedDNSDomains)
	}
	k.ca = ca
	return nil
}

func (k *Keeper) newAuthority() error {
	k.names = k.names.withLocal().withMachine(nil)
	ca, err := newAuthority(k.names, k.c.Now())
	if err != nil {
		return err
	}
	if err := ca.save(k.c.Dir); err != nil {
		return err
	}
	k.ca = ca
	return nil
}

// Refresh makes the shown certificate the right one: it loads files that changed, and signs a new one
// when the present one ends soon or has other names. On an error the former one stays.
func (k *Keeper) Refresh() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.own() {
		return k.load()
	}
	if pair, err := tls.LoadX509KeyPair(k.files()); err == nil && k.ca.current(pair.Leaf, k.names, k.c.Now()) {
		return k.load()
	}
	return k.sign()
}

// ErrNotRenewed says that a certificate is not one that can be renewed here; errors that wrap it say what to do.
var ErrNotRenewed = fault.New(fault.Conflict, "it cannot be renewed here")

// Renew signs a new certificate now, and with newCA also makes a new authority, which every client has
// to trust anew. Errors: ErrNotRenewed for a certificate of one's own, ErrName, and those of the files.
func (k *Keeper) Renew(newCA bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.own() {
		return notRenewed("the certificate is your own: replace %s and %s, and it is read again", k.c.CertFile, k.c.KeyFile)
	}
	if newCA {
		if err := k.newAuthority(); err != nil {
			return err
		}
	}
	return k.sign()
}

// notRenewed is an ErrNotRenewed in other words.
func notRenewed(format string, args ...any) error {
	return &notRenewedError{fmt.Sprintf(format, args...)}
}

type notRenewedError struct{ says string }

func (e *notRenewedError) Error() string        { return e.says }
func (e *notRenewedError) Is(target error) bool { return target == ErrNotRenewed }

// Class is that of ErrNotRenewed.
func (e *notRenewedError) Class() fault.Class { return ErrNotRenewed.Class() }

// sign writes the key first. If we stop between the two files, they do not fit each other, and the next
// start signs again.
func (k *Keeper) sign() error {
	certPEM, keyPEM, err := k.ca.sign(k.names, k.c.Now())
	if err != nil {
		return err
	}
	certFile, keyFile := k.files()
	if err := durable.WriteFile(keyFile, keyPEM, 0o600); err != nil {
		return err
	}
	if err := durable.WriteFile(certFile, certPEM, 0o644); err != nil {
		return err
	}
	return k.load()
}

// files are the paths of the certificate shown and of its key.
func (k *Keeper) files() (cert, key string) {
	if k.own() {
		return k.c.CertFile, k.c.KeyFile
	}
	return filepath.Join(k.c.Dir, serverFile), filepath.Join(k.c.Dir, serverKeyFile)
}

// load shows the certificate in the files, when they have changed. They are small, so that is told by what is in
// them: a copy may keep the size and the time of what it replaces.
func (k *Keeper) load() error {
	certFile, keyFile := k.files()
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return err
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	now := [2][sha256.Size]byte{sha256.Sum256(certPEM), sha256.Sum256(keyPEM)}
	if now == k.loaded {
		return nil
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", certFile, err)
	}
	k.shown.Store(&pair)
	k.loaded = now
	return nil
}

// Watch refreshes the certificate every few seconds until ctx ends: files of one's own may change at any
// time, and the clock may jump. Connections that are open keep the certificate that they began with.
func (k *Keeper) Watch(ctx context.Context, every time.Duration, log *slog.Logger) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before := k.shown.Load()
		if err := k.Refresh(); err != nil {
			if err.Error() != said {
				log.Error("the certificate stays as it is", "err", err)
				said = err.Error()
			}
			continue
		}
		said = ""
		if now := k.shown.Load(); now != before {
			log.Info("certificate replaced", "notAfter", now.Leaf.NotAfter, "names", namesOf(now.Leaf).Strings())
		}
	}
}

// TLS returns the server's configuration: TLS 1.2 and 1.3, and always the newest certificate.
func (k *Keeper) TLS() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return k.shown.Load(), nil },
	}
}

// Certificate returns the server's certificate as it is shown now.
func (k *Keeper) Certificate() *x509.Certificate { return k.shown.Load().Leaf }

// CA returns the registry's own authority, or nil with a certificate of one's own.
func (k *Keeper) CA() *x509.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ca == nil {
		return nil
	}
	return k.ca.cert
}

// CAPath is the file that clients are given, or "" with a certificate of one's own.
func (k *Keeper) CAPath() string {
	if k.own() {
		return ""
	}
	return filepath.Join(k.c.Dir, caFile)
}

// StoredCertificates are those that a server keeps in its directory, read while none runs.
type StoredCertificates struct{ server, ca *x509.Certificate }

// Stored reads the certificates in a directory.
func Stored(dir string) (*StoredCertificates, error) {
	read := func(name string) (*x509.Certificate, error) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		return ParseCertificate(data)
	}
	server, err := read(serverFile)
	ca, err2 := read(caFile)
	return &StoredCertificates{server, ca}, errors.Join(err, err2)
}

// Certificate returns the server's certificate.
func (s *StoredCertificates) Certificate() *x509.Certificate { return s.server }

// CA returns the registry's own authority.
func (s *StoredCertificates) CA() *x509.Certificate { return s.ca }

// Renew refuses: only who knows all names of the server can make its certificate.
func (s *StoredCertificates) Renew(bool) error {
	return notRenewed("no server runs: use `hallmark cert renew`")
}

// EncodePEM returns a certificate as a PEM file.
func EncodePEM(cert *x509.Certificate) []byte { return encodeCert(cert.Raw) }
