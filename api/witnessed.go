package api

import (
	"context"
	"errors"

	"github.com/seed-260924e6/hallmark/provenance/checkpoint"
	"github.com/seed-260924e6/hallmark/provenance/log"
)

// witnessed are the configured witnesses that have cosigned a checkpoint of the log that holds a record: they have seen that log, and
// another history can be shown to nobody who asks them.
type witnessed struct {
	Record uint64   `json:"record"`
	By     []string `json:"by"` // names of keys, as witness.example+1a2b3c4d
}

// witnessedBy asks which witnesses have seen a record; nil where none has. There are a few witnesses at most.
func (a *API) witnessedBy(ctx context.Context, index uint64) (*witnessed, error) {
	if len(a.Witnesses) == 0 {
		return nil, nil
	}
	r, err := a.Records.Get(ctx, index)
	if err != nil || r.Log == nil {
		return nil, err
	}
	seen := &witnessed{Record: index}
	for _, w := range a.Witnesses {
		name := checkpoint.KeyName(w.Name(), w.KeyHash())
		signed, err := a.Transparency.CosignedCheckpoint(ctx, r.Log.Origin, name)
		if errors.Is(err, log.ErrSize) || errors.Is(err, log.ErrNoLog) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c, err := checkpoint.Parse(signed)
		if err != nil {
			return nil, err
		}
		if r.Log.Leaf < c.Size {
			seen.By = append(seen.By, name)
		}
	}
	if len(seen.By) == 0 {
		return nil, nil
	}
	return seen, nil
}
