package api

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/image"
	"github.com/seed-260924e6/hallmark/trust/signature"
)

// Testimonies are what the records say of an image.
type Testimonies interface {
	// Testimony returns the newest records about an image and its parts.
	Testimony(ctx context.Context, repo string, parts []digest.Digest) (provenance.Testimony, error)
	// Acts returns what was done with an image, in repositories that are visible.
	Acts(ctx context.Context, q provenance.ActsOf) (provenance.Acts, error)
	// Holds says whether a log is the registry's own, and whether it holds a statement at an index.
	Holds(ctx context.Context, origin string, index uint64, payload []byte) (ours, held bool, err error)
}

// Layers compare images by what they are made of, in repositories that are visible.
type Layers interface {
	// BasesByLayers returns images with whose layers the one at p begins. Error: registry.ErrUnknown.
	BasesByLayers(ctx context.Context, p registry.RepoDigest, visible func(repository string) bool) ([]registry.LayerBase, error)
	// OnLayers returns up to limit images whose layers begin with those of the one at p, and whether there are others.
	OnLayers(ctx context.Context, p registry.RepoDigest, visible func(repository string) bool, limit int) ([]registry.Layered, bool, error)
}

// imageAnswer is a manifest together with what is known of it, by class of evidence.
type imageAnswer struct {
	Repository string             `json:"repository"`
	Reference  string             `json:"reference"`
	Descriptor ocispec.Descriptor `json:"descriptor"` // annotations included
	Children   []provenance.Child `json:"children,omitempty"`
	Tags       []string           `json:"tags,omitempty"` // that mean it now
	Record     uint64             `json:"record"`         // that of its Hallmark-Record header
	Pulls      *pulls             `json:"pulls,omitempty"`
	TagPulls   *pulls             `json:"tagPulls,omitempty"` // of Reference, where that is a tag
	Provenance provenance.ByClass `json:"provenance"`
	// Contradictions are facts that are stated in ways that cannot all be true.
	Contradictions []provenance.Contradiction `json:"contradictions,omitempty"`
	// Words are what other registries' records that came with it say, and what that is worth now. They are no signatures.
	Words []provenance.WeighedWord `json:"words,omitempty"`
	// Acts are what was done with this digest, as far as the caller may see. Its namesakes are those of the whole answer.
	provenance.Acts
	// Built is what is said of how it was built, never by a login.
	Built *provenance.Built `json:"built,omitempty"`
	// Witnessed is who has seen Record in the log, absent where nobody has.
	Witnessed *witnessed `json:"witnessed,omitempty"`
	// Derived is what nobody says and follows from other images, when asked for: it is in no record.
	Derived *derived `json:"derived,omitempty"`
	// Cut are the lists here that are not whole, beside those of Older.
	Cut []string `json:"cut,omitempty"`
	// Older is where the records are that were too many to look at.
	Older string `json:"older,omitempty"`
}

// derived is what follows from the layers.
type derived struct {
	Bases []derivedBase `json:"bases"`
}

// derivedBase is an image with whose layers another begins, the longest such that the caller may see. The
// same may be in several repositories.
type derivedBase struct {
	About      digest.Digest `json:"about"` // the image, or one that it lists
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	Tags       []string      `json:"tags,omitempty"`
	Layers     int           `json:"layers"` // how many
	Rule       string        `json:"rule"`
	Compared   string        `json:"compared"` // layers or diffIDs
}

// derive finds bases by layers.
func (a *API) derive(c *call, repo string, parts []digest.Digest) (*derived, error) {
	answer := &derived{Bases: []derivedBase{}}
	for _, d := range parts[:min(len(parts), maxDerived)] {
		bases, err := a.Layers.BasesByLayers(c.Context(), registry.RepoDigest{Repository: repo, Digest: d}, a.mayPull(c))
		if err != nil {
			return nil, err
		}
		for _, b := range bases {
			presence, err := a.Images.Presences(c.Context(), []registry.RepoDigest{b.RepoDigest})
			if err != nil {
				return nil, err
			}
			answer.Bases = append(answer.Bases, derivedBase{d, b.Repository, b.Digest, presence[0].Tags, b.Layers, "longest layer prefix", compared(b.Layered)})
		}
	}
	return answer, nil
}

// maxDerived bounds the manifests whose bases are derived: the image and what it lists.
const maxDerived = 16

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
	answer, err := a.describe(c, repo, ref, a.mayPull(c))
	if err != nil {
		return nil, err
	}
	if err := a.imagePulls(c, answer); err != nil {
		return nil, err
	}
	if answer.Witnessed, err = a.witnessedBy(c.Context(), answer.Record); err != nil || !derive {
		return answer, err
	}
	parts := provenance.Parts(answer.Descriptor.Digest, answer.Children)
	answer.Derived, err = a.derive(c, repo, parts)
	if err == nil && (len(answer.Derived.Bases) >= registry.MaxBases || len(parts) > maxDerived) {
		answer.Cut = append(answer.Cut, "derived.bases")
	}
	return answer, err
}

// newImageAnswer is what the registry itself saw of an image.
func newImageAnswer(repo, ref string, img *registry.Image) *imageAnswer {
	return &imageAnswer{
		Repository: repo, Reference: ref, Children: img.Children, Tags: img.Tags, Record: img.Record,
		Descriptor: ocispec.Descriptor{
			MediaType: img.MediaType, ArtifactType: img.ArtifactType, Digest: img.Digest, Size: img.Size, Annotations: provenance.CutSecretsIn(img.Annotations),
		},
	}
}

// noteCut names a list of which there may be more than is shown.
func (answer *imageAnswer) noteCut(is bool, list string) {
	if is {
		answer.Cut = append(answer.Cut, list)
	}
}

// describe says what is known of an image that the caller may pull, from the records of the repositories that are visible.
func (a *API) describe(c *call, repo, ref string, visible func(repo string) bool) (*imageAnswer, error) {
	img, err := a.Images.Image(c.Context(), repo, ref)
	if err != nil {
		return nil, a.orGone(c.Context(), repo, ref, err)
	}
	answer := newImageAnswer(repo, ref, img)
	parts := provenance.Parts(img.Digest, img.Children)
	said, err := a.Testimonies.Testimony(c.Context(), repo, parts)
	if err != nil {
		return nil, err
	}
	if said.Next != nil {
		older := url.Values{"repo": {repo}, "digest": {img.Digest.String()}, "after": {strconv.FormatUint(*said.Next, 10)}}
		answer.Older = "/api/v1/records?" + older.Encode()
	}
	answer.Provenance = provenance.SumUp(said.Records, said.Beside, parts)
	from := image.Local{From: a.Content, Repository: repo, Absent: registry.ErrUnknown}
	judgment := image.Judgment{Trust: a.trust(), From: from, Repository: repo, Now: time.Now()}
	if _, err := judgment.Of(c.Context(), img.Digest, &answer.Provenance); err != nil {
		return nil, err
	}
	cut, err := a.listen(c, answer, from, said.Records)
	if err != nil {
		return nil, err
	}
	if answer.Acts, err = a.acts(c, repo, ref, img.Digest, visible); err != nil {
		return nil, err
	}
	if answer.Namesakes, err = a.namesakes(c.Context(), answer.actors()); err != nil {
		return nil, err
	}
	answer.Built = answer.Provenance.Built()
	if answer.Contradictions, err = a.contradictions(c, answer, visible); err != nil {
		return nil, err
	}
	answer.Cut = said.Cut(len(img.Children))
	answer.noteCut(len(img.Tags) == registry.MaxTags, "tags")
	answer.noteCut(cut, "words")
	answer.noteCut(answer.ArrivalsCut, "arrivals")
	return answer, nil
}

// maxBases bounds the digests whose families are looked up for one image. An image has one base, in two forms at most.
const maxBases = 4

// contradictions are the facts about an image that cannot all be true. Two digests name one base where one of them is an
// index, as far as the caller may see it, that lists the other: some clients write down the one, and some the other.
func (a *API) contradictions(c *call, answer *imageAnswer, visible func(repo string) bool) ([]provenance.Contradiction, error) {
	families := map[string][]digest.Digest{}
	var failed error
	lists := func(index, d string) bool {
		if _, known := families[index]; !known && len(families) < maxBases && digest.Digest(index).Validate() == nil {
			family, err := a.Origins.Family(c.Context(), digest.Digest(index), visible)
			families[index], failed = family, errors.Join(failed, err)
		}
		return slices.Contains(families[index], digest.Digest(d))
	}
	oneBase := func(one, other string) bool { return lists(one, other) || lists(other, one) }
	found := answer.Provenance.Contradictions(answer.Descriptor.Digest, answer.First, oneBase)
	return found, failed
}

// listen adds what other registries say of the image, and when that was first verified by the records about it.
func (a *API) listen(c *call, answer *imageAnswer, from image.Local, records []*provenance.Record) (cut bool, err error) {
	l := image.Listener{From: from, Repository: from.Repository, Trust: a.trust().Words(), Holds: a.Testimonies.Holds}
	answer.Words, cut, err = l.Words(c.Context(), answer.Descriptor.Digest)
	l.Remember(answer.Words, records)
	return cut, err
}

// trust is whom the registry trusts to sign images, or nil.
func (a *API) trust() *signature.Trust {
	if a.Trust == nil {
		return nil
	}
	return a.Trust()
}

// acts are what was done with an image, as far as records of visible repositories say.
func (a *API) acts(c *call, repo, ref string, d digest.Digest, visible func(repo string) bool) (provenance.Acts, error) {
	_, body, err := a.Content.Manifest(c.Context(), repo, d.String())
	if err != nil {
		return provenance.Acts{}, err
	}
	about, err := image.Describe(body)
	if err != nil {
		return provenance.Acts{}, err
	}
	q := provenance.ActsOf{Repository: repo, Digest: d, Platforms: about.Platforms}
	if ref != d.String() {
		q.Tag = ref
	}
	return a.visibleRecords(visible).Acts(c.Context(), q)
}

// visibleRecords are records as far as somebody may see them.
type visibleRecords struct {
	Records
	testimonies Testimonies
	visible     func(repository string) bool
	holders     provenance.Holders
}

func (a *API) visibleRecords(visible func(repository string) bool) visibleRecords {
	return visibleRecords{a.Records, a.Testimonies, visible, a.Accounts.Holders}
}

// Acts implements image.Records.
func (r visibleRecords) Acts(ctx context.Context, q provenance.ActsOf) (provenance.Acts, error) {
	q.Visible, q.Holders = r.visible, r.holders
	return r.testimonies.Acts(ctx, q)
}
