package host

import (
	"crypto"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Everything here is made from fixed seeds and times, so that a report is the same in every run.
var (
	born  = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	clock = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
)

const hostName = "registry.example"

func seeded(seed string) crypto.Signer {
	var s [ed25519.SeedSize]byte
	copy(s[:], seed)
	return ed25519.NewKeyFromSeed(s[:])
}

func rsaKey(t *testing.T, file string) crypto.Signer {
	t.Helper()
	data, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// authority signs certificates in tests.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func sign(t *testing.T, template *x509.Certificate, key crypto.Signer, by authority) *x509.Certificate {
	t.Helper()
	if by.cert == nil { // it signs itself
		by = authority{template, key}
	}
	der, err := x509.CreateCertificate(nil, template, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func newAuthority(t *testing.T, name string, by authority) authority {
	t.Helper()
	key := seeded(name)
	return authority{sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"Example Trust"}},
		NotBefore: born, NotAfter: born.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, key, by), key}
}

// pki are the authorities of a test: a root that is trusted, one below it, and one that nobody knows.
type pki struct{ root, between, stranger authority }

func newPKI(t *testing.T) pki {
	root := newAuthority(t, "Example Root", authority{})
	return pki{root, newAuthority(t, "Example Issuer", root), newAuthority(t, "Unknown Root", authority{})}
}

func (p pki) roots() []Roots {
	pool := x509.NewCertPool()
	pool.AddCert(p.root.cert)
	return []Roots{{"nobody", x509.NewCertPool()}, {"--ca", pool}}
}

// leaf makes a server's certificate; change adapts it.
func (p pki) leaf(t *testing.T, by authority, key crypto.Signer, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: hostName, Organization: []string{"Example"}},
		NotBefore: born, NotAfter: born.AddDate(1, 0, 0), DNSNames: []string{hostName},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	return sign(t, template, key, by)
}

// good is the configuration of a server with nothing wrong.
func (p pki) good(t *testing.T) *tls.Config {
	key := seeded("server")
	return tlsWith(key, p.leaf(t, p.between, key, nil), p.between.cert)
}

func tlsWith(key crypto.Signer, chain ...*x509.Certificate) *tls.Config {
	c := tls.Certificate{PrivateKey: key}
	for _, cert := range chain {
		c.Certificate = append(c.Certificate, cert.Raw)
	}
	return &tls.Config{Certificates: []tls.Certificate{c}}
}

// serve runs a server on a port of its own, with TLS where there is a configuration for it.
func serve(t *testing.T, h http.Handler, c *tls.Config) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = c
	if c == nil {
		s.Start()
	} else {
		s.EnableHTTP2 = true
		s.StartTLS()
	}
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.Listener.Addr().String()
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// fake is a registry with one image, team/app:latest, and faults.
type fake struct {
	open     bool // asks nobody to sign in
	basic    bool // asks for a password with each request
	insecure bool // sends clients to an http realm
	noHSTS   bool
	old      bool // has no referrers API
	sloppy   bool // answers what is not there with 200 and a page
	lying    bool // serves other bytes than the layer's
	noLog    bool
	badLog   bool // its checkpoint is signed with another key
}

const (
	fakeUser     = "alice"
	fakePassword = "wonderland"
	fakeToken    = "a-token"
)

var (
	fakeConfig   = []byte(`{"architecture":"amd64","os":"linux","config":{}}`)
	fakeLayer    = []byte("a layer")
	fakeManifest = mustJSON(map[string]any{
		"schemaVersion": 2, "mediaType": ocispec.MediaTypeImageManifest,
		"config": descriptor(ocispec.MediaTypeImageConfig, fakeConfig),
		"layers": []any{descriptor(ocispec.MediaTypeImageLayer, fakeLayer)},
	})
)

func descriptor(mediaType string, data []byte) map[string]any {
	return map[string]any{"mediaType": mediaType, "digest": digest.FromBytes(data), "size": len(data)}
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (f fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !f.noHSTS {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
	user, password, _ := r.BasicAuth()
	known := user == fakeUser && password == fakePassword
	switch {
	case r.URL.Path == "/token":
		if !known && user != "" || user == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprintf(w, `{"token":%q}`, fakeToken)
	case !strings.HasPrefix(r.URL.Path, "/v2/"):
		f.serveLog(w, r)
	case f.open || f.basic && known || r.Header.Get("Authorization") == "Bearer "+fakeToken:
		f.serveRegistry(w, r)
	default:
		w.Header().Set("Www-Authenticate", f.challenge())
		writeError(w, http.StatusUnauthorized, "UNAUTHORIZED")
	}
}

func (f fake) challenge() string {
	switch {
	case f.basic:
		return `Basic realm="Example"`
	case f.insecure:
		return `Bearer realm="http://registry.example/token",service="registry.example"`
	}
	return `Bearer realm="https://registry.example/token",service="registry.example"`
}

func writeError(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"no"}]}`, code)
}

func (f fake) serveRegistry(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, "/v2/team/app/")
	manifest, config, layer := digest.FromBytes(fakeManifest).String(), digest.FromBytes(fakeConfig).String(), digest.FromBytes(fakeLayer).String()
	content := func(mediaType string, data []byte) {
		w.Header().Set("Content-Type", mediaType)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(data)))
	}
	switch {
	case r.URL.Path == "/v2/":
	case r.URL.Path == "/v2/_catalog":
		fmt.Fprint(w, `{"repositories":["team/app"]}`)
	case ok && path == "tags/list":
		fmt.Fprint(w, `{"name":"team/app","tags":["latest"]}`)
	case path == "manifests/latest", path == "manifests/"+manifest:
		w.Header().Set("Docker-Content-Digest", manifest)
		content(ocispec.MediaTypeImageManifest, fakeManifest)
	case path == "blobs/"+config:
		content("application/octet-stream", fakeConfig)
	case path == "blobs/"+layer && f.lying:
		content("application/octet-stream", []byte("another"))
	case path == "blobs/"+layer:
		content("application/octet-stream", fakeLayer)
	case path == "referrers/"+manifest && !f.old:
		content(ocispec.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`))
	case f.sloppy:
		fmt.Fprint(w, "<html>nothing here</html>")
	default:
		writeError(w, http.StatusNotFound, "NOT_FOUND")
	}
}

// serveLog serves a log of two records.
func (f fake) serveLog(w http.ResponseWriter, r *http.Request) {
	signer, key := logKey("log")
	if f.badLog {
		signer, _ = logKey("another")
	}
	switch {
	case f.noLog:
		http.NotFound(w, r)
	case r.URL.Path == "/log/checkpoint":
		text := fmt.Sprintf("example.log\n2\n%s\n", tlog.NodeHash(tlog.RecordHash([]byte("1")), tlog.RecordHash([]byte("2"))))
		signed, err := note.Sign(&note.Note{Text: text}, signer)
		if err != nil {
			panic(err)
		}
		w.Write(signed)
	case r.URL.Path == "/keys/log.vkey":
		fmt.Fprintln(w, key)
	default:
		http.NotFound(w, r)
	}
}

func logKey(seed string) (note.Signer, string) {
	private, public, err := note.GenerateKey(strings.NewReader(strings.Repeat(seed, 32)), "example.log")
	if err != nil {
		panic(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		panic(err)
	}
	return signer, public
}
