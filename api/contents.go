package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// Content is what images are made of. registry.ErrUnknown says that something is not in the repository.
type Content interface {
	image.Content
	// Blob opens a blob, and returns its size.
	Blob(ctx context.Context, repo string, d digest.Digest) (io.ReadCloser, int64, error)
	// Fixed returns the rule that keeps a tag as it is, or "".
	Fixed(ctx context.Context, repo, tag string) (string, error)
}

// contents is what an image is made of, as its manifest and its config say: claims, all of it, but for what is attached,
// which the registry found.
type contents struct {
	Repository string               `json:"repository"`
	Digest     digest.Digest        `json:"digest"`
	Config     *imageConfig         `json:"config,omitempty"` // of a container image
	Layers     []ocispec.Descriptor `json:"layers,omitempty"`
	// History are the steps of the build; Layer is the index of the layer that a step made, absent where it made none.
	History []buildStep `json:"history,omitempty"`
	// Referrers are manifests whose subject is this one: signatures, attestations, reports.
	Referrers []ocispec.Descriptor `json:"referrers,omitempty"`
	// Cut are the lists here that are not whole.
	Cut []string `json:"cut,omitempty"`
	// Unread is why the config is not here, or absent.
	Unread string `json:"unread,omitempty"`
}

// imageConfig is the part of a config (OCI image specification, "Image Configuration") that says how an image runs.
type imageConfig struct {
	Created      string              `json:"created,omitempty"`
	Author       string              `json:"author,omitempty"`
	OS           string              `json:"os,omitempty"`
	Architecture string              `json:"architecture,omitempty"`
	Variant      string              `json:"variant,omitempty"`
	Config       ocispec.ImageConfig `json:"config"`
}

type buildStep struct {
	ocispec.History
	Layer *int `json:"layer,omitempty"`
}

// The bounds of contents, in bytes and entries.
const (
	maxConfig    = 4 << 20
	maxSteps     = 500
	maxAttached  = 100
	configOCI    = ocispec.MediaTypeImageConfig
	configDocker = "application/vnd.docker.container.image.v1+json"
)

// contents answers GET /api/v1/contents.
func (a *API) contents(c *call) (any, error) {
	q := c.query()
	repo, ref := q.needed("repo"), q.needed("ref")
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	d, body, err := a.Content.Manifest(c.Context(), repo, ref)
	if err != nil {
		return nil, a.orGone(c.Context(), repo, ref, err)
	}
	answer := contents{Repository: repo, Digest: d.Digest}
	var m ocispec.Manifest
	if err := json.Unmarshal(body, &m); err != nil {
		m, answer.Unread = ocispec.Manifest{}, "the manifest is not one of an image"
	}
	if len(m.Layers) > maxSteps {
		m.Layers, answer.Cut = m.Layers[:maxSteps], append(answer.Cut, "layers")
	}
	answer.Layers = withoutSecrets(m.Layers)
	if m.Config.MediaType == configOCI || m.Config.MediaType == configDocker {
		if err := a.readConfig(c, repo, m.Config, &answer); err != nil {
			return nil, err
		}
	}
	answer.Referrers, err = a.Content.ReferrersOf(c.Context(), repo, d.Digest, maxAttached+1)
	if len(answer.Referrers) > maxAttached {
		answer.Referrers, answer.Cut = answer.Referrers[:maxAttached], append(answer.Cut, "referrers")
	}
	answer.Referrers = withoutSecrets(answer.Referrers)
	return answer, err
}

// withoutSecrets are descriptors as they are shown: without credentials in their URLs and annotations. What is stored stays.
func withoutSecrets(list []ocispec.Descriptor) []ocispec.Descriptor {
	shown := slices.Clone(list)
	for i, d := range shown {
		shown[i].Annotations, shown[i].URLs = provenance.CutSecretsIn(d.Annotations), slices.Clone(d.URLs)
		for n, u := range d.URLs {
			shown[i].URLs[n] = provenance.CutSecrets(u)
		}
	}
	return shown
}

// readConfig reads the config of a container image into the answer, or says why it cannot.
func (a *API) readConfig(c *call, repo string, d ocispec.Descriptor, answer *contents) error {
	body, err := a.Content.BlobInto(c.Context(), repo, d.Digest, maxConfig, func(n int) ([]byte, error) { return make([]byte, n), nil })
	var large *registry.TooLargeError
	switch {
	case errors.As(err, &large):
		answer.Unread = large.Error()
		return nil
	case isOne(err, registry.ErrUnknown):
		answer.Unread = "the config is not in this repository"
		return nil
	case err != nil:
		return err
	}
	var read struct {
		imageConfig
		History []ocispec.History `json:"history"`
	}
	if err := json.Unmarshal(body, &read); err != nil {
		answer.Unread = "the config is not what its media type says"
		return nil
	}
	read.Config.Labels = provenance.CutSecretsIn(read.Config.Labels)
	if len(read.History) > maxSteps {
		read.History, answer.Cut = read.History[:maxSteps], append(answer.Cut, "history")
	}
	answer.Config, answer.History = &read.imageConfig, steps(read.History)
	return nil
}

// steps says which layer each step of a build made.
func steps(history []ocispec.History) (list []buildStep) {
	layer := 0
	for _, h := range history {
		h.CreatedBy, h.Comment = provenance.CutSecrets(h.CreatedBy), provenance.CutSecrets(h.Comment)
		s := buildStep{History: h}
		if !h.EmptyLayer {
			s.Layer = new(int)
			*s.Layer = layer
			layer++
		}
		list = append(list, s)
	}
	return list
}
