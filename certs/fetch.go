package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// maxCA bounds what is read from a server that is not trusted yet, in bytes.
const maxCA = 64 << 10

// Fetch gets the CA of a server, and returns it only when it has the fingerprint and the server's own
// certificate is signed by it. Nothing that the server says is believed before that.
func Fetch(ctx context.Context, address, fingerprint string) (*x509.Certificate, error) {
	var shown []*x509.Certificate
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{
			// The CA that would verify this connection is what it fetches. Both are checked below.
			InsecureSkipVerify: true,
			MinVersion:         tls.VersionTLS12,
			VerifyConnection:   func(s tls.ConnectionState) error { shown = s.PeerCertificates; return nil },
		},
	}
	defer transport.CloseIdleConnections()
	data, err := get(ctx, transport, "https://"+address+"/ca.pem")
	if err != nil {
		return nil, err
	}
	ca, err := ParseCertificate(data)
	if err != nil {
		return nil, fmt.Errorf("https://%s/ca.pem: %w", address, err)
	}
	if !MatchesFingerprint(ca, fingerprint) {
		return nil, refuse(address, ca, shown, fingerprint)
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	return ca, verify(ca, shown, strings.Trim(host, "[]"))
}

// refuse says that a CA is another than the one that was named. It does not print the fingerprint that was found: the one who is in
// a hurry would paste it.
func refuse(address string, ca *x509.Certificate, shown []*x509.Certificate, fingerprint string) error {
	if len(shown) > 0 && MatchesFingerprint(shown[0], fingerprint) {
		return fmt.Errorf("that is the fingerprint of the certificate of %s, and what is wanted is that of its authority, which lasts: "+
			"`hallmark cert show`, on the registry's machine, prints it first. Nothing was changed", address)
	}
	return fmt.Errorf("the CA of %s is NOT the one that you named: its SHA-256 fingerprint begins with %s. Either the fingerprint was "+
		"copied wrongly, or somebody stands between you and the registry. Nothing was changed: compare with `hallmark cert show` on the registry's machine",
		address, Fingerprint(ca)[:len("00:00:00:00")])
}

func get(ctx context.Context, transport http.RoundTripper, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := transport.RoundTrip(req) // follows no redirect
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s; does this registry have a certificate of another CA?", url, resp.Status)
	}
	return io.ReadAll(io.LimitReader(resp.Body, maxCA))
}

// verify checks that a server's certificate is one that the CA signed for the host.
func verify(ca *x509.Certificate, shown []*x509.Certificate, host string) error {
	if len(shown) == 0 {
		return errors.New("the server showed no certificate")
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	_, err := shown[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
	return err
}
