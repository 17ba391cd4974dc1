//go:build e2e

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestCosignJudges has cosign attest images, in its older form and in its newer, and somebody change that: attach an attestation to
// another image, alter what it says, sign with another key. The registry judges each as `cosign verify-attestation` does.
func TestCosignJudges(t *testing.T) {
	crane := tool(t, "crane")
	dir, in := cosignDir(t)
	_, byAnother := cosignDir(t)
	write(t, filepath.Join(dir, "trust.yaml"), "keys:\n  - {name: release-key, file: cosign.pub, repositories: [team/*]}\n")
	predicate := filepath.Join(dir, "slsa.json")
	write(t, predicate, `{"buildDefinition":{"buildType":"https://ci.example/type","externalParameters":{"configSource":{"uri":"git+https://git.example/team/app",
		"digest":{"sha1":"aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d"}}},"internalParameters":{},"resolvedDependencies":[]},"runDetails":{"builder":{"id":"https://ci.example/builder"},"metadata":{}}}`)
	t.Setenv("HALLMARK_TRUST_FILE", filepath.Join(dir, "trust.yaml"))
	s := start(t)
	s.systemCA()
	dockerHome(t)
	sh(t, crane, "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	image := func(repo, tag string) (ref, d string) {
		write(t, filepath.Join(dir, tag), repo+tag)
		sh(t, "tar", "-C", dir, "-cf", filepath.Join(dir, tag+".tar"), tag)
		sh(t, crane, "append", "--oci-empty-base", "-f", filepath.Join(dir, tag+".tar"), "-t", s.host+"/"+repo+":"+tag)
		d = strings.TrimSpace(sh(t, crane, "digest", s.host+"/"+repo+":"+tag))
		return s.host + "/" + repo + "@" + d, d
	}
	for _, form := range []string{"--new-bundle-format=false", "--new-bundle-format=true"} {
		repo := map[string]string{"--new-bundle-format=false": "team/older", "--new-bundle-format=true": "team/newer"}[form]
		attest := func(by func(...string) *exec.Cmd, ref string) {
			mustRun(t, by("attest", "--yes", "--key", "cosign.key", "--use-signing-config=false", "--tlog-upload=false", form, "--type", "slsaprovenance1", "--predicate", predicate, ref))
		}
		_, signed := image(repo, "signed")
		attest(in, s.host+"/"+repo+"@"+signed)
		for tag, make := range map[string]func(ref, d string){
			"good":     func(ref, _ string) { attest(in, ref) },
			"stranger": func(ref, _ string) { attest(byAnother, ref) },
			"moved":    func(_, d string) { s.attach(repo, d, s.attestation(repo, signed, form), nil) },
			"altered": func(ref, d string) {
				attest(in, ref)
				of := s.attestation(repo, d, form)
				sh(t, crane, "delete", s.host+"/"+repo+"@"+of.digest)
				s.attach(repo, d, of, func(payload string) string { return strings.ReplaceAll(payload, "aaf4c61d", "0000c61d") })
			},
		} {
			ref, d := image(repo, tag)
			make(ref, d)
			out, err := in("verify-attestation", "--key", "cosign.pub", "--insecure-ignore-tlog", form, "--type", "slsaprovenance1", ref).CombinedOutput()
			if (err == nil) != (tag == "good") {
				t.Fatalf("%s, %s: cosign says %v\n%s", repo, tag, err, out)
			}
			if good := s.attested(repo, d); good != (err == nil) {
				t.Errorf("%s, %s: cosign says %v, and here it is attested: %v\n%s", repo, tag, err, good, s.get("/api/v1/image?repo="+repo+"&ref="+d))
			}
		}
	}
	s.wantClean()
}

// attested says whether a signature over provenance of an image counts.
func (s *server) attested(repo, d string) bool {
	s.t.Helper()
	var answer struct {
		Provenance struct {
			Verdicts []struct {
				Kind     string
				Standing struct{ Counts bool }
			}
		}
	}
	s.decode("/api/v1/image?repo="+repo+"&ref="+d, &answer)
	for _, v := range answer.Provenance.Verdicts {
		if v.Kind == "provenance" && v.Standing.Counts {
			return true
		}
	}
	return false
}

// attestation is a manifest of one, and where it stands.
type attestation struct {
	ocispec.Manifest
	digest string
	suffix string // of the tag, in the older form
}

// attestation reads the one that cosign attached to an image.
func (s *server) attestation(repo, d, form string) (a attestation) {
	s.t.Helper()
	ref := strings.Replace(d, ":", "-", 1) + ".att"
	if a.suffix = ".att"; form == "--new-bundle-format=true" {
		var list ocispec.Index
		s.decode("/v2/"+repo+"/referrers/"+d+"?artifactType=application/vnd.dev.sigstore.bundle.v0.3%2Bjson", &list)
		if len(list.Manifests) != 1 {
			s.t.Fatalf("%d bundles are attached to %s", len(list.Manifests), d)
		}
		ref, a.suffix = list.Manifests[0].Digest.String(), ""
	}
	a.digest = strings.TrimSpace(sh(s.t, tool(s.t, "crane"), "digest", s.host+"/"+repo+refOf(ref)))
	s.decode("/v2/"+repo+"/manifests/"+ref, &a.Manifest)
	return a
}

func refOf(ref string) string {
	if strings.Contains(ref, ":") {
		return "@" + ref
	}
	return ":" + ref
}

// attach attaches an attestation to an image, whose payload is changed on the way.
func (s *server) attach(repo, d string, a attestation, change func(payload string) string) {
	s.t.Helper()
	if change != nil {
		var document map[string]any
		s.decode("/v2/"+repo+"/blobs/"+a.Layers[0].Digest.String(), &document)
		envelope := document
		if inside, ok := document["dsseEnvelope"].(map[string]any); ok {
			envelope = inside
		}
		payload, err := base64.StdEncoding.DecodeString(envelope["payload"].(string))
		if err != nil {
			s.t.Fatal(err)
		}
		envelope["payload"] = base64.StdEncoding.EncodeToString([]byte(change(string(payload))))
		body, err := json.Marshal(document)
		if err != nil {
			s.t.Fatal(err)
		}
		a.Layers[0].Digest, a.Layers[0].Size = digest.FromBytes(body), int64(len(body))
		s.upload("POST", "/v2/"+repo+"/blobs/uploads/?digest="+digest.FromBytes(body).String(), "application/octet-stream", string(body))
	}
	ref := strings.Replace(d, ":", "-", 1) + a.suffix
	if a.suffix == "" {
		a.Subject.Digest, a.Subject.Size = digest.Digest(d), int64(len(s.get("/v2/"+repo+"/manifests/"+d)))
	}
	body, err := json.Marshal(a.Manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	if a.suffix == "" {
		ref = digest.FromBytes(body).String()
	}
	s.upload("PUT", "/v2/"+repo+"/manifests/"+ref, a.MediaType, string(body))
}

func (s *server) upload(method, path, mediaType, body string) {
	s.t.Helper()
	mustRun(s.t, command(body, "curl", "-sS", "--fail-with-body", "--cacert", filepath.Join(s.dir, "certs/ca.pem"), "-u", "alice:"+alicePassword,
		"-X", method, "-H", "Content-Type: "+mediaType, "--data-binary", "@-", s.url+path))
}

func (s *server) decode(path string, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.get(path)), into); err != nil {
		s.t.Fatal(err)
	}
}
