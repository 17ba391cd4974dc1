package web

import (
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// searchView is what a search found.
type searchView struct {
	Frame
	found
	Lines   []recordLine
	Nothing bool
}

type found struct {
	Records      []*provenance.Record `json:"records"`
	Images       []foundImage         `json:"images"`
	Repositories []string             `json:"repositories"`
	Looked       int                  `json:"looked"`
	Partial      bool                 `json:"partial"`
	More         []string             `json:"more"`
	Namesakes    provenance.Namesakes `json:"namesakes"`
}

type foundImage struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	Tags       []string         `json:"tags"`
	Present    bool             `json:"present"`
	By         string           `json:"by"`
	Class      provenance.Class `json:"class"`
	Record     uint64           `json:"record"`
	Time       provenance.Time  `json:"time"`
	Actor      provenance.Actor `json:"actor"`
}

// search shows what a text finds.
func (pg *page) search() error {
	q := strings.TrimSpace(pg.r.URL.Query().Get("q"))
	view := searchView{}
	if q != "" {
		if err := pg.ask("/api/v1/search", url.Values{"q": {q}}, &view.found); err != nil {
			return err
		}
		view.Lines = linesOf(view.Records)
		view.Nothing = len(view.Lines)+len(view.Images)+len(view.Repositories) == 0
	}
	view.Frame = pg.frame("Search")
	view.Query = q
	return pg.show(200, "search", view)
}
