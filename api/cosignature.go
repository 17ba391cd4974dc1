package api

import "net/http"

// cosignature answers POST /log/cosignature: a witness hands back what it cosigned. Nobody needs to sign in
// for it, because the cosignature says who it is from.
func (a *API) cosignature(c *call) (any, error) {
	if err := checkOrigin(c.Request); err != nil {
		return nil, err
	}
	var want struct {
		Checkpoint string `json:"checkpoint"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	if len(a.Witnesses) == 0 {
		return nil, problemf(http.StatusForbidden, "this registry has no witnesses: name them in its configuration, under witnesses")
	}
	return a.Book.Cosign(c.Context(), want.Checkpoint, a.Witnesses)
}
