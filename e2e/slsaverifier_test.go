//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A vsa is a verification summary, with what a test changes.
type vsa struct {
	kind, subject, verifier, resource, policy, result, levels string
	at                                                        time.Time
}

func (v vsa) statement() string {
	return fmt.Sprintf(`{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"name":"other","digest":{"sha256":%q}},{"name":"app","digest":{"sha256":%q}}],
		"predicate":{"verifier":{"id":%q},"timeVerified":%q,"resourceUri":%q,"policy":{"uri":%q},"verificationResult":%q,"verifiedLevels":[%s],"slsaVersion":"1.0"}}`,
		v.kind, strings.Repeat("7", 64), strings.TrimPrefix(v.subject, "sha256:"), v.verifier, v.at.UTC().Format(time.RFC3339), v.resource, v.policy, v.result, v.levels)
}

// A signer makes DSSE envelopes.
type signer struct {
	t   *testing.T
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{t, key}
}

func (k signer) pem() string {
	k.t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&k.key.PublicKey)
	if err != nil {
		k.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// envelope signs one statement, and holds another, if it is not "".
func (k signer) envelope(signed, holds string) string {
	k.t.Helper()
	const kind = "application/vnd.in-toto+json"
	sum := sha256.Sum256(fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(signed), signed))
	sig, err := ecdsa.SignASN1(rand.Reader, k.key, sum[:])
	if err != nil {
		k.t.Fatal(err)
	}
	if holds == "" {
		holds = signed
	}
	text, err := json.Marshal(map[string]any{
		"payloadType": kind, "payload": base64.StdEncoding.EncodeToString([]byte(holds)),
		"signatures": []map[string]string{{"keyid": "", "sig": base64.StdEncoding.EncodeToString(sig)}},
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return string(text)
}

// attachEnvelope pushes an envelope that refers to an image, whether that is there or not.
func (s *server) attachEnvelope(repo, image, envelope string) {
	s.t.Helper()
	const empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	of := digest.FromString(envelope)
	for _, blob := range []string{"{}", envelope} {
		s.upload("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromString(blob).String(), "application/octet-stream", blob)
	}
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.dsse.envelope.v1+json",
		"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":%q,"size":2},"layers":[{"mediaType":"application/vnd.dsse.envelope.v1+json","digest":%q,"size":%d}],
		"subject":{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":%q,"size":1}}`, empty, of, len(envelope), image)
	s.upload("PUT", "/v2/"+repo+"/manifests/"+digest.FromString(manifest).String(), "application/vnd.oci.image.manifest.v1+json", manifest)
}

// offline is a command in a network of its own, that has no way out.
func offline(name string, args ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--net", name}, args...)...)
}

// TestSLSAVerifierSummaries has slsa-verifier judge verification summaries beside the registry. Where the two differ, the table says
// why: slsa-verifier is told one resource and compares it as it is, and it looks at neither time nor policy.
func TestSLSAVerifierSummaries(t *testing.T) {
	const verifier, policy = "https://verifier.example/v1", "https://policy.example/prod"
	dir, crane, own, stranger := t.TempDir(), tool(t, "crane"), newSigner(t), newSigner(t)
	write(t, filepath.Join(dir, "key.pub"), own.pem())
	write(t, filepath.Join(dir, "trust.yaml"), "keys:\n  - name: checker\n    file: key.pub\n    repositories: vsa/*\n    vouches: vsa\n    verifiers:\n      - id: "+verifier+
		"\n        maxAge: 30d\n        policies: [{uri: "+policy+"}]\n")
	write(t, filepath.Join(dir, "policy.yaml"), "rules:\n  - name: level\n    repositories: vsa/*\n    at: pull\n    require: report.verified(\"checker\", \"SLSA_BUILD_LEVEL_3\")\n    message: verify it\n    owner: checkers\n")
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	s := start(t)
	s.systemCA()
	dockerHome(t)
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	rows := map[string]struct {
		change     func(*vsa)
		by         signer
		altered    bool
		slsa, ours bool
	}{
		"good":           {slsa: true, ours: true},
		"higher":         {change: func(v *vsa) { v.levels = `"SLSA_BUILD_LEVEL_4"` }, slsa: true, ours: true},
		"lower":          {change: func(v *vsa) { v.levels = `"SLSA_BUILD_LEVEL_2"` }},
		"other-track":    {change: func(v *vsa) { v.levels = `"SLSA_SOURCE_LEVEL_3"` }},
		"no-level":       {change: func(v *vsa) { v.levels = "" }},
		"failed":         {change: func(v *vsa) { v.result = "FAILED" }},
		"lower-case":     {change: func(v *vsa) { v.result = "passed" }},
		"other-verifier": {change: func(v *vsa) { v.verifier += "/" }},
		"no-verifier":    {change: func(v *vsa) { v.verifier = "" }},
		"other-resource": {change: func(v *vsa) { v.resource += "2" }},
		"no-resource":    {change: func(v *vsa) { v.resource = "" }},
		"other-subject":  {change: func(v *vsa) { v.subject = strings.Repeat("8", 64) }},
		"other-version":  {change: func(v *vsa) { v.kind = "https://slsa.dev/verification_summary/v0.2" }},
		"altered":        {change: func(v *vsa) { v.result = "FAILED" }, altered: true},
		"other-key":      {by: stranger},
		"tagged":         {change: func(v *vsa) { v.resource = "oci://" + v.resource + ":1.0" }, ours: true}, // another spelling of the resource
		"future":         {change: func(v *vsa) { v.at = time.Now().Add(time.Hour) }, slsa: true},
		"old":            {change: func(v *vsa) { v.at = time.Now().Add(-31 * 24 * time.Hour) }, slsa: true}, // older than maxAge
		"other-policy":   {change: func(v *vsa) { v.policy += "2" }, slsa: true},
	}
	said := map[string]bool{}
	for name, row := range rows {
		repo := "vsa/" + name
		write(t, filepath.Join(dir, name), name)
		sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, name+".tar"), name)
		sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, name+".tar"), "-t", s.host+"/"+repo+":1.0")
		image := strings.TrimSpace(sh(t, crane, "digest", s.host+"/"+repo+":1.0"))
		resource := s.host + "/" + repo
		v := vsa{"https://slsa.dev/verification_summary/v1", image, verifier, resource, policy, "PASSED", `"SLSA_BUILD_LEVEL_3","FEDRAMP_HIGH"`, time.Now().Add(-time.Hour)}
		if row.change != nil {
			row.change(&v)
		}
		by, holds := own, ""
		if row.by.key != nil {
			by = row.by
		}
		if row.altered {
			holds = strings.Replace(v.statement(), "FAILED", "PASSED", 1)
		}
		envelope := by.envelope(v.statement(), holds)
		write(t, filepath.Join(dir, name+".json"), envelope)
		s.attachEnvelope(repo, image, envelope)
		out, err := offline(tool(t, "slsa-verifier"), "verify-vsa", "--subject-digest", image, "--attestation-path", filepath.Join(dir, name+".json"),
			"--verifier-id", verifier, "--resource-uri", resource, "--verified-level", "SLSA_BUILD_LEVEL_3", "--public-key-path", filepath.Join(dir, "key.pub")).CombinedOutput()
		said[name] = err == nil
		if said[name] != row.slsa || !strings.Contains(string(out), map[bool]string{true: "PASSED", false: "FAILED"}[row.slsa]) {
			t.Errorf("%s: slsa-verifier says %v\n%s", name, err, out)
		}
	}
	out, err := s.hallmark("policy", "test", "--json", "--file", filepath.Join(dir, "policy.yaml"), "vsa/*").Output()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("some are refused, and it says %v", err)
	}
	for name, row := range rows {
		if passes := !strings.Contains(string(out), `"vsa/`+name+`"`); passes != row.ours {
			t.Errorf("%s: slsa-verifier passes it: %v, and here: %v", name, said[name], passes)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
	s.wantClean()
}

// TestSLSAVerifierImage has both judge what Cloud Build has published, which slsa-verifier has among its own tests: an envelope with two
// signatures by Google's keys, one of them over DSSE's encoding.
func TestSLSAVerifierImage(t *testing.T) {
	const key, file = "verifiers/internal/gcb/keys/materials/global-pae-provenanceSigner_1.key", "cli/slsa-verifier/testdata/gcb_container/v0.3/gcloud-container-github-tag.json"
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/slsa-framework/slsa-verifier/v2")
	list.Dir = filepath.Join(root(t), "tools/slsaverifier")
	list.Env = append(os.Environ(), "GOPROXY=off")
	module := strings.TrimSpace(mustRun(t, list))
	text, err := os.ReadFile(filepath.Join(module, file))
	if err != nil {
		t.Fatal(err)
	}
	var published struct {
		Image struct {
			Digest string `json:"digest"`
			Name   string `json:"fully_qualified_digest"`
		} `json:"image_summary"`
		Provenance struct {
			List []struct {
				Envelope json.RawMessage `json:"envelope"`
			} `json:"provenance"`
		} `json:"provenance_summary"`
	}
	if err := json.Unmarshal(text, &published); err != nil {
		t.Fatal(err)
	}
	dir, envelope := t.TempDir(), string(published.Provenance.List[0].Envelope)
	write(t, filepath.Join(dir, "trust.yaml"), "keys:\n  - {name: cloud-build, file: "+filepath.Join(module, key)+", repositories: gcb/*}\n")
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	s := start(t)
	s.systemCA()
	changed := strings.Replace(envelope, `"sig": "`, `"sig": "AAAA`, 2)
	for name, c := range map[string]struct {
		envelope string
		passes   bool
	}{"good": {envelope, true}, "altered": {changed, false}} {
		path := filepath.Join(dir, name+".json")
		write(t, path, strings.Replace(string(text), envelope, c.envelope, 1))
		out, err := offline(tool(t, "slsa-verifier"), "verify-image", published.Image.Name, "--provenance-path", path,
			"--source-uri", "github.com/slsa-framework/example-package", "--builder-id", "https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3").CombinedOutput()
		if (err == nil) != c.passes {
			t.Errorf("%s: slsa-verifier says %v\n%s", name, err, out)
		}
		s.attachEnvelope("gcb/"+name, published.Image.Digest, c.envelope)
		records := s.get("/api/v1/records?action=attest&repo=gcb/" + name)
		good := strings.Contains(records, `"result": "good"`) || strings.Contains(records, `"result":"good"`)
		if good != c.passes || c.passes && !strings.Contains(records, "c750fd73a1669b095df7c74da9f1ff2032f926c9") {
			t.Errorf("%s: slsa-verifier says %v, and the records here are %s", name, err, records)
		}
	}
	s.wantClean()
}
