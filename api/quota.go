package api

import (
	"context"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Quotas bound what repositories use, and tell what takes the room.
type Quotas interface {
	Quotas(ctx context.Context) ([]registry.QuotaUse, error)
	QuotasOf(ctx context.Context, repo string) ([]registry.QuotaUse, error) // those that hold for a repository
	// SetQuota makes a quota, or changes the one of its pattern. Errors: registry.ErrQuota, registry.ErrTooManyQuotas.
	SetQuota(ctx context.Context, by provenance.Identity, q registry.Quota) (isNew bool, err error)
	// RemoveQuota removes the quota of a pattern. Error: registry.ErrUnknownQuota.
	RemoveQuota(ctx context.Context, by provenance.Identity, p access.Pattern) error
	// Rooms returns what takes the room in up to n repositories behind a place, and where to go on, or nil.
	Rooms(ctx context.Context, p access.Pattern, after []byte, n int) (rooms []registry.Room, next []byte, err error)
}

// quotaList are all quotas. There are at most 1000: they come all at once.
type quotaList struct {
	Quotas []registry.QuotaUse `json:"quotas"`
}

// quotas answers GET /api/v1/quota: all for administrators, those of a repository for who may push into it.
func (a *API) quotas(c *call) (any, error) {
	q := c.query()
	repo := q.text("repo")
	if err := q.end(); err != nil {
		return nil, err
	}
	var list []registry.QuotaUse
	var err error
	if repo == "" {
		if !a.Gate.Administers(c.who) {
			return nil, c.forbid("only administrators may do this; ask one, or name a repository that you may push to")
		}
		list, err = a.Quotas.Quotas(c.Context())
	} else {
		if err := a.mustPull(c, repo); err != nil {
			return nil, err
		}
		if !a.Gate.May(c.who, access.Push, repo) {
			return nil, c.forbid("only those who may push into the repository are told its quotas")
		}
		list, err = a.Quotas.QuotasOf(c.Context(), repo)
	}
	if err != nil {
		return nil, err
	}
	return quotaList{append([]registry.QuotaUse{}, list...)}, nil
}

// setQuota answers PUT /api/v1/quota.
func (a *API) setQuota(c *call) (any, error) {
	var q registry.Quota
	if err := c.body(&q); err != nil {
		return nil, err
	}
	isNew, err := a.Quotas.SetQuota(c.Context(), c.who, q)
	if err != nil {
		return nil, err
	}
	a.Log.Info("a quota was set", "pattern", q.Pattern, "bytes", q.Bytes, "soft", q.Soft, "tags", q.Tags, "by", c.who.Actor.Handle)
	if isNew {
		return created{q}, nil
	}
	return q, nil
}

// removeQuota answers DELETE /api/v1/quota.
func (a *API) removeQuota(c *call) (any, error) {
	q := c.query()
	var p access.Pattern
	q.parsed("pattern", &p)
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.Quotas.RemoveQuota(c.Context(), c.who, p); err != nil {
		return nil, err
	}
	a.Log.Info("a quota was removed", "pattern", p, "by", c.who.Actor.Handle)
	return done{}, nil
}

// roomPage is what takes the room in some repositories.
type roomPage struct {
	Repositories []registry.Room `json:"repositories"`
	Next         string          `json:"next,omitempty"`
}

func (p roomPage) nextPage() string { return p.Next }

// usage answers GET /api/v1/usage.
func (a *API) usage(c *call) (any, error) {
	q := c.query()
	pattern := access.Everything
	if text := q.text("pattern"); text != "" {
		var err error
		if pattern, err = access.ParsePattern(text); err != nil {
			q.fail("%v", err)
		}
	}
	after := a.position(q, c.question())
	limit := q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	rooms, next, err := a.Quotas.Rooms(c.Context(), pattern, after, limit)
	if err != nil {
		return nil, err
	}
	return roomPage{Repositories: append([]registry.Room{}, rooms...), Next: a.nextHidden(c, next)}, nil
}
