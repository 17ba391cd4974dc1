package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
)

// What was deleted lies in the trash, which lists it for those who may push to its repository, and has a form that brings it back. That is a
// push, in the name of the one who asks, and the API checks it as one.

// trashEntry is a manifest in the trash.
type trashEntry struct {
	Repository string           `json:"repository"`
	Digest     digest.Digest    `json:"digest"`
	MediaType  string           `json:"mediaType"`
	Size       int64            `json:"size"`
	Tags       []string         `json:"tags"`
	TagsCut    bool             `json:"tagsCut"`
	Record     uint64           `json:"record"`
	Actor      provenance.Actor `json:"actor"`
	Time       provenance.Time  `json:"time"`
	KeptUntil  *provenance.Time `json:"keptUntil"`
}

// Value is how a form has it.
func (t trashEntry) Value() string { return valueOf(t.Repository, t.Digest) }

// trashView lists what is in the trash, or what became of what was chosen there.
type trashView struct {
	Frame
	Repository string // or "": all
	Trash      []trashEntry
	Namesakes  provenance.Namesakes
	Next       string
	Token      string
	Chooses    bool // there is a form that brings things back
	Returns    []chosenImage
	Done       bool
}

// trash lists what is in the trash.
func (pg *page) trash() error {
	var found struct {
		Trash     []trashEntry         `json:"trash"`
		Namesakes provenance.Namesakes `json:"namesakes"`
		Next      string               `json:"next"`
	}
	ask := url.Values{"limit": {listed}}
	for _, name := range []string{"repo", "after"} {
		if value := pg.r.URL.Query().Get(name); value != "" {
			ask.Set(name, value)
		}
	}
	if err := pg.ask("/api/v1/trash", ask, &found); err != nil {
		return err
	}
	view := trashView{Repository: ask.Get("repo"), Trash: found.Trash, Namesakes: found.Namesakes, Next: pg.following(found.Next)}
	view.Frame = pg.frame("Trash")
	if view.Chooses = pg.session != "" && len(view.Trash) > 0; view.Chooses {
		view.Token = pg.Token(undeletes.form)
	}
	return pg.show(http.StatusOK, "trash", view)
}

// mayReturn says whether the one who asks sees the trash of a repository.
func (pg *page) mayReturn(repo string) bool {
	return !pg.isStranger() && pg.Logins.May(pg.who, access.Push, repo)
}

// undelete brings back what the form names.
func (pg *page) undelete() error {
	list, err := pg.chosenImages(undeletes)
	if err != nil {
		return err
	}
	for i := range list {
		pg.bringBack(&list[i])
	}
	return pg.show(http.StatusOK, "trash", trashView{Frame: pg.frame("Trash"), Returns: list, Done: true})
}

// maxRounds bounds how often more of one image is asked for: each time up to 1,000 manifests come back.
const maxRounds = 20

// bringBack brings one image back with what belongs to it, and notes what became of it.
func (pg *page) bringBack(c *chosenImage) {
	for round := range maxRounds {
		if more := pg.bringSomeBack(c); more {
			continue
		}
		if !c.Done && round > 0 {
			c.Says = "Some of it is back, and the rest is not: " + c.Says
		}
		return
	}
	c.Says = "It is back, and more belongs to it: send the form again."
}

// bringSomeBack says whether there is more.
func (pg *page) bringSomeBack(c *chosenImage) (more bool) {
	var answer struct {
		Manifests []struct {
			Digest digest.Digest `json:"digest"`
			Tags   []string      `json:"tags"`
		} `json:"manifests"`
		More bool `json:"more"`
	}
	pg.do(undeletes, c, &answer)
	for _, m := range answer.Manifests {
		if m.Digest == c.Digest {
			c.Tags = slices.Concat(c.Tags, m.Tags)
		}
	}
	return c.Done && answer.More
}
