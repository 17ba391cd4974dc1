package certs

import (
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// Names are what a certificate is for, the most important first.
type Names struct {
	DNS []string
	IPs []net.IP
}

// ParseNames sorts hosts into names and addresses. Each may come as "[::1]" too, never with a port.
func ParseNames(hosts ...string) (Names, error) {
	var n Names
	for _, host := range hosts {
		host = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ".")
		if ip := net.ParseIP(strings.Trim(host, "[]")); ip != nil {
			n.addIP(ip)
		} else if validDNS(host) {
			n.addDNS(host)
		} else {
			return n, fmt.Errorf("%q is neither a host name nor an address", host)
		}
	}
	return n, nil
}

func (n *Names) addDNS(name string) {
	if !slices.Contains(n.DNS, name) {
		n.DNS = append(n.DNS, name)
	}
}

func (n *Names) addIP(ip net.IP) {
	if !slices.ContainsFunc(n.IPs, ip.Equal) {
		n.IPs = append(n.IPs, ip)
	}
}

// withLocal adds what every registry's certificate names: localhost and the loopback addresses.
func (n Names) withLocal() Names {
	n.DNS, n.IPs = slices.Clone(n.DNS), slices.Clone(n.IPs)
	n.addDNS("localhost")
	n.addIP(net.IPv4(127, 0, 0, 1))
	n.addIP(net.IPv6loopback)
	return n
}

// withMachine adds the machine's own name, when the CA may sign for it or is yet to be made: a container
// has another name each time, which is no reason to stop.
func (n Names) withMachine(ca *authority) Names {
	host, err := os.Hostname()
	if err != nil {
		return n
	}
	machine, err := ParseNames(host)
	if err != nil || len(machine.DNS) == 0 || ca != nil && ca.allows(machine) != nil {
		return n
	}
	n.DNS = slices.Clone(n.DNS)
	n.addDNS(machine.DNS[0])
	return n
}

func (n Names) first() string {
	if len(n.DNS) > 0 {
		return n.DNS[0]
	}
	return n.IPs[0].String()
}

func (n Names) equal(o Names) bool {
	return slices.Equal(n.DNS, o.DNS) && slices.EqualFunc(n.IPs, o.IPs, net.IP.Equal)
}

// Strings returns all names and addresses.
func (n Names) Strings() []string {
	all := slices.Clone(n.DNS)
	for _, ip := range n.IPs {
		all = append(all, ip.String())
	}
	return all
}

func namesOf(cert *x509.Certificate) Names { return Names{DNS: cert.DNSNames, IPs: cert.IPAddresses} }

// validDNS says that a name is made of labels as RFC 1123 has them.
func validDNS(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
