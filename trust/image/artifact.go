package image

import (
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/internal/strictjson"
	"github.com/seed-260924e6/hallmark/trust"
)

// What a manifest is of goes by what clients go by: the type of its config, and then the types of all its layers. The
// artifact type counts only where there is no config to speak of: docker and podman run what has an image's config,
// whatever else is written there. One layer of another kind makes it unknown.

// artifact is a kind of thing that is no container image: all types of its config and of its layers begin like this. The
// artifact types are those that it may have in the place of a config.
type artifact struct {
	kind      trust.Kind
	configs   []string
	artifacts []string
	layers    []string
}

var artifacts = []artifact{
	{
		trust.Chart,
		[]string{"application/vnd.cncf.helm.config."},
		nil,
		[]string{"application/vnd.cncf.helm.chart.", "application/tar+gzip"},
	},
	{
		trust.Wasm,
		[]string{"application/vnd.wasm.config.", "application/vnd.module.wasm.config.", "application/vnd.fermyon.spin.application."},
		[]string{"application/vnd.wasm.", "application/wasm"},
		[]string{"application/vnd.wasm.", "application/wasm", "application/vnd.module.wasm.content.", "application/vnd.fermyon.spin.", "application/vnd.bytecodealliance.wasm."},
	},
	{
		trust.Model,
		[]string{"application/vnd.cncf.model.", "application/vnd.docker.ai.model."},
		[]string{"application/vnd.cncf.model.", "application/vnd.docker.ai.model."},
		[]string{"application/vnd.cncf.model.", "application/vnd.docker.ai."},
	},
}

// layersUnderImageConfig are things whose tools give them an image's config. No client unpacks such layers.
var layersUnderImageConfig = []artifact{
	{kind: trust.Model, layers: []string{"application/vnd.ollama.image."}},
	{kind: trust.Wasm, layers: []string{"application/vnd.wasm.content.layer.", "application/wasm", "application/vnd.bytecodealliance.wasm."}},
}

// The types that say that there is nothing to know.
const (
	noConfigType   = ocispec.MediaTypeEmptyJSON
	orasConfigType = "application/vnd.unknown.config.v1+json"
	orasType       = "application/vnd.unknown.artifact.v1"
	cacheType      = "application/vnd.buildkit.cacheconfig."
	dockerImage    = "application/vnd.docker.container.image.v1+json"
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
)

// kind is what a manifest is of. Of an index it says only whether that is a cache: the rest is for its children.
func (m *manifest) kind() trust.Kind {
	config := m.Config.MediaType
	switch {
	case strings.HasPrefix(config, cacheType), slices.ContainsFunc(m.Manifests, func(d ocispec.Descriptor) bool { return strings.HasPrefix(d.MediaType, cacheType) }):
		return trust.Cache
	case len(m.Manifests) > 0:
		return trust.Image
	case m.isDocument():
		return trust.Document
	case config == ocispec.MediaTypeImageConfig, config == dockerImage:
		return m.underImageConfig()
	case m.MediaType == dockerManifest && slices.ContainsFunc(m.Layers, isImageLayer):
		return trust.Image // podman runs it, whatever its config is called
	case m.Subject != nil:
		return trust.Document
	case config == noConfigType, config == orasConfigType:
		return m.byArtifactType()
	}
	return m.among(artifacts, func(a artifact) bool { return begins(config, a.configs) })
}

// isDocument says whether all layers are documents, of which there is one at least.
func (m *manifest) isDocument() bool {
	return len(m.Layers) > 0 && len(m.Manifests) == 0 && !slices.ContainsFunc(m.Layers, func(l ocispec.Descriptor) bool { return !isDocument(l) })
}

func (m *manifest) underImageConfig() trust.Kind {
	if k := m.among(layersUnderImageConfig, func(artifact) bool { return true }); k != trust.Unnamed {
		return k
	}
	return trust.Image
}

// byArtifactType is the kind of what has no config. oras gives its own type to files that nobody gave one.
func (m *manifest) byArtifactType() trust.Kind {
	if m.ArtifactType != "" && m.ArtifactType != orasType && m.ArtifactType != orasConfigType {
		return m.among(artifacts, func(a artifact) bool { return begins(m.ArtifactType, a.artifacts) })
	}
	if k := m.among(artifacts, func(a artifact) bool { return a.kind == trust.Wasm }); k != trust.Unnamed {
		return k
	}
	return trust.Files
}

// among finds the kind that all layers are of, and something else, too.
func (m *manifest) among(list []artifact, is func(artifact) bool) trust.Kind {
	for _, a := range list {
		other := func(l ocispec.Descriptor) bool { return !begins(l.MediaType, a.layers) }
		if is(a) && len(m.Layers) > 0 && !slices.ContainsFunc(m.Layers, other) {
			return a.kind
		}
	}
	return trust.Unnamed
}

func begins(t string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(t, p) })
}

func isImageLayer(l ocispec.Descriptor) bool {
	return begins(l.MediaType, []string{"application/vnd.oci.image.layer.", "application/vnd.docker.image.rootfs."})
}

// kind is what the whole is of: what all its platforms are, and an image where one of them is one.
func (s *subject) kind() trust.Kind {
	kinds := map[trust.Kind]bool{}
	for _, p := range s.platforms {
		kinds[p.kind] = true
	}
	switch {
	case len(s.platforms) == 0:
		return trust.Unnamed
	case kinds[trust.Image]:
		return trust.Image
	case len(kinds) == 1:
		return s.platforms[0].kind
	}
	return trust.Unnamed
}

// adviceOf is what helps where something is missing of what is no container image. No build of images makes it.
var adviceOf = map[string]string{
	trust.ImageSource:          "Push it with the annotations org.opencontainers.image.source and .revision.",
	trust.ImageBuild:           "Attach SLSA provenance of its build, as with cosign attest.",
	trust.ImageSBOM:            "Attach one, as with oras or cosign attest.",
	trust.ImageVulnerabilities: "Scan it, and attach the report, as with cosign attest.",
	trust.ImageLicences:        "Set the annotation org.opencontainers.image.licenses, as an SPDX expression.",
}

// apply takes checks for a kind: those that it is not asked do not apply.
func apply(k trust.Kind, checks []trust.Check) []trust.Check {
	asked := trust.Applies[k]
	if !k.Graded() {
		asked = trust.Asked
	}
	for n, c := range checks {
		switch advice := adviceOf[c.ID]; {
		case !slices.Contains(asked, c.ID):
			checks[n] = trust.NotApplicable(c.ID, "It is "+k.String()+", of which this is not asked.")
		case k != trust.Image && advice != "" && c.Result == trust.Fail && c.Points == 0 && c.Cap == "":
			checks[n].Advice = advice
		}
	}
	return checks
}

// ungraded is why there is no grade, or empty.
func ungraded(k trust.Kind) string {
	switch {
	case k.Graded():
		return ""
	case k == trust.Unnamed:
		return "It is of a kind that is not known, by its artifact type and the types of its config and layers, so it has no grade."
	}
	return "It is " + k.String() + ", which nobody runs, so it has no grade."
}

// licences are those that are stated where tools for a kind state them, or empty: what makes charts and models does not
// know OCI's annotation.
func (p *platform) licences() string {
	if v := p.manifest.Annotations["artifacthub.io/license"]; v != "" && p.kind == trust.Chart {
		return v
	}
	if p.kind != trust.Model {
		return ""
	}
	var config struct {
		Descriptor struct {
			Licenses []string `json:"licenses"`
		} `json:"descriptor"`
	}
	if strictjson.Unmarshal([]byte(p.text), &config) == nil && len(config.Descriptor.Licenses) > 0 {
		return fmt.Sprintf("%.200s", strings.Join(config.Descriptor.Licenses, ", "))
	}
	for _, l := range p.manifest.Layers {
		if strings.HasSuffix(l.MediaType, ".license") {
			return "in the layer " + l.Digest.String()
		}
	}
	return ""
}
