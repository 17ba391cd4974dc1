package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-260924e6/hallmark/storage"
)

// checkRules wants the documents in the store to be those that the newest record about rules names.
func (c *checker) checkRules(tx storage.Reader) error {
	now, err := readRules(tx)
	if err != nil {
		if errors.Is(err, storage.ErrCorrupt) {
			c.bad(err)
		}
		return unlessCorrupt(err)
	}
	for _, k := range RuleKinds {
		d := now.Kinds[k]
		if _, err := RulesText(tx, k, d); err != nil && !isAbout(err) {
			return err
		} else if err != nil {
			c.bad(err)
		}
		if d.Version == 0 {
			continue
		}
		want, err := json.Marshal(d)
		if err != nil {
			return err
		}
		if row, err := tx.Get(ruleTable, ruleKey(k, d.Version)); err != nil && !errors.Is(err, storage.ErrNotFound) {
			return err
		} else if !bytes.Equal(row, want) {
			c.bad(fmt.Errorf("%w: version %d of the %s document is in force, and is not among its versions as it is", storage.ErrCorrupt, d.Version, k))
		}
	}
	return nil
}

// isAbout says that an error is about what a document is, and not about reading it.
func isAbout(err error) bool {
	return errors.Is(err, ErrRulesUnrecorded) || errors.Is(err, storage.ErrCorrupt) || errors.Is(err, ErrNoRules)
}

// rule wants a version of a document to be what its record says, and to have the text that it had where that is kept.
func (c *checker) rule(tx storage.Reader, item storage.Item) error {
	if bytes.Equal(item.Key, rulesNowKey) {
		return nil
	}
	var d RuleDocument
	kind, _, found := bytes.Cut(item.Key, []byte{0})
	k := RuleKind(kind)
	if err := json.Unmarshal(item.Value, &d); err != nil || !found || !bytes.Equal(item.Key, ruleKey(k, d.Version)) {
		c.bad(fmt.Errorf("%w: the version %q of a document cannot be read", storage.ErrCorrupt, item.Key))
		return nil
	}
	if recording {
		r, err := ReadStated(tx, d.Record)
		if err != nil && !errors.Is(err, ErrNoRecord) {
			return err
		}
		if err != nil || r.Rules == nil || !r.Rules.names(k, d) {
			c.bad(fmt.Errorf("%w: version %d of the %s document is %s, and record %d does not say so", storage.ErrCorrupt, d.Version, k, d.Digest, d.Record))
			return nil
		}
	}
	_, err := rulesText(tx, k, d)
	if errors.Is(err, storage.ErrCorrupt) {
		c.bad(err)
		return nil
	}
	if !errors.Is(err, ErrNoRules) {
		return err
	}
	now, err := readRules(tx)
	if err == nil && d.Version+keptRules > now.Kinds[k].Version {
		c.bad(fmt.Errorf("%w: the text of version %d of the %s document is missing", storage.ErrCorrupt, d.Version, k))
	}
	return unlessCorrupt(err)
}

// unlessCorrupt passes over what checkRules says.
func unlessCorrupt(err error) error {
	if errors.Is(err, storage.ErrCorrupt) {
		return nil
	}
	return err
}

// names says that a record put just this document in force.
func (f RuleFiles) names(k RuleKind, d RuleDocument) bool {
	version, sum := f.Document(k)
	return version == d.Version && sum == d.Digest
}

// ruleText wants a text to be that of a version.
func (c *checker) ruleText(tx storage.Reader, item storage.Item) error {
	_, err := tx.Get(ruleTable, item.Key)
	if errors.Is(err, storage.ErrNotFound) {
		c.bad(fmt.Errorf("%w: there is a text of a document without its version, %q", storage.ErrCorrupt, item.Key))
		return nil
	}
	return err
}
