package host

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// The bounds of one inspection.
const (
	maxRequests  = 60
	maxAnswer    = 4 << 20  // bytes of JSON or of a manifest
	maxBlob      = 32 << 20 // bytes of a blob that is hashed
	maxHeader    = 64 << 10 // bytes
	maxRedirects = 5
)

var (
	errTooMany  = fmt.Errorf("more than %d requests would be needed", maxRequests)
	errEndless  = errors.New("the answer does not end within its bound")
	errInsecure = errors.New("it leads to plain HTTP")
)

// caller makes requests in somebody's name. http.Client and auth.Client are callers.
type caller interface {
	Do(*http.Request) (*http.Response, error)
}

// asker asks one host, within bounds.
type asker struct {
	base     string // https://host:port
	timeout  time.Duration
	requests int

	stranger  caller // sends no login, and does not ask for a token
	anonymous caller // asks for a stranger's token where it is told to
	signedIn  caller // nil without a login
}

// newAsker prepares to ask. Where the chain is not trusted, what is asked shows what anybody there would
// be told, and no login goes out.
func (i *inspection) newAsker() *asker {
	trusted := i.chain.trusted(i.name)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{
			MinVersion: tls.VersionTLS10, CipherSuites: allSuites(), Time: i.Now,
			RootCAs: i.roots(), InsecureSkipVerify: !trusted,
		},
		ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader, MaxIdleConns: 2,
		DialContext: i.Dial,
	}
	client := &http.Client{Transport: secureOnly{transport}, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		return nil
	}}
	host := strings.TrimSuffix(net.JoinHostPort(i.name, i.port), ":443")
	a := &asker{base: "https://" + host, timeout: i.Timeout, stranger: client}
	a.anonymous = &auth.Client{Client: client, Cache: auth.NewCache()}
	if i.Login != auth.EmptyCredential && trusted {
		a.signedIn = &auth.Client{Client: client, Cache: auth.NewCache(), Credential: func(_ context.Context, asked string) (auth.Credential, error) {
			if asked != host {
				return auth.EmptyCredential, nil
			}
			return i.Login, nil
		}}
	}
	return a
}

// roots is the set of roots that trusts the host.
func (i *inspection) roots() *x509.CertPool {
	for _, r := range i.Roots {
		if len(i.chain.trustedBy) > 0 && r.Name == i.chain.trustedBy[0] {
			return r.Pool
		}
	}
	return nil
}

// secureOnly refuses plain HTTP, wherever a redirect or a token's realm leads.
type secureOnly struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s secureOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errInsecure
	}
	return s.next.RoundTrip(r)
}

// answer is what a request led to. What is exported is evidence.
type answer struct {
	Request string `json:"request"`
	Status  int    `json:"status,omitempty"`
	Error   string `json:"error,omitempty"`

	header http.Header
	body   []byte
	size   int64         // of a body that was hashed
	digest digest.Digest // of the same
	err    error
}

func (a *answer) fail(err error) {
	a.err, a.Error = err, plainWords(err)
}

// plainWords says what went wrong without what changes from run to run, as addresses do.
func plainWords(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var op *net.OpError
	switch {
	case timedOut(err):
		return "no answer in time"
	case errors.As(err, &op):
		return op.Err.Error()
	}
	return err.Error()
}

func (a *asker) get(ctx context.Context, by caller, path string) *answer {
	return a.do(ctx, by, http.MethodGet, path, nil)
}

// do makes a request and reads the answer, which is small.
func (a *asker) do(ctx context.Context, by caller, method, path string, header http.Header) *answer {
	return a.send(ctx, by, method, path, header, func(ans *answer, body io.Reader) (err error) {
		ans.body, err = io.ReadAll(io.LimitReader(body, maxAnswer+1))
		if len(ans.body) > maxAnswer {
			return errEndless
		}
		return err
	})
}

// hash makes a request and hashes the answer, which is a blob.
func (a *asker) hash(ctx context.Context, by caller, path string) *answer {
	return a.send(ctx, by, http.MethodGet, path, nil, func(ans *answer, body io.Reader) (err error) {
		h := sha256.New()
		ans.size, err = io.Copy(h, io.LimitReader(body, maxBlob+1))
		ans.digest = digest.NewDigest(digest.SHA256, h)
		if ans.size > maxBlob {
			return errEndless
		}
		return err
	})
}

func (a *asker) send(ctx context.Context, by caller, method, path string, header http.Header, read func(*answer, io.Reader) error) *answer {
	ans := &answer{Request: method + " " + path}
	if a.requests++; a.requests > maxRequests {
		ans.fail(errTooMany)
		return ans
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		ans.fail(err)
		return ans
	}
	for name, values := range header {
		r.Header[name] = values
	}
	resp, err := a.doOrRefused(by, r)
	if err != nil {
		ans.fail(err)
		return ans
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	ans.Status, ans.header = resp.StatusCode, resp.Header
	if err := read(ans, resp.Body); err != nil {
		ans.fail(err)
	}
	return ans
}

// doOrRefused makes a request. Where no token was to be had, the answer is what the registry says without
// one.
func (a *asker) doOrRefused(by caller, r *http.Request) (*http.Response, error) {
	resp, err := by.Do(r)
	var network *url.Error
	if err == nil || by == a.stranger || errors.As(err, &network) || timedOut(err) {
		return resp, err
	}
	return a.stranger.Do(r)
}

// ok says that the request was answered with 200, and JSON that fits value, where one is given.
func (a *answer) ok(value any) bool {
	return a.err == nil && a.Status == http.StatusOK && (value == nil || json.Unmarshal(a.body, value) == nil)
}

// code is the first error code of an answer in OCI's shape, or empty.
func (a *answer) code() string {
	var doc struct {
		Errors []struct {
			Code string `json:"code"`
		} `json:"errors"`
	}
	if a.err != nil || json.Unmarshal(a.body, &doc) != nil || len(doc.Errors) == 0 {
		return ""
	}
	return doc.Errors[0].Code
}
