package web

import (
	"errors"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
)

// below shows what a path under /r/ names.
func (pg *page) below() error {
	at, ok := parsePlace(pg.r.PathValue("path"))
	switch {
	case !ok:
		return refusalf(404, "%q names neither a repository, as team/app, nor an image, as team/app:1.0.", plain(pg.r.PathValue("path")))
	case at.Remove:
		return pg.confirm(at)
	case at.History != "":
		return pg.history(at)
	case at.Ref != "":
		return pg.image(at)
	default:
		return pg.repository(at)
	}
}

// repositoryView lists the tags of a repository. Signatures and attestations that tools keep under tags of their own
// stand under what they are about.
type repositoryView struct {
	Frame
	Repository string
	Tags       []tagLine
	Next       string
	Namesakes  provenance.Namesakes
	Removes    bool // tags can be chosen, to remove them
	Folded     int  // tags of signatures whose image is on another page
}

type tagEntry struct {
	Name      string           `json:"name"`
	Digest    digest.Digest    `json:"digest"`
	MediaType string           `json:"mediaType"`
	Size      int64            `json:"size"`
	ImageSize int64            `json:"imageSize"`
	Actor     provenance.Actor `json:"actor"`
	Time      provenance.Time  `json:"time"`
	Record    uint64           `json:"record"`
}

type tagLine struct {
	tagEntry
	Beside []tagEntry // that signing tools set, about this image
}

// repository lists the tags of a repository.
func (pg *page) repository(at place) error {
	q := pg.r.URL.Query()
	ask := url.Values{"repo": {at.Repository}, "limit": {listed}}
	if after := q.Get("after"); after != "" {
		ask.Set("after", after)
	}
	var found struct {
		Tags      []tagEntry           `json:"tags"`
		Namesakes provenance.Namesakes `json:"namesakes"`
		Next      string               `json:"next"`
	}
	if err := pg.ask("/api/v1/tags", ask, &found); err != nil {
		return err
	}
	view := repositoryView{Repository: at.Repository, Namesakes: found.Namesakes, Next: pg.following(found.Next)}
	view.Tags, view.Folded = fold(found.Tags)
	view.Removes = len(view.Tags) > 0 && pg.mayDelete(at.Repository)
	view.Frame = pg.frame(at.Repository)
	return pg.show(200, "repository", view)
}

// fold puts the tags of signing tools under the tags of what they are about.
func fold(tags []tagEntry) (lines []tagLine, apart int) {
	beside := map[string][]tagEntry{}
	for _, t := range tags {
		if about := aboutOf(t.Name); about != "" {
			beside[about] = append(beside[about], t)
		} else {
			lines = append(lines, tagLine{tagEntry: t})
		}
	}
	for i := range lines {
		lines[i].Beside = beside[strings.Replace(lines[i].Digest.String(), ":", "-", 1)]
	}
	for about := range beside {
		if !anyIs(lines, about) {
			apart += len(beside[about])
		}
	}
	return lines, apart
}

func anyIs(lines []tagLine, about string) bool {
	for _, l := range lines {
		if strings.Replace(l.Digest.String(), ":", "-", 1) == about {
			return true
		}
	}
	return false
}

// aboutOf is the digest that a tag of a signing tool names, as sha256-HEX, or "". cosign's older form ends in .sig, .att
// or .sbom; the fallback of the referrers API (OCI distribution specification, "Referrers Tag Schema") in nothing.
func aboutOf(tag string) string {
	name, _, _ := strings.Cut(tag, ".")
	algorithm, hex, ok := strings.Cut(name, "-")
	if !ok || algorithm != "sha256" && algorithm != "sha512" || len(hex) < 64 || strings.Trim(hex, "0123456789abcdef") != "" {
		return ""
	}
	return name
}

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
