package web

import (
	"net/url"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/provenance"
)

// homeView shows what there is, and what changed.
type homeView struct {
	Frame
	Repositories []repositoryEntry
	Asked        listAsked
	Next         string               // the following page of repositories, or ""
	Namesakes    provenance.Namesakes // among who changed repositories last
	Changes      []recordLine
	Attention    attention
	Empty        bool         // nothing was pushed yet
	CA           *certificate // of this registry, or nil; where it is empty

	ChangesNamesakes provenance.Namesakes
}

type repositoryEntry struct {
	Name   string        `json:"name"`
	Newest *happenedLast `json:"newest"`
	Pulls  pulls         `json:"pulls"`
}

// happenedLast is what happened last in a repository.
type happenedLast struct {
	Record uint64            `json:"record"`
	Time   provenance.Time   `json:"time"`
	Action provenance.Action `json:"action"`
	Actor  provenance.Actor  `json:"actor"`
	Image  *struct {
		Digest digest.Digest `json:"digest"`
		Tags   []string      `json:"tags"`
		listedImage
	} `json:"image"`
}

// Did is what happened, in a word.
func (h happenedLast) Did() string { return did[h.Action] }

// did is what actions do to an image, in a word.
var did = map[provenance.Action]string{
	provenance.Push: "pushed", provenance.Import: "imported", provenance.Tag: "tagged", provenance.Untag: "tag removed", provenance.Delete: "deleted",
	provenance.Undelete: "brought back", provenance.Purge: "removed from the trash",
	provenance.Attest: "signature judged", provenance.HoldChange: "hold changed",
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

// The lengths of lists on pages.
const (
	homeChanges = "15"
	listed      = "50"
)

// home shows the first page.
func (pg *page) home() error {
	view := homeView{Asked: pg.listAsked()}
	view.Asked.By = ""
	var repos struct {
		Repositories []repositoryEntry    `json:"repositories"`
		Namesakes    provenance.Namesakes `json:"namesakes"`
		Next         string               `json:"next"`
	}
	if err := pg.ask("/api/v1/repositories", view.Asked.query(), &repos); err != nil {
		return err
	}
	view.Repositories, view.Namesakes, view.Next = repos.Repositories, repos.Namesakes, pg.following(repos.Next)
	first := view.Asked.After == "" && !view.Asked.Filtered()
	if first {
		var changes api.RecordPage
		if err := pg.ask("/api/v1/records", url.Values{"limit": {homeChanges}}, &changes); err != nil {
			return err
		}
		view.Changes, view.ChangesNamesakes = linesOf(changes.Records), changes.Namesakes
	}
	view.Empty = first && len(view.Repositories) == 0 && view.Next == ""
	if err := pg.beside(&view, first); err != nil {
		return err
	}
	view.Frame = pg.frame("Images")
	return pg.show(200, "home", view)
}

// beside asks for what the first page shows beside repositories.
func (pg *page) beside(view *homeView, first bool) (err error) {
	if view.Empty {
		var shown certificates
		if _, err := pg.optional("/api/v1/certificate", nil, &shown); err != nil {
			return err
		}
		view.CA = shown.CA
	}
	if first {
		view.Attention, err = pg.attention(time.Now())
	}
	return err
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
