package registry

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/internal/obs"
)

// An import goes on after most errors, and its report names them. What went wrong within the registry is for its operator: the log has
// it, and the report says so. What went wrong at the source is for who imports.

// fromSource is an error of a source.
type fromSource struct{ error }

func (f fromSource) Unwrap() error { return f.error }

// told is an error within the registry, in the words that others are told.
type told struct {
	error
	says string
}

func (t told) Error() string { return t.says }
func (t told) Unwrap() error { return t.error }

// tell logs an error within the registry, and has it say no more than a client would be told.
func (i *Importer) tell(err *error) {
	var from fromSource
	if *err == nil || failureOf(*err) != nil || errors.As(*err, &from) || errors.Is(*err, context.Canceled) || fault.Of(*err).OfRequest() {
		return
	}
	id := obs.RequestID(i.r.Context())
	t := access.TroubleOf(*err, id)
	if t.Operator {
		i.g.log.Error("an import failed", "id", id, "err", *err)
	}
	*err = told{*err, t.Says}
}
