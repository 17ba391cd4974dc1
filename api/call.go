package api

import (
	"context"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Gate says who asks, and what they may do. Errors: those that access.TroubleOf knows.
type Gate interface {
	// Identify returns who made a request: somebody anonymous where there is no login.
	Identify(r *http.Request) (provenance.Identity, error)
	// Follow brings into force what documents in the store say, as Identify does where it looks at a login.
	Follow(ctx context.Context) error
	// May says whether somebody has a right in a repository.
	May(who provenance.Identity, right access.Right, repository string) bool
	// Administers says whether somebody is an administrator of the registry.
	Administers(who provenance.Identity) bool
	// AdministersAll says whether somebody has admin on everything that a pattern matches.
	AdministersAll(who provenance.Identity, pattern string) bool
}

// call is one request on its way through the API.
type call struct {
	*http.Request
	w   http.ResponseWriter
	who provenance.Identity
}

// narrows is an error for strangers who were not asked for a login yet, where others may be shown more: it stands
// before each list of what the caller may see. Who has no login says so by an empty one, or by a token for nobody.
func (c *call) narrows() error {
	if c.isStranger() && !access.SaysStranger(c.Request) {
		return access.ErrNoLogin
	}
	return nil
}

// narrowsBeyond is narrows for a list that can be of one repository: there a stranger who may pull sees everything.
func (a *API) narrowsBeyond(c *call, repo string) error {
	switch {
	case repo == "":
		return c.narrows()
	case c.isStranger():
		return a.mustPull(c, repo)
	default:
		return nil
	}
}

// mayPull says whether the caller may know of a repository.
func (a *API) mayPull(c *call) func(repo string) bool {
	return func(repo string) bool { return a.Gate.May(c.who, access.Pull, repo) }
}

// mustPull is an error when the caller may not know of a repository: as if it were not there. Strangers
// are asked who they are.
func (a *API) mustPull(c *call, repo string) error {
	switch {
	case a.mayPull(c)(repo):
		return nil
	case c.isStranger():
		return access.ErrNoLogin
	default:
		return errNoRepository(repo)
	}
}

// isStranger says that the caller has not signed in.
func (c *call) isStranger() bool { return c.who.Actor.Kind == provenance.Anonymous }

// forbid is the error for what the caller may not do. Strangers are asked who they are.
func (c *call) forbid(detail string) error {
	if c.isStranger() {
		return access.ErrNoLogin
	}
	return problemf(http.StatusForbidden, "%s", detail)
}

func errNoRepository(repo string) error {
	return problemf(http.StatusNotFound, "there is no repository %q here, or you may not see it", repo)
}
