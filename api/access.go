package api

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed-260924e6/hallmark/access"
)

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
	all, err := a.Access.Grants(c.Context(), c.who, want)
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
	isNew, err := a.Access.Grant(c.Context(), c.who, g)
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
	if err := a.Access.Revoke(c.Context(), c.who, g); err != nil {
		return nil, err
	}
	a.Log.Info("revoked", "subject", g.Subject, "pattern", g.Pattern, "role", g.Role, "by", c.who.Actor.Handle)
	return done{}, nil
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
	found, err := a.Access.Teams(c.Context(), after, limit+1)
	if err != nil {
		return nil, err
	}
	page := teamPage{Teams: append([]access.TeamEntry{}, found...)}
	if len(found) > limit {
		page.Teams = page.Teams[:limit]
		page.Next = c.nextURL(map[string]string{"after": found[limit-1].Name})
	}
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
	if err := a.Access.AddTeam(c.Context(), c.who, want.Name); err != nil {
		return nil, err
	}
	a.Log.Info("team added", "team", want.Name, "by", c.who.Actor.Handle)
	return created{access.TeamEntry{Name: want.Name, Members: []string{}}}, nil
}

// removeTeam answers DELETE /api/v1/access/teams/{name}.
func (a *API) removeTeam(c *call) (any, error) {
	if err := a.Access.RemoveTeam(c.Context(), c.who, c.PathValue("name")); err != nil {
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
	if err := a.Access.JoinTeam(c.Context(), c.who, c.PathValue("name"), want.Users); err != nil {
		return nil, err
	}
	a.Log.Info("team joined", "team", c.PathValue("name"), "users", want.Users, "by", c.who.Actor.Handle)
	return done{}, nil
}

// leaveTeam answers DELETE /api/v1/access/teams/{name}/members/{user}.
func (a *API) leaveTeam(c *call) (any, error) {
	if err := a.Access.LeaveTeam(c.Context(), c.who, c.PathValue("name"), []string{c.PathValue("user")}); err != nil {
		return nil, err
	}
	a.Log.Info("team left", "team", c.PathValue("name"), "user", c.PathValue("user"), "by", c.who.Actor.Handle)
	return done{}, nil
}

// robotPage is a page of robots.
type robotPage struct {
	Robots []access.Robot `json:"robots"`
	Next   string         `json:"next,omitempty"`
}

func (p robotPage) nextPage() string { return p.Next }

// robots answers GET /api/v1/access/robots.
func (a *API) robots(c *call) (any, error) {
	q := c.query()
	after, limit := q.text("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	found, err := a.Access.Robots(c.Context(), after, limit+1)
	if err != nil {
		return nil, err
	}
	page := robotPage{Robots: append([]access.Robot{}, found...)}
	if len(found) > limit {
		page.Robots = page.Robots[:limit]
		page.Next = c.nextURL(map[string]string{"after": found[limit-1].Name})
	}
	return page, nil
}

// robotSecret is a robot with its secret, which is shown this once.
type robotSecret struct {
	access.Robot
	Secret string `json:"secret"`
}

// addRobot answers POST /api/v1/access/robots.
func (a *API) addRobot(c *call) (any, error) {
	var want struct {
		Name    string    `json:"name"`
		Expires time.Time `json:"expires"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	r, secret, err := a.Access.AddRobot(c.Context(), c.who, want.Name, want.Expires)
	if err != nil {
		return nil, err
	}
	a.Log.Info("robot added", "robot", r.Name, "by", c.who.Actor.Handle)
	return created{robotSecret{r, secret}}, nil
}

// rotateRobot answers POST /api/v1/access/robots/{name}/secret.
func (a *API) rotateRobot(c *call) (any, error) {
	var want struct {
		Expires time.Time `json:"expires"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	r, secret, err := a.Access.RotateRobot(c.Context(), c.who, c.PathValue("name"), want.Expires)
	if err != nil {
		return nil, err
	}
	a.Log.Info("robot's secret changed", "robot", r.Name, "by", c.who.Actor.Handle)
	return created{robotSecret{r, secret}}, nil
}

// removeRobot answers DELETE /api/v1/access/robots/{name}.
func (a *API) removeRobot(c *call) (any, error) {
	if err := a.Access.RemoveRobot(c.Context(), c.who, c.PathValue("name")); err != nil {
		return nil, err
	}
	a.Log.Info("robot removed", "robot", c.PathValue("name"), "by", c.who.Actor.Handle)
	return done{}, nil
}

// maxDocument bounds an access document in the body of a request, in bytes.
const maxDocument = 4 << 20

// document answers GET /api/v1/access/document.
func (a *API) document(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	file, sum, err := a.Access.Export(c.Context())
	if err == nil && sum != "" {
		c.w.Header().Set("ETag", `"`+sum.String()+`"`)
	}
	return file, err
}

// applied says what an access document changed, or would.
type applied struct {
	Version uint64          `json:"version"` // of the document that is in force now
	Applied bool            `json:"applied"`
	Changes []access.Change `json:"changes"`
}

// apply answers PUT /api/v1/access/document.
func (a *API) apply(c *call) (any, error) {
	q := c.query()
	dryRun := q.oneOf("dryRun", "true", "false") == "true"
	if err := q.end(); err != nil {
		return nil, err
	}
	var f access.File
	if err := c.bodyUpTo(maxDocument, &f); err != nil {
		return nil, err
	}
	changes, version, err := a.Access.Apply(c.Context(), c.who, f, dryRun)
	if err != nil {
		return nil, err
	}
	if !dryRun {
		a.Log.Info("access document applied", "version", version, "changes", len(changes), "by", c.who.Actor.Handle)
	}
	return applied{version, !dryRun, append([]access.Change{}, changes...)}, nil
}

// renameUser answers PUT /api/v1/users/{name}/name.
func (a *API) renameUser(c *call) (any, error) {
	var want struct {
		Name string `json:"name"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	u, err := a.Access.RenameUser(c.Context(), c.who, c.PathValue("name"), want.Name)
	if err != nil {
		return nil, err
	}
	a.Log.Info("user renamed", "user", c.PathValue("name"), "to", u.Name, "by", c.who.Actor.Handle)
	return u, nil
}
