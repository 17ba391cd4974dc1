package api

import (
	"strconv"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// statementPage is a page of what was signed of records.
type statementPage struct {
	provenance.StatementPage
	Next string `json:"next,omitempty"`
}

func (p statementPage) nextPage() string { return p.Next }

// statements answers GET /api/v1/records/statements: what those need who read the whole log, many at a time. Where records
// that are not shown stand is no secret: how many there are is in the log's checkpoint.
func (a *API) statements(c *call) (any, error) {
	q := c.query()
	from, limit := q.index("from"), q.limit()
	if err := q.end(); err != nil {
		return nil, err
	}
	if a.PrivateLog && c.isStranger() {
		return nil, access.ErrNoLogin // they may not see the checkpoint either
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	if from == nil {
		from = new(uint64)
	}
	page, err := a.Records.Statements(c.Context(), *from, limit, func(r *provenance.Record) provenance.Showing { return a.showing(c, r) })
	if err != nil {
		return nil, err
	}
	answer := statementPage{StatementPage: page}
	if page.More {
		answer.Next = c.nextURL(map[string]string{"from": strconv.FormatUint(page.To, 10)})
	}
	return answer, nil
}

// showing says whether the caller is shown what was signed of a record. What they did themselves they are, wherever it was, but for what
// a token is not meant for.
func (a *API) showing(c *call, r *provenance.Record) provenance.Showing {
	switch own := c.who.Actor; {
	case a.mayKnow(c, r):
		return provenance.Shown
	case own.Account != "" && own.Account == r.Actor.Account && own.Kind == r.Actor.Kind && c.who.Ceiling == nil:
		return provenance.OwnAct
	default:
		return provenance.NotShown
	}
}
