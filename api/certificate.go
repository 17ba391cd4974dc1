package api

import (
	"crypto/x509"
	"net/http"

	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Certificates are the server's own. certs.Keeper is one.
type Certificates interface {
	Certificate() *x509.Certificate
	CA() *x509.Certificate  // nil with a certificate of another authority
	Renew(newCA bool) error // certs.ErrNotRenewed, certs.ErrName
}

// certificateAnswer describes the certificate that the server shows, and its authority.
type certificateAnswer struct {
	URL    string           `json:"url"` // the registry's public name
	Server certificateEntry `json:"server"`
	// CA is absent with a certificate of another authority.
	CA *certificateEntry `json:"ca,omitempty"`
}

type certificateEntry struct {
	Subject     string          `json:"subject"`
	Issuer      string          `json:"issuer"`
	Names       []string        `json:"names"` // those it is for, or, of a CA, those it may sign for
	NotBefore   provenance.Time `json:"notBefore"`
	NotAfter    provenance.Time `json:"notAfter"`
	Fingerprint string          `json:"fingerprint"` // SHA-256, as openssl prints it
	PEM         string          `json:"pem"`
}

// certificate answers GET /api/v1/certificate.
func (a *API) certificate(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	return a.certificateAnswer()
}

// certificates are the server's, or nil.
func (a *API) certificates() Certificates {
	if a.Certificates == nil {
		return nil
	}
	return a.Certificates()
}

func (a *API) certificateAnswer() (any, error) {
	shown := a.certificates()
	if shown == nil {
		return nil, problemf(http.StatusNotFound, "this server speaks plain HTTP, and has no certificate")
	}
	answer := certificateAnswer{URL: a.URL, Server: entryOf(shown.Certificate())}
	if ca := shown.CA(); ca != nil {
		entry := entryOf(ca)
		answer.CA = &entry
	}
	return answer, nil
}

func entryOf(cert *x509.Certificate) certificateEntry {
	names := append([]string{}, cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	names = append(names, cert.PermittedDNSDomains...)
	for _, ipRange := range cert.PermittedIPRanges {
		names = append(names, ipRange.String())
	}
	return certificateEntry{
		Subject: cert.Subject.String(), Issuer: cert.Issuer.String(), Names: names,
		NotBefore: provenance.At(cert.NotBefore), NotAfter: provenance.At(cert.NotAfter),
		Fingerprint: certs.Fingerprint(cert), PEM: string(certs.EncodePEM(cert)),
	}
}

// renewCertificate answers POST /api/v1/certificate.
func (a *API) renewCertificate(c *call) (any, error) {
	var want struct {
		CA bool `json:"ca"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	shown := a.certificates()
	if shown == nil {
		return a.certificateAnswer()
	}
	if err := shown.Renew(want.CA); err != nil {
		return nil, err
	}
	a.Log.Info("certificate renewed", "ca", want.CA, "by", c.who.Actor.Handle)
	return a.certificateAnswer()
}
