package api

import (
	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/registry"
)

// deletable is what the deletion of an image would do, or that of a tag alone.
type deletable struct {
	Repository string        `json:"repository"`
	Digest     digest.Digest `json:"digest"`
	// Tags would end with it. TagsCut says that it has more than these, and cannot be deleted by the tags that were seen.
	Tags    []string `json:"tags"`
	TagsCut bool     `json:"tagsCut,omitempty"`
	// Refused is why a deletion would be refused now, absent where it would not be.
	Refused string `json:"refused,omitempty"`
	// ListedBy is an index that lists it, and has to be deleted before.
	ListedBy digest.Digest `json:"listedBy,omitempty"`
	// Lists is how many manifests it lists, as an index. They stay where only the image is deleted, and so does what is attached.
	Lists       int        `json:"lists,omitempty"`
	Attached    []attached `json:"attached,omitempty"`
	AttachedCut bool       `json:"attachedCut,omitempty"`
	// Along goes with it where the deletion has AlongID in its header Hallmark-Along. AlongRefused is why that would be refused.
	Along        []belonging   `json:"along,omitempty"`
	AlongID      digest.Digest `json:"alongID,omitempty"`
	AlongRefused string        `json:"alongRefused,omitempty"`
}

// belonging is a manifest that goes along with an image.
type belonging struct {
	Digest       digest.Digest `json:"digest"`
	MediaType    string        `json:"mediaType"`
	ArtifactType string        `json:"artifactType,omitempty"`
	Tags         []string      `json:"tags,omitempty"`
	ListedBy     digest.Digest `json:"listedBy,omitempty"`
	AttachedTo   digest.Digest `json:"attachedTo,omitempty"`
}

func belongingOf(b registry.Belonging) belonging {
	shown := belonging{Digest: b.Digest, MediaType: b.MediaType, ArtifactType: b.ArtifactType, Tags: b.Tags}
	if b.Lists {
		shown.ListedBy = b.To
	} else {
		shown.AttachedTo = b.To
	}
	return shown
}

// deletable answers GET /api/v1/deletable.
func (a *API) deletable(c *call) (any, error) {
	q := c.query()
	repo, ref, tag := q.needed("repo"), q.digest("digest"), q.text("tag")
	switch {
	case ref == "" && tag == "":
		q.fail("digest is missing, or tag")
	case ref != "" && tag != "":
		q.fail("digest and tag: a deletion is of one of them")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	if !a.Gate.May(c.who, access.Delete, repo) {
		return nil, c.forbid("only those who may delete in the repository are told what a deletion would do")
	}
	if tag != "" {
		return a.deletableTag(c, repo, tag)
	}
	x, err := a.Images.Deletable(c.Context(), repo, ref)
	if err != nil {
		return nil, a.orGone(c.Context(), repo, ref.String(), err)
	}
	answer := deletable{
		Repository: repo, Digest: ref, Tags: append([]string{}, x.Tags...), TagsCut: x.TagsCut, Refused: x.Refused,
		ListedBy: x.ListedBy, Lists: x.Lists, AttachedCut: x.AttachedCut, AlongID: x.AlongID, AlongRefused: x.AlongRefused,
	}
	for _, b := range x.Along {
		answer.Along = append(answer.Along, belongingOf(b))
	}
	for _, r := range x.Attached {
		answer.Attached = append(answer.Attached, attached{Digest: r.Digest, ArtifactType: r.ArtifactType})
	}
	return answer, nil
}

// deletableTag says what the deletion of a tag alone would do: its image stays.
func (a *API) deletableTag(c *call, repo, tag string) (any, error) {
	means, refused, err := a.Images.DeletableTag(c.Context(), repo, tag)
	if err != nil {
		return nil, a.orGone(c.Context(), repo, tag, err)
	}
	return deletable{Repository: repo, Digest: means, Tags: []string{tag}, Refused: refused}, nil
}
