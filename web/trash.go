package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

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
func (t trashEntry) Value() string { return t.Repository + "@" + t.Digest.String() }

// trashView lists what is in the trash, or what became of what was chosen there.
type trashView struct {
	Frame
	Repository string // or "": all
	Trash      []trashEntry
	Namesakes  provenance.Namesakes
	Next       string
	Token      string
	Chooses    bool // there is a form that brings things back
	Returns    []comeback
	Done       bool
}

// comeback is an image that is to be brought back.
type comeback struct {
	Repository string
	Digest     digest.Digest
	Says       string // what became of it
	Back       bool
	Tags       []string // that mean it again
}

const undeleteForm = "undelete"

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
		view.Token = pg.Token(undeleteForm)
	}
	return pg.show(http.StatusOK, "trash", view)
}

// mayReturn says whether the one who asks sees the trash of a repository.
func (pg *page) mayReturn(repo string) bool {
	return !pg.isStranger() && pg.Logins.May(pg.who, access.Push, repo)
}

// undelete brings back what the form names.
func (pg *page) undelete() error {
	if pg.isStranger() {
		return errSignIn // the session has ended
	}
	fields, err := pg.form(undeleteForm)
	if err != nil {
		return err
	}
	list, err := comebacks(fields["image"])
	if err != nil {
		return err
	}
	for i := range list {
		pg.bringBack(&list[i])
	}
	return pg.show(http.StatusOK, "trash", trashView{Frame: pg.frame("Trash"), Returns: list, Done: true})
}

// comebacks reads the images that were chosen, as REPOSITORY@DIGEST each.
func comebacks(values []string) (list []comeback, err error) {
	for _, v := range values {
		repo, text, ok := strings.Cut(v, "@")
		d, parseErr := digest.Parse(text)
		if !ok || parseErr != nil || repo == "" {
			return nil, refusalf(http.StatusBadRequest, "%q is not an image with its digest.", plain(v))
		}
		list = append(list, comeback{Repository: repo, Digest: d})
	}
	switch {
	case len(list) == 0:
		return nil, refusalf(http.StatusBadRequest, "No image was chosen. Go back and choose some.")
	case len(list) > maxRemoved:
		return nil, refusalf(http.StatusBadRequest, "%d images were chosen; %d can be brought back at once.", len(list), maxRemoved)
	}
	return list, nil
}

// maxRounds bounds how often more of one image is asked for: each time up to 1,000 manifests come back.
const maxRounds = 20

// bringBack brings one image back with what belongs to it, and notes what became of it.
func (pg *page) bringBack(c *comeback) {
	for more, rounds := true, 0; more; rounds++ {
		if rounds == maxRounds {
			c.Says = "It is back, and more belongs to it: send the form again."
			return
		}
		if more = pg.bringSomeBack(c); !c.Back {
			return
		}
	}
	c.Says = "Brought back."
}

// bringSomeBack says whether there is more.
func (pg *page) bringSomeBack(c *comeback) (more bool) {
	const path = "/api/v1/trash/undelete"
	var answer struct {
		Manifests []struct {
			Digest digest.Digest `json:"digest"`
			Tags   []string      `json:"tags"`
		} `json:"manifests"`
		More bool `json:"more"`
	}
	if err := pg.read(pg.post(path, map[string]string{"repository": c.Repository, "reference": c.Digest.String()}), path, &answer); err != nil {
		c.Back, c.Says = false, pg.stays(err)
		return false
	}
	c.Back = true
	for _, m := range answer.Manifests {
		if m.Digest == c.Digest {
			c.Tags = slices.Concat(c.Tags, m.Tags)
		}
	}
	return answer.More
}

// stays is why something is not brought back.
func (pg *page) stays(err error) string {
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return refused.says
	case errors.Is(err, errSignIn):
		return "You may not bring it back."
	}
	pg.Log.Error("bringing back from the trash failed", "err", err)
	return "It could not be brought back."
}

// post asks the API to do something.
func (pg *page) post(path string, what any) *answer {
	a := &answer{header: http.Header{}}
	body, err := json.Marshal(what)
	if err != nil {
		a.status = http.StatusInternalServerError
		fmt.Fprintf(&a.body, `{"detail":%q}`, err)
		return a
	}
	r := pg.request(http.MethodPost, path, nil)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	pg.API.ServeHTTP(a, r)
	return a
}
