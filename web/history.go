package web

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/api"
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
	At         string   // the moment that was asked for, or ""
	Meant      *meant   // then
	Chart      *chart   // of the moves on this page, or nil
	Rules      []string // that keep the tag as it is now
	Nothing    string   // why nothing was meant then
}

type move struct {
	provenance.Move

	Built   *provenance.Built `json:"-"` // what the record claims of its source, or nil
	Grew    *int64            `json:"-"` // bytes, since the image before
	Between *sourceChange     `json:"-"` // since the image before
}

// Size is that of the image that the tag means since, as its record says.
func (m move) Size() int64 { return m.Record.Observed.ImageSize }

type meant struct {
	Digest digest.Digest   `json:"digest"`
	At     provenance.Time `json:"at"`
	Move   move            `json:"move"`
	// Namesakes are as in the list below.
	Namesakes provenance.Namesakes `json:"namesakes"`
}

// history shows what happened to a tag, newest first.
func (pg *page) history(at target) error {
	q := pg.r.URL.Query()
	view := historyView{Repository: at.Repository, Tag: at.History, At: strings.TrimSpace(q.Get("at"))}
	ask := url.Values{"repo": {at.Repository}, "tag": {at.History}, "limit": {listed}}
	if after := q.Get("after"); after != "" {
		ask.Set("after", after)
	}
	var found api.HistoryPage
	err := pg.ask("/api/v1/history", ask, &found)
	if err != nil {
		return err
	}
	view.Moves, view.Namesakes, view.Next = comparedMoves(found.Moves), found.Namesakes, pg.following(found.Next)
	view.Chart = chartOf(momentsOf(view.Moves))
	if view.At != "" {
		if err := pg.asOf(at, &view); err != nil {
			return err
		}
	}
	if view.Rules, err = pg.rulesFor(at.Repository, at.History); err != nil {
		return err
	}
	view.Frame = pg.frame("History of " + at.Repository + ":" + at.History)
	return pg.show(200, "history", view)
}

// rulesFor are the rules that keep a tag as it is now, in words, as far as the one who asks may know of them.
func (pg *page) rulesFor(repo, tag string) (says []string, err error) {
	var rules struct {
		Immutable []access.FixedTags `json:"immutable"`
	}
	if err := pg.ask("/api/v1/access/immutable", nil, &rules); err != nil {
		return nil, err
	}
	for _, r := range rules.Immutable {
		if r.Covers(repo, tag) {
			says = append(says, fmt.Sprintf("%s of %s", r.Tags, r.Repositories))
		}
	}
	return says, nil
}

func momentsOf(moves []move) (moments []time.Time) {
	for _, m := range moves {
		moments = append(moments, m.Record.Time.Time)
	}
	return moments
}

// comparedMoves are moves with what differs between them, newest first.
func comparedMoves(of []provenance.Move) []move {
	moves := make([]move, len(of))
	for i, m := range of {
		moves[i] = move{Move: m, Built: m.Record.ClaimedSource()}
	}
	for i := range moves {
		moves[i].since(moves[i+1:])
	}
	return moves
}

// since notes what differs from the image that the tag meant before, where its record is among the older moves.
func (m *move) since(older []move) {
	if m.From == "" || m.To == "" || m.From == m.To {
		return
	}
	at := slices.IndexFunc(older, func(o move) bool { return o.To == m.From })
	if at < 0 {
		return
	}
	was := older[at]
	if m.Size() > 0 && was.Size() > 0 {
		grew := m.Size() - was.Size()
		m.Grew = &grew
	}
	m.Between = sourceBetween(was.Built, m.Built)
}

// asOf asks what a tag meant at a moment.
func (pg *page) asOf(at target, view *historyView) error {
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
