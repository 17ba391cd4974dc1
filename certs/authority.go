// Package certs makes the registry's certificates, keeps them fresh while it serves, and tells clients
// how to trust them.
//
// The first start makes a certificate authority, which may sign only for the registry's own names
// (critical name constraints, no further authority below it), because people will
// put it into the trust stores of their machines. Operators who have a certificate configure its
// files instead.
package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/durable"
	"github.com/seed-260924e6/hallmark/internal/fault"
)

// How long certificates are valid. Some clients refuse a server's that is valid for more than 825 days.
const (
	caLife      = 10 * 365 * 24 * time.Hour
	serverLife  = 90 * 24 * time.Hour
	renewBefore = 30 * 24 * time.Hour
	// backdate forgives clients whose clocks are behind ours.
	backdate = 24 * time.Hour
)

// ErrName says that the authority may not sign for a name.
var ErrName = fault.New(fault.Conflict, "outside of what this registry's certificate authority may sign")

// authority is a CA with its key.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// newAuthority makes a CA that may sign for these names and addresses, and what is below the names.
func newAuthority(names Names, now time.Time) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:                serial(),
		Subject:                     pkix.Name{CommonName: "Hallmark CA of " + names.first(), Organization: []string{"Hallmark"}},
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.Add(caLife),
		KeyUsage:                    x509.KeyUsageCertSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         names.DNS,
		PermittedIPRanges:           ranges(names.IPs),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert, key}, err
}

// ranges returns one range an address. Loopback is always among them, so that constraints on addresses
// are never absent, which would allow all.
func ranges(ips []net.IP) []*net.IPNet {
	list := []*net.IPNet{
		{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
		{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
	}
	for _, ip := range ips {
		if ip.IsLoopback() {
			continue
		}
		if v4 := ip.To4(); v4 != nil {
			ip = v4
		}
		list = append(list, &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))})
	}
	return list
}

// allows returns nil, or ErrName with the first name that the CA may not sign for.
func (a *authority) allows(names Names) error {
	for _, name := range names.DNS {
		if !slices.ContainsFunc(a.cert.PermittedDNSDomains, func(d string) bool { return name == d || strings.HasSuffix(name, "."+d) }) {
			return fmt.Errorf("%s is %w", name, ErrName)
		}
	}
	for _, ip := range names.IPs {
		if !slices.ContainsFunc(a.cert.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) }) {
			return fmt.Errorf("%s is %w", ip, ErrName)
		}
	}
	return nil
}

// sign makes a server's certificate and key.
func (a *authority) sign(names Names, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: names.first(), Organization: []string{"Hallmark"}},
		NotBefore:    latest(now.Add(-backdate), a.cert.NotBefore),
		NotAfter:     earliest(now.Add(serverLife), a.cert.NotAfter),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     names.DNS,
		IPAddresses:  names.IPs,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err = encodeKey(key)
	return encodeCert(der), keyPEM, err
}

// current says whether a server's certificate is one that this CA would make now.
func (a *authority) current(cert *x509.Certificate, names Names, now time.Time) bool {
	return cert.CheckSignatureFrom(a.cert) == nil &&
		now.After(cert.NotBefore) && now.Before(cert.NotAfter.Add(-renewBefore)) &&
		names.equal(namesOf(cert))
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // which never fails
	b[0] &= 0x7f // positive
	return new(big.Int).SetBytes(b)
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// loadAuthority reads a CA from a directory. Error: fs.ErrNotExist when there is none.
func loadAuthority(dir string) (*authority, error) {
	certPEM, err := os.ReadFile(filepath.Join(dir, caFile))
	if err != nil {
		return nil, err
	}
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, caFile), err)
	}
	key, err := authorityKey(dir, cert)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, nil
}

// authorityKey reads the key of an authority. If we stopped while it replaced another one, its key may not have
// its name yet, or the next one's may be left that never came into force.
func authorityKey(dir string, cert *x509.Certificate) (*ecdsa.PrivateKey, error) {
	path, next := filepath.Join(dir, caKeyFile), filepath.Join(dir, caNextKeyFile)
	if key, err := readKey(next); err == nil && key.PublicKey.Equal(cert.PublicKey) {
		return key, durable.Rename(next, path)
	}
	key, err := readKey(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s is lost, and without it the certificate authority beside it can sign nothing more; "+
			"put it back from a backup, or make a new one with `hallmark cert renew --ca`", path)
	case err != nil:
		return nil, err
	case !key.PublicKey.Equal(cert.PublicKey):
		return nil, fmt.Errorf("%s is not the key of the certificate beside it", path)
	}
	return key, durable.Remove(next)
}

// save replaces the authority by this one. It is in force once its certificate has its name: if we stop before,
// the former one is as it was; if we stop behind that, the next start finds the key under its other name.
func (a *authority) save(dir string) error {
	keyPEM, err := encodeKey(a.key)
	if err != nil {
		return err
	}
	next := filepath.Join(dir, caNextKeyFile)
	if err := durable.WriteFile(next, keyPEM, 0o600); err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(dir, caFile), encodeCert(a.cert.Raw), 0o644); err != nil {
		return err
	}
	return durable.Rename(next, filepath.Join(dir, caKeyFile))
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

func readKey(path string) (*ecdsa.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("%s holds a %T, want an ECDSA key", path, key)
}

// ParseCertificate returns the first certificate in a PEM file.
func ParseCertificate(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("it holds no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// Fingerprint is the SHA-256 of a certificate, as openssl prints it: AB:CD:….
func Fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	var b strings.Builder
	for i, c := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", c)
	}
	return b.String()
}

// MatchesFingerprint compares a certificate with a fingerprint in any usual spelling.
func MatchesFingerprint(cert *x509.Certificate, fingerprint string) bool {
	s := strings.ToLower(strings.TrimSpace(fingerprint))
	s = strings.TrimPrefix(strings.TrimPrefix(s, "sha256:"), "sha256=")
	want, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	sum := sha256.Sum256(cert.Raw)
	return err == nil && bytes.Equal(sum[:], want)
}
