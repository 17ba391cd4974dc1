package documents

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/server/config"
)

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keys writes a new key, release.key, and its public half, release.pub.
func keys(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "release.pub", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})))
	write(t, dir, "release.key", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private})))
}

const trustFile = "# ours\nkeys:\n- name: release\n  file: release.pub\n  repositories: 'team/**'\n"

// TestGather wants a document to hold what its file names, to be the same for the same files, and to be a file itself.
func TestGather(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	keys(t, dir)
	issuers := "oidc:\n- issuer: https://ci.example\n  audience: https://registry.example\n  ids: [sub]\n  ca: ca.pem\n"
	ca, err := os.ReadFile(oidctest.Start(t).CA())
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "ca.pem", string(ca))
	for k, text := range map[provenance.RuleKind]string{
		provenance.PolicyRules: "rules: []\n", provenance.TrustRules: trustFile, provenance.IssuerRules: issuers,
	} {
		path := write(t, dir, string(k)+".yaml", text)
		got, err := Gather(k, path)
		if err != nil || !strings.HasPrefix(string(got), text) {
			t.Errorf("%s: %s, %v", k, got, err)
			continue
		}
		if _, err := Parse(k, got); err != nil {
			t.Errorf("%s: %v", k, err)
		}
		if again, err := Gather(k, write(t, elsewhere, "document", string(got))); err != nil || string(again) != string(got) {
			t.Errorf("%s, gathered again: %s, %v", k, again, err)
		}
	}
}

// TestRefused wants mistakes to be refused with their line, and nothing that is secret or unread in a document.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	for name, one := range map[string]struct {
		k    provenance.RuleKind
		text string
		says string
	}{
		"a private key":        {provenance.TrustRules, strings.Replace(trustFile, "release.pub", "release.key", 1), ":4: the key release: it is a private key"},
		"no file":              {provenance.TrustRules, strings.Replace(trustFile, "release.pub", "none.pub", 1), ":4: "},
		"JSON":                 {provenance.TrustRules, `{"keys": [{"name": "release", "file": "release.pub", "repositories": "**"}]}`, "write it as YAML"},
		"a file unused":        {provenance.TrustRules, "keys: []\nfiles:\n  x.pub: text\n", ":3: nothing names the file \"x.pub\""},
		"no audience":          {provenance.IssuerRules, "oidc:\n- issuer: https://ci.example\n", ":2: oidc issuer \"https://ci.example\": audience is missing"},
		"an issuer twice":      {provenance.IssuerRules, strings.Replace("oidc:\n- ISSUER\n- ISSUER\n", "ISSUER", "{issuer: 'https://gitlab.com', audience: x}", 2), ":3: oidc issuer \"https://gitlab.com\" is there twice"},
		"a file of no issuer":  {provenance.IssuerRules, "oidc: []\nfiles: {x.pem: text}\n", ":2: nothing names the file"},
		"a key that is none":   {provenance.IssuerRules, "issuers: []\n", ":1: unknown key \"issuers\""},
		"a rule without owner": {provenance.PolicyRules, "rules:\n- {name: a, repositories: '**', at: pull, require: 'true'}\n", ":2: "},
	} {
		path := write(t, dir, "file.yaml", one.text)
		if _, err := Gather(one.k, path); err == nil || !strings.Contains(err.Error(), one.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for k, says := range map[provenance.RuleKind]string{provenance.TrustRules: "trust:4: the document does not hold the file \"release.pub\"", "access": "no document of the kind"} {
		if _, err := Parse(k, []byte(trustFile)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", k, err)
		}
	}
	if _, err := Parse(provenance.PolicyRules, make([]byte, provenance.MaxRules+1)); err == nil || !strings.Contains(err.Error(), "may have") {
		t.Errorf("a document that is too large: %v", err)
	}
}

// TestSameAs compares documents with what a configuration names.
func TestSameAs(t *testing.T) {
	dir := t.TempDir()
	keys(t, dir)
	var c config.Config
	for _, k := range provenance.RuleKinds {
		if _, same := SameAs(c, k, []byte("anything")); !same {
			t.Errorf("%s: the configuration names nothing", k)
		}
	}
	c.Policy.File, c.Trust.File = write(t, dir, "policy.yaml", "rules: []\n"), write(t, dir, "trust.yaml", trustFile)
	c.OIDC = []oidc.Issuer{{URL: "https://gitlab.com", Audience: "x"}}
	trust, err := Gather(provenance.TrustRules, c.Trust.File)
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		k    provenance.RuleKind
		text string
		same bool
		key  string
	}{
		{provenance.PolicyRules, "rules: []\n", true, "policy.file"},
		{provenance.PolicyRules, "rules: []\n# other\n", false, "policy.file"},
		{provenance.TrustRules, string(trust), true, "trust.file"},
		{provenance.TrustRules, "keys: []\n", false, "trust.file"},
		{provenance.IssuerRules, "oidc: [{issuer: 'https://gitlab.com', audience: x}]\n", true, "oidc"},
		{provenance.IssuerRules, "oidc: [{issuer: 'https://gitlab.com', audience: y}]\n", false, "oidc"},
	} {
		if key, same := SameAs(c, one.k, []byte(one.text)); same != one.same || key != one.key {
			t.Errorf("%s %q: %s, %v", one.k, one.text, key, same)
		}
	}
}
