package host

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/trust"
)

// maxChain bounds the certificates of a chain that are looked at.
const maxChain = 10

// chain is what a host shows of itself, and what is to be said of it.
type chain struct {
	sent      []*x509.Certificate
	trustedBy []string // whose roots lead to it, now
	verified  []*x509.Certificate
	fault     string // why it is not trusted, or empty
	advice    string
}

// trusted says whether a login may be sent, and answers be believed.
func (c *chain) trusted(name string) bool {
	return c.fault == "" && c.sent[0].VerifyHostname(name) == nil
}

// verifyChain verifies the certificates against each set of roots.
func (i *inspection) verifyChain(sent []*x509.Certificate) chain {
	c := chain{sent: sent[:min(len(sent), maxChain)]}
	var first error
	for _, roots := range i.Roots {
		chains, err := verify(c.sent, roots.Pool, i.now)
		if err == nil {
			c.trustedBy = append(c.trustedBy, roots.Name)
			c.verified = chains[0]
		} else if first == nil || isExpired(err) {
			first = err
		}
	}
	if len(c.trustedBy) == 0 {
		c.fault, c.advice = c.explain(first, i.now)
	}
	return c
}

func verify(sent []*x509.Certificate, roots *x509.CertPool, now time.Time) ([][]*x509.Certificate, error) {
	between := x509.NewCertPool()
	for _, cert := range sent[1:] {
		between.AddCert(cert)
	}
	return sent[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now})
}

func isExpired(err error) bool {
	var invalid x509.CertificateInvalidError
	return errors.As(err, &invalid) && invalid.Reason == x509.Expired
}

// explain says why a chain is not trusted, and no more than can be known from here.
func (c *chain) explain(err error, now time.Time) (fault, advice string) {
	leaf, last := c.sent[0], c.sent[len(c.sent)-1]
	var unknown x509.UnknownAuthorityError
	switch {
	case now.After(leaf.NotAfter):
		return "It ended on " + day(leaf.NotAfter) + ".", "Renew the certificate."
	case now.Before(leaf.NotBefore):
		return "It begins on " + day(leaf.NotBefore) + ".", "Look at the clocks of both machines."
	case selfSigned(leaf):
		return "It signed itself: nobody vouches for it.", "Compare its SHA-256 fingerprint by another way, then give it with --ca; better, get one from an authority."
	case err == nil:
		return "There are no authorities to compare with.", "Give one with --ca."
	case errors.As(err, &unknown) && selfSigned(last):
		return fmt.Sprintf("It leads to %q, which is not trusted here.", last.Subject), "If you know that authority, give its certificate with --ca."
	case errors.As(err, &unknown):
		return fmt.Sprintf("The chain that was sent ends at a certificate by %q, which is not trusted here.", last.Issuer),
			"If that is an intermediate authority, the server should send its certificate too; if it is a private authority, give it with --ca."
	}
	return "It does not verify: " + err.Error() + ".", "Look at the chain with a tool for certificates, and get a valid one."
}

func selfSigned(c *x509.Certificate) bool {
	return string(c.RawIssuer) == string(c.RawSubject) && c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// certificate is one as evidence.
type certificate struct {
	Subject      string    `json:"subject"`
	Organisation string    `json:"organisation,omitempty"`
	Names        []string  `json:"names,omitempty"`
	Issuer       string    `json:"issuer"`
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	SHA256       string    `json:"sha256"`
	Key          string    `json:"key"`
}

func describe(c *x509.Certificate) certificate {
	sum := sha256.Sum256(c.Raw)
	key, _ := keyOf(c)
	d := certificate{
		Subject: c.Subject.String(), Organisation: strings.Join(c.Subject.Organization, ", "), Issuer: c.Issuer.String(),
		NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), SHA256: hex.EncodeToString(sum[:]), Key: key,
		Names: c.DNSNames,
	}
	for _, ip := range c.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	return d
}

// keyOf names the key of a certificate, and says whether it is strong.
func keyOf(c *x509.Certificate) (name string, strong bool) {
	switch key := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", key.N.BitLen()), key.N.BitLen() >= trust.RSALeast
	case *ecdsa.PublicKey:
		return "ECDSA, " + key.Params().Name, key.Params().BitSize >= trust.ECLeast
	case ed25519.PublicKey:
		return "Ed25519", true
	}
	return c.PublicKeyAlgorithm.String(), false
}

// checks judges the certificates.
func (c *chain) checks(name string, now time.Time) []trust.Check {
	return []trust.Check{c.checkChain(name), c.checkKey(), c.checkIssuer(), c.checkExpiry(now)}
}

func (c *chain) checkChain(name string) trust.Check {
	e := chainEvidence{TrustedBy: c.trustedBy}
	for _, cert := range c.sent {
		e.Certificates = append(e.Certificates, describe(cert))
	}
	if c.fault != "" {
		return trust.Failed(trust.HostChain, "The certificate is not trusted. "+c.fault).With(e).Advise(c.advice)
	}
	if err := c.sent[0].VerifyHostname(name); err != nil {
		return trust.Failed(trust.HostChain, fmt.Sprintf("The certificate is for %s, and not for %s.", join(e.Certificates[0].Names), name)).
			With(e).Advise("Use a name that it is for, or get a certificate for this name.")
	}
	return trust.Passed(trust.HostChain, fmt.Sprintf("The certificate is for %s and trusted by %s.", name, join(c.trustedBy))).
		With(e).Dropping(trust.Drop{At: c.end()})
}

func (c *chain) checkKey() trust.Check {
	for _, cert := range c.sent {
		if key, strong := keyOf(cert); !strong {
			return trust.Failed(trust.HostKey, fmt.Sprintf("The key of %q is weak: %s.", cert.Subject, key)).
				Advise("Make a new key: ECDSA P-256, or RSA with 2048 bits or more.")
		}
	}
	key, _ := keyOf(c.sent[0])
	return trust.Passed(trust.HostKey, "The key is "+key+".")
}

// checkIssuer says who vouches, and only what the certificate says: an organisation in an untrusted one
// is anybody's word.
func (c *chain) checkIssuer() trust.Check {
	leaf := c.sent[0]
	e := issuerEvidence{leaf.Issuer.String(), leaf.Issuer.Organization, leaf.Subject.Organization}
	switch {
	case c.fault != "":
		return trust.NotKnown(trust.HostIssuer, "Nobody who is trusted here vouches for what the certificate says of its issuer.").With(e)
	case len(leaf.Issuer.Organization) == 0:
		return trust.Failed(trust.HostIssuer, fmt.Sprintf("The issuer, %q, names no organisation.", leaf.Issuer)).With(e).
			Advise("Ask the authority's operator who they are; the certificate of a public authority says it.")
	case len(leaf.Subject.Organization) == 0:
		return trust.Passed(trust.HostIssuer, fmt.Sprintf("%s vouches for the name; the certificate does not say which organisation has it.", join(leaf.Issuer.Organization))).With(e)
	}
	return trust.Passed(trust.HostIssuer, fmt.Sprintf("%s vouches that the name belongs to %s.", join(leaf.Issuer.Organization), join(leaf.Subject.Organization))).With(e)
}

// end is when the first certificate that is needed ends.
func (c *chain) end() time.Time {
	end := c.sent[0].NotAfter
	for _, cert := range c.verified {
		if cert.NotAfter.Before(end) {
			end = cert.NotAfter
		}
	}
	return end
}

func (c *chain) checkExpiry(now time.Time) trust.Check {
	end := c.end()
	left := end.Sub(now)
	e := expiryEvidence{end.UTC()}
	soon := trust.Partly(trust.HostExpiry, trust.StepSoon, "The certificate ends on "+day(end)+".").With(e).
		Advise("Renew it, and let a machine do it from now on.").Dropping(trust.Drop{At: end.Add(-trust.ExpirySoon)})
	switch {
	case left > trust.ExpiryGood:
		return trust.Passed(trust.HostExpiry, "The certificate is valid until "+day(end)+".").With(e).
			Dropping(trust.Drop{At: end.Add(-trust.ExpiryGood), Points: soon.Points}, soon.Drops[0])
	case left > trust.ExpirySoon:
		return soon
	case left > 0:
		return trust.Failed(trust.HostExpiry, "The certificate ends on "+day(end)+", which is very soon.").With(e).Advise("Renew it today.")
	}
	return trust.Failed(trust.HostExpiry, "The certificate ended on "+day(end)+".").With(e).Advise("Renew it.")
}
