package web

import (
	"net/http"
	"strings"

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
	Through []approval
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
	Last      *struct {
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

// Value is how a form has it: the digest too, so that what is let through is what was looked at.
func (w waitingTag) Value() string { return w.Repository + "@" + w.Digest.String() }

// approval is what became of an image that was to be let through.
type approval struct {
	Repository string
	Digest     digest.Digest
	Tags       []string // that mean it now
	Says       string
	Done       bool
}

const approveForm = "approve"

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
		view.Token = pg.Token(approveForm)
	}
	return pg.show(http.StatusOK, "mirrors", view)
}

// approve lets through what the form names.
func (pg *page) approve() error {
	if pg.isStranger() {
		return errSignIn // the session has ended
	}
	fields, err := pg.form(approveForm)
	if err != nil {
		return err
	}
	list, err := comebacks(fields["image"])
	if err != nil {
		return err
	}
	view := mirrorsView{Frame: pg.frame("Mirrors"), Done: true}
	for _, c := range list {
		view.Through = append(view.Through, pg.letThrough(c.Repository, c.Digest))
	}
	return pg.show(http.StatusOK, "mirrors", view)
}

// letThrough lets one image through, under all tags that wait for it.
func (pg *page) letThrough(repo string, d digest.Digest) approval {
	const path = "/api/v1/mirrors/approve"
	var answer struct {
		Approved []struct {
			Tag string `json:"tag"`
		} `json:"approved"`
	}
	a := approval{Repository: repo, Digest: d}
	if err := pg.read(pg.post(path, map[string]string{"repository": repo, "reference": d.String()}), path, &answer); err != nil {
		a.Says = strings.Replace(pg.stays(err), "brought back", "let through", 1)
		return a
	}
	a.Done, a.Says = true, "Let through."
	for _, t := range answer.Approved {
		a.Tags = append(a.Tags, t.Tag)
	}
	return a
}
