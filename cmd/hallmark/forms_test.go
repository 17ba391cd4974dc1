package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const formCommit = "0123456789abcdef0123456789abcdef01234567"

// provenanceOf is SLSA provenance of version 1.
func provenanceOf(parameters map[string]any, used ...map[string]any) map[string]any {
	return map[string]any{"predicateType": "https://slsa.dev/provenance/v1", "predicate": map[string]any{
		"buildDefinition": map[string]any{"buildType": "https://ci.example/t", "externalParameters": parameters, "resolvedDependencies": used},
		"runDetails":      map[string]any{"builder": map[string]any{"id": "https://ci.example/b"}},
	}}
}

func usedOf(uri, hash, value string) map[string]any {
	return map[string]any{"uri": uri, "digest": map[string]any{hash: value}}
}

// TestForms attaches statements of several builders' forms to images, as clients do, and wants everybody who is asked to say
// the same: show, the report, sources, and the records.
func TestForms(t *testing.T) {
	t.Parallel()
	if withoutRace(t) {
		return
	}
	s := startServer(t, filepath.Join(t.TempDir(), "data"))
	const app, base = "git+https://github.com/acme/app", "7777777777777777777777777777777777777777777777777777777777777777"
	workflow := provenanceOf(map[string]any{"workflow": map[string]any{"ref": "refs/heads/main", "repository": "https://github.com/acme/app"}},
		usedOf(app+"@refs/heads/main", "gitCommit", formCommit), usedOf(app+"@refs/tags/v1", "gitCommit", strings.Repeat("1", 40)))
	older := "application/vnd.dev.sigstore.bundle+json;version=0.2"
	for name, c := range map[string]struct {
		statement        map[string]any
		mediaType        string
		files            int // named before the image
		source, material string
		revision         bool
	}{
		"container-based": {provenanceOf(map[string]any{"source": usedOf(app+"@refs/tags/v1", "sha1", formCommit)}), "", 0, "github.com/acme/app", "", true},
		"cloud-build": {provenanceOf(map[string]any{"buildConfigSource": map[string]any{"ref": "refs/heads/main", "repository": app}},
			usedOf(app+"@refs/heads/main", "gitCommit", formCommit), usedOf("docker.io/busybox@sha256:"+base, "sha256", base)), "", 0, "github.com/acme/app", "docker.io/busybox", true},
		"tekton":       {provenanceOf(map[string]any{"runSpec": map[string]any{}}, usedOf("oci://registry.example/base", "sha256", base), usedOf("git+https://git.example/team/app.git", "sha1", formCommit)), "", 0, "git.example/team/app", "registry.example/base", true},
		"gitlab":       {provenanceOf(map[string]any{"source": "https://gitlab.example/team/app"}, usedOf("https://gitlab.example/team/app", "sha256", formCommit)), "", 0, "gitlab.example/team/app", "", true},
		"two-refs":     {workflow, "", 0, "github.com/acme/app", "", true},
		"signed-url":   {provenanceOf(map[string]any{"source": map[string]any{"uri": "https://bucket.example/ctx.tgz?X-Amz-Signature=SECRET"}}), "", 0, "bucket.example/ctx.tgz", "", false},
		"many-files":   {workflow, "", 70, "github.com/acme/app", "", true},
		"older-bundle": {workflow, older, 0, "github.com/acme/app", "", true},
		"vex":          {map[string]any{"predicateType": "https://openvex.dev/ns/v0.2.0", "predicate": map[string]any{"timestamp": "2026-01-01T00:00:00Z", "statements": []any{}}}, "", 0, "", "", false},
	} {
		repo := "forms/" + name
		image := s.attachStatement(repo, c.mediaType, c.statement, c.files)
		var said struct {
			Provenance struct {
				Claimed []struct{ Fact, Value, About, Name string }
			}
			Contradictions []any
		}
		s.readJSON("/api/v1/image?repo="+repo+"&ref=1", &said)
		found := map[string][]string{}
		for _, f := range said.Provenance.Claimed {
			found[f.Fact] = append(found[f.Fact], f.Value+" "+f.Name)
			if f.About != image.String() {
				t.Errorf("%s: it claims %s of %s", name, f.Fact, f.About)
			}
		}
		if c.revision != slices.Equal(found["revision"], []string{formCommit + " "}) || len(found["source"]) > 1 || (c.source != "") != (len(found["source"]) == 1) {
			t.Errorf("%s: it claims %v", name, found)
		}
		if (c.material != "") != slices.Equal(found["material"], []string{"sha256:" + base + " " + c.material}) {
			t.Errorf("%s: it used %v", name, found["material"])
		}
		if len(said.Contradictions) > 0 {
			t.Errorf("%s: contradictions %v", name, said.Contradictions)
		}
		report := s.hallmark("inspect", "image", repo+":1")
		if says := strings.Contains(report, "It claims to be built from") && strings.Contains(report, formCommit); says != c.revision {
			t.Errorf("%s: the report says\n%s", name, report)
		}
		if !strings.Contains(report, "It has no vulnerability report.") {
			t.Errorf("%s: a report of vulnerabilities is found:\n%s", name, report)
		}
		if c.source == "" {
			continue
		}
		var images struct {
			Images []struct{ Repository, Digest string }
		}
		s.readJSON("/api/v1/sources?source="+c.source+"&repo="+repo, &images)
		if len(images.Images) != 1 || images.Images[0].Digest != image.String() {
			t.Errorf("%s: the source leads to %v", name, images)
		}
	}
	if records := s.want(200, "GET", "/api/v1/records?limit=1000"); strings.Contains(records, "SECRET") {
		t.Error("a signature of a URL is on record")
	}
}

// attachStatement pushes an image with the tag 1, and attaches a statement to it, in an envelope, or in a bundle.
func (s *testServer) attachStatement(repo, bundle string, statement map[string]any, files int) digest.Digest {
	s.t.Helper()
	put := func(path string, v any, mediaType string) digest.Digest {
		s.t.Helper()
		body := string(mustMarshal(v))
		d := digest.FromString(body)
		if path == "" {
			path = d.String()
		}
		if status, _, answer := s.do("PUT", "/v2/"+repo+"/manifests/"+path, "", body, "Content-Type", mediaType); status != 201 {
			s.t.Fatalf("%s: %d %s", repo, status, answer)
		}
		return d
	}
	blob := func(mediaType, body string) ocispec.Descriptor {
		s.t.Helper()
		d := digest.FromString(body)
		if status, _, answer := s.do("POST", "/v2/"+repo+"/blobs/uploads/?digest="+d.String(), "", body); status != 201 {
			s.t.Fatalf("%s: %d %s", repo, status, answer)
		}
		return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
	}
	manifest := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{}}
	manifest.SchemaVersion = 2
	manifest.Config = blob(ocispec.MediaTypeImageConfig, fmt.Sprintf(`{"os":"linux","architecture":"amd64","config":{},"rootfs":{"type":"layers","diff_ids":[]},"note":%q}`, repo))
	image := put("1", manifest, ocispec.MediaTypeImageManifest)

	var subject []any
	for i := range files {
		subject = append(subject, map[string]any{"name": fmt.Sprint("file", i), "digest": map[string]any{"sha256": digest.FromString(fmt.Sprint(i)).Encoded()}})
	}
	statement["_type"] = "https://in-toto.io/Statement/v1"
	statement["subject"] = append(subject, map[string]any{"name": "app", "digest": map[string]any{"sha256": image.Encoded()}})
	var body any = map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": base64.StdEncoding.EncodeToString(mustMarshal(statement)), "signatures": []any{map[string]any{"sig": "AAAA"}},
	}
	layerType, artifactType := "application/vnd.dsse.envelope.v1+json", "application/vnd.in-toto+json"
	if bundle != "" {
		body = map[string]any{"mediaType": bundle, "verificationMaterial": map[string]any{"publicKey": map[string]any{"hint": "x"}}, "dsseEnvelope": body}
		layerType, artifactType = bundle, bundle
	}
	attached := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: blob(ocispec.MediaTypeEmptyJSON, "{}")}
	attached.SchemaVersion = 2
	attached.Layers = []ocispec.Descriptor{blob(layerType, string(mustMarshal(body)))}
	attached.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: image, Size: int64(len(mustMarshal(manifest)))}
	put("", attached, ocispec.MediaTypeImageManifest)
	return image
}

// readJSON reads an answer of the API.
func (s *testServer) readJSON(path string, into any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.want(200, "GET", path)), into); err != nil {
		s.t.Fatal(err)
	}
}
