package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/mirror"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Mirrors keeps repositories as other registries have them.
type Mirrors interface {
	Statuses(ctx context.Context) ([]mirror.Status, error)
	// Status returns how a mirror is. Error: mirror.ErrNoMirror.
	Status(ctx context.Context, name string) (mirror.Status, error)
	// Run brings a mirror up to date in somebody's name, and tells now and then how far it is; where dry is set, it counts and changes nothing.
	// Errors before anything came: mirror.ErrNoMirror, mirror.ErrRunning.
	Run(ctx context.Context, who provenance.Identity, r *http.Request, name string, dry bool, tell func(mirror.Counts)) (mirror.Followed, error)
	// Approve lets through, in somebody's name, what waits under a tag or has a digest. Errors: mirror.ErrNotWaiting, and those that
	// registry.AnswerOf knows.
	Approve(ctx context.Context, who provenance.Identity, r *http.Request, repo, ref string) ([]mirror.Approved, error)
}

// wantApproval is what is to be let through.
type wantApproval struct {
	Repository string `json:"repository"`
	Reference  string `json:"reference"` // a tag that waits, or a digest: all tags that wait for it
}

// approved is the answer of POST /api/v1/mirrors/approve.
type approved struct {
	Approved []mirror.Approved `json:"approved"`
}

// approve answers POST /api/v1/mirrors/approve.
func (a *API) approve(c *call) (any, error) {
	var want wantApproval
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if want.Repository == "" || want.Reference == "" {
		return nil, problemf(http.StatusBadRequest, "repository and reference, a tag or a digest, say what is let through")
	}
	if err := a.mustPull(c, want.Repository); err != nil {
		return nil, err
	}
	if !a.Gate.May(c.who, access.Admin, want.Repository) {
		return nil, c.forbid("only those who administer the repository may let through what its mirror holds")
	}
	done, err := a.Mirrors.Approve(c.Context(), c.who, c.Request, want.Repository, want.Reference)
	if err != nil {
		return nil, asProblem(err)
	}
	a.Log.Info("what a mirror held was let through", "repository", want.Repository, "reference", want.Reference, "by", c.who.Actor.Handle)
	return approved{done}, nil
}

// mirrorList is the answer of GET /api/v1/mirrors.
type mirrorList struct {
	Mirrors []mirror.Status `json:"mirrors"`
}

// mirrors answers GET /api/v1/mirrors.
func (a *API) mirrors(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	list, err := a.Mirrors.Statuses(c.Context())
	return mirrorList{list}, err
}

// mirror answers GET /api/v1/mirrors/{name}.
func (a *API) mirror(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	return a.Mirrors.Status(c.Context(), c.PathValue("name"))
}

// mirrorLine is one line of the answer of a run. Exactly one field is set; importLine's Failed may follow.
type mirrorLine struct {
	Progress *mirror.Counts   `json:"progress,omitempty"`
	Report   *mirror.Followed `json:"report,omitempty"` // the last line, or the last but one
}

// wantRun is how a mirror is to be run.
type wantRun struct {
	DryRun bool `json:"dryRun"`
}

// runMirror answers POST /api/v1/mirrors/{name}/run with one JSON object a line, as it goes on.
func (a *API) runMirror(c *call) (any, error) {
	var want wantRun
	if err := c.body(&want); err != nil {
		return nil, err
	}
	out := &begun{c: c}
	enc := json.NewEncoder(out)
	report, err := a.Mirrors.Run(c.Context(), c.who, c.Request, c.PathValue("name"), want.DryRun, func(n mirror.Counts) {
		_ = enc.Encode(mirrorLine{Progress: &n}) // a client that left ends the run through its context
	})
	if err != nil && !out.wrote && report.Repositories == 0 {
		return nil, err
	}
	sent := enc.Encode(mirrorLine{Report: &report})
	return out.end(a, "mirror", a.sendFailed(c, enc, sent, err))
}
