package audit

import (
	"context"
	"fmt"
	"slices"

	"github.com/seed-260924e6/hallmark/provenance/follow"
	"github.com/seed-260924e6/hallmark/provenance/receipt"
)

// keys are the receipt keys of a registry, by hint.
type keys map[string]*rangedKey

// A rangedKey is a receipt key, and the records that it may sign.
type rangedKey struct {
	*receipt.Key
	ranges []receipt.Range
}

func readKeys(ctx context.Context, fetch follow.Source) (keys, error) {
	data, err := fetch(ctx, "/keys/receipts.json")
	if err != nil {
		return nil, err
	}
	entries, err := receipt.ParseKeyFile(data)
	if err != nil {
		return nil, fmt.Errorf("/keys/receipts.json: %w", err)
	}
	all := make(keys)
	for _, e := range entries {
		parsed, err := receipt.ParseKeys([]byte(e.PEM))
		if err != nil {
			return nil, fmt.Errorf("/keys/receipts.json: %w", err)
		}
		k := all[e.Hint]
		if k == nil {
			k = &rangedKey{Key: parsed[0]} // ParseKeyFile saw that it is one, of this hint
			all[e.Hint] = k
		}
		k.ranges = append(k.ranges, e.Ranges...)
	}
	return all, nil
}

// has says whether the key was in force for a record.
func (k *rangedKey) has(index uint64) bool {
	return slices.ContainsFunc(k.ranges, func(r receipt.Range) bool { return r.Has(index) })
}

// signed says whether a statement of a record is signed with a key that was in force for it.
func (all keys) signed(index uint64, payload, signature []byte) bool {
	for _, k := range all {
		if k.has(index) && k.Verify(payload, signature) {
			return true
		}
	}
	return false
}
