package api

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/access/oidc"
	"github.com/seed-260924e6/hallmark/certs"
	"github.com/seed-260924e6/hallmark/internal/obs"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
	"github.com/seed-260924e6/hallmark/registry"
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
	if status := statusOf(err); status != 0 {
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

// ownWords are the errors whose own words are the answer, in the order in which they count where an error is several.
// What every room answers alike is not among them: access.TroubleOf.
var ownWords = []struct {
	status int
	errs   []error
}{
	{http.StatusForbidden, []error{access.ErrNotAdmin, access.ErrNotOwn, provenance.ErrNotCosigned}},
	{http.StatusBadRequest, []error{access.ErrService, access.ErrScopes}},
	{http.StatusUnprocessableEntity, []error{
		access.ErrUserName, access.ErrPassword, access.ErrTooHigh, access.ErrTooMuch, access.ErrPast, access.ErrClaims, oidc.ErrNeverMatches,
		access.ErrSessionName, access.ErrSessionLasts, access.ErrNoScope, checkpoint.ErrInvalid,
	}},
	{http.StatusConflict, []error{
		access.ErrUserExists, access.ErrRobotExists, access.ErrTeamExists, access.ErrLastAdmin, access.ErrChanged, access.ErrTooManyTokens,
		ErrNoNextKey, certs.ErrNotRenewed, certs.ErrName, provenance.ErrUsedKey, provenance.ErrOtherCheckpoint, provenance.ErrFuture,
	}},
	{http.StatusNotFound, []error{
		provenance.ErrNoRecord, provenance.ErrUnproved, provenance.ErrNotSigned, log.ErrNoLog, log.ErrSize, registry.ErrUnknown,
		access.ErrUnknownUser, access.ErrUnknownTeam, access.ErrUnknownRobot, access.ErrUnknownGrant, access.ErrUnknownRule, access.ErrNotMember, access.ErrUnknownSession,
	}},
}

// isOne says that an error is one of some that rooms document, and none of the store, whatever was looked for when that came.
func isOne(err error, known ...error) bool {
	return !access.IsTrouble(err) && slices.ContainsFunc(known, func(one error) bool { return errors.Is(err, one) })
}

// statusOf is the status of errors whose own words are the answer, or 0. An error of the store is not one, whatever was
// looked for when it came.
func statusOf(err error) int {
	if access.IsTrouble(err) {
		return 0
	}
	if entry := new(access.EntryError); errors.As(err, &entry) {
		return http.StatusUnprocessableEntity // whatever is wrong with it, it is the body that is wrong
	}
	for _, known := range ownWords {
		if isOne(err, known.errs...) {
			return known.status
		}
	}
	return 0
}
