//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// buildkit starts a real buildkitd that trusts the registry by the file that `cert trust buildkit` writes,
// and returns its address.
func buildkit(t *testing.T, s *server) string {
	t.Helper()
	const config = "/etc/buildkit/buildkitd.toml"
	before, err := os.ReadFile(config)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	mustRun(t, s.hallmark("cert", "trust", "buildkit"))
	t.Cleanup(func() {
		if before == nil {
			_ = os.RemoveAll("/etc/buildkit") // it was not there
			return
		}
		if err := os.WriteFile(config, before, 0o644); err != nil {
			t.Error(err)
		}
	})
	dir := shortDir(t)
	address := "unix://" + dir + "/sock"
	daemon(t, exec.Command(tool(t, "buildkitd"), "--config", config, "--root", dir+"/root", "--addr", address,
		"--oci-worker-snapshotter", "native", "--oci-worker-net", "host"))
	eventually(t, time.Minute, "buildkitd is ready", func() error {
		return exec.Command(tool(t, "buildctl"), "--addr", address, "debug", "workers").Run()
	})
	return address
}

// TestBuildKit builds an image for two platforms with provenance, pushes it, and keeps the build's cache
// in the registry.
func TestBuildKit(t *testing.T) {
	home := dockerHome(t)
	s := start(t)
	address := buildkit(t, s)
	s.systemCA() // for the client, which gets the tokens
	sh(t, tool(t, "crane"), "auth", "login", s.host, "-u", "alice", "-p", alicePassword)
	dir := scratch(t, source, revision)
	ref := s.host + "/team/multi:1.0"
	build := func(more ...string) string {
		return sh(t, tool(t, "buildctl"), append([]string{
			"--addr", address, "build", "--frontend", "dockerfile.v0", "--local", "context=" + dir, "--local", "dockerfile=" + dir,
			"--opt", "platform=linux/amd64,linux/arm64",
		}, more...)...)
	}
	cache := s.host + "/team/multi:cache"
	build("--opt", "attest:provenance=mode=max", "--output", "type=image,name="+ref+",push=true,oci-mediatypes=true",
		"--export-cache", "type=registry,ref="+cache+",mode=max")
	s.wantTwoPlatforms("team/multi", "1.0")
	build("--opt", "attest:provenance=mode=max", "--output", "type=image,name="+ref+",push=true",
		"--export-cache", "type=registry,ref="+cache+"-old,mode=max,image-manifest=false,oci-mediatypes=true")
	sh(t, tool(t, "buildctl"), "--addr", address, "prune", "--all")
	if out := build("--import-cache", "type=registry,ref="+cache, "--progress", "plain"); !strings.Contains(out, "CACHED") {
		t.Errorf("the cache in the registry is of no use:\n%s", out)
	}
	s.wantClean()

	t.Run("provenance", func(t *testing.T) { provenanceOfBuilds(t, s, address) })

	t.Run("buildx", func(t *testing.T) {
		buildx := tool(t, "buildx")
		t.Setenv("BUILDX_CONFIG", filepath.Join(home, "buildx"))
		sh(t, buildx, "create", "--name", "hallmark-e2e", "--driver", "remote", address)
		ref := s.host + "/team/buildx:1.0"
		sh(t, buildx, "build", "--builder", "hallmark-e2e", "--platform", "linux/amd64,linux/arm64", "--provenance", "mode=max",
			"--cache-to", "type=registry,ref="+s.host+"/team/buildx:cache", "-t", ref, "--push", dir)
		s.wantTwoPlatforms("team/buildx", "1.0")
		if out := sh(t, buildx, "imagetools", "inspect", "--builder", "hallmark-e2e", ref); !strings.Contains(out, "linux/arm64") {
			t.Errorf("imagetools: %s", out)
		}
		s.wantClean()
	})
}

// wantTwoPlatforms asks for the index: who pushed it, for which platforms, from which source.
func (s *server) wantTwoPlatforms(repo, tag string) {
	s.t.Helper()
	out, err := s.hallmark("records", "--repo", repo, "--tag", tag, "--json").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	var found struct {
		Records []struct {
			Actor    struct{ Handle string }
			Observed struct {
				Children []struct{ Platform string }
			}
			Claimed []struct{ Fact, Value, About string }
		}
	}
	if err := json.Unmarshal(out, &found); err != nil || len(found.Records) == 0 {
		s.t.Fatalf("%v: %s", err, out)
	}
	r := found.Records[0]
	platforms := fmt.Sprint(r.Observed.Children)
	if r.Actor.Handle != "alice" || !strings.Contains(platforms, "linux/amd64") || !strings.Contains(platforms, "linux/arm64") || len(r.Observed.Children) != 4 {
		s.t.Errorf("the record says %s, %s", r.Actor.Handle, platforms)
	}
	sources := 0
	for _, c := range r.Claimed {
		if c.Fact == "source" && c.Value == source {
			sources++
		}
	}
	if sources < 2 {
		s.t.Errorf("the source of %d platforms is known: %s", sources, out)
	}
	by, err := s.hallmark("records", "--source", source, "--revision", revision).Output()
	if err != nil || !strings.Contains(string(by), repo+" ") || !strings.Contains(string(by), " "+tag+" ") {
		s.t.Errorf("a question about the source does not find %s:%s: %v\n%s", repo, tag, err, by)
	}
}

// provenanceOfBuilds builds on a base in the registry, with provenance in both forms, and wants it to be
// known from the attestation alone: the images have no labels.
func provenanceOfBuilds(t *testing.T, s *server, address string) {
	const commit = "89abcdef0123456789abcdef0123456789abcdef"
	build := func(dir, ref string, more ...string) {
		sh(t, tool(t, "buildctl"), append([]string{
			"--addr", address, "build", "--frontend", "dockerfile.v0", "--local", "context=" + dir, "--local", "dockerfile=" + dir,
			"--output", "type=image,name=" + s.host + "/" + ref + ",push=true,oci-mediatypes=true",
		}, more...)...)
	}
	baseDir, appDir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(baseDir, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /base\n")
	build(baseDir, "base/small:1", "--opt", "attest:provenance=disabled")
	var base struct{ Descriptor struct{ Digest string } }
	if err := json.Unmarshal([]byte(s.get("/api/v1/image?repo=base/small&ref=1")), &base); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(appDir, "Dockerfile"), "FROM "+s.host+"/base/small:1\nARG TOKEN\nCOPY Dockerfile /app\n")
	for version, more := range map[string][]string{"v0.2": {"--opt", "attest:provenance=mode=max,version=v0.2"}, "v1": {"--opt", "attest:provenance=mode=max,version=v1"}} {
		repo := "team/slsa-" + strings.ReplaceAll(version, ".", "-")
		build(appDir, repo+":1.0", append(more, "--opt", "build-arg:TOKEN=hunter2",
			"--opt", "vcs:source=https://alice:hunter2@git.example/team/slsa.git", "--opt", "vcs:revision="+commit)...)
		out := mustRun(t, s.hallmark("records", "--repo", repo, "--tag", "1.0", "--source", "git.example/team/slsa", "--revision", commit, "--base", base.Descriptor.Digest, "--json"))
		for _, want := range []string{`"slsa ` + version + ` vcs"`, `"material"`, `"name": "` + s.host + `/base/small:1"`, `"https://slsa.dev/provenance/` + version + `"`} {
			if !strings.Contains(out, want) {
				t.Errorf("the record of what was built with %s does not say %s:\n%s", version, want, out)
			}
		}
		if all := mustRun(t, s.hallmark("records", "--repo", repo, "--json")); strings.Contains(all, "hunter2") || !strings.Contains(all, "attestation.manifest") {
			t.Errorf("a secret is in a record, or BuildKit made no attestation:\n%s", all)
		}
	}
}
