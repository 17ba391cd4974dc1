package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
)

// Tags are removed in two steps: a page that says what goes and what stays, and a form on it. Both carry the digests that
// were shown: what moved since is left as it is, and named.

// maxRemoved bounds the tags of one form.
const maxRemoved = 50

// A removal is a tag that is to go.
type removal struct {
	Tag    string
	Digest digest.Digest // that it meant when it was chosen
	// Says is why it does not go, or what became of it; "" is that it goes.
	Says  string
	Gone  bool
	Stays []string // other tags that mean the same now; the image stays with them
}

// Value is how a form has it.
func (r removal) Value() string { return r.Tag + "@" + r.Digest.String() }

// removeView is the page that says what goes.
type removeView struct {
	Frame
	Repository string
	Token      string
	Removals   []removal
	Going      int
	Done       bool
}

// mayDelete says whether the one who asks may delete in a repository, with a form: who signs in with a header has the API.
func (pg *page) mayDelete(repo string) bool {
	return pg.session != "" && pg.Logins.May(pg.who, access.Delete, repo)
}

// removals reads the tags that were chosen, as TAG@DIGEST each.
func removals(values []string) (list []removal, err error) {
	for _, v := range values {
		tag, text, ok := strings.Cut(v, "@")
		d, parseErr := digest.Parse(text)
		if !ok || parseErr != nil || tag == "" {
			return nil, refusalf(http.StatusBadRequest, "%q is not a tag with its digest.", plain(v))
		}
		list = append(list, removal{Tag: tag, Digest: d})
	}
	switch {
	case len(list) == 0:
		return nil, refusalf(http.StatusBadRequest, "No tag was chosen. Go back and choose some.")
	case len(list) > maxRemoved:
		return nil, refusalf(http.StatusBadRequest, "%d tags were chosen; %d can be removed at once.", len(list), maxRemoved)
	}
	return list, nil
}

// confirm shows what would go.
func (pg *page) confirm(at target) error {
	if !pg.mayDelete(at.Repository) {
		return errSignIn
	}
	list, err := removals(pg.r.URL.Query()["tag"])
	if err != nil {
		return err
	}
	view := removeView{Repository: at.Repository, Removals: list}
	for i := range list {
		if err := pg.lookAt(at.Repository, &list[i]); err != nil {
			return err
		}
		if list[i].Says == "" {
			view.Going++
		}
	}
	view.Frame = pg.frame("Remove tags of " + at.Repository)
	view.Token = pg.Token("remove " + at.Repository)
	return pg.show(http.StatusOK, "remove", view)
}

// lookAt says how a tag stands now.
func (pg *page) lookAt(repo string, r *removal) error {
	var now struct {
		Descriptor struct {
			Digest digest.Digest `json:"digest"`
		} `json:"descriptor"`
		Tags []string `json:"tags"`
	}
	a := pg.get("/api/v1/image", url.Values{"repo": {repo}, "ref": {r.Tag}}, nil)
	if a.status == http.StatusNotFound {
		r.Says = "It is not there any more."
		return nil
	}
	if err := pg.read(a, "/api/v1/image", &now); err != nil {
		return err
	}
	if now.Descriptor.Digest != r.Digest {
		r.Says = "It means " + short(now.Descriptor.Digest) + " by now, and stays."
		return nil
	}
	for _, t := range now.Tags {
		if t != r.Tag {
			r.Stays = append(r.Stays, t)
		}
	}
	return nil
}

// change does what a form below a repository asks for.
func (pg *page) change() error {
	at, ok := parseTarget(pg.r.PathValue("path"))
	switch {
	case pg.isStranger():
		return errSignIn // the session has ended
	case ok && at.Remove:
		return pg.remove(at)
	case ok && at.Delete:
		return pg.delete(at)
	}
	return refusalf(http.StatusMethodNotAllowed, "This page takes GET.")
}

// remove removes what the form names, each tag only if it still means what it meant.
func (pg *page) remove(at target) error {
	fields, err := pg.form("remove " + at.Repository)
	if err != nil {
		return err
	}
	list, err := removals(fields["tag"])
	if err != nil {
		return err
	}
	for i := range list {
		pg.untag(at.Repository, &list[i])
	}
	return pg.show(http.StatusOK, "remove", removeView{Frame: pg.frame("Tags of " + at.Repository), Repository: at.Repository, Removals: list, Done: true})
}

// untag removes one tag, as a client of the registry does, and notes what became of it.
func (pg *page) untag(repo string, r *removal) {
	a := &answer{header: http.Header{}}
	req := pg.request(http.MethodDelete, "/v2/"+repo+"/manifests/"+url.PathEscape(r.Tag), nil)
	req.Header.Set("If-Match", `"`+r.Digest.String()+`"`)
	pg.Registry.ServeHTTP(a, req)
	switch a.status {
	case http.StatusAccepted:
		r.Gone, r.Says = true, "Removed."
	case http.StatusPreconditionFailed:
		r.Says = "It moved since the page was shown, and stays."
	case http.StatusNotFound:
		r.Says = "It was not there any more."
	default:
		r.Says = sentence(ociMessage(a.body.Bytes()))
	}
}
