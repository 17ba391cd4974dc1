package provenance

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/internal/fault"
	"github.com/seed-260924e6/hallmark/storage"
)

// Documents by which the registry decides are kept here, whatever they say: each change is one transaction with the record that names
// its digest. Whoever reads one knows what it means.

// A RuleKind says what a document decides about.
type RuleKind string

// The kinds of documents.
const (
	PolicyRules RuleKind = "policy"  // what may be pushed, tagged and pulled
	TrustRules  RuleKind = "trust"   // whose signatures count
	IssuerRules RuleKind = "issuers" // whose ID tokens CI jobs sign in with
)

// RuleKinds lists every RuleKind.
var RuleKinds = []RuleKind{PolicyRules, TrustRules, IssuerRules}

// of are where a kind stands: its digest, and the version of its document.
func (f *RuleFiles) of(k RuleKind) (*digest.Digest, *uint64) {
	switch k {
	case PolicyRules:
		return &f.Policy, &f.Documents.Policy
	case TrustRules:
		return &f.Trust, &f.Documents.Trust
	}
	return &f.Issuers, &f.Documents.Issuers
}

// Document is the document of a kind that these files have in force: version 0 where it is none.
func (f RuleFiles) Document(k RuleKind) (version uint64, sum digest.Digest) {
	d, v := f.of(k)
	if *v == 0 {
		return 0, ""
	}
	return *v, *d
}

// A RuleDocument is a version of a document. Its text is kept apart.
type RuleDocument struct {
	Version uint64        `json:"version"` // each change of its kind makes it one higher; 0 is none
	Digest  digest.Digest `json:"digest"`  // of its text
	Record  uint64        `json:"record"`  // that put it in force
}

// RuleDocuments are those in force, of all kinds.
type RuleDocuments struct {
	Changes uint64                    `json:"changes"` // how many there were, of any kind
	Kinds   map[RuleKind]RuleDocument `json:"kinds"`
}

// MaxRules bounds the text of a document, in bytes: it is one value in the store.
const MaxRules = 2 << 20

// keptRules is how many versions of a document keep their text.
const keptRules = 100

// The errors of documents.
var (
	ErrRulesChanged = fault.New(fault.Conflict, "somebody else changed the document meanwhile; look at the difference again")
	ErrNoRules      = fault.New(fault.Missing, "there is no such version of the document, or its text is not kept any more")
	// ErrRulesUnrecorded says that a document in the store is not the one that the newest record about rules names.
	ErrRulesUnrecorded = fault.New(fault.Damaged, "it was changed past the registry: `hallmark fsck` says more; apply the right one again")
)

var rulesNowKey = []byte("now")

func ruleKey(k RuleKind, version uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(k), 0), version)
}

// RuleReads are what RulesRow reads.
func RuleReads() []storage.Read { return []storage.Read{storage.Row(ruleTable, rulesNowKey)} }

// RulesRow is another one after each change of a document, and nil where there never was any: for those who want to know only whether
// what they have is in force still. It is valid as long as the transaction.
func RulesRow(tx storage.Reader) ([]byte, error) {
	row, err := tx.Get(ruleTable, rulesNowKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, nil
	}
	return row, err
}

// ParseRules reads what RulesRow returns.
func ParseRules(row []byte) (d RuleDocuments, err error) {
	if row != nil {
		err = json.Unmarshal(row, &d)
	}
	if err != nil {
		return d, fmt.Errorf("%w: which documents are in force cannot be read: %w", storage.ErrCorrupt, err)
	}
	if d.Kinds == nil {
		d.Kinds = map[RuleKind]RuleDocument{}
	}
	return d, nil
}

func readRules(tx storage.Reader) (RuleDocuments, error) {
	row, err := RulesRow(tx)
	if err != nil {
		return RuleDocuments{}, err
	}
	return ParseRules(row)
}

// RulesText returns the text of a document that is to come into force, in the caller's transaction. Errors: ErrRulesUnrecorded where the
// newest record names another, and storage.ErrCorrupt.
func RulesText(tx storage.Reader, k RuleKind, d RuleDocument) ([]byte, error) {
	said, err := rulesSaid(tx, d)
	if err != nil {
		return nil, err
	}
	if version, sum := said.Document(k); recording && (version != d.Version || sum != d.Digest) {
		return nil, fmt.Errorf("the %s document is %s, and by the records %s: %w", k, versionOf(d.Version, d.Digest), versionOf(version, sum), ErrRulesUnrecorded)
	}
	if d.Version == 0 {
		return nil, nil
	}
	return rulesText(tx, k, d)
}

// rulesSaid is what the newest record about rules says: at least the one that put a document in force, even if the rows are missing that find it.
func rulesSaid(tx storage.Reader, d RuleDocument) (RuleFiles, error) {
	last, err := newestOfAction(tx, Rules)
	if err != nil {
		return RuleFiles{}, err
	}
	if d.Version > 0 && (last == nil || last.Index < d.Record) {
		own, err := ReadStated(tx, d.Record)
		switch {
		case err == nil && own.Rules != nil:
			last = own
		case err != nil && !errors.Is(err, ErrNoRecord):
			return RuleFiles{}, err
		}
	}
	if last == nil || last.Rules == nil {
		return RuleFiles{}, nil
	}
	return *last.Rules, nil
}

// versionOf names a version of a document, for people.
func versionOf(version uint64, sum digest.Digest) string {
	if version == 0 {
		return "none"
	}
	return fmt.Sprintf("version %d, %s", version, sum)
}

func rulesText(tx storage.Reader, k RuleKind, d RuleDocument) ([]byte, error) {
	text, err := tx.Get(ruleTextTable, ruleKey(k, d.Version))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, ErrNoRules
	case err != nil:
		return nil, err
	case digest.FromBytes(text) != d.Digest:
		return nil, fmt.Errorf("%w: the text of version %d of the %s document is not that of its digest", storage.ErrCorrupt, d.Version, k)
	}
	return bytes.Clone(text), nil
}

// ApplyRules puts a document in force, with its record, and returns it. The text was read before by those who know what it means. Where it
// is in force already, nothing happens. follows is the version that it is meant to follow: 0 is none, and nil any. Error: ErrRulesChanged.
func (b *Book) ApplyRules(ctx context.Context, who Identity, k RuleKind, text []byte, follows *uint64) (d RuleDocument, err error) {
	err = b.store.Update(ctx, func(tx storage.Tx) error {
		d, err = b.applyRules(tx, who, k, text, follows)
		return err
	})
	return d, err
}

func (b *Book) applyRules(tx storage.Tx, who Identity, k RuleKind, text []byte, follows *uint64) (d RuleDocument, err error) {
	now, err := readRules(tx)
	if err != nil {
		return d, err
	}
	was := now.Kinds[k]
	if follows != nil && *follows != was.Version {
		return d, ErrRulesChanged
	}
	before, err := rulesOnRecord(tx)
	if err != nil {
		return d, err
	}
	said, _ := before.Document(k)
	sum := digest.FromBytes(text)
	if was.Digest == sum && said == was.Version {
		return was, nil
	}
	d = RuleDocument{Version: max(was.Version, said) + 1, Digest: sum} // of a version that was taken out past us there is a record
	after := before
	onRecord, version := after.of(k)
	*onRecord, *version = d.Digest, d.Version
	r, err := b.appendRules(tx, who, before, after)
	if err != nil {
		return d, err
	}
	if r != nil {
		d.Record = r.Index
	}
	now.Changes++
	now.Kinds[k] = d
	return d, putRules(tx, k, d, now, text)
}

// putRules writes a new version of a document. The text of an old one goes.
func putRules(tx storage.Tx, k RuleKind, d RuleDocument, now RuleDocuments, text []byte) error {
	row, err := json.Marshal(now)
	if err != nil {
		return err
	}
	one, err := json.Marshal(d)
	if err != nil {
		return err
	}
	tx.Put(ruleTable, rulesNowKey, row)
	tx.Put(ruleTable, ruleKey(k, d.Version), one)
	tx.Put(ruleTextTable, ruleKey(k, d.Version), text)
	if d.Version > keptRules {
		tx.Delete(ruleTextTable, ruleKey(k, d.Version-keptRules))
	}
	return nil
}

// A RuleChange is a version of a document, and who put it in force when.
type RuleChange struct {
	RuleDocument
	Time  Time  `json:"time"`
	Actor Actor `json:"actor"`
}

// RulesNow returns the documents in force.
func (b *Book) RulesNow(ctx context.Context) (d RuleDocuments, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		d, err = readRules(tx)
		return err
	})
	return d, err
}

// RulesVersion returns a version of a document, with its text. Error: ErrNoRules.
func (b *Book) RulesVersion(ctx context.Context, k RuleKind, version uint64) (c RuleChange, text []byte, err error) {
	err = b.store.View(ctx, func(tx storage.Reader) error {
		value, err := tx.Get(ruleTable, ruleKey(k, version))
		if errors.Is(err, storage.ErrNotFound) {
			return ErrNoRules
		}
		if err != nil {
			return err
		}
		if c, err = readRuleChange(tx, value); err != nil {
			return err
		}
		text, err = rulesText(tx, k, c.RuleDocument)
		return err
	})
	return c, text, err
}

func readRuleChange(tx storage.Reader, value []byte) (c RuleChange, err error) {
	if err := json.Unmarshal(value, &c.RuleDocument); err != nil {
		return c, fmt.Errorf("%w: a version of a document cannot be read: %w", storage.ErrCorrupt, err)
	}
	r, err := ReadStated(tx, c.Record)
	if err == nil {
		c.Time, c.Actor = r.Time, r.Actor
	}
	return c, err
}

// RulesHistory returns up to n versions of a document, the newest first, from the one before a version on; 0 is the newest.
func (b *Book) RulesHistory(ctx context.Context, k RuleKind, before uint64, n int) (list []RuleChange, err error) {
	to := storage.PrefixEnd(ruleKey(k, 0)[:len(k)+1])
	if before != 0 {
		to = ruleKey(k, before)
	}
	err = b.store.View(ctx, func(tx storage.Reader) error {
		list = nil
		for item, err := range tx.ScanReverse(ruleTable, ruleKey(k, 0), to) {
			if err != nil || len(list) == n {
				return err
			}
			c, err := readRuleChange(tx, slices.Clone(item.Value))
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	return list, err
}
