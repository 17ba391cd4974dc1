package api

import (
	"cmp"
	"context"
	"slices"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Grants are who may do what. Errors of a change: access.ErrNotAdmin where by may not administrate what the pattern matches,
// ErrTooHigh, ErrTooMuch, ErrLastAdmin, ErrUnknownUser, ErrUnknownTeam, ErrUnknownRobot.
type Grants interface {
	// Grants returns all that who may know of, in the order of their texts.
	Grants(ctx context.Context, who provenance.Identity, q access.GrantQuery) ([]access.GrantEntry, error)
	Grant(ctx context.Context, by provenance.Identity, g access.Grant) (isNew bool, err error)
	Revoke(ctx context.Context, by provenance.Identity, g access.Grant) error // access.ErrUnknownGrant
	// Why returns the grants that give a subject a right, none where it does not have it.
	Why(ctx context.Context, s access.Subject, right access.Right, repository string) ([]access.GrantEntry, error)
}

// grantPage is a page of grants.
type grantPage struct {
	Grants []access.GrantEntry `json:"grants"`
	Next   string              `json:"next,omitempty"`
}

func (p grantPage) nextPage() string { return p.Next }

// grants answers GET /api/v1/access/grants.
func (a *API) grants(c *call) (any, error) {
	q := c.query()
	want := access.GrantQuery{Repository: q.text("repo"), Subjects: q.either("subject")}
	after, limit := q.words("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	all, err := a.Grants.Grants(c.Context(), c.who, want)
	if err != nil {
		return nil, err
	}
	from, found := slices.BinarySearchFunc(all, after, func(g access.GrantEntry, s string) int { return cmp.Compare(g.String(), s) })
	if found {
		from++
	}
	page := grantPage{Grants: all[from:min(from+limit, len(all))]}
	if from+limit < len(all) {
		page.Next = c.nextURL(map[string]string{"after": all[from+limit-1].String()})
	}
	return page, nil
}

// grant answers POST /api/v1/access/grants.
func (a *API) grant(c *call) (any, error) {
	var g access.Grant
	if err := c.body(&g); err != nil {
		return nil, err
	}
	if g.Subject.Kind == "" || g.Pattern == (access.Pattern{}) || g.Role == 0 {
		return nil, problemf(400, "a grant has a subject, a pattern and a role")
	}
	isNew, err := a.Grants.Grant(c.Context(), c.who, g)
	if err != nil {
		return nil, err
	}
	if !isNew {
		return g, nil
	}
	a.Log.Info("granted", "subject", g.Subject, "pattern", g.Pattern, "role", g.Role, "by", c.who.Actor.Handle)
	return created{g}, nil
}

// revoke answers DELETE /api/v1/access/grants.
func (a *API) revoke(c *call) (any, error) {
	q := c.query()
	var g access.Grant
	q.parsed("subject", &g.Subject)
	q.parsed("pattern", &g.Pattern)
	q.parsed("role", &g.Role)
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.Grants.Revoke(c.Context(), c.who, g); err != nil {
		return nil, err
	}
	a.Log.Info("revoked", "subject", g.Subject, "pattern", g.Pattern, "role", g.Role, "by", c.who.Actor.Handle)
	return done{}, nil
}
