package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// Records are what happened.
type Records interface {
	// Get returns a record. Error: provenance.ErrNoRecord.
	Get(ctx context.Context, index uint64) (*provenance.Record, error)
	// GetAll returns some records, in the order asked. Error: provenance.ErrNoRecord.
	GetAll(ctx context.Context, indexes []uint64) ([]*provenance.Record, error)
	// Find returns a page of records.
	Find(ctx context.Context, q provenance.Query) (provenance.Page, error)
	// NewestOf returns the index of the newest record of each repository, nil where there is none.
	NewestOf(ctx context.Context, repositories []string) ([]*uint64, error)
	// History returns up to limit moves of a tag, newest first, and behind which the next page begins, or nil.
	History(ctx context.Context, repository, tag string, after *uint64, limit int) ([]provenance.Move, *uint64, error)
	// Meaning returns the last move of a tag before a moment. Error: provenance.ErrNoRecord.
	Meaning(ctx context.Context, repository, tag string, at time.Time) (provenance.Move, error)
	// Statements returns what was signed of up to limit records, those that are shown whole and what others count for.
	Statements(ctx context.Context, from uint64, limit int, shows func(*provenance.Record) provenance.Showing) (provenance.StatementPage, error)
}

// RecordPage is a page of records.
type RecordPage struct {
	Records []*provenance.Record `json:"records"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	Next      string               `json:"next,omitempty"`
}

func (p RecordPage) nextPage() string { return p.Next }

// records answers GET /api/v1/records.
func (a *API) records(c *call) (any, error) {
	q := c.query()
	find, err := a.recordQuery(c, q)
	if err != nil {
		return nil, err
	}
	page, err := a.Records.Find(c.Context(), find)
	if err != nil {
		return nil, err
	}
	answer := RecordPage{Records: page.Records, Next: c.nextRecords(page.Next)}
	if answer.Records == nil {
		answer.Records = []*provenance.Record{}
	}
	answer.Namesakes, err = a.namesakes(c.Context(), actorsOf(page.Records))
	return answer, err
}

// recordQuery reads which records are asked for, and which of them the caller may see. Other parameters are asked for before.
func (a *API) recordQuery(c *call, q *query) (find provenance.Query, err error) {
	find = provenance.Query{
		Repository:  q.text("repo"),
		Tag:         q.text("tag"),
		Digest:      q.digest("digest"),
		Identity:    q.text("identity"),
		Source:      q.text("source"),
		Revision:    q.text("revision"),
		Base:        q.digest("base"),
		Action:      provenance.Action(q.oneOf("action", names(provenance.Actions)...)),
		Class:       provenance.Class(q.oneOf("class", names(provenance.Classes)...)),
		Since:       q.time("since"),
		Until:       q.time("until"),
		After:       q.index("after"),
		Limit:       q.limit(),
		Descending:  q.oneOf("order", "asc", "desc") != "asc",
		Visible:     a.mayPull(c),
		Administers: func(pattern string) bool { return a.Gate.AdministersAll(c.who, pattern) },
	}
	find.Kind, find.Identity = splitActor(find.Identity)
	if find.Tag != "" && find.Repository == "" {
		q.fail("tag needs repo: a tag belongs to a repository")
	}
	if err := q.end(); err != nil {
		return find, err
	}
	return find, a.narrowsBeyond(c, find.Repository)
}

// splitActor takes the kind from a name as answers and tables show it, as robot:builder. Without one, the name is a handle or
// an account.
func splitActor(name string) (kind provenance.Kind, rest string) {
	before, after, ok := strings.Cut(name, ":")
	if ok && after != "" && slices.Contains(provenance.ActorKinds, provenance.Kind(before)) {
		return provenance.Kind(before), after
	}
	return "", name
}

func names[S ~string](values []S) (s []string) {
	for _, v := range values {
		s = append(s, string(v))
	}
	return s
}

// digest returns a parameter that is a digest, or "".
func (q *query) digest(name string) digest.Digest {
	s := q.text(name)
	if s == "" {
		return ""
	}
	d, err := digest.Parse(s)
	if err != nil {
		q.fail("%s is %q, and should be a digest as sha256:…", name, s)
	}
	return d
}

// nextRecords is the URL of the page behind an index, or "".
func (c *call) nextRecords(after *uint64) string {
	if after == nil {
		return ""
	}
	return c.nextURL(map[string]string{"after": strconv.FormatUint(*after, 10)})
}

// record answers GET /api/v1/records/{index}.
func (a *API) record(c *call) (any, error) {
	if err := c.query().end(); err != nil {
		return nil, err
	}
	return a.visibleRecord(c)
}

// visibleRecord returns the record that the path names. Changes of the registry's keys are for all to see.
func (a *API) visibleRecord(c *call) (*provenance.Record, error) {
	index, err := strconv.ParseUint(c.PathValue("index"), 10, 63)
	if err != nil {
		return nil, problemf(http.StatusBadRequest, "%q is not the index of a record", c.PathValue("index"))
	}
	r, err := a.Records.Get(c.Context(), index)
	if err != nil {
		return nil, err
	}
	if !a.mayKnow(c, r) {
		if c.isStranger() {
			return nil, access.ErrNoLogin
		}
		return nil, fmt.Errorf("record %d: %w", index, provenance.ErrNoRecord)
	}
	return r, nil
}

// mayKnow says whether the caller may see a record.
func (a *API) mayKnow(c *call, r *provenance.Record) bool {
	if r.Key != nil {
		return true // the keys are served to all
	}
	if r.Grant != nil {
		return a.Gate.AdministersAll(c.who, r.Grant.Pattern)
	}
	return a.Gate.May(c.who, access.Pull, r.Repository)
}

// HistoryPage is a page of what happened to a tag, newest first.
type HistoryPage struct {
	Repository string            `json:"repository"`
	Tag        string            `json:"tag"`
	Moves      []provenance.Move `json:"moves"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	Next      string               `json:"next,omitempty"`
}

func (p HistoryPage) nextPage() string { return p.Next }

// meaning is what a tag meant at a moment.
type meaning struct {
	Repository string          `json:"repository"`
	Tag        string          `json:"tag"`
	At         provenance.Time `json:"at"`
	Digest     digest.Digest   `json:"digest"`
	Move       provenance.Move `json:"move"` // the last before that moment
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
}

// history answers GET /api/v1/history.
func (a *API) history(c *call) (any, error) {
	q := c.query()
	repo, tag, at := q.needed("repo"), q.needed("tag"), q.endOf("at")
	after, limit := q.index("after"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	if !at.IsZero() {
		return a.meaning(c, repo, tag, at)
	}
	moves, next, err := a.Records.History(c.Context(), repo, tag, after, limit)
	if err != nil {
		return nil, err
	}
	if len(moves) == 0 && next == nil && after == nil {
		return nil, problemf(http.StatusNotFound, "nothing is recorded of a tag %q in a repository %q", tag, repo)
	}
	if moves == nil {
		moves = []provenance.Move{}
	}
	names, err := a.namesakes(c.Context(), actorsOf(recordsOf(moves)))
	return HistoryPage{repo, tag, moves, names, c.nextRecords(next)}, err
}

func recordsOf(moves []provenance.Move) (records []*provenance.Record) {
	for _, m := range moves {
		records = append(records, m.Record)
	}
	return records
}

func (a *API) meaning(c *call, repo, tag string, at time.Time) (any, error) {
	m, err := a.Records.Meaning(c.Context(), repo, tag, at)
	if err != nil || m.To == "" {
		if access.StatusOf(err) == 0 && err != nil {
			return nil, err
		}
		return nil, problemf(http.StatusNotFound, "%s:%s meant nothing at %s", repo, tag, provenance.At(at))
	}
	names, err := a.namesakes(c.Context(), actorsOf([]*provenance.Record{m.Record}))
	return meaning{repo, tag, provenance.At(at), m.To, m, names}, err
}
