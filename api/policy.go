package api

import (
	"context"
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
	"github.com/seed-260924e6/hallmark/trust"
	"github.com/seed-260924e6/hallmark/trust/policy"
)

// A Policy has the rules in force, and tries others. policy.Engine is one.
type Policy interface {
	Rules() *policy.Set // nil where there are none
	// Try says which rules do not hold for a tag that means d, set by somebody. Error: registry.ErrUnknown.
	Try(ctx context.Context, set *policy.Set, repo string, tag provenance.TagMove, d digest.Digest, by provenance.Identity) ([]policy.Result, error)
	// Grades returns the grades that are kept of images, "" where none is.
	Grades(ctx context.Context, images []registry.RepoDigest) ([]trust.Grade, error)
	// KeepReport has the grade of an image kept, where none is. It does not wait for that.
	KeepReport(repo string, d digest.Digest)
}

// policyAnswer are the rules in force.
type policyAnswer struct {
	Rules []*policy.Rule `json:"rules"`
	// Refused is how often each rule has refused a push, a tag or a pull since the server's start.
	Refused map[string]uint64 `json:"refused,omitempty"`
}

// policy answers GET /api/v1/policy.
func (a *API) policy(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	answer := policyAnswer{Rules: []*policy.Rule{}, Refused: a.Images.Refused()}
	if set := a.Policy.Rules(); set != nil {
		answer.Rules = append(answer.Rules, set.Rules...)
	}
	return answer, nil
}

// The bounds of one trial.
const (
	maxTrial = policy.MaxFile*2 + 256<<10 // bytes of a body: a file of rules may grow as JSON
	maxTried = 100                        // images
)

// trial is what to try: rules on tags.
type trial struct {
	File   *string `json:"file"` // rules; absent are those in force
	Images []struct {
		Repository string `json:"repository"`
		Tag        string `json:"tag"`
	} `json:"images"`
}

// trialAnswer is what does not hold.
type trialAnswer struct {
	Rules   int             `json:"rules"`   // how many were tried
	Images  int             `json:"images"`  // how many were there
	Results []policy.Result `json:"results"` // in the order asked
}

// tryPolicy answers POST /api/v1/policy/test.
func (a *API) tryPolicy(c *call) (any, error) {
	var t trial
	if err := c.bodyUpTo(maxTrial, &t); err != nil {
		return nil, err
	}
	if len(t.Images) > maxTried {
		return nil, problemf(http.StatusUnprocessableEntity, "at most %d images are tried at once, and these are %d", maxTried, len(t.Images))
	}
	set := a.Policy.Rules()
	if t.File != nil {
		var err error
		if set, err = policy.Parse("policy", []byte(*t.File)); err != nil {
			return nil, problemf(http.StatusUnprocessableEntity, "%s", err)
		}
	}
	answer := trialAnswer{Results: []policy.Result{}}
	if set != nil {
		answer.Rules = len(set.Rules)
	}
	for _, i := range t.Images {
		found, there, err := a.tryOne(c, set, i.Repository, i.Tag)
		if err != nil {
			return nil, err
		}
		if there {
			answer.Images++
		}
		answer.Results = append(answer.Results, found...)
	}
	return answer, nil
}

// tryOne tries rules on what a tag means. One that is gone meanwhile is passed over.
func (a *API) tryOne(c *call, set *policy.Set, repo, tag string) (found []policy.Result, there bool, err error) {
	img, err := a.Images.Image(c.Context(), repo, tag)
	if err != nil {
		return nil, false, unlessGone(err)
	}
	r, err := a.Records.Get(c.Context(), img.Record)
	if err != nil {
		return nil, false, err
	}
	move := provenance.TagMove{Name: tag}
	for _, m := range r.Tags {
		if m.Name == tag {
			move = m
		}
	}
	found, err = a.Policy.Try(c.Context(), set, repo, move, img.Digest, provenance.Identity{Actor: r.Actor, Login: r.Authenticated})
	return found, err == nil, unlessGone(err)
}

func unlessGone(err error) error {
	if isOne(err, registry.ErrUnknown) {
		return nil
	}
	return err
}
