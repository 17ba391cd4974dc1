package cosigning

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/provenance/witness"
	"golang.org/x/mod/sumdb/note"
)

// A Witness is a configured witness.
type Witness struct {
	note.Verifier
	url   string         // "" for one that comes by itself
	roots *x509.CertPool // that its certificate is from; nil are the system's
}

// ParseWitnesses reads the configuration's witnesses: KEY, KEY URL, or KEY URL CA, a file.
func ParseWitnesses(lines []string) (all []Witness, err error) {
	for _, line := range lines {
		w, err := parseWitness(strings.Fields(line))
		if err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, nil
}

func parseWitness(fields []string) (w Witness, err error) {
	if len(fields) == 0 || len(fields) > 3 {
		return w, errors.New("each is KEY, KEY URL, or KEY URL CA")
	}
	if w.Verifier, err = witness.ParseKey(fields[0]); err != nil || len(fields) == 1 {
		return w, err
	}
	w.url = strings.TrimSuffix(fields[1], "/")
	if u, err := url.Parse(w.url); err != nil || u.Host == "" || u.Scheme != "https" && !peer.LoopbackHost(u.Hostname()) {
		return w, fmt.Errorf("%q is not the URL of a witness, https://host[:port][/path]", fields[1])
	}
	if len(fields) == 2 {
		return w, nil
	}
	pem, err := os.ReadFile(fields[2])
	if err != nil {
		return w, fmt.Errorf("the CA of %s: %w", w.url, err)
	}
	w.roots = x509.NewCertPool()
	if !w.roots.AppendCertsFromPEM(pem) {
		return w, fmt.Errorf("the CA of %s: %s holds no PEM certificate", w.url, fields[2])
	}
	return w, nil
}

// client asks the witness.
func (w Witness) client() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: w.roots, MinVersion: tls.VersionTLS12}
	return &http.Client{Timeout: 30 * time.Second, Transport: transport}
}

// Verifiers are the keys of witnesses.
func Verifiers(witnesses []Witness) (all []note.Verifier) {
	for _, w := range witnesses {
		all = append(all, w.Verifier)
	}
	return all
}
