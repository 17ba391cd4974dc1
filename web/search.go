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
	Kind    string // of the one list that is shown; "" is all
	Nothing bool
	After   map[string]string // by list, the page on which it goes on
}

type found struct {
	Records      []*provenance.Record `json:"records"`
	Images       []foundImage         `json:"images"`
	Repositories []string             `json:"repositories"`
	Tags         []foundTag           `json:"tags"`
	People       []foundActor         `json:"people"`
	Partial      bool                 `json:"partial"`
	More         map[string]string    `json:"more"`
	Namesakes    provenance.Namesakes `json:"namesakes"`
}

type foundImage struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	Tags       []string         `json:"tags"`
	Present    bool             `json:"present"`
	By         string           `json:"by"`
	Value      string           `json:"value"`
	Class      provenance.Class `json:"class"`
	Record     uint64           `json:"record"`
	Time       provenance.Time  `json:"time"`
	Actor      provenance.Actor `json:"actor"`
}

type foundTag struct {
	Repository string        `json:"repository"`
	Tag        string        `json:"tag"`
	Digest     digest.Digest `json:"digest"`
	Record     uint64        `json:"record"`
}

type foundActor struct {
	Name    string   `json:"name"`
	Kind    string   `json:"kind"`
	Members []string `json:"members"`
}

// search shows what a text finds.
func (pg *page) search() error {
	asked := pg.r.URL.Query()
	q := strings.TrimSpace(asked.Get("q"))
	view := searchView{Kind: asked.Get("kind"), After: map[string]string{}}
	if q != "" {
		query := url.Values{"q": {q}}
		for _, name := range []string{"kind", "after"} {
			if value := asked.Get(name); value != "" {
				query.Set(name, value)
			}
		}
		if err := pg.ask("/api/v1/search", query, &view.found); err != nil {
			return err
		}
		view.Lines = linesOf(view.Records)
		view.Nothing = len(view.Lines)+len(view.Images)+len(view.Repositories)+len(view.Tags)+len(view.People)+len(view.More) == 0
		for kind, where := range view.More { // by the list that goes on
			view.After[kind] = pageOf(where)
		}
	}
	view.Frame = pg.frame("Search")
	view.Query = q
	return pg.show(200, "search", view)
}

// pageOf is the page that shows what one of the API's URLs does, of a search or of records.
func pageOf(where string) string {
	u, err := url.Parse(where)
	if err != nil {
		return "/search"
	}
	if u.Path == "/api/v1/records" {
		return "/-/records?" + u.RawQuery
	}
	return "/search?" + u.RawQuery
}
