package api

import (
	"context"
	"time"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Robots are accounts of machines. A zero expires is the default. Errors: access.ErrUserName, ErrRobotExists,
// ErrUnknownRobot, ErrPast.
type Robots interface {
	Robots(ctx context.Context, after string, limit int) ([]access.Robot, error) // by name
	AddRobot(ctx context.Context, by provenance.Identity, name string, expires time.Time) (access.Robot, string, error)
	RotateRobot(ctx context.Context, by provenance.Identity, name string, expires time.Time) (access.Robot, string, error)
	RemoveRobot(ctx context.Context, by provenance.Identity, name string) error
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
	found, err := a.Robots.Robots(c.Context(), after, limit+1)
	if err != nil {
		return nil, err
	}
	var page robotPage
	page.Robots, page.Next = pageOf(c, found, limit, func(one access.Robot) string { return one.Name })
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
	r, secret, err := a.Robots.AddRobot(c.Context(), c.who, want.Name, want.Expires)
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
	r, secret, err := a.Robots.RotateRobot(c.Context(), c.who, c.PathValue("name"), want.Expires)
	if err != nil {
		return nil, err
	}
	a.Log.Info("robot's secret changed", "robot", r.Name, "by", c.who.Actor.Handle)
	return created{robotSecret{r, secret}}, nil
}

// removeRobot answers DELETE /api/v1/access/robots/{name}.
func (a *API) removeRobot(c *call) (any, error) {
	if err := a.Robots.RemoveRobot(c.Context(), c.who, c.PathValue("name")); err != nil {
		return nil, err
	}
	a.Log.Info("robot removed", "robot", c.PathValue("name"), "by", c.who.Actor.Handle)
	return done{}, nil
}
