package oidc

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/internal/units"
)

// Issuer is how one issuer of ID tokens is set up.
type Issuer struct {
	// URL is the issuer as its tokens name it, as https://token.actions.githubusercontent.com.
	URL string `yaml:"issuer" json:"issuer"`
	// Audience is what tokens have to be for: the registry's name, as its jobs ask for it.
	Audience string `yaml:"audience" json:"audience"`
	// Kind says which claims there are: github, gitlab or generic. Default: that of GitHub's and GitLab's own issuers,
	// else generic.
	Kind string `yaml:"kind,omitempty" json:"kind,omitempty"`
	// CA is a PEM file of the authority that signs the issuer's certificate. Default: the system's.
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// Claims are those that a generic issuer's tokens give a job beside its sub. They stand in records, which
	// are never erased, so none may say who a person is. One within others has their names before it, with a slash:
	// kubernetes.io/namespace. One that holds others brings all of them. Those of github and gitlab are known.
	Claims []string `yaml:"claims,omitempty" json:"claims,omitempty"`
	// IDs are claims of a generic issuer that it never gives to another job's owner, one of which every grant
	// names: sub only where it is opaque, and not made of names. Those of github and gitlab are known.
	IDs []string `yaml:"ids,omitempty" json:"ids,omitempty"`
	// AllowEvents names events of GitHub that are refused otherwise: pull_request_target.
	AllowEvents []string `yaml:"allowEvents,omitempty" json:"allowEvents,omitempty"`
	// Session is how long a job may use the registry after its token was exchanged. Default: 1h, at most 1d.
	Session units.Duration `yaml:"session,omitempty" json:"session,omitempty"`

	pem []byte // what CA names, where a document holds it
}

// pullRequestTarget is GitHub's event of a stranger's change that runs as if it were the repository's own.
const pullRequestTarget = "pull_request_target"

// issuer is an Issuer and what is known of its keys.
type issuer struct {
	Issuer
	kind
	session time.Duration
	client  *http.Client
	now     func() time.Time

	budget *budget

	mu       sync.Mutex    // guards what follows
	keys     *keySet       // the last that it answered with; nil until then
	begun    uint64        // how often it was asked
	asking   bool          // it has not answered the last time yet
	last     outcome       // of the last time that it did
	answered chan struct{} // closed, and replaced, when it does
}

func newIssuer(c Issuer, now func() time.Time) (*issuer, error) {
	if c.Kind == "" && len(c.Claims)+len(c.IDs) == 0 {
		c.Kind = kindOfURL(c.URL)
	}
	if c.Kind == "" {
		c.Kind = "generic"
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := c.checkNames(); err != nil {
		return nil, err
	}
	k := kinds[c.Kind]
	if c.Kind == "generic" {
		k.ids = c.IDs
		k.needed = append(slices.Clone(k.needed), c.IDs[0])
		k.allowed = slices.Concat(k.allowed, c.Claims, c.IDs)
	}
	pem, err := c.authority()
	if err != nil {
		return nil, err
	}
	client, err := newClient(c.CA, pem)
	return &issuer{
		Issuer: c, kind: k, session: cmp.Or(time.Duration(c.Session), time.Hour), now: now, budget: newBudget(), answered: make(chan struct{}), client: client,
	}, err
}

// check says what is wrong with the settings of an issuer, but for names of claims and events.
func (c *Issuer) check() error {
	u, err := url.Parse(c.URL)
	_, known := kinds[c.Kind]
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil:
		return errors.New("issuer is no https URL")
	case !known:
		return fmt.Errorf("kind is %q, and should be github, gitlab or generic", c.Kind)
	case c.Audience == "":
		return errors.New("audience is missing: without one, a token that a job gave to somebody else would do")
	case len(c.Claims)+len(c.IDs) > 0 && c.Kind != "generic":
		return fmt.Errorf("claims and ids are for the kind generic; those of %s are known", c.Kind)
	case len(c.IDs) == 0 && c.Kind == "generic":
		return errors.New("ids is missing: name the claims whose values the issuer never reuses, as [sub] where it is opaque")
	case c.Session > units.Duration(24*time.Hour):
		return errors.New("session is longer than a day")
	}
	return nil
}

// checkNames wants claims that a grant can name and a record may hold, and events that there are.
func (c *Issuer) checkNames() error {
	for _, name := range slices.Concat(c.Claims, c.IDs) {
		if !ValidClaim(name) {
			return fmt.Errorf("claim %.60q is none that a grant can name: letters, digits and . _ - / only, at most %d", name, maxName)
		}
		if isPersonal(name) {
			return fmt.Errorf("claim %s says who a person is, and must not stand in records", name)
		}
	}
	for _, event := range c.AllowEvents {
		if event != pullRequestTarget {
			return fmt.Errorf("allowEvents holds %q; only %s is refused otherwise", event, pullRequestTarget)
		}
	}
	return nil
}

// errAsking is why an issuer was not asked, or its answer not taken.
var errAsking = errors.New("asking the issuer")

// authority returns the certificate of an issuer's authority, or nil where it is one of the system's.
func (c *Issuer) authority() ([]byte, error) {
	if c.CA == "" || c.pem != nil {
		return c.pem, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	return pem, nil
}

// newClient returns a client that asks with patience and bounds. ca names what pem holds.
func newClient(ca string, pem []byte) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca: %s holds no PEM certificate", ca)
		}
	}
	return &http.Client{
		Timeout:   askTimeout,
		Transport: &careful{transport},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return fmt.Errorf("%w: it wants to redirect", errAsking)
		},
	}, nil
}

// careful is a transport that asks over TLS only, and reads bounded answers.
type careful struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c *careful) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.EqualFold(r.URL.Scheme, "https") {
		return nil, fmt.Errorf("%w: %s is not https", errAsking, r.URL.Redacted())
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errAsking, err)
	}
	if err := readStrictly(resp); err != nil {
		return nil, err
	}
	return resp, nil
}

// readStrictly reads an issuer's answer, and wants it to be JSON that everybody reads alike where it is to be believed.
func readStrictly(resp *http.Response) error {
	body, err := io.ReadAll(&boundedBody{resp.Body, maxAnswer})
	_ = resp.Body.Close() // it was read
	if err == nil && resp.StatusCode == http.StatusOK {
		err = strictjson.Check(body)
	}
	if err != nil {
		return fmt.Errorf("%w: its answer cannot be taken: %w", errAsking, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return nil
}

// boundedBody fails where io.LimitReader would make half an answer look whole.
type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left+1)])
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("%w: its answer is longer than %d bytes", errAsking, maxAnswer)
	}
	return n, err
}
