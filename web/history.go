package web

import (
	"errors"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// historyView is what happened to a tag.
type historyView struct {
	Frame
	Repository string
	Tag        string
	Moves      []move
	Namesakes  provenance.Namesakes
	Next       string
	At         string // the moment that was asked for, or ""
	Meant      *meant // then
	Nothing    string // why nothing was meant then
}

type move struct {
	From   digest.Digest      `json:"from"`
	To     digest.Digest      `json:"to"`
	Record *provenance.Record `json:"record"`
}

// Source is the source and revision that the record claims, the first of each.
func (m move) Source() string   { return claimed(m.Record, provenance.FactSource) }
func (m move) Revision() string { return claimed(m.Record, provenance.FactRevision) }

func claimed(r *provenance.Record, fact string) string {
	for _, c := range r.Claimed {
		if c.Fact == fact {
			return c.Value
		}
	}
	return ""
}

type meant struct {
	Digest digest.Digest   `json:"digest"`
	At     provenance.Time `json:"at"`
	Move   move            `json:"move"`
	// Namesakes are as in the list below.
	Namesakes provenance.Namesakes `json:"namesakes"`
}

// history shows what happened to a tag, newest first.
func (pg *page) history(at place) error {
	q := pg.r.URL.Query()
	view := historyView{Repository: at.Repository, Tag: at.History, At: strings.TrimSpace(q.Get("at"))}
	ask := url.Values{"repo": {at.Repository}, "tag": {at.History}, "limit": {listed}}
	if after := q.Get("after"); after != "" {
		ask.Set("after", after)
	}
	var found struct {
		Moves     []move               `json:"moves"`
		Namesakes provenance.Namesakes `json:"namesakes"`
		Next      string               `json:"next"`
	}
	if err := pg.ask("/api/v1/history", ask, &found); err != nil {
		return err
	}
	view.Moves, view.Namesakes, view.Next = found.Moves, found.Namesakes, pg.following(found.Next)
	if view.At != "" {
		if err := pg.asOf(at, &view); err != nil {
			return err
		}
	}
	view.Frame = pg.frame("History of " + at.Repository + ":" + at.History)
	return pg.show(200, "history", view)
}

// asOf asks what a tag meant at a moment.
func (pg *page) asOf(at place, view *historyView) error {
	then := view.At
	if len(then) == len("2006-01-02T15:04") { // as a browser's field has it
		then += ":59Z"
	}
	err := pg.ask("/api/v1/history", url.Values{"repo": {at.Repository}, "tag": {at.History}, "at": {then}}, &view.Meant)
	var refused *refusal
	if errors.As(err, &refused) && (refused.status == 404 || refused.status == 400) {
		view.Meant, view.Nothing = nil, refused.says
		return nil
	}
	return err
}
