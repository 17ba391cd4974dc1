package api

import (
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/seed-260924e6/hallmark/provenance"
)

// repositoryPage is a page of repositories.
type repositoryPage struct {
	Repositories []repositoryEntry `json:"repositories"`
	Next         string            `json:"next,omitempty"`
}

type repositoryEntry struct {
	Name string `json:"name"`
}

func (p repositoryPage) nextPage() string { return p.Next }

// repositories answers GET /api/v1/repositories.
func (a *API) repositories(c *call) (any, error) {
	q := c.query()
	after, limit := q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	found, next, err := a.Registry.Repositories(c.Context(), c.who, after, limit)
	if err != nil {
		return nil, err
	}
	page := repositoryPage{Repositories: []repositoryEntry{}}
	for _, name := range found {
		page.Repositories = append(page.Repositories, repositoryEntry{name})
	}
	if next != "" {
		page.Next = c.nextURL(map[string]string{"after": next})
	}
	return page, nil
}

// tagPage is a page of tags.
type tagPage struct {
	Repository string     `json:"repository"`
	Tags       []tagEntry `json:"tags"`
	Next       string     `json:"next,omitempty"`
}

// tagEntry is a tag with who set it to what, and when.
type tagEntry struct {
	Name      string           `json:"name"`
	Digest    digest.Digest    `json:"digest"`
	MediaType string           `json:"mediaType,omitempty"`
	Size      int64            `json:"size,omitempty"`      // of the manifest, in bytes
	ImageSize int64            `json:"imageSize,omitempty"` // of the config and the layers, in bytes
	Actor     provenance.Actor `json:"actor"`
	Time      provenance.Time  `json:"time"`
	Record    uint64           `json:"record"`
}

func (p tagPage) nextPage() string { return p.Next }

// tags answers GET /api/v1/tags.
func (a *API) tags(c *call) (any, error) {
	q := c.query()
	repo, after, limit := q.needed("repo"), q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	found, more, err := a.Registry.Tags(c.Context(), repo, after, limit)
	if err != nil {
		return nil, err
	}
	page := tagPage{Repository: repo, Tags: []tagEntry{}}
	for _, t := range found {
		r, err := a.Book.Get(c.Context(), t.Record)
		if err != nil {
			return nil, err
		}
		page.Tags = append(page.Tags, tagEntry{
			Name: t.Name, Digest: t.Digest, MediaType: r.Observed.MediaType, Size: r.Observed.Size,
			ImageSize: r.Observed.ImageSize, Actor: r.Actor, Time: r.Time, Record: t.Record,
		})
	}
	if more {
		page.Next = c.nextURL(map[string]string{"after": found[len(found)-1].Name})
	}
	return page, nil
}

// imageAnswer is a manifest together with what is known of it, by class of evidence.
type imageAnswer struct {
	Repository string             `json:"repository"`
	Reference  string             `json:"reference"`
	Descriptor ocispec.Descriptor `json:"descriptor"` // annotations included
	Children   []provenance.Child `json:"children,omitempty"`
	Tags       []string           `json:"tags,omitempty"` // that mean it now
	Record     uint64             `json:"record"`         // that of its Hallmark-Record header
	Provenance byClass            `json:"provenance"`
	// Older is where the records are that were too many to look at.
	Older string `json:"older,omitempty"`
}

// byClass is what records say of one digest in one repository.
type byClass struct {
	Observed      []observed      `json:"observed"`
	Authenticated []authenticated `json:"authenticated,omitempty"`
	Claimed       []claimed       `json:"claimed,omitempty"`
}

// observed is one thing that happened to the image.
type observed struct {
	Record uint64               `json:"record"`
	Time   provenance.Time      `json:"time"`
	Action provenance.Action    `json:"action"`
	Tags   []provenance.TagMove `json:"tags,omitempty"`
}

// authenticated is who did some of it, as the login proved.
type authenticated struct {
	provenance.Login
	Actor   provenance.Actor `json:"actor"`
	Records []uint64         `json:"records"`
}

// claimed is what was claimed with some of it.
type claimed struct {
	provenance.Claim
	Records []uint64 `json:"records"`
}

// maxLooked bounds the records that one answer sums up.
const maxLooked = 100

// image answers GET /api/v1/image.
func (a *API) image(c *call) (any, error) {
	q := c.query()
	repo, ref := q.needed("repo"), q.needed("ref")
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
	page, err := a.Book.Find(c.Context(), provenance.Query{Repository: repo, Digest: img.Digest, Descending: true, Limit: maxLooked})
	if err != nil {
		return nil, err
	}
	answer := imageAnswer{
		Repository: repo, Reference: ref, Children: img.Children, Tags: img.Tags, Record: img.Record,
		Descriptor: ocispec.Descriptor{
			MediaType: img.MediaType, ArtifactType: img.ArtifactType, Digest: img.Digest, Size: img.Size, Annotations: img.Annotations,
		},
		Provenance: sumUp(page.Records),
	}
	if page.Next != nil {
		older := url.Values{"repo": {repo}, "digest": {img.Digest.String()}, "after": {strconv.FormatUint(*page.Next, 10)}}
		answer.Older = "/api/v1/records?" + older.Encode()
	}
	return answer, nil
}

// sumUp sorts records into classes. The same login, or the same claim, of several records stands once.
func sumUp(records []*provenance.Record) (sum byClass) {
	for _, r := range records {
		sum.Observed = append(sum.Observed, observed{r.Index, r.Time, r.Action, r.Tags})
		sum.addLogin(r)
		for _, claim := range r.Claimed {
			sum.addClaim(claim, r.Index)
		}
	}
	return sum
}

func (sum *byClass) addLogin(r *provenance.Record) {
	if r.Authenticated == nil {
		return
	}
	for i := range sum.Authenticated {
		known := &sum.Authenticated[i]
		if known.Actor == r.Actor && known.Method == r.Authenticated.Method && known.Issuer == r.Authenticated.Issuer && known.Credential == r.Authenticated.Credential {
			known.Records = append(known.Records, r.Index)
			return
		}
	}
	sum.Authenticated = append(sum.Authenticated, authenticated{*r.Authenticated, r.Actor, []uint64{r.Index}})
}

func (sum *byClass) addClaim(claim provenance.Claim, record uint64) {
	for i := range sum.Claimed {
		if sum.Claimed[i].Claim == claim {
			sum.Claimed[i].Records = append(sum.Claimed[i].Records, record)
			return
		}
	}
	sum.Claimed = append(sum.Claimed, claimed{claim, []uint64{record}})
}
