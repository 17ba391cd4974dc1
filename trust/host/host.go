// Package host inspects a registry from outside, as a person would with curl and openssl: whose
// certificate it shows, what it lets strangers read, whether it follows OCI's specification.
//
// It only reads, makes a bounded number of requests, and bounds each in time, bytes and redirects: a
// server that is slow, endless or hostile costs a minute at most. A login is sent only when the
// certificate's chain is trusted, and never over plain HTTP.
package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/trust"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// ErrUnreachable says that nothing could be asked.
var ErrUnreachable = errors.New("the host cannot be reached")

// Roots are certificate authorities, and who says that they are trusted.
type Roots struct {
	Name string // "system", "--ca", "docker's certs.d"
	Pool *x509.CertPool
}

// Config says how a host is inspected. The zero value of a field is its default.
type Config struct {
	Roots []Roots
	// Login is the user name and password to look with, too. Default: strangers' eyes only.
	Login auth.Credential
	// Repository is one to look at. Default: the first that the catalog shows.
	Repository string
	// Public says that strangers are meant to pull from it, and to list what it has.
	Public bool
	// Now is the clock by which certificates are judged. Default: time.Now.
	Now func() time.Time
	// Dial connects. Default: as net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds each request. Default: 10s.
	Timeout time.Duration
	// Total bounds the inspection. Default: 1m.
	Total time.Duration
}

func (c *Config) setDefaults() {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	if c.Timeout == 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Total == 0 {
		c.Total = time.Minute
	}
}

// inspection is one look at one host. Its steps run one after the other.
type inspection struct {
	Config
	now     time.Time
	address string // host:port, as the report names it
	name    string // that the certificate should be for
	port    string

	chain chain
	ask   *asker
	image *sample // what the pull side was looked at with, or nil
	why   string  // why there is no image to look at
}

// Inspect looks at a host, given as HOST or HOST:PORT. Error: ErrUnreachable.
func Inspect(ctx context.Context, address string, c Config) (*trust.Report, error) {
	c.setDefaults()
	ctx, cancel := context.WithTimeout(ctx, c.Total)
	defer cancel()
	i := &inspection{Config: c, now: c.Now().UTC(), address: address}
	var err error
	if i.name, i.port, err = split(address); err != nil {
		return nil, err
	}
	plainOnly, err := i.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", address, ErrUnreachable, err)
	}
	if plainOnly {
		return trust.NewReport(address, i.now, i.withoutTLS(ctx)), nil
	}
	return trust.NewReport(address, i.now, i.checks(ctx)), nil
}

// split reads HOST[:PORT]. The port of HTTPS is the default.
func split(address string) (name, port string, err error) {
	if strings.Contains(address, "/") || address == "" {
		return "", "", fmt.Errorf("%q is not HOST or HOST:PORT", address)
	}
	name, port, err = net.SplitHostPort(address)
	if err == nil && name != "" && port != "" {
		return name, port, nil
	}
	name = strings.Trim(address, "[]")
	if strings.Contains(name, ":") && net.ParseIP(name) == nil {
		return "", "", fmt.Errorf("%q is not HOST or HOST:PORT", address)
	}
	return name, "443", nil
}

// connect makes the first connection and reads the certificates from it. plainOnly says that the host
// answers, and not with TLS.
func (i *inspection) connect(ctx context.Context) (plainOnly bool, err error) {
	state, err := i.handshake(ctx, tls.VersionTLS10, tls.VersionTLS13)
	if record := new(tls.RecordHeaderError); errors.As(err, record) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	i.chain = i.verifyChain(state.PeerCertificates)
	i.ask = i.newAsker()
	return false, nil
}

// checks makes every check, in the order of the rubric.
func (i *inspection) checks(ctx context.Context) []trust.Check {
	checks := i.chain.checks(i.name, i.now)
	checks = append(checks, i.versions(ctx), i.plainHTTP(ctx))
	base := i.ask.get(ctx, i.ask.stranger, "/v2/")
	if base.err != nil {
		return append(checks, i.silent(base)...)
	}
	checks = append(checks, i.hsts(base), i.challenge(base))
	catalog := i.ask.get(ctx, i.ask.anonymous, "/v2/_catalog?n=10")
	i.findImage(ctx, catalog)
	checks = append(checks, i.anonymousRead(ctx, catalog))
	checks = append(checks, i.conformance(ctx, base), i.referrers(ctx), i.digests(ctx))
	return append(checks, i.transparencyLog(ctx))
}

// httpChecks are the checks that need an answer over HTTPS.
var httpChecks = []string{
	trust.HostHSTS, trust.HostChallenge, trust.HostAnonymous, trust.HostConformity, trust.HostReferrers, trust.HostDigests, trust.HostLog,
}

// silent is what is left to say of a host that does TLS and gives no answer that can be used.
func (i *inspection) silent(base *answer) (checks []trust.Check) {
	says := base.Request + " led to no answer: " + base.Error + "."
	for _, id := range httpChecks {
		c := trust.NotKnown(id, says)
		if id == trust.HostConformity && !timedOut(base.err) {
			c = trust.Failed(id, says).Advise("A registry answers this with 200, or with 401 (OCI distribution specification, end-1).")
		}
		checks = append(checks, c.With(requests(base)))
	}
	return checks
}

// withoutTLS are the checks of a host that speaks plain HTTP where TLS should be.
func (i *inspection) withoutTLS(ctx context.Context) []trust.Check {
	const says = "It does not speak TLS: what is pulled can be changed on the way, and passwords can be read."
	checks := []trust.Check{
		trust.Failed(trust.HostChain, says).Advise("Give it a certificate; without one nothing else that it says can be relied on."),
		trust.Failed(trust.HostKey, says), trust.Failed(trust.HostIssuer, says), trust.Failed(trust.HostExpiry, says),
		trust.Failed(trust.HostVersions, says), i.plainHTTP(ctx),
	}
	for _, id := range httpChecks {
		checks = append(checks, trust.NotKnown(id, "Nothing is asked over plain HTTP: anybody on the way can answer."))
	}
	return checks
}
