package mirror

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"golang.org/x/time/rate"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// Remote is how a registry that runs is asked.
type Remote struct {
	// Where is its name, with its port where it has one of its own: over TLS, unless it begins with http://.
	Where string
	// Repositories are patterns of those that are asked for. Where none has a star, the registry's catalog is not asked: many have none.
	Repositories []access.Pattern
	// Login is that of the one who asks, or empty.
	Login auth.Credential
	// Roots are the authorities that its certificate may be from; nil: those of the machine.
	Roots *x509.CertPool
	// Addresses of this machine or its link alone that it may lead to all the same.
	Addresses []netip.Addr
	// Rate bounds the requests in a second. Default: 50.
	Rate int
	// Between stands between each request and its repetitions, or is nil.
	Between func(http.RoundTripper) http.RoundTripper
}

const (
	defaultRate   = 50
	maxRedirects  = 5
	headerTimeout = time.Minute
	dockerHub     = "registry-1.docker.io"
)

// OpenRemote prepares to ask a registry. Nothing is asked yet. Error: ErrSource.
func OpenRemote(o Remote) (Source, error) {
	base, err := baseOf(o.Where)
	if err != nil {
		return nil, err
	}
	if o.Rate <= 0 {
		o.Rate = defaultRate
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer{base, o.Addresses}.dial, ForceAttemptHTTP2: true,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		ResponseHeaderTimeout: headerTimeout, TLSHandshakeTimeout: 20 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost: workers, IdleConnTimeout: headerTimeout, DisableCompression: true,
	}
	paced := &pacedTransport{next: transport, idle: stalled, limit: rate.NewLimiter(rate.Limit(o.Rate), o.Rate), secure: base.Scheme == "https"}
	var once http.RoundTripper = paced
	if o.Between != nil {
		once = o.Between(paced)
	}
	client := &http.Client{Transport: retry.NewTransport(once), CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}}
	r := &remote{base: base, host: base.Host, client: &auth.Client{Client: client, Cache: auth.NewCache()}}
	if base.Host == dockerHub {
		r.host = "docker.io"
	}
	r.client.SetUserAgent("hallmark")
	if o.Login != auth.EmptyCredential {
		r.client.Credential = auth.StaticCredential(base.Host, o.Login)
	}
	r.names = exact(o.Repositories, base.Host)
	return r, nil
}

// baseOf reads where a registry is.
func baseOf(where string) (*url.URL, error) {
	if !strings.Contains(where, "://") {
		where = "https://" + where
	}
	base, err := url.Parse(where)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil || strings.Trim(base.Path, "/") != "" || base.RawQuery != "" {
		return nil, fmt.Errorf("%w: %.100q is no registry: write its name, as registry.example:5000, and the repositories behind it", ErrSource, where)
	}
	base.Path = ""
	switch base.Host {
	case "docker.io", "index.docker.io", "hub.docker.com":
		base.Host = dockerHub
	}
	return base, nil
}

// exact returns the names that patterns are, or nil where one of them has a star, or there is none.
func exact(patterns []access.Pattern, host string) (names []string) {
	for _, p := range patterns {
		name := p.String()
		if strings.Contains(name, "*") {
			return nil
		}
		if host == dockerHub && !strings.Contains(name, "/") {
			name = "library/" + name // as docker calls it
		}
		names = append(names, name)
	}
	return names
}

// pacedTransport bounds the rate of requests and how long an answer takes, and refuses plain HTTP where a redirect leads to it.
type pacedTransport struct {
	next   *http.Transport
	limit  *rate.Limiter
	secure bool
	idle   time.Duration // how long nothing may come of a body
}

// RoundTrip implements http.RoundTripper.
func (p *pacedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if p.secure && r.URL.Scheme != "https" {
		return nil, fmt.Errorf("it leads to %s://%s, which is not encrypted", r.URL.Scheme, r.URL.Host)
	}
	if err := p.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	resp, err := p.next.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &flowing{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, idle: p.idle}
	return resp, nil
}

// CloseIdleConnections is that of http.Client.
func (p *pacedTransport) CloseIdleConnections() { p.next.CloseIdleConnections() }

// dialer connects to registries. A redirect or a name must not lead to what listens on this machine or its link alone: such an
// address has to be named as the source.
type dialer struct {
	named   *url.URL
	allowed []netip.Addr
}

// errOwnAddress: an address is one that has to be named.
var errOwnAddress = errors.New("the address is of this machine or its link alone, where a registry elsewhere must not lead: if it is meant, name it: as the source, by its address or as localhost, or with --address")

func (d dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	dial := &net.Dialer{Timeout: 20 * time.Second}
	if !d.isNamed(address) {
		dial.Control = func(_, connecting string, _ syscall.RawConn) error { return d.mayDial(connecting) }
	}
	return dial.DialContext(ctx, network, address)
}

// isNamed says that an address is the source itself, and was written as one of this machine.
func (d dialer) isNamed(address string) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if host != d.named.Hostname() || port != cmp.Or(d.named.Port(), map[string]string{"http": "80", "https": "443"}[d.named.Scheme]) {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// mayDial looks at the address that is about to be connected to: what a name means was decided before.
func (d dialer) mayDial(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap().WithZone("")
	if slices.Contains(d.allowed, ip) {
		return nil
	}
	if ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast() || isOwn(ip) {
		return fmt.Errorf("%s: %w", ip, errOwnAddress)
	}
	return nil
}

// isOwn says whether an address is one of this machine's.
func isOwn(ip netip.Addr) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(addresses, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap().WithZone("") == ip
	})
}
