package main

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// pusher pushes manifests and blobs, and names them by a hash.
type pusher struct {
	*testServer
	repo string
	hash digest.Algorithm
}

func (p pusher) blob(mediaType, body string) ocispec.Descriptor {
	p.t.Helper()
	d := p.hash.FromString(body)
	if status, _, answer := p.do("POST", "/v2/"+p.repo+"/blobs/uploads/?digest="+d.String(), "", body); status != 201 {
		p.t.Fatalf("%d %s", status, answer)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
}

// manifest pushes a manifest, with a tag unless that is empty.
func (p pusher) manifest(tag, mediaType string, v any) ocispec.Descriptor {
	p.t.Helper()
	body := string(mustMarshal(v))
	d := p.hash.FromString(body)
	path := "/v2/" + p.repo + "/manifests/" + d.String()
	if tag != "" {
		path += "?tag=" + tag
	}
	if status, _, answer := p.do("PUT", path, "", body, "Content-Type", mediaType); status != 201 {
		p.t.Fatalf("%d %s", status, answer)
	}
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(body))}
}

// image pushes an image for an architecture.
func (p pusher) image(tag, arch string) ocispec.Descriptor {
	p.t.Helper()
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	m.Config = p.blob(ocispec.MediaTypeImageConfig, fmt.Sprintf(`{"os":"linux","architecture":%q,"config":{"User":"app"},"rootfs":{"type":"layers","diff_ids":[%q]}}`, arch, p.hash.FromString(arch)))
	m.Layers = []ocispec.Descriptor{p.blob(ocispec.MediaTypeImageLayer, arch)}
	d := p.manifest(tag, m.MediaType, m)
	d.Platform = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

// attach pushes a document about an image, and returns the manifest that holds it.
func (p pusher) attach(to ocispec.Descriptor, mediaType, body string) ocispec.Descriptor {
	p.t.Helper()
	to.Platform = nil
	return p.manifest("", ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: mediaType,
		Config: p.blob(ocispec.MediaTypeEmptyJSON, "{}"), Layers: []ocispec.Descriptor{p.blob(mediaType, body)}, Subject: &to,
	})
}

// statementAbout is one about an image.
func statementAbout(about digest.Digest, predicateType, predicate string) []byte {
	return fmt.Appendf(nil, `{"_type":"https://in-toto.io/Statement/v1","predicateType":%q,"subject":[{"name":"registry.example/team/app","digest":{%q:%q}}],"predicate":%s}`,
		predicateType, about.Algorithm(), about.Encoded(), predicate)
}

// sealed is a signed statement about an image.
func (s *signer) sealed(about digest.Digest, predicateType, predicate string) string {
	s.t.Helper()
	statement := statementAbout(about, predicateType, predicate)
	return string(mustMarshal(map[string]any{
		"payloadType": "application/vnd.in-toto+json", "payload": statement,
		"signatures": []any{map[string]any{"sig": s.sign(dsse.PAE("application/vnd.in-toto+json", statement))}},
	}))
}
