package host

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/seed-260924e6/hallmark/trust"
)

// allSuites are all cipher suites that Go can speak: we look at what a server takes, and do not protect
// anything with it.
func allSuites() (ids []uint16) {
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// handshake connects with a range of versions. The certificates are judged afterwards, by verifyChain: a
// handshake that stops at the first fault would show nothing.
func (i *inspection) handshake(ctx context.Context, least, most uint16) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	raw, err := i.Dial(ctx, "tcp", net.JoinHostPort(i.name, i.port))
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer raw.Close() //nolint:errcheck // nothing was sent
	conn := tls.Client(raw, &tls.Config{
		ServerName: i.name, MinVersion: least, MaxVersion: most, CipherSuites: allSuites(), InsecureSkipVerify: true,
	})
	err = conn.HandshakeContext(ctx)
	return conn.ConnectionState(), err
}

// offered is what one version of TLS led to.
type offered struct {
	Version string `json:"version"`
	Offered bool   `json:"offered"`
	Suite   string `json:"suite,omitempty"`
	Error   string `json:"error,omitempty"`
}

// versions makes one handshake for each version of TLS.
func (i *inspection) versions(ctx context.Context) trust.Check {
	var seen []offered
	var old []string
	newest := false
	for v := uint16(tls.VersionTLS10); v <= tls.VersionTLS13; v++ {
		state, err := i.handshake(ctx, v, v)
		o := offered{Version: tls.VersionName(v), Offered: err == nil}
		if timedOut(err) {
			return trust.NotKnown(trust.HostVersions, "A handshake with "+o.Version+" did not end in time.").With(seen)
		}
		if err == nil {
			o.Suite = tls.CipherSuiteName(state.CipherSuite)
			newest = v == tls.VersionTLS13
			if v < tls.VersionTLS12 {
				old = append(old, o.Version)
			}
		}
		seen = append(seen, o)
	}
	switch {
	case len(old) > 0:
		return trust.Failed(trust.HostVersions, fmt.Sprintf("It still speaks %v, which are broken (RFC 8996).", join(old))).
			With(seen).Advise("Turn off everything before TLS 1.2.")
	case !newest:
		return trust.Partly(trust.HostVersions, trust.StepNo13, "TLS 1.2 is the newest version that it speaks.").
			With(seen).Advise("Turn on TLS 1.3.")
	}
	return trust.Passed(trust.HostVersions, "It speaks TLS 1.3, and nothing before 1.2.").With(seen)
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

func join(words []string) string {
	s := ""
	for n, w := range words {
		switch {
		case n == 0:
			s = w
		case n == len(words)-1:
			s += " and " + w
		default:
			s += ", " + w
		}
	}
	return s
}
