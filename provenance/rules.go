package provenance

import (
	"context"
	"encoding/json"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// RuleFiles names the files by which the registry decides: by their digests, because they are the operator's, and may say what
// is not for everybody.
type RuleFiles struct {
	Policy digest.Digest `json:"policy,omitempty"` // of the bytes of the file of rules; absent: none
	Trust  digest.Digest `json:"trust,omitempty"`  // of the file that says whom to trust, and of the keys that it names
}

// RecordRules puts on record that the registry decides by other files than the newest such record says; where they are the
// same it does nothing. Call it before they are in force: what they decide is then decided by what is on record.
//
// latest is asked within the transaction, so that a call that comes late puts no older files behind newer ones; it returns nil
// where nothing is left to record.
func (b *Book) RecordRules(ctx context.Context, who Identity, latest func() *RuleFiles) error {
	return b.store.Update(ctx, func(tx storage.Tx) error {
		now := latest()
		if now == nil {
			return nil
		}
		last, err := newestOfAction(tx, Rules)
		if err != nil {
			return err
		}
		var before RuleFiles
		if last != nil && last.Rules != nil {
			before = *last.Rules
		}
		if before == *now || !recording {
			return nil
		}
		text, err := json.Marshal(now)
		if err != nil {
			return err
		}
		_, err = b.Append(tx, Event{Action: Rules, Digest: digest.FromBytes(text), Who: who, Rules: now})
		return err
	})
}
