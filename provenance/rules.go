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
	Quotas digest.Digest `json:"quotas,omitempty"` // of the quotas as they are stored; absent: there never were any
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
		before, err := rulesOnRecord(tx)
		if err != nil {
			return err
		}
		files := *now
		files.Quotas = before.Quotas // which are no file, and change by themselves
		return b.appendRules(tx, who, before, files)
	})
}

// RecordQuotas puts on record that the registry decides by other quotas from now on, in the transaction that stores them.
func (b *Book) RecordQuotas(tx storage.Tx, who Identity, quotas digest.Digest) error {
	before, err := rulesOnRecord(tx)
	if err != nil {
		return err
	}
	now := before
	now.Quotas = quotas
	return b.appendRules(tx, who, before, now)
}

// QuotasOnRecord is the digest of the quotas by which the registry decides, as the newest record about rules says, or "".
func QuotasOnRecord(tx storage.Reader) (digest.Digest, error) {
	now, err := rulesOnRecord(tx)
	return now.Quotas, err
}

func rulesOnRecord(tx storage.Reader) (RuleFiles, error) {
	last, err := newestOfAction(tx, Rules)
	if err != nil || last == nil || last.Rules == nil {
		return RuleFiles{}, err
	}
	return *last.Rules, nil
}

// appendRules appends a record of the rules that are in force now, unless they were before.
func (b *Book) appendRules(tx storage.Tx, who Identity, before, now RuleFiles) error {
	if before == now || !recording {
		return nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	_, err = b.Append(tx, Event{Action: Rules, Digest: digest.FromBytes(text), Who: who, Rules: &now})
	return err
}
