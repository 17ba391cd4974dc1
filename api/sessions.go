package api

import (
	"context"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Sessions are tokens and sessions of accounts.
type Sessions interface {
	// Sessions returns up to limit of an account's behind an id: those of a kind, or all.
	Sessions(ctx context.Context, account string, kind access.SessionKind, after string, limit int) ([]access.Session, error)
	// AddToken makes a token of the caller's, and returns its secret. Errors: access.ErrNotOwn, ErrNoScope, ErrSessionName,
	// ErrSessionLasts, ErrTooManyTokens.
	AddToken(ctx context.Context, who provenance.Identity, want access.NewToken) (access.Session, string, error)
	// EndSession ends one: administrators may end everybody's. Error: access.ErrUnknownSession.
	EndSession(ctx context.Context, who provenance.Identity, id string) error
}

// sessionPage is a page of tokens or sessions.
type sessionPage struct {
	Sessions []access.Session `json:"sessions"`
	Next     string           `json:"next,omitempty"`
}

func (p sessionPage) nextPage() string { return p.Next }

// newTokenAnswer is a token that was made, with the one look at its secret.
type newTokenAnswer struct {
	access.Session
	Secret string `json:"secret"`
}

// tokens answers GET /api/v1/access/tokens.
func (a *API) tokens(c *call) (any, error) { return a.sessionsOf(c, access.TokenSession) }

// sessions answers GET /api/v1/access/sessions.
func (a *API) sessions(c *call) (any, error) { return a.sessionsOf(c, "") }

func (a *API) sessionsOf(c *call, kind access.SessionKind) (any, error) {
	q := c.query()
	name, account, after, limit := q.text("user"), q.text("account"), q.text("after"), q.limit()
	if name != "" && account != "" {
		q.fail("give a user or an account, not both")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	account, err := a.accountToShow(c, name, account)
	if err != nil {
		return nil, err
	}
	found, err := a.Sessions.Sessions(c.Context(), account, kind, after, limit+1)
	if err != nil {
		return nil, err
	}
	var page sessionPage
	page.Sessions, page.Next = pageOf(c, found, limit, func(one access.Session) string { return one.ID })
	return page, nil
}

// accountToShow is the account that the caller asks about: their own, or, for administrators, any.
func (a *API) accountToShow(c *call, name, account string) (string, error) {
	own := c.who.Actor
	switch {
	case name == "" && account == "" && own.Account == "":
		return "", problemf(http.StatusBadRequest, "name the user or the account")
	case name == "" && account == "", account == own.Account && name == "", name == own.Handle && own.Account != "":
		if c.who.Ceiling != nil {
			return "", access.ErrNotOwn
		}
		return own.Account, nil
	case !a.Gate.Administers(c.who):
		return "", c.forbid("only administrators may see the tokens and sessions of others")
	case account != "":
		return account, nil
	default:
		return a.Accounts.AccountOf(c.Context(), name)
	}
}

// addToken answers POST /api/v1/access/tokens.
func (a *API) addToken(c *call) (any, error) {
	var want access.NewToken
	if err := c.body(&want); err != nil {
		return nil, err
	}
	s, secret, err := a.Sessions.AddToken(c.Context(), c.who, want)
	if err != nil {
		return nil, err
	}
	a.Log.Info("token made", "id", s.ID, "name", s.Name, "by", c.who.Actor.Handle)
	return created{newTokenAnswer{s, secret}}, nil
}

// endSession answers DELETE /api/v1/access/tokens/{id} and /api/v1/access/sessions/{id}. The session that
// asks is called current.
func (a *API) endSession(c *call) (any, error) {
	id := c.PathValue("id")
	if id == "current" && c.who.Login != nil {
		id = c.who.Login.Credential
	}
	if err := a.Sessions.EndSession(c.Context(), c.who, id); err != nil {
		return nil, err
	}
	a.Log.Info("session ended", "id", id, "by", c.who.Actor.Handle)
	return done{}, nil
}
