package api

import (
	"context"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Teams are groups of users. Errors: access.ErrUserName, ErrTeamExists, ErrUnknownTeam, ErrUnknownUser, ErrNotMember,
// ErrTooMuch, ErrLastAdmin.
type Teams interface {
	Teams(ctx context.Context, after string, limit int) ([]access.TeamEntry, error) // by name
	Team(ctx context.Context, name string) (access.TeamEntry, error)
	AddTeam(ctx context.Context, by provenance.Identity, name string) error
	RemoveTeam(ctx context.Context, by provenance.Identity, name string) error
	JoinTeam(ctx context.Context, by provenance.Identity, name string, users []string) error
	LeaveTeam(ctx context.Context, by provenance.Identity, name string, users []string) error
}

// teamPage is a page of teams.
type teamPage struct {
	Teams []access.TeamEntry `json:"teams"`
	Next  string             `json:"next,omitempty"`
}

func (p teamPage) nextPage() string { return p.Next }

// teams answers GET /api/v1/access/teams.
func (a *API) teams(c *call) (any, error) {
	q := c.query()
	after, limit := q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	found, err := a.Teams.Teams(c.Context(), after, limit+1)
	if err != nil {
		return nil, err
	}
	var page teamPage
	page.Teams, page.Next = pageOf(c, found, limit, func(one access.TeamEntry) string { return one.Name })
	return page, nil
}

// addTeam answers POST /api/v1/access/teams.
func (a *API) addTeam(c *call) (any, error) {
	var want struct {
		Name string `json:"name"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if err := a.Teams.AddTeam(c.Context(), c.who, want.Name); err != nil {
		return nil, err
	}
	a.Log.Info("team added", "team", want.Name, "by", c.who.Actor.Handle)
	return created{access.TeamEntry{Name: want.Name, Members: []string{}}}, nil
}

// removeTeam answers DELETE /api/v1/access/teams/{name}.
func (a *API) removeTeam(c *call) (any, error) {
	if err := a.Teams.RemoveTeam(c.Context(), c.who, c.PathValue("name")); err != nil {
		return nil, err
	}
	a.Log.Info("team removed", "team", c.PathValue("name"), "by", c.who.Actor.Handle)
	return done{}, nil
}

// joinTeam answers POST /api/v1/access/teams/{name}/members.
func (a *API) joinTeam(c *call) (any, error) {
	var want struct {
		Users []string `json:"users"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if err := a.Teams.JoinTeam(c.Context(), c.who, c.PathValue("name"), want.Users); err != nil {
		return nil, err
	}
	a.Log.Info("team joined", "team", c.PathValue("name"), "users", want.Users, "by", c.who.Actor.Handle)
	return done{}, nil
}

// leaveTeam answers DELETE /api/v1/access/teams/{name}/members/{user}.
func (a *API) leaveTeam(c *call) (any, error) {
	if err := a.Teams.LeaveTeam(c.Context(), c.who, c.PathValue("name"), []string{c.PathValue("user")}); err != nil {
		return nil, err
	}
	a.Log.Info("team left", "team", c.PathValue("name"), "user", c.PathValue("user"), "by", c.who.Actor.Handle)
	return done{}, nil
}
