package config

import (
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/internal/units"
	"github.com/seed-260924e6/hallmark/server/cosigning"
)

// Check refuses what cannot be meant: all of it at once. Errors: *Error.
func (c *Config) Check() error { return ErrorOf(c.problems()) }

// problems are what cannot be meant, whatever is on the disk.
func (c *Config) problems() []Problem {
	p := &problems{of: c}
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "":
		p.addf("tls.cert", "tls.cert and tls.key belong together: tls.key is missing")
	case c.TLS.Cert == "" && c.TLS.Key != "":
		p.addf("tls.key", "tls.cert and tls.key belong together: tls.cert is missing")
	}
	if _, err := obs.ParseLevel(c.Log.Level); err != nil {
		p.addf("log.level", "log.level: %w", err)
	}
	if err := obs.CheckFormat(c.Log.Format); err != nil {
		p.addf("log.format", "log.format: %w", err)
	}
	p.checkListen("listen", c.Listen)
	if c.AdminListen != NoListen {
		p.checkListen("adminListen", c.AdminListen)
	}
	p.checkLimits(c.Limits)
	if _, err := peer.ParseProxies(c.TrustedProxies); err != nil {
		p.addf("trustedProxies", "trustedProxies: %w", err)
	}
	_, err := oidc.New(c.OIDC, time.Now)
	p.add("oidc", err)
	p.add("url", c.checkURL())
	if _, err := cosigning.ParseWitnesses(c.Witnesses); err != nil {
		p.addf("witnesses", "witnesses: %w", err)
	}
	_, err = c.Policy.Read()
	p.add("policy.file", err)
	_, err = c.Retention.Read(onlyCompiled{})
	p.add("retention.file", err)
	if c.Retention.Most < 0 || c.Retention.Most > 100 {
		p.addf("retention.most", "retention.most is %d, and is a percentage of 0 to 100", c.Retention.Most)
	}
	if c.Retention.Every > 0 && c.Retention.Every < units.Duration(time.Minute) {
		p.addf("retention.every", "retention.every is %s, and is at least 1m, or 0 for never", c.Retention.Every)
	}
	_, err = c.Mirrors.Read(c.OwnNames(c.URL)...)
	p.add("mirrors.file", err)
	_, err = c.Trust.Read()
	p.add("trust.file", err)
	p.add("store", checkStore(c.Store))
	p.checkBlobs(c.Blobs.S3)
	if c.Scrub.Every > 0 && c.Scrub.Rate == 0 {
		p.addf("scrub.rate", "scrub.rate is 0: write how many bytes a second are read, as 50MB, or scrub.every: 0 to turn the scrub off")
	}
	if err := c.Retention.Check(); err != nil {
		p.addf("retention.ignore", "retention.ignore: %w", err)
	}
	p.add("insecureHTTP", c.checkInsecure())
	return p.list
}

func (p *problems) checkListen(key, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		p.addf(key, "%s is %q, and should be host:port or :port", key, address)
	} else if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		p.addf(key, "%s is %q, and its port should be a number from 1 to 65535", key, address)
	}
}

func (p *problems) checkLimits(l Limits) {
	for _, of := range []struct {
		key, says string
		n         int
	}{
		{"limits.connections", "without one, nobody can connect", l.Connections},
		{"limits.addressConnections", "without one, nobody can connect", l.AddressConnections},
		{"limits.uploads", "without an upload nobody can push", l.Uploads},
		{"limits.accountUploads", "without an upload nobody can push", l.AccountUploads},
	} {
		if of.n < 1 {
			p.addf(of.key, "%s is at least 1: %s", of.key, of.says)
		}
	}
}

// NoListen is the AdminListen of no listener.
const NoListen = "none"

func (c *Config) checkURL() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return Errorf("url is %q, and should be https://host or https://host:port", c.URL)
	}
	if u.Scheme == "http" && c.InsecureHTTP == "" {
		return Errorf("url is %q, and the registry speaks TLS: write https://%s. With a proxy in front that ends TLS, url is the proxy's, and insecureHTTP is loopback", c.URL, u.Host)
	}
	return nil
}

func (c *Config) checkInsecure() error {
	switch c.InsecureHTTP {
	case "", "anywhere":
		return nil
	case "loopback":
		if peer.Loopback(c.Listen) {
			return nil
		}
		return Errorf("plain HTTP is served on loopback only, and listen is %q: use --listen 127.0.0.1:PORT with the proxy on this machine, "+
			"or --insecure-http=anywhere if nobody but the proxy can reach it", c.Listen)
	default:
		return Errorf("insecureHTTP is %q, and should be loopback or anywhere", c.InsecureHTTP)
	}
}
