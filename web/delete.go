package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Images are deleted in two steps, as tags are removed: the page carries the digests that were chosen, and the tags under which
// they were seen. An image that has got or lost a tag since stays, and is named.

// maxDeleted bounds the images of one form.
const maxDeleted = 50

// A deletion is an image that is to go.
type deletion struct {
	Digest   digest.Digest
	Chosen   []string   // tags by which it was chosen
	Tags     []string   // that end with it
	Lists    int        // images that it lists, which stay
	Beside   bool       // but for some that were chosen, and go
	Attached []attached // what is about it, and stays
	Cut      bool       // more is attached
	ListedBy digest.Digest
	Waits    bool // it stays only while ListedBy lists it
	// Says is why it does not go, or what became of it; "" is that it goes.
	Says string
	Gone bool
}

// Value is how a form has it.
func (d deletion) Value() string { return d.Digest.String() + "=" + strings.Join(d.Tags, ",") }

// deleteView is the page that says which images go.
type deleteView struct {
	Frame
	Repository string
	Token      string
	Deletions  []deletion
	Moved      []removal // tags that mean another image by now
	Going      int
	Done       bool
}

// chosen reads which images were chosen: by tags, as TAG@DIGEST, or by their digests.
func chosen(q url.Values) (list []deletion, tags []removal, err error) {
	add := func(d digest.Digest, tag ...string) {
		at := slices.IndexFunc(list, func(x deletion) bool { return x.Digest == d })
		if at < 0 {
			list, at = append(list, deletion{Digest: d}), len(list)
		}
		list[at].Chosen = append(list[at].Chosen, tag...)
	}
	if len(q["tag"]) > 0 {
		if tags, err = removals(q["tag"]); err != nil {
			return nil, nil, err
		}
	}
	for _, t := range tags {
		add(t.Digest, t.Tag)
	}
	for _, text := range q["image"] {
		d, err := digest.Parse(text)
		if err != nil {
			return nil, nil, refusalf(http.StatusBadRequest, "%q is not the digest of an image.", plain(text))
		}
		add(d)
	}
	return list, tags, few(list)
}

// few refuses no image, and too many.
func few(list []deletion) error {
	switch {
	case len(list) == 0:
		return refusalf(http.StatusBadRequest, "No image was chosen. Go back and choose some.")
	case len(list) > maxDeleted:
		return refusalf(http.StatusBadRequest, "%d images were chosen; %d can be deleted at once.", len(list), maxDeleted)
	}
	return nil
}

// confirmDeletion shows which images would go.
func (pg *page) confirmDeletion(at place) error {
	if !pg.mayDelete(at.Repository) {
		return errSignIn
	}
	list, tags, err := chosen(pg.r.URL.Query())
	if err != nil {
		return err
	}
	view := deleteView{Repository: at.Repository}
	for i := range list {
		if err := pg.foresee(at.Repository, &list[i]); err != nil {
			return err
		}
	}
	view.Moved = moved(tags, list)
	view.Deletions = inOrder(list)
	for _, d := range view.Deletions {
		if d.Says == "" {
			view.Going++
		}
	}
	view.Frame = pg.frame("Delete images of " + at.Repository)
	view.Token = pg.Token("delete " + at.Repository)
	return pg.show(http.StatusOK, "delete", view)
}

// foresee says what the deletion of an image would do now.
func (pg *page) foresee(repo string, d *deletion) error {
	var now struct {
		Tags        []string      `json:"tags"`
		TagsCut     bool          `json:"tagsCut"`
		Refused     string        `json:"refused"`
		ListedBy    digest.Digest `json:"listedBy"`
		Lists       int           `json:"lists"`
		Attached    []attached    `json:"attached"`
		AttachedCut bool          `json:"attachedCut"`
	}
	a := pg.get("/api/v1/deletable", url.Values{"repo": {repo}, "digest": {d.Digest.String()}})
	if a.status == http.StatusNotFound {
		d.Says = "It is not there any more."
		return nil
	}
	if err := pg.read(a, "/api/v1/deletable", &now); err != nil {
		return err
	}
	d.Tags, d.Lists, d.Attached, d.Cut, d.ListedBy = now.Tags, now.Lists, now.Attached, now.AttachedCut, now.ListedBy
	switch {
	case now.TagsCut:
		d.Says = "It stays: it has more tags than this page can show. Delete it with hallmark delete."
	case len(d.Chosen) > 0 && !slices.ContainsFunc(d.Chosen, func(tag string) bool { return slices.Contains(now.Tags, tag) }):
		d.Says = "It stays: no tag by which you chose it means it any more."
	case now.Refused != "":
		d.Says, d.Waits = sentence("It stays: "+now.Refused), now.ListedBy != ""
	}
	return nil
}

// moved are the tags by which images were chosen that mean others by now.
func moved(tags []removal, list []deletion) (gone []removal) {
	for _, t := range tags {
		at := slices.IndexFunc(list, func(d deletion) bool { return d.Digest == t.Digest })
		if at >= 0 && !slices.Contains(list[at].Tags, t.Tag) {
			gone = append(gone, t)
		}
	}
	return gone
}

// inOrder puts indexes before what they list: that can go once its index has gone, if that was chosen, too.
func inOrder(list []deletion) (sorted []deletion) {
	waits := func(d deletion) bool { return d.Waits }
	sorted = slices.DeleteFunc(slices.Clone(list), waits)
	rest := slices.DeleteFunc(slices.Clone(list), func(d deletion) bool { return !d.Waits })
	for more := true; more; { // an index may be listed by another
		more = false
		rest = slices.DeleteFunc(rest, func(d deletion) bool {
			at := slices.IndexFunc(sorted, func(x deletion) bool { return x.Digest == d.ListedBy && x.Says == "" })
			if at < 0 {
				return false
			}
			sorted[at].Beside, more = true, true
			d.Says = ""
			sorted = append(sorted, d)
			return true
		})
	}
	return append(sorted, rest...)
}

// delete deletes the images that the form names, each only if it still has the tags that were shown.
func (pg *page) delete(at place) error {
	fields, err := pg.form("delete " + at.Repository)
	if err != nil {
		return err
	}
	var list []deletion
	for _, value := range fields["image"] {
		text, tags, ok := strings.Cut(value, "=")
		d, err := digest.Parse(text)
		if err != nil || !ok {
			return refusalf(http.StatusBadRequest, "%q is not an image with its tags.", plain(value))
		}
		list = append(list, deletion{Digest: d, Tags: slices.DeleteFunc(strings.Split(tags, ","), func(s string) bool { return s == "" })})
	}
	if err := few(list); err != nil {
		return err
	}
	for i := range list {
		pg.deleteImage(at.Repository, &list[i])
	}
	return pg.show(http.StatusOK, "delete", deleteView{Frame: pg.frame("Images of " + at.Repository), Repository: at.Repository, Deletions: list, Done: true})
}

// deleteImage deletes one image, as a client of the registry does, and notes what became of it.
func (pg *page) deleteImage(repo string, d *deletion) {
	a := &answer{header: http.Header{}}
	req := pg.request(http.MethodDelete, "/v2/"+repo+"/manifests/"+d.Digest.String(), nil)
	req.Header.Set("Hallmark-If-Tags", strings.Join(d.Tags, ","))
	pg.Registry.ServeHTTP(a, req)
	switch a.status {
	case http.StatusAccepted:
		d.Gone, d.Says = true, "Deleted."
	case http.StatusPreconditionFailed:
		d.Says = "It has other tags since the page was shown, and stays."
	case http.StatusNotFound:
		d.Says = "It was not there any more."
	default:
		d.Says = sentence("It stays: " + ociMessage(a.body.Bytes()))
	}
}
