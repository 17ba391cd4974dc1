// Package peer says where a request comes from: the other end of its connection or, if that is a proxy
// that the operator trusts, the client that the proxy names in its headers.
//
// It ignores the headers of anybody else. In a chain of proxies, the rightmost address that is not a
// trusted proxy counts, because that client can make up everything left of it.
package peer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Proxies are the networks whose requests may speak for others.
type Proxies []netip.Prefix

// ParseProxies reads networks as 10.0.0.0/8 and single addresses as 192.0.2.1.
func ParseProxies(list []string) (Proxies, error) {
	proxies, err := ParseNetworks(list)
	for i, p := range proxies {
		if p.Bits() == 0 {
			return nil, fmt.Errorf("%q is everybody: name the addresses of your proxies", list[i])
		}
	}
	return proxies, err
}

// ParseNetworks reads networks as 10.0.0.0/8 and single addresses as 192.0.2.1.
func ParseNetworks(list []string) (networks []netip.Prefix, err error) {
	for _, s := range list {
		prefix, err := netip.ParsePrefix(s)
		if addr, addrErr := netip.ParseAddr(s); addrErr == nil && addr.Zone() == "" {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil || prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither a network, as 10.0.0.0/8, nor an address", s)
		}
		networks = append(networks, prefix.Masked())
	}
	return networks, nil
}

// source is what a trusted proxy says of a request. Empty fields are unknown.
type source struct{ address, scheme, host string }

type sourceKey struct{}

// Believe wraps a handler: what trusted proxies say of a request counts below it.
func (p Proxies) Believe(next http.Handler) http.Handler {
	if len(p) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, ok := p.source(r); ok {
			r = r.WithContext(context.WithValue(r.Context(), sourceKey{}, s))
		}
		next.ServeHTTP(w, r)
	})
}

// source reads the headers of a request that comes from a trusted proxy.
func (p Proxies) source(r *http.Request) (*source, bool) {
	remote, ok := parseNode(r.RemoteAddr)
	if !ok || !p.trust(remote) {
		return nil, false
	}
	standard, ok := p.forwarded(r, remote)
	common, ok2 := p.xForwarded(r, remote)
	if standard == nil && common == nil || !ok || !ok2 {
		return nil, false
	}
	switch {
	case standard == nil:
		return common, true
	case common == nil:
		return standard, true
	case standard.address != common.address:
		// The proxy writes one of them and lets the client's other through: nobody can say which.
		return nil, false
	}
	return standard, true
}

func (p Proxies) trust(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// Trusts says whether an address, without a port, is a trusted proxy's.
func (p Proxies) Trusts(address string) bool {
	addr, ok := parseNode(address)
	return ok && p.trust(addr)
}

// client is the rightmost address in a chain that is not a trusted proxy's, and its place; the place is
// the chain's length where nothing before the connection is known.
func (p Proxies) client(remote netip.Addr, chain []string) (netip.Addr, int) {
	at := len(chain)
	for at > 0 && p.trust(remote) {
		next, ok := parseNode(chain[at-1])
		if !ok {
			break
		}
		remote, at = next, at-1
	}
	return remote, at
}

// maxForwarded bounds what is read of a header, in bytes. No chain of proxies is that long.
const maxForwarded = 4 << 10

// joined is a header as one list, or false where it is too long to be meant. It is "" where there is none.
func joined(h http.Header, name string) (string, bool) {
	s := strings.Join(h.Values(name), ",")
	return s, len(s) <= maxForwarded
}

// xForwarded reads X-Forwarded-For, -Proto and -Host. It returns nil where there is none.
func (p Proxies) xForwarded(r *http.Request, remote netip.Addr) (*source, bool) {
	chain, ok := joined(r.Header, "X-Forwarded-For")
	if chain == "" || !ok {
		return nil, ok
	}
	addr, _ := p.client(remote, strings.Split(chain, ","))
	return &source{address: addr.String(), scheme: last(r.Header, "X-Forwarded-Proto"), host: last(r.Header, "X-Forwarded-Host")}, true
}

// last is the last entry of a list in a header: the nearest proxy's.
func last(h http.Header, name string) string {
	s, ok := joined(h, name)
	if !ok {
		return ""
	}
	return strings.TrimSpace(s[strings.LastIndexByte(s, ',')+1:])
}

// forwarded reads Forwarded (RFC 7239). It returns nil where there is none.
func (p Proxies) forwarded(r *http.Request, remote netip.Addr) (*source, bool) {
	header, ok := joined(r.Header, "Forwarded")
	if header == "" || !ok {
		return nil, ok
	}
	elements, ok := splitUnquoted(header, ',')
	if !ok {
		return nil, false
	}
	chain := make([]string, len(elements))
	for i, e := range elements {
		chain[i] = parameter(e, "for")
	}
	addr, at := p.client(remote, chain)
	s := &source{address: addr.String()}
	if at < len(elements) { // the proxy that saw the client says how the client came
		s.scheme, s.host = parameter(elements[at], "proto"), parameter(elements[at], "host")
	}
	return s, true
}

// parameter is a parameter of an element of Forwarded, or "".
func parameter(element, name string) string {
	pairs, _ := splitUnquoted(element, ';')
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		if strings.EqualFold(strings.TrimSpace(key), name) {
			return unquote(strings.TrimSpace(value))
		}
	}
	return ""
}

// splitUnquoted cuts s at every sep outside of double quotes. It is false where a quote does not end.
func splitUnquoted(s string, sep byte) (parts []string, ok bool) {
	quoted, from := false, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == sep && !quoted:
			parts, from = append(parts, s[from:i]), i+1
		}
	}
	return append(parts, s[from:]), !quoted
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	return strings.ReplaceAll(s[1:len(s)-1], `\`, "")
}

// parseNode reads an address, with or without a port. Names that proxies make up, and "unknown", are none.
func parseNode(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	} else if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	addr, err := netip.ParseAddr(s)
	return addr.Unmap(), err == nil && addr.Zone() == ""
}

func of(r *http.Request) *source {
	s, _ := r.Context().Value(sourceKey{}).(*source)
	return s
}

// Address is the address of the client, without a port.
func Address(r *http.Request) string {
	if s := of(r); s != nil {
		return s.address
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// Host is host[:port] as the client asked for it. It is what the client says: compare it with the names
// that are known before it is used.
func Host(r *http.Request) string {
	if s := of(r); s != nil && s.host != "" {
		return s.host
	}
	return r.Host
}

// Forwarded says whether Host is what a trusted proxy says.
func Forwarded(r *http.Request) bool {
	s := of(r)
	return s != nil && s.host != ""
}

// Secure says whether the client came over TLS.
func Secure(r *http.Request) bool {
	if s := of(r); s != nil && s.scheme != "" {
		return strings.EqualFold(s.scheme, "https")
	}
	return r.TLS != nil
}

// Network is what counts as one address: anyone who has an IPv6 address has 2^64 of them.
func Network(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Is4() {
		return address
	}
	if addr.Is4In6() {
		return addr.Unmap().String()
	}
	prefix, err := addr.Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}

// Loopback says whether only this machine can connect to an address, host:port.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && LoopbackHost(host)
}

// LoopbackHost says whether a host without a port is this machine alone, as the Hostname of a URL is.
func LoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
