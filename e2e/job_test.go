//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-260924e6/hallmark/access/oidc/oidctest"
)

// TestJob is a CI job from beginning to end: it signs in to docker with the ID token of a real issuer, builds,
// and pushes. What the image claims stands beside where the job ran, and is flagged where the two disagree.
func TestJob(t *testing.T) {
	dockerHome(t)
	issuer := oidctest.Start(t)
	config := filepath.Join(t.TempDir(), "hallmark.yaml")
	write(t, config, fmt.Sprintf("oidc:\n  - issuer: %s\n    audience: hallmark\n    kind: github\n    ca: %s\n", issuer.URL, issuer.CA()))
	s := start(t, "--config", config)
	s.trust("docker")
	mustRun(t, s.hallmark("grant", "ci:"+issuer.URL+":repository_id=4711,ref=refs/heads/main", "team/**", "push"))
	login := func(changes map[string]any) *exec.Cmd {
		changes["repository"] = "team/hello" // as the images say, too
		raw := issuer.Token(issuer.GitHub("hallmark", time.Now(), changes))
		return command(raw, "docker", "login", s.host, "-u", "oidc", "--password-stdin")
	}
	mustFail(t, login(map[string]any{"aud": "https://elsewhere.example"}), "this ID token is not accepted")
	mustFail(t, login(map[string]any{"event_name": "pull_request_target"}), "pull_request_target")
	mustRun(t, login(map[string]any{"sha": revision}))

	s.wantJob(dockerPush(t, s.host+"/team/hello:1.0"), "team/hello:1.0", revision, nil)
	const other = "fedcba9876543210fedcba9876543210fedcba98"
	ref := s.host + "/team/hello:2.0"
	sh(t, "docker", "build", "-q", "-t", ref, scratch(t, source, other))
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", ref).Run() }) // it may be gone
	sh(t, "docker", "push", ref)
	s.wantJob("", "team/hello:2.0", revision, []string{
		"authenticated login claim sha " + revision, "claimed label org.opencontainers.image.revision " + other,
	})
	mustFail(t, exec.Command("docker", "push", retag(t, ref, s.host+"/elsewhere/hello:1.0")), "")
	t.Run("provenance", func(t *testing.T) { s.provenanceOfJob(buildkit(t, s), revision, other) })
	mustRun(t, s.hallmark("revoke", "ci:"+issuer.URL+":repository_id=4711,ref=refs/heads/main", "team/**", "push"))
	mustFail(t, exec.Command("docker", "push", ref), "")
	s.wantClean()
}

// retag gives an image of the engine another name.
func retag(t *testing.T, from, to string) string {
	t.Helper()
	sh(t, "docker", "tag", from, to)
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", to).Run() })
	return to
}

// provenanceOfJob builds with BuildKit's provenance about another commit than the job's, in an image without
// labels.
func (s *server) provenanceOfJob(address, ran, built string) {
	s.systemCA() // for the client, which gets the tokens
	dir := s.t.TempDir()
	write(s.t, filepath.Join(dir, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /app\n")
	sh(s.t, tool(s.t, "buildctl"), "--addr", address, "build", "--frontend", "dockerfile.v0", "--local", "context="+dir, "--local", "dockerfile="+dir,
		"--opt", "attest:provenance=mode=max,version=v1", "--opt", "vcs:source="+source, "--opt", "vcs:revision="+built,
		"--output", "type=image,name="+s.host+"/team/slsa:1.0,push=true,oci-mediatypes=true")
	s.wantJob("", "team/slsa:1.0", ran, []string{"authenticated login claim sha " + ran, "claimed slsa v1 vcs " + built})
}

// wantJob wants show to set where the job ran beside what the image claims, and to flag exactly what it says of
// the revision that cannot all be true, as CLASS FROM VALUE.
func (s *server) wantJob(digest, ref, ran string, flagged []string) {
	s.t.Helper()
	out, err := s.hallmark("show", ref, "--json").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	var image struct {
		Descriptor struct{ Digest string }
		Provenance struct {
			Authenticated []struct {
				Method string
				Actor  struct{ Kind, Handle string }
				Claims map[string]string
			}
		}
		Contradictions []struct {
			Fact   string
			Values []struct{ Class, From, Value string }
		}
	}
	if err := json.Unmarshal(out, &image); err != nil || len(image.Provenance.Authenticated) != 1 {
		s.t.Fatalf("%v: %s", err, out)
	}
	a := image.Provenance.Authenticated[0]
	if a.Method != "oidc" || a.Actor.Kind != "ci" || a.Actor.Handle != "team/hello" || a.Claims["sha"] != ran || a.Claims["run_id"] != "9001" ||
		digest != "" && image.Descriptor.Digest != digest {
		s.t.Errorf("%s: %s", ref, out)
	}
	var said []string
	for _, c := range image.Contradictions {
		for _, v := range c.Values {
			said = append(said, v.Class+" "+v.From+" "+v.Value)
			if c.Fact != "revision" {
				s.t.Errorf("%s: a contradiction about the %s: %v", ref, c.Fact, v)
			}
		}
	}
	for _, want := range flagged {
		if !slices.Contains(said, want) {
			s.t.Errorf("%s: %q is not flagged, but %q", ref, want, said)
		}
	}
	if len(flagged) == 0 && len(said) > 0 {
		s.t.Errorf("%s: flagged %q", ref, said)
	}
	shown := mustRun(s.t, s.hallmark("show", ref))
	if strings.Contains(shown, "contradictions") != (len(flagged) > 0) || !strings.Contains(shown, "authenticated: the login proves it") {
		s.t.Errorf("show %s:\n%s", ref, shown)
	}
}
