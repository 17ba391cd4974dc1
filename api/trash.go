package api

import (
	"context"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Trash is what was deleted and can be brought back.
type Trash interface {
	// TrashPage returns a page of what is in the trash, and where the next begins, or nil.
	TrashPage(ctx context.Context, q registry.TrashQuery) ([]registry.TrashEntry, []byte, error)
	// InTrash returns what the trash has of a digest in a repository, or nil.
	InTrash(ctx context.Context, repo string, d digest.Digest) (*registry.TrashEntry, error)
	// Undelete brings an image back, as a push of the caller's. Errors: those that registry.AnswerOf knows.
	Undelete(ctx context.Context, who provenance.Identity, r *http.Request, repo, ref string) (registry.Undeleted, error)
	// Empty removes what is in the trash for good. Errors: those that registry.AnswerOf knows.
	Empty(ctx context.Context, e registry.Emptying) (manifests int, err error)
}

// trashPage is a page of what is in the trash.
type trashPage struct {
	Trash     []trashEntry         `json:"trash"`
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	Next      string               `json:"next,omitempty"`
}

func (p trashPage) nextPage() string { return p.Next }

// trashEntry is a manifest in the trash, with who deleted it.
type trashEntry struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	MediaType  string           `json:"mediaType"`
	Size       int64            `json:"size"`
	Tags       []string         `json:"tags,omitempty"`
	TagsCut    bool             `json:"tagsCut,omitempty"`
	Record     uint64           `json:"record"`
	Actor      provenance.Actor `json:"actor"`
	Time       provenance.Time  `json:"time"`
	KeptUntil  *provenance.Time `json:"keptUntil,omitempty"`
}

// trash answers GET /api/v1/trash: what is in the repositories that the caller may push to, who could bring it back.
func (a *API) trash(c *call) (any, error) {
	q := c.query()
	repo, limit := q.text("repo"), q.limit()
	after := a.position(q, c.question())
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mayTrash(c, repo); err != nil {
		return nil, err
	}
	found, next, err := a.Trash.TrashPage(c.Context(), registry.TrashQuery{
		Repository: repo, After: after, Limit: limit,
		Visible: func(repo string) bool { return a.Gate.May(c.who, access.Push, repo) },
	})
	if err != nil {
		return nil, err
	}
	page := trashPage{Trash: []trashEntry{}, Next: a.nextHidden(c, next)}
	return a.fillTrash(c.Context(), page, found)
}

func (a *API) mayTrash(c *call, repo string) error {
	if repo == "" {
		return c.narrows()
	}
	if err := a.mustPull(c, repo); err != nil {
		return err
	}
	if !a.Gate.May(c.who, access.Push, repo) {
		return c.forbid("only those who may push to the repository see what is in its trash")
	}
	return nil
}

// fillTrash adds what the records of deletions say.
func (a *API) fillTrash(ctx context.Context, page trashPage, found []registry.TrashEntry) (any, error) {
	indexes := make([]uint64, len(found))
	for i, e := range found {
		indexes[i] = e.Record
	}
	records, err := a.Records.GetAll(ctx, indexes)
	if err != nil {
		return nil, err
	}
	for i, e := range found {
		r := records[i]
		page.Trash = append(page.Trash, trashEntry{
			Repository: e.Repository, Digest: e.Digest, MediaType: e.MediaType, Size: e.Size, Tags: e.Tags, TagsCut: e.TagsCut,
			Record: e.Record, Actor: r.Actor, Time: r.Time, KeptUntil: r.Observed.KeptUntil,
		})
	}
	page.Namesakes, err = a.namesakes(ctx, actorsOf(records))
	return page, err
}

// wantTrash is what is to be brought back, or removed for good.
type wantTrash struct {
	Repository string `json:"repository"`
	Reference  string `json:"reference"`
}

// wantEmpty is what is to be removed for good.
type wantEmpty struct {
	wantTrash
	All bool `json:"all"`
}

// undeleted is what was brought back.
type undeleted struct {
	Repository string         `json:"repository"`
	Digest     digest.Digest  `json:"digest"`
	Manifests  []undeletedOne `json:"manifests"`
	Left       []string       `json:"left,omitempty"`
	// More says that there is more, which the same request, by the digest, brings back.
	More bool `json:"more,omitempty"`
}

type undeletedOne struct {
	Digest digest.Digest `json:"digest"`
	Record uint64        `json:"record"`
	Tags   []string      `json:"tags,omitempty"`
}

// undelete answers POST /api/v1/trash/undelete.
func (a *API) undelete(c *call) (any, error) {
	var want wantTrash
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if want.Repository == "" || want.Reference == "" {
		return nil, problemf(http.StatusBadRequest, "repository and reference say what is to be brought back: a digest, or a tag that it had")
	}
	u, err := a.Trash.Undelete(c.Context(), c.who, c.Request, want.Repository, want.Reference)
	if err != nil {
		return nil, asProblem(err)
	}
	answer := undeleted{Repository: want.Repository, Digest: u.Digest, Left: u.Left, More: u.More}
	for _, r := range u.Records {
		one := undeletedOne{Digest: r.Digest, Record: r.Index}
		for _, t := range r.Tags {
			one.Tags = append(one.Tags, t.Name)
		}
		answer.Manifests = append(answer.Manifests, one)
	}
	return answer, nil
}

// asProblem is the answer to what the registry refuses.
func asProblem(err error) error {
	answer, ok := registry.AnswerOf(err)
	if !ok {
		return err
	}
	p := problemf(answer.Status, "%s", answer.Says)
	p.header = answer.Header
	return p
}

// emptied is how much was removed from the trash.
type emptied struct {
	Manifests int `json:"manifests"`
}

// emptyTrash answers POST /api/v1/trash/empty.
func (a *API) emptyTrash(c *call) (any, error) {
	var want wantEmpty
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if want.All == (want.Repository != "") || want.All && want.Reference != "" {
		return nil, problemf(http.StatusBadRequest, "name a repository, and a reference in it if only that is to go; or empty the whole trash with all")
	}
	n, err := a.Trash.Empty(c.Context(), registry.Emptying{Repository: want.Repository, Reference: want.Reference, Who: c.who})
	if err != nil {
		return nil, asProblem(err)
	}
	a.Log.Info("the trash was emptied", "manifests", n, "repository", want.Repository, "by", c.who.Actor.Handle)
	return emptied{n}, nil
}
