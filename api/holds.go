package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Holds keep images from rules of retention. Errors: registry.ErrUnknown, registry.ErrMayNotHold.
type Holds interface {
	Hold(ctx context.Context, who provenance.Identity, repo string, d digest.Digest, until time.Time, reason string) (*provenance.Record, error) // registry.ErrHold
	Release(ctx context.Context, who provenance.Identity, repo string, d digest.Digest) (*provenance.Record, error)                              // registry.ErrNotHeld
	// HeldImages returns up to n images that are held, and where the next page begins, or nil.
	HeldImages(ctx context.Context, repo string, after *registry.RepoDigest, n int) (list []registry.Held, next *registry.RepoDigest, err error)
}

// heldList is a page of images that are held.
type heldList struct {
	Holds []registry.Held `json:"holds"`
	Next  string          `json:"next,omitempty"`
}

func (l heldList) nextPage() string { return l.Next }

// holds answers GET /api/v1/holds. Only administrators are shown those of all repositories.
func (a *API) holds(c *call) (any, error) {
	q := c.query()
	repo, limit := q.text("repo"), q.limit()
	after := q.place("after")
	if after != nil && repo != "" && after.Repository != repo {
		q.fail("after is of %.150s, and repo of another repository: begin at the first page", after.Repository)
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	switch {
	case repo != "":
		if err := a.mustPull(c, repo); err != nil {
			return nil, err
		}
	case !a.Gate.Administers(c.who):
		return nil, c.forbid("only administrators are shown the holds of all repositories; name one with repo")
	}
	list, next, err := a.Holds.HeldImages(c.Context(), repo, after, limit)
	if err != nil {
		return nil, err
	}
	answer := heldList{Holds: append([]registry.Held{}, list...)}
	if next != nil {
		answer.Next = c.nextURL(map[string]string{"after": next.Repository + "@" + next.Digest.String()})
	}
	return answer, nil
}

// place returns a parameter that is an image, as REPO@DIGEST, or nil.
func (q *query) place(name string) *registry.RepoDigest {
	s := q.text(name)
	if s == "" {
		return nil
	}
	repo, d, _ := strings.Cut(s, "@")
	parsed, err := digest.Parse(d)
	if err != nil || repo == "" {
		q.fail("%s is %.90q, and should be where the former page ended, as team/app@sha256:…", name, s)
		return nil
	}
	return &registry.RepoDigest{Repository: repo, Digest: parsed}
}

// aHold is what holds an image. Ref is a tag or a digest: what the tag means now is held, and not the tag.
type aHold struct {
	Repository string          `json:"repository"`
	Ref        string          `json:"ref"`
	Until      provenance.Time `json:"until"`
	Reason     string          `json:"reason"`
}

// addHold answers POST /api/v1/holds.
func (a *API) addHold(c *call) (any, error) {
	var want aHold
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if want.Repository == "" || want.Ref == "" || want.Until.IsZero() {
		return nil, problemf(http.StatusBadRequest, "a hold has repository, ref, until and reason")
	}
	if err := a.mustDelete(c, want.Repository, "hold its images"); err != nil {
		return nil, err
	}
	image, err := a.Images.Image(c.Context(), want.Repository, want.Ref)
	if err != nil {
		return nil, a.orGone(c.Context(), want.Repository, want.Ref, err)
	}
	r, err := a.Holds.Hold(c.Context(), c.who, want.Repository, image.Digest, want.Until.Time, want.Reason)
	if err != nil {
		return nil, err
	}
	a.Log.Info("an image is held", "repository", want.Repository, "digest", image.Digest, "until", want.Until, "by", c.who.Actor.Handle)
	return created{registry.Held{Repository: want.Repository, Digest: image.Digest, Until: want.Until, Reason: want.Reason, Record: r.Index, By: r.Actor}}, nil
}

// release answers DELETE /api/v1/holds.
func (a *API) release(c *call) (any, error) {
	q := c.query()
	repo, d := q.needed("repo"), q.digest("digest")
	if d == "" {
		q.fail("digest is missing")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustDelete(c, repo, "release its images"); err != nil {
		return nil, err
	}
	if _, err := a.Holds.Release(c.Context(), c.who, repo, d); err != nil {
		return nil, err
	}
	a.Log.Info("an image was released", "repository", repo, "digest", d, "by", c.who.Actor.Handle)
	return done{}, nil
}

// mustDelete is an error where the caller may not delete in a repository.
func (a *API) mustDelete(c *call, repo, to string) error {
	if err := a.mustPull(c, repo); err != nil {
		return err
	}
	if !a.Gate.May(c.who, access.Delete, repo) {
		return c.forbid("only those who may delete in the repository may " + to)
	}
	return nil
}
