package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/yamlfile"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// Examine looks for everything that would keep a server with this configuration from starting, or its clients from
// trusting it: what cannot be meant, and files that are missing or do not fit. It changes nothing.
func (c *Config) Examine() []Problem {
	p := &problems{of: c, list: c.problems()}
	p.checkKey("keys.receipt", c.Keys.Receipt, asReceiptKey)
	p.checkKey("keys.nextReceipt", c.Keys.NextReceipt, asReceiptKey)
	p.checkKey("keys.log", c.Keys.Log, asLogKey)
	p.checkKey("keys.nextLog", c.Keys.NextLog, asLogKey)
	p.checkKey("metrics.tokenFile", c.Metrics.TokenFile, asMetricsToken)
	switch info, err := os.Stat(c.Data); {
	case err == nil && !info.IsDir():
		p.addf("data", "data is %s, which is a file: it should be a directory", c.Data)
		return p.list // no certificate is in it
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		p.addf("data", "data: %w", err)
		return p.list
	}
	if c.InsecureHTTP == "" && (c.TLS.Cert == "") == (c.TLS.Key == "") {
		p.checkCertificate()
	}
	return p.list
}

// checkKey wants a file, where one is named, to hold what parse takes.
func (p *problems) checkKey(key, path string, parse func([]byte) error) {
	if path == "" {
		return
	}
	content, err := yamlfile.Read(path, mostKeyFile)
	if err == nil {
		if err = parse(content); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		p.addf(key, "%s: %w", key, err)
	}
}

// mostKeyFile is more than any file of a key or a token has, in bytes.
const mostKeyFile = 1 << 20

func asReceiptKey(content []byte) error {
	_, err := receipt.ParseSigner(content)
	return err
}

func asLogKey(content []byte) error {
	_, err := log.ParseKey(content)
	return err
}

func asMetricsToken(content []byte) error {
	_, err := ParseMetricsToken(content)
	return err
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
