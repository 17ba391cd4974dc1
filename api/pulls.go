package api

import (
	"context"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// A Puller is what is known of pulls.
type Puller interface {
	// PullsOf returns what is known of the pulls of repositories, tags and digests.
	PullsOf(ctx context.Context, refs []registry.PullRef) ([]registry.Pulls, error)
	// ForgetPulls forgets the pulls of a repository, or all where it is "". Error: registry.ErrUnknown.
	ForgetPulls(ctx context.Context, repo string) error
}

// pulls are what is known of the pulls of something. They may lag by a minute.
type pulls struct {
	Since  provenance.Time  `json:"since"`          // every pull is counted since then, and nothing is claimed of the time before
	Last   *provenance.Time `json:"last,omitempty"` // absent where none is known
	Lately uint64           `json:"lately"`         // how many in the last 30 days
	Days   []pullDay        `json:"days,omitempty"` // of one image alone
}

// pullDay is how many pulls a day had.
type pullDay struct {
	Day   string `json:"day"` // in UTC
	Pulls uint64 `json:"pulls"`
}

// lately is what is called so.
const lately = 30 * 24 * time.Hour

func pullsIn(p registry.Pulls, now time.Time) pulls {
	out := pulls{Since: provenance.At(p.Since)}
	if !p.Last.IsZero() {
		last := provenance.At(p.Last)
		out.Last = &last
	}
	for _, d := range p.Days {
		if d.Day.After(now.Add(-lately)) {
			out.Lately += d.Pulls
		}
		out.Days = append(out.Days, pullDay{d.Day.Format(time.DateOnly), d.Pulls})
	}
	return out
}

// listedPulls are the pulls of what a list shows, without their days.
func (a *API) listedPulls(c *call, refs []registry.PullRef) ([]pulls, error) {
	found, err := a.Puller.PullsOf(c.Context(), refs)
	if err != nil {
		return nil, err
	}
	all, now := make([]pulls, len(found)), time.Now()
	for i, p := range found {
		all[i] = pullsIn(p, now)
		all[i].Days = nil
	}
	return all, nil
}

// imagePulls says when an image was pulled, and when the tag by which it was asked for.
func (a *API) imagePulls(c *call, answer *imageAnswer) error {
	d := answer.Descriptor.Digest.String()
	refs := []registry.PullRef{{Repository: answer.Repository, Ref: d}}
	if answer.Reference != d {
		refs = append(refs, registry.PullRef{Repository: answer.Repository, Ref: answer.Reference})
	}
	found, err := a.Puller.PullsOf(c.Context(), refs)
	if err != nil {
		return err
	}
	now := time.Now()
	of := pullsIn(found[0], now)
	answer.Pulls = &of
	if len(found) > 1 {
		by := pullsIn(found[1], now)
		answer.TagPulls = &by
	}
	return nil
}

// forgetPulls answers DELETE /api/v1/pulls.
func (a *API) forgetPulls(c *call) (any, error) {
	q := c.query()
	repo, all := q.text("repo"), q.oneOf("all", "true", "false") == "true"
	if all == (repo != "") {
		q.fail("name a repository with repo, or forget the pulls of all with all=true")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.Puller.ForgetPulls(c.Context(), repo); err != nil {
		return nil, err
	}
	a.Log.Info("pulls were forgotten", "repository", repo, "all", all, "by", c.who.Actor.Handle)
	return done{}, nil
}
