package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Some pages list images of any repository, with a form that has the API do one thing to those that are chosen. Each is named with its
// digest, so that it is done to what was looked at.

// deed is what such a form does.
type deed struct {
	form      string // its name
	path      string // of the API
	does, did string // in words, as "bring it back" and "brought back"
}

var (
	undeletes = deed{"undelete", "/api/v1/trash/undelete", "bring it back", "brought back"}
	approves  = deed{"approve", "/api/v1/mirrors/approve", "let it through", "let through"}
)

// chosenImage is an image that was chosen.
type chosenImage struct {
	Repository string
	Digest     digest.Digest
	Says       string // what became of it
	Done       bool
	Tags       []string // that mean it by that
}

// valueOf is how a form has an image.
func valueOf(repo string, d digest.Digest) string { return repo + "@" + d.String() }

// chosenImages reads the images that were chosen in a form. Errors: errSignIn, errForm.
func (pg *page) chosenImages(to deed) (list []chosenImage, err error) {
	if pg.isStranger() {
		return nil, errSignIn // the session has ended
	}
	fields, err := pg.form(to.form)
	if err != nil {
		return nil, err
	}
	for _, v := range fields["image"] {
		repo, text, ok := strings.Cut(v, "@")
		d, parseErr := digest.Parse(text)
		if !ok || parseErr != nil || repo == "" {
			return nil, refusalf(http.StatusBadRequest, "%q is not an image with its digest.", plain(v))
		}
		list = append(list, chosenImage{Repository: repo, Digest: d})
	}
	switch {
	case len(list) == 0:
		return nil, refusalf(http.StatusBadRequest, "No image was chosen. Go back and choose some.")
	case len(list) > maxRemoved:
		return nil, refusalf(http.StatusBadRequest, "%d images were chosen; %d can be %s at once.", len(list), maxRemoved, to.did)
	}
	return list, nil
}

// do has the API do something to an image, reads its answer, and notes whether it was done, or why not.
func (pg *page) do(to deed, c *chosenImage, value any) {
	err := pg.read(pg.post(to.path, map[string]string{"repository": c.Repository, "reference": c.Digest.String()}), to.path, value)
	var refused *refusal
	switch c.Done = err == nil; {
	case c.Done:
		c.Says = sentence(to.did)
	case errors.As(err, &refused):
		c.Says = refused.says
	case errors.Is(err, errSignIn):
		c.Says = "You may not " + to.does + "."
	default:
		pg.Log.Error("what was chosen on a page could not be done", "form", to.form, "err", err)
		c.Says = "It could not be " + to.did + "."
	}
}

// post asks the API to do something.
func (pg *page) post(path string, what map[string]string) *answer {
	body, _ := json.Marshal(what) // texts, which never fail
	r := pg.request(http.MethodPost, path, nil)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	a := &answer{header: http.Header{}}
	pg.API.ServeHTTP(a, r)
	return a
}
