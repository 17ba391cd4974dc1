package config

import (
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/server/cosigning"
)

// Check refuses what cannot be meant. Errors: *Error.
func (c *Config) Check() error {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		return Errorf("tls.cert and tls.key belong together: one of them is missing")
	}
	if _, err := obs.ParseLevel(c.Log.Level); err != nil {
		return Errorf("log.level: %w", err)
	}
	for key, address := range map[string]string{"listen": c.Listen, "adminListen": c.AdminListen} {
		if key == "adminListen" && address == NoListen {
			continue
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return Errorf("%s is %q, and should be host:port or :port", key, address)
		}
	}
	if l := c.Limits; l.Connections < 1 || l.AddressConnections < 1 {
		return Errorf("limits.connections and limits.addressConnections are at least 1: without a connection nobody gets in")
	}
	if l := c.Limits; l.Uploads < 1 || l.AccountUploads < 1 {
		return Errorf("limits.uploads and limits.accountUploads are at least 1: without an upload nobody can push")
	}
	if _, err := peer.ParseProxies(c.TrustedProxies); err != nil {
		return Errorf("trustedProxies: %w", err)
	}
	if _, err := oidc.New(c.OIDC, time.Now); err != nil {
		return Errorf("%w", err)
	}
	if c.URL != "" {
		if err := checkURL(c.URL); err != nil {
			return err
		}
	}
	if _, err := cosigning.ParseWitnesses(c.Witnesses); err != nil {
		return Errorf("witnesses: %w", err)
	}
	if _, err := c.Policy.Read(); err != nil {
		return err
	}
	if _, err := c.Trust.Read(); err != nil {
		return err
	}
	if c.Scrub.Every > 0 && c.Scrub.Rate == 0 {
		return Errorf("scrub.rate is 0: write how many bytes a second are read, as 50MB, or scrub.every: 0 to turn the scrub off")
	}
	return c.checkInsecure()
}

// NoListen is the AdminListen of no listener.
const NoListen = "none"

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return Errorf("url is %q, and should be https://host or https://host:port", s)
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
