package web

import (
	"net/url"

	"github.com/seed-260924e6/hallmark/provenance"
)

// homeView shows what there is, and what changed.
type homeView struct {
	Frame
	Repositories []repositoryEntry
	Next         string // the following page of repositories, or ""
	From         string // behind which repository this page begins, or ""
	Changes      []recordLine
	Namesakes    provenance.Namesakes
	Empty        bool // nothing was pushed yet
}

type repositoryEntry struct {
	Name string `json:"name"`
}

// recordLine is a record in a list.
type recordLine struct {
	*provenance.Record
	What string // in words
}

func linesOf(records []*provenance.Record) (lines []recordLine) {
	for _, r := range records {
		lines = append(lines, recordLine{r, does(r)})
	}
	return lines
}

// recordPage is what the API answers about records.
type recordPage struct {
	Records   []*provenance.Record `json:"records"`
	Namesakes provenance.Namesakes `json:"namesakes"`
	Next      string               `json:"next"`
}

// The lengths of lists on pages.
const (
	homeRepositories = "50"
	homeChanges      = "15"
	listed           = "50"
)

// home shows the first page.
func (pg *page) home() error {
	q := pg.r.URL.Query()
	view := homeView{From: q.Get("after")}
	var repos struct {
		Repositories []repositoryEntry `json:"repositories"`
		Next         string            `json:"next"`
	}
	ask := url.Values{"limit": {homeRepositories}}
	if view.From != "" {
		ask.Set("after", view.From)
	}
	if err := pg.ask("/api/v1/repositories", ask, &repos); err != nil {
		return err
	}
	view.Repositories = repos.Repositories
	view.Next = pg.following(repos.Next)
	if view.From == "" {
		var changes recordPage
		if err := pg.ask("/api/v1/records", url.Values{"limit": {homeChanges}}, &changes); err != nil {
			return err
		}
		view.Changes, view.Namesakes = linesOf(changes.Records), changes.Namesakes
	}
	view.Empty = len(view.Repositories) == 0 && view.From == "" && view.Next == ""
	view.Frame = pg.frame("Images")
	return pg.show(200, "home", view)
}

// following is this page with the position of the API's next one, or "".
func (pg *page) following(next string) string {
	u, err := url.Parse(next)
	if next == "" || err != nil {
		return ""
	}
	q := pg.r.URL.Query()
	q.Set("after", u.Query().Get("after"))
	return pg.r.URL.EscapedPath() + "?" + q.Encode()
}
