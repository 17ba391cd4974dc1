package web

import (
	"net/http"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// mirrorsView shows administrators how mirrors are, with a form that lets through what they hold; or what became of what was chosen
// there.
type mirrorsView struct {
	Frame
	Mirrors []mirror
	Token   string
	Chooses bool // there is something to let through, and a session that may
	Done    bool
	Through []chosenImage
}

// mirror is how a mirror is, as the API has it.
type mirror struct {
	Name      string           `json:"name"`
	Upstream  string           `json:"upstream"`
	Into      string           `json:"into"`
	Every     string           `json:"every"`
	Hold      string           `json:"hold"`
	Running   *struct{}        `json:"running"`
	Succeeded *provenance.Time `json:"succeeded"`
	Next      *provenance.Time `json:"next"`
	Failures  int              `json:"failures"`
	Why       string           `json:"why"`
	Waiting   []waitingTag     `json:"waiting"`
	// WaitingCut says that more waits.
	WaitingCut bool `json:"waitingCut"`
	Last       *struct {
		Refused  int64 `json:"refused"`
		Refusals []struct {
			Reference string `json:"reference"`
			Why       string `json:"why"`
		} `json:"refusals"`
	} `json:"last"`
}

// waitingTag is a tag that a mirror holds.
type waitingTag struct {
	Repository string          `json:"repository"`
	Tag        string          `json:"tag"`
	Digest     digest.Digest   `json:"digest"`
	Seen       provenance.Time `json:"seen"`
	Left       string          `json:"left"`
}

// Value is how a form has it.
func (w waitingTag) Value() string { return valueOf(w.Repository, w.Digest) }

// mirrors shows how mirrors are.
func (pg *page) mirrors() error {
	var found struct {
		Mirrors []mirror `json:"mirrors"`
	}
	if err := pg.ask("/api/v1/mirrors", nil, &found); err != nil {
		return err
	}
	view := mirrorsView{Frame: pg.frame("Mirrors"), Mirrors: found.Mirrors}
	for _, m := range found.Mirrors {
		view.Chooses = view.Chooses || pg.session != "" && len(m.Waiting) > 0
	}
	if view.Chooses {
		view.Token = pg.Token(approves.form)
	}
	return pg.show(http.StatusOK, "mirrors", view)
}

// approve lets through what the form names.
func (pg *page) approve() error {
	list, err := pg.chosenImages(approves)
	if err != nil {
		return err
	}
	for i := range list {
		pg.letThrough(&list[i])
	}
	return pg.show(http.StatusOK, "mirrors", mirrorsView{Frame: pg.frame("Mirrors"), Through: list, Done: true})
}

// letThrough lets one image through, under all tags that wait for it.
func (pg *page) letThrough(c *chosenImage) {
	var answer struct {
		Approved []struct {
			Tag string `json:"tag"`
		} `json:"approved"`
	}
	pg.do(approves, c, &answer)
	for _, t := range answer.Approved {
		c.Tags = append(c.Tags, t.Tag)
	}
}
