package api

import (
	"context"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Users are accounts of people. Errors: access.ErrUserName, ErrPassword, ErrUserExists, ErrUnknownUser, ErrLastAdmin.
type Users interface {
	Users(ctx context.Context, after string, limit int) ([]access.User, error) // by name
	AddUser(ctx context.Context, by provenance.Identity, name, password string, admin bool) (access.User, error)
	SetPassword(ctx context.Context, by provenance.Identity, name, password string) error // access.ErrNotOwn
	RemoveUser(ctx context.Context, by provenance.Identity, name string) error
	RenameUser(ctx context.Context, by provenance.Identity, name, to string) (access.User, error)
}

// userPage is a page of accounts.
type userPage struct {
	Users []access.User `json:"users"`
	Next  string        `json:"next,omitempty"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
}

func (p userPage) nextPage() string { return p.Next }

// users answers GET /api/v1/users.
func (a *API) users(c *call) (any, error) {
	q := c.query()
	after, limit := q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	found, err := a.Users.Users(c.Context(), after, limit+1)
	if err != nil {
		return nil, err
	}
	var page userPage
	page.Users, page.Next = pageOf(c, found, limit, func(u access.User) string { return u.Name })
	var actors []provenance.Actor
	for _, u := range page.Users {
		actors = append(actors, provenance.Actor{Kind: provenance.User, Handle: u.Name, Account: u.Account})
	}
	page.Namesakes, err = a.Names.Namesakes(c.Context(), actors) // they are the accounts of now
	return page, err
}

// addUser answers POST /api/v1/users.
func (a *API) addUser(c *call) (any, error) {
	var want struct {
		Name     string `json:"name"`
		Password string `json:"password"`
		Admin    bool   `json:"admin"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	u, err := a.Users.AddUser(c.Context(), c.who, want.Name, want.Password, want.Admin)
	if err != nil {
		return nil, err
	}
	a.Log.Info("user added", "user", u.Name, "admin", u.Admin, "by", c.who.Actor.Handle)
	return created{u}, nil
}

// setPassword answers PUT /api/v1/users/{name}/password.
func (a *API) setPassword(c *call) (any, error) {
	var want struct {
		Password string `json:"password"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	name := c.PathValue("name")
	if !access.OwnsAccount(c.who, name) && !a.Gate.Administers(c.who) {
		return nil, c.forbid("only administrators may set the passwords of others; to set your own, sign in with the one that you have")
	}
	if err := a.Users.SetPassword(c.Context(), c.who, name, want.Password); err != nil {
		return nil, err
	}
	a.Log.Info("password changed", "user", name, "by", c.who.Actor.Handle)
	return done{}, nil
}

// removeUser answers DELETE /api/v1/users/{name}.
func (a *API) removeUser(c *call) (any, error) {
	name := c.PathValue("name")
	if err := a.Users.RemoveUser(c.Context(), c.who, name); err != nil {
		return nil, err
	}
	a.Log.Info("user removed", "user", name, "by", c.who.Actor.Handle)
	return done{}, nil
}

// renameUser answers PUT /api/v1/users/{name}/name.
func (a *API) renameUser(c *call) (any, error) {
	var want struct {
		Name string `json:"name"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	u, err := a.Users.RenameUser(c.Context(), c.who, c.PathValue("name"), want.Name)
	if err != nil {
		return nil, err
	}
	a.Log.Info("user renamed", "user", c.PathValue("name"), "to", u.Name, "by", c.who.Actor.Handle)
	return u, nil
}
