package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/obs"
)

// fail answers with an error.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problemFor(r, err)
	if p == nil {
		return // the client is gone
	}
	p.write(w)
}

func (a *API) problemFor(r *http.Request, err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		return nil
	}
	if status := access.StatusOf(err); status != 0 {
		return problemf(status, "%s", err)
	}
	id := obs.RequestID(r.Context())
	t := access.TroubleOf(err, id)
	if t.Operator {
		a.Log.Error("a request failed", "id", id, "method", r.Method, "path", r.URL.Path, "err", err)
	}
	p = problemf(t.Status, "%s", t.Says)
	if p.header = t.Header(); t.Challenge && !access.IsWeb(r.Context()) { // whose browser would ask in a window of its own
		p.header = http.Header{"Www-Authenticate": {`Basic realm="Hallmark", charset="UTF-8"`}}
	}
	return p
}

// isOne says that an error is one of some that rooms document, and none of the store, whatever was looked for when that came.
func isOne(err error, known ...error) bool {
	return !access.IsTrouble(err) && slices.ContainsFunc(known, func(one error) bool { return errors.Is(err, one) })
}
