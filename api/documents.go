package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Documents are those in the store by which the registry decides: policy, trust and issuers.
type Documents interface {
	// RulesNow returns which are in force.
	RulesNow(ctx context.Context) (provenance.RuleDocuments, error)
	// RulesVersion returns a version of one, with its text. Error: provenance.ErrNoRules.
	RulesVersion(ctx context.Context, k provenance.RuleKind, version uint64) (provenance.RuleChange, []byte, error)
	// RulesHistory returns up to n versions of one, the newest first, from the one before a version on; 0 is the newest.
	RulesHistory(ctx context.Context, k provenance.RuleKind, before uint64, n int) ([]provenance.RuleChange, error)
	// CheckRules says what is wrong with a text.
	CheckRules(k provenance.RuleKind, text []byte) error
	// ApplyRules puts a text in force that follows a version: 0 is none, nil any. Error: provenance.ErrRulesChanged.
	ApplyRules(ctx context.Context, by provenance.Identity, k provenance.RuleKind, text []byte, follows *uint64) (provenance.RuleDocument, error)
}

// ruleDocument is a version of a document as it is shown: version 0 is none.
type ruleDocument struct {
	Kind    provenance.RuleKind `json:"kind"`
	Version uint64              `json:"version"`
	Digest  digest.Digest       `json:"digest,omitempty"`
	Record  *uint64             `json:"record,omitempty"`
	Time    *provenance.Time    `json:"time,omitempty"`
	Actor   *provenance.Actor   `json:"actor,omitempty"`
	Text    string              `json:"text,omitempty"`
}

func shownRules(k provenance.RuleKind, c provenance.RuleChange) ruleDocument {
	return ruleDocument{Kind: k, Version: c.Version, Digest: c.Digest, Record: &c.Record, Time: &c.Time, Actor: &c.Actor}
}

// ruleKind is the kind that a call's path names.
func (c *call) ruleKind() (provenance.RuleKind, error) {
	for _, k := range provenance.RuleKinds {
		if string(k) == c.PathValue("kind") {
			return k, nil
		}
	}
	return "", problemf(http.StatusNotFound, "there is no document %q; there are policy, trust and issuers", c.PathValue("kind"))
}

// ruleDocument answers GET /api/v1/documents/{kind}.
func (a *API) ruleDocument(c *call) (any, error) {
	q := c.query()
	version := q.index("version")
	if err := q.end(); err != nil {
		return nil, err
	}
	k, err := c.ruleKind()
	if err != nil {
		return nil, err
	}
	if version == nil {
		now, err := a.Documents.RulesNow(c.Context())
		if err != nil || now.Kinds[k].Version == 0 {
			return ruleDocument{Kind: k}, err
		}
		is := now.Kinds[k].Version
		version = &is
	}
	found, text, err := a.Documents.RulesVersion(c.Context(), k, *version)
	if err != nil {
		return nil, err
	}
	c.w.Header().Set("ETag", `"`+found.Digest.String()+`"`)
	answer := shownRules(k, found)
	answer.Text = string(text)
	return answer, nil
}

// ruleHistory are the versions of a document, the newest first.
type ruleHistory struct {
	Versions []ruleDocument `json:"versions"`
	Next     string         `json:"next,omitempty"`
}

func (p ruleHistory) nextPage() string { return p.Next }

// ruleHistory answers GET /api/v1/documents/{kind}/history.
func (a *API) ruleHistory(c *call) (any, error) {
	q := c.query()
	limit, after := q.limit(), q.index("after")
	if err := q.end(); err != nil {
		return nil, err
	}
	k, err := c.ruleKind()
	if err != nil {
		return nil, err
	}
	var before uint64
	if after != nil {
		before = *after
	}
	found, err := a.Documents.RulesHistory(c.Context(), k, before, limit+1)
	if err != nil {
		return nil, err
	}
	found, next := pageOf(c, found, limit, func(one provenance.RuleChange) string { return strconv.FormatUint(one.Version, 10) })
	page := ruleHistory{Versions: []ruleDocument{}, Next: next}
	for _, one := range found {
		page.Versions = append(page.Versions, shownRules(k, one))
	}
	return page, nil
}

// applyRules is a document to put in force.
type applyRules struct {
	// Version is the one that it is meant to follow: 0 is none, and without it any.
	Version *uint64 `json:"version"`
	Text    string  `json:"text"`
}

// rulesApplied says which document is in force now, or would be.
type rulesApplied struct {
	Kind    provenance.RuleKind `json:"kind"`
	Version uint64              `json:"version"` // that is in force now
	Digest  digest.Digest       `json:"digest"`  // of the text that was sent
	Record  *uint64             `json:"record,omitempty"`
	Applied bool                `json:"applied"`
}

// maxRulesBody bounds the body of a request with a document, in bytes: a text may grow as JSON.
const maxRulesBody = provenance.MaxRules*2 + 256<<10

// applyRules answers PUT /api/v1/documents/{kind}.
func (a *API) applyRules(c *call) (any, error) {
	q := c.query()
	dryRun := q.oneOf("dryRun", "true", "false") == "true"
	if err := q.end(); err != nil {
		return nil, err
	}
	k, err := c.ruleKind()
	if err != nil {
		return nil, err
	}
	var sent applyRules
	if err := c.bodyUpTo(maxRulesBody, &sent); err != nil {
		return nil, err
	}
	text := []byte(sent.Text)
	if err := a.Documents.CheckRules(k, text); err != nil {
		return nil, problemf(http.StatusUnprocessableEntity, "%s", err)
	}
	if dryRun {
		return a.wouldApply(c, k, sent)
	}
	d, err := a.Documents.ApplyRules(c.Context(), c.who, k, text, sent.Version)
	if err != nil {
		return nil, err
	}
	a.Log.Info("a document was applied", "kind", k, "version", d.Version, "record", d.Record, "by", c.who.Actor.Handle)
	return rulesApplied{Kind: k, Version: d.Version, Digest: d.Digest, Record: &d.Record, Applied: true}, nil
}

// wouldApply is refused like the application.
func (a *API) wouldApply(c *call, k provenance.RuleKind, sent applyRules) (any, error) {
	now, err := a.Documents.RulesNow(c.Context())
	if err != nil {
		return nil, err
	}
	version := now.Kinds[k].Version
	if sent.Version != nil && *sent.Version != version {
		return nil, provenance.ErrRulesChanged
	}
	return rulesApplied{Kind: k, Version: version, Digest: digest.FromString(sent.Text)}, nil
}
