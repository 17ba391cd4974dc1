package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// built counts the indexes that were pushed, so that each is another: a manifest that is there costs less.
var built atomic.Int64

// dockerfile is about as long as the build graph that BuildKit puts into its provenance with mode=max.
var dockerfile = strings.Repeat("RUN apk add --no-cache something-that-is-needed\n", 400)

// statement is provenance as BuildKit writes it, of which most is nothing that a registry keeps.
const statement = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://slsa.dev/provenance/v1","subject":[{"name":"pkg:docker/%[1]s@1?platform=linux%%2Famd64","digest":{"sha256":%[2]q}}],` +
	`"predicate":{"buildDefinition":{"buildType":"https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",` +
	`"externalParameters":{"configSource":{"path":"Dockerfile"},"request":{"frontend":"dockerfile.v0","args":{"vcs:source":"https://git.example/%[1]s","vcs:revision":"%040[3]x"}}},` +
	`"internalParameters":{"dockerfile":%[4]q},"resolvedDependencies":[{"uri":"pkg:docker/alpine@3.22?platform=linux%%2Famd64","digest":{"sha256":"4b7ce07002c69e8f3d704a9c5d6fd3053be500b7f1c69fc0d80990c2ad8dd412"}}]},` +
	`"runDetails":{"builder":{"id":"https://builder.example/7"},"metadata":{"buildkit_metadata":{"vcs":{"source":"https://git.example/%[1]s","revision":"%040[3]x"}}}}}}`

// sbom is as long as that of a small image.
var sbom = `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://spdx.dev/Document","subject":[{"name":"%[1]s","digest":{"sha256":%[2]q}}],"predicate":{"packages":[` +
	strings.TrimSuffix(strings.Repeat(`{"name":"package","versionInfo":"1.2.3-r4","licenseConcluded":"NOASSERTION"},`, 1000), ",") + `],"number":%[3]d}}`

// pushBuilt pushes what BuildKit does for two platforms: an image and an attestation manifest with provenance and an SBOM for
// each, and the index of all four.
func pushBuilt(c *conn, images []image, i int) error {
	n := built.Add(1)
	img := images[i%perRound]
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, architecture := range []string{"amd64", "arm64"} {
		config := newContent(fmt.Appendf(nil, `{"architecture":%q,"os":"linux","config":{},"number":%d}`, architecture, n), nil)
		platform, err := img.putOf(c, v1.Manifest{Config: config.descriptor(v1.MediaTypeImageConfig), Layers: []v1.Descriptor{img.layers[0].descriptor(v1.MediaTypeImageLayerGzip)}}, config)
		if err != nil {
			return err
		}
		beside, err := img.attest(c, platform, n)
		if err != nil {
			return err
		}
		platform.Platform = &v1.Platform{OS: "linux", Architecture: architecture}
		beside.Platform = &v1.Platform{OS: "unknown", Architecture: "unknown"}
		beside.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": platform.Digest.String()}
		index.Manifests = append(index.Manifests, platform, beside)
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	return c.want(201, request{
		method: "PUT", path: fmt.Sprintf("/v2/%s/manifests/built-%d", img.repo, i%perRound), contentType: v1.MediaTypeImageIndex,
		body: bytes.NewReader(text), length: int64(len(text)),
	})
}

// attest pushes the attestation manifest of a platform.
func (img image) attest(c *conn, platform v1.Descriptor, n int64) (v1.Descriptor, error) {
	m := v1.Manifest{ArtifactType: "application/vnd.docker.attestation.manifest.v1+json", Subject: &platform}
	config := newContent([]byte("{}"), nil)
	m.Config = config.descriptor(v1.MediaTypeEmptyJSON)
	blobs := []content{config}
	for predicate, text := range map[string]string{
		"https://slsa.dev/provenance/v1": fmt.Sprintf(statement, img.repo, platform.Digest.Encoded(), n, dockerfile),
		"https://spdx.dev/Document":      fmt.Sprintf(sbom, img.repo, platform.Digest.Encoded(), n),
	} {
		blob := newContent([]byte(text), nil)
		layer := blob.descriptor("application/vnd.in-toto+json")
		layer.Annotations = map[string]string{"in-toto.io/predicate-type": predicate}
		m.Layers, blobs = append(m.Layers, layer), append(blobs, blob)
	}
	return img.putOf(c, m, blobs...)
}

// putOf pushes blobs that are not there, and a manifest of them by its digest.
func (img image) putOf(c *conn, m v1.Manifest, blobs ...content) (d v1.Descriptor, err error) {
	for _, b := range blobs {
		status, _, err := c.do(request{method: "HEAD", path: "/v2/" + img.repo + "/blobs/" + b.digest})
		if err == nil && status != 200 {
			err = monolithic(c, img.repo, b)
		}
		if err != nil {
			return d, err
		}
	}
	m.SchemaVersion, m.MediaType = 2, v1.MediaTypeImageManifest
	text, err := json.Marshal(m)
	if err != nil {
		return d, err
	}
	d = v1.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
	return d, c.want(201, request{
		method: "PUT", path: "/v2/" + img.repo + "/manifests/" + d.Digest.String(), contentType: m.MediaType,
		body: bytes.NewReader(text), length: d.Size,
	})
}
