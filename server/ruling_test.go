package server_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/documents"
	"github.com/seed-260924e6/hallmark/server/servertest"
	"github.com/seed-260924e6/hallmark/storage/storagetest/engines"
)

const (
	denyPulls = "rules:\n- {name: never, repositories: 'team/*', at: pull, require: 'false', owner: ops}\n"
	noRules   = "rules: []\n"
	json1     = "application/json"
)

// ruled is a server, and another over the same store, which hears of nothing but what the store has.
type ruled struct {
	*servertest.Server
	t     *testing.T
	other *servertest.Server
}

func newRuled(t *testing.T) *ruled {
	t.Helper()
	sets := servertest.StartSets(t, servertest.Options(), 2, 1)
	r := &ruled{sets.At(0).Server, t, sets.At(1).Server}
	r.Push("team/app", "1", "one")
	r.ask(201, "POST", "/api/v1/access/grants", `{"subject":"anonymous","pattern":"team/**","role":"pull"}`)
	return r
}

// ask asks the server as its administrator.
func (r *ruled) ask(status int, method, path, body string) string {
	r.t.Helper()
	got, answer, err := r.Do(method, path, servertest.Login, []byte(body), "Content-Type", json1)
	if err != nil || got != status {
		r.t.Fatalf("%s %s: %d, %v: %s", method, path, got, err, answer)
	}
	return answer
}

// apply puts a document in force, on the server.
func (r *ruled) apply(k provenance.RuleKind, text string) {
	r.t.Helper()
	body, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		r.t.Fatal(err)
	}
	r.ask(200, "PUT", "/api/v1/documents/"+string(k), string(body))
}

// elsewhere asks the other server, with a login as NAME:PASSWORD, or without one.
func (r *ruled) elsewhere(path, login string) (status int, body string) {
	r.t.Helper()
	status, body, err := r.other.Do("GET", path, login, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return status, body
}

// TestPolicyDocument wants a policy to be in force with the next request, on the server that put it there and on another that
// did not hear of it.
func TestPolicyDocument(t *testing.T) {
	t.Parallel()
	r := newRuled(t)
	const image = "/v2/team/app/manifests/1"
	wanted := func(status int) {
		t.Helper()
		here, _, err := r.Do("GET", image, "", nil)
		if err != nil || here != status {
			t.Errorf("here the image is %d, %v, and should be %d", here, err, status)
		}
		if there, body := r.elsewhere(image, ""); there != status {
			t.Errorf("elsewhere the image is %d, and should be %d: %s", there, status, body)
		}
	}
	wanted(200)
	r.apply(provenance.PolicyRules, denyPulls)
	if _, body := r.elsewhere("/api/v1/policy", servertest.Login); !strings.Contains(body, `"name":"never"`) {
		t.Errorf("elsewhere the rules are %s", body)
	}
	wanted(403)
	r.apply(provenance.PolicyRules, noRules)
	wanted(200)
	r.apply(provenance.PolicyRules, denyPulls)
	wanted(403)
}

// TestTrustDocument is TestPolicyDocument of whom to trust.
func TestTrustDocument(t *testing.T) {
	t.Parallel()
	r := newRuled(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "trust.yaml")
	write(t, filepath.Join(dir, "release.pub"), publicKey(t))
	write(t, file, "keys:\n- {name: release, file: release.pub, repositories: 'team/**'}\n")
	text, err := documents.Gather(provenance.TrustRules, file)
	if err != nil || !strings.Contains(string(text), "BEGIN PUBLIC KEY") {
		t.Fatalf("%s, %v", text, err)
	}
	r.apply(provenance.TrustRules, string(text))
	if status, body := r.elsewhere("/api/v1/report?repo=team/app&ref=1", servertest.Login); status != 200 {
		t.Errorf("the report is %d: %s", status, body)
	}
	for where, is := range map[string]string{"here": r.Fingerprint(), "elsewhere": r.other.Fingerprint()} {
		if is != digest.FromBytes(text).Encoded() {
			t.Errorf("%s who is trusted is known by %q", where, is)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// publicKey is a new key in PEM.
func publicKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// TestIssuersDocument wants CI jobs of an issuer to be let in, and no more, with the next request, wherever it is made.
func TestIssuersDocument(t *testing.T) {
	t.Parallel()
	r := newRuled(t)
	p := oidctest.Start(t)
	file := filepath.Join(t.TempDir(), "issuers.yaml")
	write(t, file, fmt.Sprintf("oidc:\n- {issuer: %q, audience: %q, kind: github, ca: %q}\n", p.URL, r.URL(), p.CA()))
	text, err := documents.Gather(provenance.IssuerRules, file)
	if err != nil {
		t.Fatal(err)
	}
	token := "oidc:" + p.Token(p.GitHub(r.URL(), time.Now(), nil))
	wanted := func(status int) {
		t.Helper()
		here, body, err := r.Do("GET", "/v2/", token, nil)
		if err != nil || here != status {
			t.Errorf("here a job is %d, %v, and should be %d: %s", here, err, status, body)
		}
		if there, body := r.elsewhere("/v2/", token); there != status {
			t.Errorf("elsewhere a job is %d, and should be %d: %s", there, status, body)
		}
	}
	wanted(401)
	r.apply(provenance.IssuerRules, string(text))
	wanted(200)
	r.apply(provenance.IssuerRules, "oidc: []\n")
	wanted(401)
}

// TestDocumentOverFile starts a registry that has a document, and a configuration that names another file: the document is in force.
func TestDocumentOverFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	o := servertest.Options()
	o.Config.Policy.File = filepath.Join(t.TempDir(), "policy.yaml")
	write(t, o.Config.Policy.File, denyPulls)
	var log strings.Builder
	s := servertest.StartOn(t, dir, o)
	r := &ruled{Server: s, t: t}
	if body := r.ask(200, "GET", "/api/v1/policy", ""); !strings.Contains(body, `"name":"never"`) {
		t.Errorf("without a document the rules are %s", body)
	}
	r.apply(provenance.PolicyRules, noRules)
	wanted := func() {
		t.Helper()
		if body := r.ask(200, "GET", "/api/v1/policy", ""); !strings.Contains(body, `"rules":[]`) {
			t.Errorf("with a document the rules are %s", body)
		}
	}
	wanted()
	s.Reload(t.Context())
	wanted()
	s.Stop()
	o.Output = &log
	r.Server = servertest.StartOn(t, dir, o)
	wanted()
	r.Stop()
	if !strings.Contains(log.String(), "is not in force, because the store has a document") {
		t.Errorf("the log says %s", log.String())
	}
	write(t, o.Config.Policy.File, noRules)
	log.Reset()
	r.Server = servertest.StartOn(t, dir, o)
	wanted()
	r.Stop()
	if strings.Contains(log.String(), "is not in force") {
		t.Errorf("the file is the document, and the log says %s", log.String())
	}
}

// TestDocumentOffRecord wants a registry not to start where its policy was changed past it, and to keep in force what was where that
// happens while it runs.
func TestDocumentOffRecord(t *testing.T) {
	engines.OnFile(t) // it opens the directory with configurations of its own
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	s := servertest.StartOn(t, dir, servertest.Options())
	r := &ruled{Server: s, t: t}
	r.apply(provenance.PolicyRules, denyPulls)
	if err := s.TamperRules(t.Context()); err != nil {
		t.Fatal(err)
	}
	if body := r.ask(200, "GET", "/api/v1/policy", ""); !strings.Contains(body, `"name":"never"`) {
		t.Errorf("the rules are %s", body)
	}
	if parts := s.Unready(t.Context()); len(parts) != 1 || parts[0].Part != "rules" {
		t.Errorf("not ready are %+v", parts)
	}
	s.Stop()
	if s, err := servertest.TryOn(dir, servertest.Options()); err == nil {
		s.Stop()
		t.Error("it starts")
	} else if !strings.Contains(err.Error(), "hallmark policy apply FILE") {
		t.Error(err)
	}
}
