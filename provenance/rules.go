package provenance

import (
	"context"
	"encoding/json"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/storage"
)

// RuleFiles names the files and documents by which the registry decides: by their digests, because they are the operator's, and may
// say what is not for everybody.
type RuleFiles struct {
	Policy digest.Digest `json:"policy,omitempty"` // of the bytes of the file of rules, or of the document; absent: none
	Trust  digest.Digest `json:"trust,omitempty"`  // of the document that says whom to trust, or of the file and the keys that it names
	Quotas digest.Digest `json:"quotas,omitempty"` // of the quotas as they are stored; absent: there never were any
	// Issuers is that of the document of issuers of ID tokens; absent: none is in the store, and the configuration names them.
	Issuers digest.Digest `json:"issuers,omitempty"`
	// Documents are the versions of those that are documents in the store. What has none is a file of the operator's.
	Documents RuleVersions `json:"documents,omitzero"`
}

// RuleVersions are versions of documents; 0 is none.
type RuleVersions struct {
	Policy  uint64 `json:"policy,omitempty"`
	Trust   uint64 `json:"trust,omitempty"`
	Issuers uint64 `json:"issuers,omitempty"`
}

// RecordRules puts on record that the registry decides by other files than the newest such record says; where they are the
// same it does nothing. Call it before they are in force: what they decide is then decided by what is on record. A file does not count
// where a document of its kind is in force.
//
// latest is asked within the transaction, so that a call that comes late puts no older files behind newer ones; it returns nil
// where nothing is left to record.
func (b *Book) RecordRules(ctx context.Context, who Identity, latest func() *RuleFiles) error {
	return b.store.Update(ctx, func(tx storage.Tx) error {
		files := latest()
		if files == nil {
			return nil
		}
		before, err := rulesOnRecord(tx)
		if err != nil {
			return err
		}
		now := before
		for _, k := range []RuleKind{PolicyRules, TrustRules} {
			if _, version := before.of(k); *version == 0 {
				is, _ := files.of(k)
				was, _ := now.of(k)
				*was = *is
			}
		}
		_, err = b.appendRules(tx, who, before, now)
		return err
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
	_, err = b.appendRules(tx, who, before, now)
	return err
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

// appendRules appends a record of the rules that are in force now, unless they were before, and returns it.
func (b *Book) appendRules(tx storage.Tx, who Identity, before, now RuleFiles) (*Record, error) {
	if before == now || !recording {
		return nil, nil
	}
	text, err := json.Marshal(now)
	if err != nil {
		return nil, err
	}
	return b.Append(tx, Event{Action: Rules, Digest: digest.FromBytes(text), Who: who, Rules: &now})
}
