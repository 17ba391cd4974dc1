package api

import (
	"context"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Images are what is in the repositories now.
type Images interface {
	// Repositories returns up to n names behind last that who may pull, and where the next page begins, or "".
	Repositories(ctx context.Context, who provenance.Identity, last string, n int) (names []string, next string, err error)
	// Tags returns up to n tags behind last, and where the next page begins, or "". Error: registry.ErrUnknown.
	Tags(ctx context.Context, repo, last string, n int) (tags []registry.TagEntry, next string, err error)
	// DigestsLike returns up to n digests that begin with a prefix.
	DigestsLike(ctx context.Context, repo, prefix string, n int) ([]digest.Digest, error)
	// Image returns what a tag or digest means. Error: registry.ErrUnknown.
	Image(ctx context.Context, repo, ref string) (*registry.Image, error)
	// Presences says of each image whether its repository has it, and which tags mean it.
	Presences(ctx context.Context, images []registry.RepoDigest) ([]registry.Presence, error)
}

// repositoryPage is a page of repositories.
type repositoryPage struct {
	Repositories []repositoryEntry `json:"repositories"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	Next      string               `json:"next,omitempty"`
}

type repositoryEntry struct {
	Name   string  `json:"name"`
	Newest *newest `json:"newest,omitempty"`
}

// newest is what happened last in a repository.
type newest struct {
	Record uint64            `json:"record"`
	Time   provenance.Time   `json:"time"`
	Action provenance.Action `json:"action"`
	Actor  provenance.Actor  `json:"actor"`
}

func (p repositoryPage) nextPage() string { return p.Next }

// repositories answers GET /api/v1/repositories.
func (a *API) repositories(c *call) (any, error) {
	q := c.query()
	after, limit := q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	found, next, err := a.Images.Repositories(c.Context(), access.Lister(c.who), after, limit)
	if err != nil {
		return nil, err
	}
	page := repositoryPage{Repositories: []repositoryEntry{}}
	var actors []provenance.Actor
	for _, name := range found {
		last, err := a.Records.Last(c.Context(), name)
		switch {
		case isOne(err, provenance.ErrNoRecord):
			page.Repositories = append(page.Repositories, repositoryEntry{Name: name})
		case err != nil:
			return nil, err
		default:
			page.Repositories = append(page.Repositories, repositoryEntry{name, &newest{last.Index, last.Time, last.Action, last.Actor}})
			actors = append(actors, last.Actor)
		}
	}
	if next != "" {
		page.Next = c.nextURL(map[string]string{"after": next})
	}
	page.Namesakes, err = a.namesakes(c.Context(), actors)
	return page, err
}

// tagPage is a page of tags.
type tagPage struct {
	Repository string     `json:"repository"`
	Tags       []tagEntry `json:"tags"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	Next      string               `json:"next,omitempty"`
}

// tagEntry is a tag with who set it to what, and when.
type tagEntry struct {
	Name      string           `json:"name"`
	Digest    digest.Digest    `json:"digest"`
	MediaType string           `json:"mediaType,omitempty"`
	Size      int64            `json:"size,omitempty"`      // of the manifest, in bytes
	ImageSize int64            `json:"imageSize,omitempty"` // of the config and the layers that are here, in bytes
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
	found, next, err := a.Images.Tags(c.Context(), repo, after, limit)
	if err != nil {
		return nil, err
	}
	page := tagPage{Repository: repo, Tags: []tagEntry{}}
	var actors []provenance.Actor
	for _, t := range found {
		r, err := a.Records.Get(c.Context(), t.Record)
		if err != nil {
			return nil, err
		}
		actors = append(actors, r.Actor)
		page.Tags = append(page.Tags, tagEntry{
			Name: t.Name, Digest: t.Digest, MediaType: r.Observed.MediaType, Size: r.Observed.Size,
			ImageSize: r.Observed.ImageSize, Actor: r.Actor, Time: r.Time, Record: t.Record,
		})
	}
	if next != "" {
		page.Next = c.nextURL(map[string]string{"after": next})
	}
	page.Namesakes, err = a.namesakes(c.Context(), actors)
	return page, err
}
