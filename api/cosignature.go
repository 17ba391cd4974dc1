package api

import (
	"context"
	"net/http"

	"github.com/seed-260924e6/hallmark/provenance"
	"golang.org/x/mod/sumdb/note"
)

// A Cosigner keeps cosignatures of checkpoints. Errors: checkpoint.ErrInvalid; provenance.ErrNotCosigned, ErrOtherCheckpoint
// and ErrFuture; log.ErrNoLog, ErrSize.
type Cosigner interface {
	Cosign(ctx context.Context, signed string, witnesses []note.Verifier) (*provenance.Cosigned, error)
}

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
	return a.Cosigner.Cosign(c.Context(), want.Checkpoint, a.Witnesses)
}
