package api

// scrubStatus answers GET /api/v1/scrub.
func (a *API) scrubStatus(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	return a.Registry.ScrubStatus(c.Context())
}

// scrubNow answers POST /api/v1/scrub.
func (a *API) scrubNow(c *call) (any, error) {
	var want struct{}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	a.Registry.ScrubNow()
	a.Log.Info("a scrub was asked for", "by", c.who.Actor.Handle)
	return a.Registry.ScrubStatus(c.Context())
}
