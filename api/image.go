package api

import (
	"net/url"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// imageAnswer is a manifest together with what is known of it, by class of evidence.
type imageAnswer struct {
	Repository string             `json:"repository"`
	Reference  string             `json:"reference"`
	Descriptor ocispec.Descriptor `json:"descriptor"` // annotations included
	Children   []provenance.Child `json:"children,omitempty"`
	Tags       []string           `json:"tags,omitempty"` // that mean it now
	Record     uint64             `json:"record"`         // that of its Hallmark-Record header
	Provenance provenance.ByClass `json:"provenance"`
	// Contradictions are facts that are stated in ways that cannot all be true.
	Contradictions []provenance.Contradiction `json:"contradictions,omitempty"`
	// Arrivals are where this digest came to, oldest first, as far as the caller may see.
	Arrivals []arrival `json:"arrivals,omitempty"`
	// Derived is what nobody says and follows from other images, when asked for: it is in no record.
	Derived *derived `json:"derived,omitempty"`
	// Older is where the records are that were too many to look at.
	Older string `json:"older,omitempty"`
}

// arrival is when a digest first came to a repository.
type arrival struct {
	Repository string           `json:"repository"`
	Record     uint64           `json:"record"`
	Time       provenance.Time  `json:"time"`
	Actor      provenance.Actor `json:"actor"`
}

// derived is what follows from the layers.
type derived struct {
	Bases []derivedBase `json:"bases"`
}

// derivedBase is an image with whose layers another begins, the longest such that the caller may see. The
// same may be in several places.
type derivedBase struct {
	About      digest.Digest `json:"about"` // the image, or one that it lists
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	Tags       []string      `json:"tags,omitempty"`
	Layers     int           `json:"layers"` // how many
	Rule       string        `json:"rule"`
}

// derive finds bases by layers.
func (a *API) derive(c *call, repo string, parts []digest.Digest) (*derived, error) {
	answer := &derived{Bases: []derivedBase{}}
	for _, d := range parts[:min(len(parts), maxDerived)] {
		bases, err := a.Registry.BasesByLayers(c.Context(), registry.Place{Repository: repo, Digest: d}, a.mayPull(c))
		if err != nil {
			return nil, err
		}
		for _, b := range bases {
			standing, err := a.Registry.Standings(c.Context(), []registry.Place{b.Place})
			if err != nil {
				return nil, err
			}
			answer.Bases = append(answer.Bases, derivedBase{d, b.Repository, b.Digest, standing[0].Tags, b.Layers, "longest layer prefix"})
		}
	}
	return answer, nil
}

// The bounds of what one answer sums up.
const (
	maxArrivals = 100
	maxDerived  = 16 // the image and what it lists
)

// image answers GET /api/v1/image.
func (a *API) image(c *call) (any, error) {
	q := c.query()
	repo, ref := q.needed("repo"), q.needed("ref")
	derive := q.oneOf("derived", "true", "false") == "true"
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	img, err := a.Registry.Image(c.Context(), repo, ref)
	if err != nil {
		return nil, err
	}
	answer := imageAnswer{
		Repository: repo, Reference: ref, Children: img.Children, Tags: img.Tags, Record: img.Record,
		Descriptor: ocispec.Descriptor{
			MediaType: img.MediaType, ArtifactType: img.ArtifactType, Digest: img.Digest, Size: img.Size, Annotations: img.Annotations,
		},
	}
	parts := provenance.Parts(img.Digest, img.Children)
	said, err := a.Book.Testimony(c.Context(), repo, parts)
	if err != nil {
		return nil, err
	}
	if said.Next != nil {
		older := url.Values{"repo": {repo}, "digest": {img.Digest.String()}, "after": {strconv.FormatUint(*said.Next, 10)}}
		answer.Older = "/api/v1/records?" + older.Encode()
	}
	answer.Provenance = provenance.SumUp(said.Records, said.Beside, parts)
	a.judge(repo, answer.Provenance.Verdicts)
	answer.Contradictions = answer.Provenance.Contradictions(img.Digest)
	if answer.Arrivals, err = a.arrivals(c, img.Digest); err != nil || !derive {
		return answer, err
	}
	answer.Derived, err = a.derive(c, repo, parts)
	return answer, err
}

// judge says what verdicts of before are worth now.
func (a *API) judge(repo string, verdicts []provenance.Judged) {
	looks := make([]signature.Look, len(verdicts))
	for i := range verdicts {
		looks[i].Verdict = &verdicts[i].Verdict
	}
	a.trust().Weigh(looks, repo, time.Now())
	for i := range verdicts {
		verdicts[i].Standing = &looks[i].Standing
	}
}

// trust is whom the registry trusts to sign images, or nil.
func (a *API) trust() *signature.Trust {
	if a.Trust == nil {
		return nil
	}
	return a.Trust()
}

func (a *API) arrivals(c *call, d digest.Digest) (arrivals []arrival, err error) {
	records, _, err := a.Book.Arrivals(c.Context(), d, a.mayPull(c))
	for _, r := range records[:min(len(records), maxArrivals)] {
		arrivals = append(arrivals, arrival{r.Repository, r.Index, r.Time, r.Actor})
	}
	return arrivals, err
}
