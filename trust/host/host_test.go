package host

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/trust"
	"oras.land/oras-go/v2/registry/remote/auth"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fault is a host and what is wrong with it.
type fault struct {
	name  string
	check string      // the first check of the report, which finds it
	tls   *tls.Config // nil is plain HTTP
	serve http.Handler
	plain http.Handler // at port 80; nil refuses
	in    Config
}

func login() auth.Credential { return auth.Credential{Username: fakeUser, Password: fakePassword} }

// hosts is a table of hosts, each with one fault.
func hosts(t *testing.T, p pki) []fault {
	key := seeded("server")
	expired := p.leaf(t, p.between, key, func(c *x509.Certificate) { c.NotAfter = clock.AddDate(0, 0, -3) })
	ending := p.leaf(t, p.between, key, func(c *x509.Certificate) { c.NotAfter = clock.AddDate(0, 0, 20) })
	other := p.leaf(t, p.between, key, func(c *x509.Certificate) { c.DNSNames = []string{"www.example"} })
	weak, strong := rsaKey(t, "rsa1024.pem"), rsaKey(t, "rsa2048.pem")
	old := tlsWith(strong, p.leaf(t, p.between, strong, nil), p.between.cert)
	old.MinVersion = tls.VersionTLS10
	no13 := p.good(t)
	no13.MaxVersion = tls.VersionTLS12
	good := p.good(t)
	in := Config{Login: login()}
	redirect := func(to string) http.Handler { return http.RedirectHandler(to, http.StatusMovedPermanently) }
	return []fault{
		{name: "good", check: "", tls: good, serve: fake{}, in: in},
		{name: "good-stranger", check: trust.HostAnonymous, tls: good, serve: fake{}},
		{name: "good-redirects-http", check: "", tls: good, serve: fake{}, plain: redirect("https://registry.example/"), in: in},
		{name: "expired", check: trust.HostChain, tls: tlsWith(key, expired, p.between.cert), serve: fake{}, in: in},
		{name: "ends-soon", check: trust.HostExpiry, tls: tlsWith(key, ending, p.between.cert), serve: fake{}, in: in},
		{name: "wrong-name", check: trust.HostChain, tls: tlsWith(key, other, p.between.cert), serve: fake{}, in: in},
		{name: "self-signed", check: trust.HostChain, tls: tlsWith(key, p.leaf(t, authority{}, key, nil)), serve: fake{}, in: in},
		{name: "unknown-ca", check: trust.HostChain, tls: tlsWith(key, p.leaf(t, p.stranger, key, nil), p.stranger.cert), serve: fake{}, in: in},
		{name: "missing-intermediate", check: trust.HostChain, tls: tlsWith(key, p.leaf(t, p.between, key, nil)), serve: fake{}, in: in},
		{name: "weak-key", check: trust.HostKey, tls: tlsWith(weak, p.leaf(t, p.between, weak, nil), p.between.cert), serve: fake{}, in: in},
		{name: "tls-1.0", check: trust.HostVersions, tls: old, serve: fake{}, in: in},
		{name: "no-tls-1.3", check: trust.HostVersions, tls: no13, serve: fake{}, in: in},
		{name: "plain-http-only", check: trust.HostChain, serve: fake{open: true}},
		{name: "plain-http-too", check: trust.HostPlain, tls: good, serve: fake{}, plain: fake{}, in: in},
		{name: "plain-http-redirects-plain", check: trust.HostPlain, tls: good, serve: fake{}, plain: redirect("http://registry.example:8080/"), in: in},
		{name: "redirecting", check: trust.HostConformity, tls: good, serve: redirect("/v2/elsewhere"), in: in},
		{name: "open", check: trust.HostChallenge, tls: good, serve: fake{open: true}},
		{name: "open-as-meant", check: "", tls: good, serve: fake{open: true}, in: Config{Public: true}},
		{name: "basic", check: trust.HostChallenge, tls: good, serve: fake{basic: true}, in: in},
		{name: "insecure-realm", check: trust.HostChallenge, tls: good, serve: fake{insecure: true}, in: in},
		{name: "no-hsts", check: trust.HostHSTS, tls: good, serve: fake{noHSTS: true}, in: in},
		{name: "no-referrers", check: trust.HostReferrers, tls: good, serve: fake{old: true}, in: in},
		{name: "sloppy", check: trust.HostConformity, tls: good, serve: fake{sloppy: true}, in: in},
		{name: "lying", check: trust.HostDigests, tls: good, serve: fake{lying: true}, in: in},
		{name: "no-log", check: trust.HostLog, tls: good, serve: fake{noLog: true}, in: in},
		{name: "bad-log", check: trust.HostLog, tls: good, serve: fake{badLog: true}, in: in},
		{name: "slow", check: "", tls: good, serve: http.HandlerFunc(slow), in: Config{Timeout: 300 * time.Millisecond}},
		{name: "endless", check: trust.HostConformity, tls: good, serve: http.HandlerFunc(endless)},
	}
}

// slow never answers.
func slow(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// endless answers with a header, and then with no end.
func endless(w http.ResponseWriter, _ *http.Request) {
	chunk := make([]byte, 64<<10)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// TestHosts inspects each host, over real TLS, and compares the whole report.
func TestHosts(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, h := range hosts(t, p) {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			report, err := Inspect(t.Context(), hostName, h.config(t, p))
			if err != nil {
				t.Fatal(err)
			}
			worst := report.Checks[0]
			if found := worst.Points < worst.Of && worst.Result != trust.Unknown; found != (h.check != "") || found && worst.ID != h.check {
				t.Errorf("the worst is %s, %d of %d: %s", worst.ID, worst.Points, worst.Of, worst.Says)
			}
			golden(t, h.name, report)
		})
	}
}

// config starts the host, and names it as a network would.
func (h fault) config(t *testing.T, p pki) Config {
	c := h.in
	if c.Timeout == 0 {
		c.Timeout = 20 * time.Second
	}
	c.Roots, c.Now = p.roots(), func() time.Time { return clock }
	addresses := map[string]string{hostName + ":443": serve(t, h.serve, h.tls), hostName + ":80": refusing(t)}
	if h.plain != nil {
		addresses[hostName+":80"] = serve(t, h.plain, nil)
	}
	c.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addresses[address])
	}
	return c
}

func golden(t *testing.T, name string, report *trust.Report) {
	t.Helper()
	got, err := json.MarshalIndent(report, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "reports", name+".json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(got)+"\n" {
		t.Errorf("%s: the report is another:\n%s", path, got)
	}
}

// TestUnreachable wants an error of a host that cannot be asked at all, and no report.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	mute, err := net.Listen("tcp", "127.0.0.1:0") // it accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for name, address := range map[string]string{"nobody listens": refusing(t), "it says nothing": mute.Addr().String()} {
		report, err := Inspect(t.Context(), address, Config{Timeout: 300 * time.Millisecond})
		if !errors.Is(err, ErrUnreachable) || report != nil {
			t.Errorf("%s: %v, %v", name, report, err)
		}
	}
	for _, address := range []string{"", "https://registry.example", "a:b:c", "host/path"} {
		if _, err := Inspect(t.Context(), address, Config{}); err == nil || errors.Is(err, ErrUnreachable) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestKeepsTheLogin wants a login to go to no host whose chain is not trusted, and to none over plain HTTP.
func TestKeepsTheLogin(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	key := seeded("server")
	seen := make(chan string, 1000)
	watch := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, _, ok := r.BasicAuth(); ok {
				seen <- user
			}
			next.ServeHTTP(w, r)
		})
	}
	for _, h := range []fault{
		{tls: tlsWith(key, p.leaf(t, p.stranger, key, nil)), serve: watch(fake{basic: true})},
		{tls: p.good(t), serve: watch(fake{insecure: true}), plain: watch(fake{})},
	} {
		h.in.Login = login()
		if _, err := Inspect(t.Context(), hostName, h.config(t, p)); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) > 0 {
		t.Errorf("the login was sent %d times", len(seen))
	}
}

// TestTotal wants an inspection to end in its time, whatever the host does.
func TestTotal(t *testing.T) {
	t.Parallel()
	h := fault{tls: newPKI(t).good(t), serve: http.HandlerFunc(slow), in: Config{Total: 500 * time.Millisecond}}
	began := time.Now()
	report, err := Inspect(t.Context(), hostName, h.config(t, newPKI(t)))
	if err != nil || report.Grade != "" {
		t.Errorf("%v, %v", report, err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}
