package api

import (
	"context"
	"net/http"

	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// ErrNoNextKey says that there is no key to change to: a KeyKeeper's error says what to do.
var ErrNoNextKey = fault.New(fault.Conflict, "there is no key to change to")

// A KeyKeeper keeps the files of the registry's signing keys.
type KeyKeeper interface {
	// Rotate makes new keys and puts them in force: another receipt key for the reason "rotated"; for
	// "stolen" and "lost" a new log with all signing keys new; for "stolen" also the keys of MACs, so that bearer tokens
	// end. The record says that it was done. Error: ErrNoNextKey.
	Rotate(ctx context.Context, who provenance.Identity, reason string) (*provenance.Record, error)
}

// Proofs prove records. Errors: provenance.ErrNoRecord, ErrUnproved and ErrNotSigned, log.ErrSize.
type Proofs interface {
	// Receipt returns a sigstore bundle that proves a record, against the newest checkpoint or the one of size *at.
	Receipt(ctx context.Context, index uint64, at *uint64) (bundle []byte, err error)
	// TlogProof returns a C2SP tlog-proof of a record.
	TlogProof(ctx context.Context, index uint64, at *uint64) (proof []byte, err error)
	// Receipts returns the receipts of records, in the same order: nil for one that has none.
	Receipts(ctx context.Context, indexes []uint64) ([]*receipt.Receipt, error)
}

// rotateKeys answers POST /api/v1/keys.
func (a *API) rotateKeys(c *call) (any, error) {
	var want struct {
		Reason string `json:"reason"`
	}
	if err := c.body(&want); err != nil {
		return nil, err
	}
	switch want.Reason {
	case "rotated", "stolen", "lost":
	default:
		return nil, problemf(http.StatusUnprocessableEntity, "reason is %.40q, and should be rotated, stolen or lost", want.Reason)
	}
	r, err := a.Keys.Rotate(c.Context(), c.who, want.Reason)
	if err != nil {
		return nil, err
	}
	a.Log.Warn("the signing keys were changed", "reason", want.Reason, "record", r.Index, "key", r.Key.Hint, "by", c.who.Actor.Handle)
	return created{r}, nil
}

// receipt answers GET /api/v1/records/{index}/receipt.
func (a *API) receipt(c *call) (any, error) { return a.proved(c, receipt.MediaType, a.Proofs.Receipt) }

// tlogProof answers GET /api/v1/records/{index}/tlog-proof.
func (a *API) tlogProof(c *call) (any, error) {
	return a.proved(c, receipt.ProofMediaType, a.Proofs.TlogProof)
}

// proved answers with the proof of a record, for those who may see the record.
func (a *API) proved(c *call, mediaType string, prove func(ctx context.Context, index uint64, at *uint64) ([]byte, error)) (any, error) {
	q := c.query()
	at := q.index("at")
	if err := q.end(); err != nil {
		return nil, err
	}
	r, err := a.visibleRecord(c)
	if err != nil {
		return nil, err
	}
	data, err := prove(c.Context(), r.Index, at)
	return raw{mediaType, cacheNever, data}, err
}
