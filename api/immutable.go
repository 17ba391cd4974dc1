package api

import (
	"context"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// TagRules are the rules that keep tags as they are. Errors of a change: those of [Grants].
type TagRules interface {
	Fixes(who provenance.Identity) []access.FixedTags // those that who may know of
	Fix(ctx context.Context, by provenance.Identity, f access.FixedTags) (isNew bool, err error)
	Unfix(ctx context.Context, by provenance.Identity, f access.FixedTags) error // access.ErrUnknownRule
}

// tagRules are rules for tags. There are at most 1000: they come all at once.
type tagRules struct {
	Immutable []access.FixedTags `json:"immutable"`
}

// immutable answers GET /api/v1/access/immutable.
func (a *API) immutable(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	return tagRules{Immutable: append([]access.FixedTags{}, a.TagRules.Fixes(c.who)...)}, nil
}

// makeImmutable answers POST /api/v1/access/immutable.
func (a *API) makeImmutable(c *call) (any, error) {
	var f access.FixedTags
	if err := c.body(&f); err != nil {
		return nil, err
	}
	if f.Repositories == (access.Pattern{}) || f.Tags == (access.Glob{}) {
		return nil, problemf(400, "a rule has repositories and tags")
	}
	isNew, err := a.TagRules.Fix(c.Context(), c.who, f)
	if err != nil {
		return nil, err
	}
	if !isNew {
		return f, nil
	}
	a.Log.Info("tags made immutable", "repositories", f.Repositories, "tags", f.Tags, "by", c.who.Actor.Handle)
	return created{f}, nil
}

// makeMutable answers DELETE /api/v1/access/immutable.
func (a *API) makeMutable(c *call) (any, error) {
	q := c.query()
	var f access.FixedTags
	q.parsed("repositories", &f.Repositories)
	q.parsed("tags", &f.Tags)
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.TagRules.Unfix(c.Context(), c.who, f); err != nil {
		return nil, err
	}
	a.Log.Info("tags made mutable", "repositories", f.Repositories, "tags", f.Tags, "by", c.who.Actor.Handle)
	return done{}, nil
}
