package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// addFollowing checks a receipt anew that was refused for its key alone, with the keys that were put in force since the given ones were
// kept: where a registry is named, its records of that are asked for. A receipt by itself does not carry them.
func (e *env) addFollowing(ctx context.Context, t *target, v *verification, data []byte, refused error) error {
	if !errors.Is(refused, receipt.ErrUnknownKey) {
		return refused
	}
	if t.server == "" && t.data == "" {
		return fmt.Errorf("%w. If the registry has changed its key since yours were kept, its records say so: name it (--server), or give what carries them, "+
			"the evidence file or the provenance referrer", refused)
	}
	return e.askWithin(ctx, time.Hour, t, func(ctx context.Context, cl *client) error {
		steps, err := v.keySteps(ctx, cl)
		if err != nil {
			return fmt.Errorf("the records that put its keys in force: %w", err)
		}
		ring := provenance.NewKeyring(v.trust)
		if err := ring.Steps(append([][]byte{data}, steps...)); err != nil {
			return err
		}
		v.trust, v.Receipts = ring.Trust, v.Receipts[:0]
		err = v.add(data)
		if err == nil {
			v.KeysFrom += ", and the records of key changes that " + cl.Name + " has, each signed by the key before"
		}
		return err
	})
}

// keySteps are the receipts of the records that put keys in force, the oldest first.
func (v *verification) keySteps(ctx context.Context, cl *client) (steps [][]byte, err error) {
	records, err := allRecords(ctx, cl, url.Values{"action": {string(provenance.KeyChange)}, "order": {"asc"}})
	if err != nil {
		return nil, err
	}
	for _, r := range records {
		step, err := v.receipt(ctx, cl, r.Index)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}
