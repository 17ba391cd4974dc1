package config

import (
	"net/url"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/certs"
)

// Examine looks for everything that would keep a server with this configuration from starting, or its clients from
// trusting it: what cannot be meant, and files that are missing or do not fit. It changes nothing.
func (c *Config) Examine() []Problem {
	p := &problems{of: c, list: c.problems()}
	for _, file := range []struct{ key, path string }{
		{"keys.receipt", c.Keys.Receipt},
		{"keys.nextReceipt", c.Keys.NextReceipt},
		{"keys.log", c.Keys.Log},
		{"keys.nextLog", c.Keys.NextLog},
		{"metrics.tokenFile", c.Metrics.TokenFile},
	} {
		p.checkReadable(file.key, file.path)
	}
	if c.InsecureHTTP == "" && (c.TLS.Cert == "") == (c.TLS.Key == "") {
		p.checkCertificate()
	}
	return p.list
}

func (p *problems) checkReadable(key, path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		p.addf(key, "%s: %w", key, err)
		return
	}
	_ = f.Close() // it was only tried
}

// checkCertificate blames the file of a certificate of one's own, and else the name that the registry's own is not for.
func (p *problems) checkCertificate() {
	c := p.of
	key := "tls.cert"
	if c.TLS.Cert == "" {
		key = "url"
		if c.origins["hosts"] != "" {
			key = "hosts"
		}
	}
	var hosts []string
	if u, err := url.Parse(c.URL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	wrong, warning := certs.Check(certs.Config{
		Dir: filepath.Join(c.Data, "certs"), Hosts: append(hosts, c.Hosts...), CertFile: c.TLS.Cert, KeyFile: c.TLS.Key,
	})
	if wrong != nil {
		p.addf(key, "%s: %w", key, wrong)
	}
	if warning != nil {
		p.warnf(key, "%s: %w", key, warning)
	}
}
