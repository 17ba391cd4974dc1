package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

const worldDocument = "rules: []\n"

func worldRules(version uint64) provenance.RuleDocument {
	return provenance.RuleDocument{Version: version, Digest: digest.FromString(worldDocument), Record: 3}
}

func worldRuleChange(version uint64) provenance.RuleChange {
	at := provenance.At(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	return provenance.RuleChange{RuleDocument: worldRules(version), Time: at, Actor: worldUser("admin").Actor}
}

// Follow implements Gate. It is asked of strangers alone, and does not fail.
func (w *world) Follow(context.Context) error { return nil }

// RulesNow implements Documents: there is a policy, and nothing else.
func (w *world) RulesNow(context.Context) (provenance.RuleDocuments, error) {
	return provenance.RuleDocuments{Kinds: map[provenance.RuleKind]provenance.RuleDocument{provenance.PolicyRules: worldRules(2)}}, w.asked()
}

// RulesVersion implements Documents.
func (w *world) RulesVersion(_ context.Context, _ provenance.RuleKind, version uint64) (provenance.RuleChange, []byte, error) {
	if version > 2 {
		return provenance.RuleChange{}, nil, provenance.ErrNoRules
	}
	return worldRuleChange(version), []byte(worldDocument), w.asked()
}

// RulesHistory implements Documents.
func (w *world) RulesHistory(_ context.Context, _ provenance.RuleKind, before uint64, _ int) ([]provenance.RuleChange, error) {
	if before == 2 {
		return []provenance.RuleChange{worldRuleChange(1)}, w.asked()
	}
	return []provenance.RuleChange{worldRuleChange(2), worldRuleChange(1)}, w.asked()
}

// CheckRules implements Documents.
func (w *world) CheckRules(_ provenance.RuleKind, text []byte) error {
	if !strings.HasPrefix(string(text), "rules:") {
		return errors.New("policy:1: these are no rules")
	}
	return nil
}

// ApplyRules implements Documents.
func (w *world) ApplyRules(context.Context, provenance.Identity, provenance.RuleKind, []byte, *uint64) (provenance.RuleDocument, error) {
	return worldRules(3), w.asked()
}
