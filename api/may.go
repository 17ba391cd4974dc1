package api

import (
	"context"

	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// mayAnswer says whether a subject has a right, and by which grants.
type mayAnswer struct {
	Subject    access.Subject `json:"subject"`
	Role       access.Right   `json:"role"`
	Repository string         `json:"repository"`
	Allowed    bool           `json:"allowed"`
	Grants     []reason       `json:"grants"`
}

// reason is a grant that gives the right, with the record that it was given by where that is not too long ago.
type reason struct {
	access.GrantEntry
	Record *uint64 `json:"record,omitempty"`
}

// may answers GET /api/v1/access/may. Anyone who administrates a repository may ask it of everybody, and others of themselves.
func (a *API) may(c *call) (any, error) {
	q := c.query()
	answer := mayAnswer{Repository: q.needed("repo"), Grants: []reason{}}
	q.parsed("subject", &answer.Subject)
	q.parsed("role", &answer.Role)
	if err := q.end(); err != nil {
		return nil, err
	}
	own := answer.Subject.Names(c.who) && (c.who.Ceiling == nil || c.who.Ceiling.Allows(access.Pull.String(), answer.Repository))
	if !own && !a.Gate.AdministersAll(c.who, answer.Repository) {
		return nil, c.forbid("of others, only those who have admin on the repository may ask this")
	}
	grants, err := a.Grants.Why(c.Context(), answer.Subject, answer.Role, answer.Repository)
	if err != nil {
		return nil, err
	}
	answer.Allowed = len(grants) > 0
	for _, g := range grants {
		answer.Grants = append(answer.Grants, reason{GrantEntry: g})
	}
	return answer, a.recordsOfGrants(c.Context(), answer.Grants)
}

// maxGrantRecords bounds how many records of grants are looked through, the newest first.
const maxGrantRecords = 2 * provenance.MaxPage

// recordsOfGrants finds the newest record of each grant.
func (a *API) recordsOfGrants(ctx context.Context, grants []reason) error {
	find := provenance.Query{Action: provenance.Grant, Descending: true, Limit: provenance.MaxPage}
	missing := len(grants)
	for looked := 0; missing > 0 && looked < maxGrantRecords; looked += provenance.MaxPage {
		page, err := a.Records.Find(ctx, find)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			for i := range grants {
				if grants[i].Record == nil && grants[i].isOf(r.Grant) {
					grants[i].Record = &r.Index
					missing--
				}
			}
		}
		if find.After = page.Next; page.Next == nil {
			return nil
		}
	}
	return nil
}

// isOf says whether a change of rights gave this grant.
func (g reason) isOf(c *provenance.RightsChange) bool {
	switch {
	case c == nil || c.Team != "" || c.Pattern != g.Pattern.String() || c.Role != g.Role.String():
		return false
	case g.Account != "":
		return c.Account == g.Account
	}
	return c.Subject == g.Subject.String()
}
