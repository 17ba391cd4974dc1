package api

import (
	"context"

	"github.com/seed-260924e6/hallmark/registry"
)

// A Scrubber reads all files again, in the background.
type Scrubber interface {
	ScrubNow() // begins at once where it waits
	ScrubStatus(ctx context.Context) (registry.ScrubStatus, error)
}

// scrubStatus answers GET /api/v1/scrub.
func (a *API) scrubStatus(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	return a.Scrubber.ScrubStatus(c.Context())
}

// scrubNow answers POST /api/v1/scrub.
func (a *API) scrubNow(c *call) (any, error) {
	var want struct{}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	a.Scrubber.ScrubNow()
	a.Log.Info("a scrub was asked for", "by", c.who.Actor.Handle)
	return a.Scrubber.ScrubStatus(c.Context())
}
