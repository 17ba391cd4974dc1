package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/seed-260924e6/hallmark/internal/peer"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust/image"
)

// report answers GET /api/v1/report: the graded report about an image.
func (a *API) report(c *call) (any, error) {
	q := c.query()
	repo, ref := q.needed("repo"), q.needed("ref")
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	r, err := a.inspect(c, repo, ref, a.mayPull(c))
	if err != nil {
		return nil, err
	}
	// Lists show a grade that holds for everybody. What this caller is shown may be less, and tells of the tag that they asked for.
	a.Policy.KeepReport(repo, r.Digest)
	return r, nil
}

// inspect grades an image that the caller may pull, by what is in the repositories that are visible.
func (a *API) inspect(c *call, repo, ref string, visible func(repo string) bool) (*image.Report, error) {
	// An inspection may read many MB: few are made at once.
	switch err := a.inspecting.take(c.Context(), c.caller()); {
	case errors.Is(err, errLine):
		return nil, problemf(http.StatusTooManyRequests, "%s", err).retryAfter(1)
	case err != nil:
		return nil, err
	}
	defer a.inspecting.done()
	failed := new(failures)
	content, records := seenContent{a.Content, failed}, seenRecords{a.visibleRecords(visible), failed}
	from := image.Local{From: content, Repository: repo, Absent: registry.ErrUnknown}
	r, err := image.Inspect(c.Context(), from, ref, image.Config{
		Subject: a.host() + "/" + repo, Repository: repo, Records: records,
		Fixed:   func(ctx context.Context, tag string) (string, error) { return content.Fixed(ctx, repo, tag) },
		Resolve: image.NewLocalResolver(content, records, a.host(), registry.ErrUnknown, visible),
		Trust:   a.trust(), Holds: records.Holds,
	})
	if failure := failed.seen(); failure != nil {
		return nil, failure
	}
	if errors.Is(err, image.ErrNotFound) {
		if gone := a.orGone(c.Context(), repo, ref, registry.ErrUnknown); !errors.Is(gone, registry.ErrUnknown) {
			return nil, gone
		}
		return nil, problemf(http.StatusNotFound, "%s", err)
	}
	return r, err
}

// caller is who takes turns with others: an account, or an address from where nobody signed in.
func (c *call) caller() string {
	if c.isStranger() || c.who.Actor.Account == "" {
		return "address " + peer.Address(c.Request)
	}
	return "account " + c.who.Actor.Account
}

// host is the registry as it stands in image names.
func (a *API) host() string {
	u, err := url.Parse(a.URL)
	if err != nil {
		return a.URL
	}
	return u.Host
}
