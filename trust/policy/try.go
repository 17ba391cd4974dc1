package policy

import (
	"context"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// A Result is what a rule that does not hold would do about an image.
type Result struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Digest     digest.Digest `json:"digest"`
	Rule       string        `json:"rule"`
	At         Point         `json:"at"`
	Outcome    Effect        `json:"outcome"`         // deny or warn
	Says       string        `json:"says"`            // what a client would be told
	Error      string        `json:"error,omitempty"` // why the rule gave no answer
}

// Try asks rules about an image that is there, as if it were pushed again, tagged again by the one who did, and
// pulled. It returns what does not hold, and keeps nothing. Error: registry.ErrUnknown.
func (e *Engine) Try(ctx context.Context, set *Set, repo string, tag provenance.TagMove, d digest.Digest, by provenance.Identity) (found []Result, err error) {
	p, err := e.c.Registry.Reading(ctx, repo, d)
	if err != nil {
		return nil, err
	}
	c, err := e.stored(p)
	if err != nil {
		return nil, err
	}
	c.trial = true
	c.setTag(tag)
	c.object.Who = whoOf(by)
	for _, p := range Points {
		c.object.Action = p
		for _, r := range set.For(p, repo) {
			if r.NeedsReport() && c.about.Document {
				continue
			}
			if err := e.look(ctx, c, r); err != nil {
				return nil, err
			}
			v := r.Ask(ctx, &c.object)
			if v.Holds {
				continue
			}
			one := Result{Repository: repo, Tag: tag.Name, Digest: d, Rule: r.Name, At: p, Outcome: Warn, Says: v.Says(p)}
			if v.Denies() {
				one.Outcome = Deny
			}
			if v.Err != nil {
				one.Error = v.Err.Error()
			}
			found = append(found, one)
		}
	}
	return found, nil
}
