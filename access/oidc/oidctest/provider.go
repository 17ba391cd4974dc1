// Package oidctest is a real issuer of ID tokens for tests, with real TLS and real keys that it
// rotates.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Provider is an issuer. Its fields may be changed between requests to make it a bad one.
type Provider struct {
	*httptest.Server
	// Asked counts requests for the discovery document and for keys.
	Asked struct{ Discovery, Keys atomic.Int32 }
	// Answer, when set, answers instead.
	Answer http.HandlerFunc

	t    testing.TB
	mu   sync.Mutex // guards what follows
	keys []key
	next int
}

type key struct {
	id      string
	private crypto.Signer
	alg     jose.SignatureAlgorithm
}

// Start starts an issuer with one RSA key.
func Start(t testing.TB) *Provider {
	t.Helper()
	p := &Provider{t: t}
	p.Server = httptest.NewTLSServer(p)
	t.Cleanup(p.Close)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	p.keys = []key{{"rsa", private, jose.RS256}}
	return p
}

// CA writes the certificate of the issuer's server, and returns the file's path.
func (p *Provider) CA() string {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), "issuer.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

// Rotate makes a new key, of another kind, and forgets the old ones.
func (p *Provider) Rotate() {
	p.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	p.keys = []key{{fmt.Sprintf("ec-%d", p.next), private, jose.ES256}}
}

// Public is the issuer's key, in its encoding for others.
func (p *Provider) Public() jose.JSONWebKey { return p.key().public() }

func (p *Provider) key() key {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.keys[0]
}

func (k key) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(k.alg), Use: "sig"}
}

// Token signs an ID token with the issuer's key.
func (p *Provider) Token(claims map[string]any) string {
	p.t.Helper()
	k := p.key()
	return Sign(p.t, jose.SigningKey{Algorithm: k.alg, Key: jose.JSONWebKey{Key: k.private, KeyID: k.id}}, nil, claims)
}

// Sign signs claims with any key and any further header.
func Sign(t testing.TB, k jose.SigningKey, header map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(k, &jose.SignerOptions{ExtraHeaders: header})
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// GitHub are claims as GitHub Actions has them, for a job of octo/app that began now, with changes.
func (p *Provider) GitHub(audience string, now time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": p.URL, "aud": audience, "sub": "repo:octo@77/app@4711:ref:refs/heads/main", "jti": "a0a0",
		"iat": now.Unix(), "nbf": now.Add(-5 * time.Minute).Unix(), "exp": now.Add(5 * time.Minute).Unix(),
		"repository": "octo/app", "repository_id": "4711", "repository_owner": "octo", "repository_owner_id": "77",
		"actor": "mona", "actor_id": "12", "ref": "refs/heads/main", "sha": "0123456789abcdef0123456789abcdef01234567",
		"workflow_ref":     "octo/app/.github/workflows/build.yml@refs/heads/main",
		"job_workflow_ref": "octo/app/.github/workflows/build.yml@refs/heads/main",
		"job_workflow_sha": "0123456789abcdef0123456789abcdef01234567",
		"event_name":       "push", "run_id": "9001", "run_attempt": "1", "runner_environment": "github-hosted",
		"run_number": "7", "check_run_id": "31", "workflow": "build", "workflow_sha": "0123456789abcdef0123456789abcdef01234567",
		"ref_type": "branch", "ref_protected": "true", "base_ref": "", "head_ref": "", "repository_visibility": "private",
		"environment": "prod", "environment_node_id": "EN_kwDO", "enterprise": "octo-inc", "enterprise_id": "55",
	}
	return changed(claims, changes)
}

// GitLab are claims as GitLab CI has them, for a job of octo/app that began now, with changes.
func (p *Provider) GitLab(audience string, now time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": p.URL, "aud": audience, "sub": "project_path:octo/app:ref_type:branch:ref:main", "jti": "a0a0",
		"iat": now.Unix(), "nbf": now.Add(-5 * time.Second).Unix(), "exp": now.Add(time.Hour).Unix(),
		"namespace_id": "72", "namespace_path": "octo", "project_id": "20", "project_path": "octo/app", "project_visibility": "public",
		"user_id": "1", "user_login": "mona", "user_email": "mona@example.org", "user_access_level": "developer",
		"user_identities": []any{map[string]any{"provider": "github", "extern_uid": "2435223452345"}},
		"pipeline_id":     "574", "pipeline_source": "push", "job_id": "302", "job_source": "pipeline", "job_policy_ref_uri": nil, "job_policy_ref_sha": nil,
		"job_project_id": "20", "job_project_path": "octo/app", "job_namespace_id": "72", "job_namespace_path": "octo",
		"ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main", "ref_protected": "true", "groups_direct": []any{"octo/group", "other"},
		"environment": "production", "environment_protected": "true", "environment_action": "start", "deployment_tier": "production", "deployment_action": "start",
		"runner_id": 1, "runner_environment": "self-hosted", "sha": "0123456789abcdef0123456789abcdef01234567",
		"ci_config_ref_uri": "gitlab.example/octo/app//.gitlab-ci.yml@refs/heads/main", "ci_config_sha": "0123456789abcdef0123456789abcdef01234567",
		"target_audience": nil,
	}
	return changed(claims, changes)
}

// Kubernetes are claims as Kubernetes has them, for a pod of the account builder.
func (p *Provider) Kubernetes(audience string, now time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": p.URL, "aud": []string{audience}, "sub": "system:serviceaccount:prod:builder", "jti": "a0a0",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace": "prod", "node": map[string]any{"name": "node-1", "uid": "n-1"}, "pod": map[string]any{"name": "build-7", "uid": "p-1"},
			"serviceaccount": map[string]any{"name": "builder", "uid": "a-1"}, "warnafter": now.Add(time.Minute).Unix(),
		},
	}
	return changed(claims, changes)
}

func changed(claims, changes map[string]any) map[string]any {
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return claims
}

// ServeHTTP answers as an issuer does.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.Answer != nil {
		p.Answer(w, r)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		p.Asked.Discovery.Add(1)
		answer(w, map[string]any{
			"issuer": p.URL, "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256", "ES256", "HS256", "none"},
		})
	case "/keys":
		p.Asked.Keys.Add(1)
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.Public()}})
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // a client that left does not matter
}
