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
	Chosen   []string    // tags by which it was chosen
	Tags     []string    // that end with it
	Lists    int         // images that it lists
	Beside   bool        // some of them were chosen
	Along    []belonging // what goes with it
	AlongID  digest.Digest
	ListedBy digest.Digest
	Waits    bool // it stays only while ListedBy lists it
	// Says is why it does not go, or what became of it; "" is that it goes.
	Says string
	Gone bool
}

// Value is how a form has it: the image, what goes with it, and its tags.
func (d deletion) Value() string {
	return d.Digest.String() + "=" + d.AlongID.String() + "=" + strings.Join(d.Tags, ",")
}

// Ref is under what it is found in its repository.
func (b belonging) Ref() string { return b.Digest.String() }

// Kind is what it is, in a word.
func (b belonging) Kind() string {
	switch {
	case b.ListedBy != "":
		return "image"
	case len(b.Tags) > 0:
		return kindOf(b.ArtifactType, b.Tags[0])
	}
	return kindOf(b.ArtifactType, "")
}

// Stay is how many of the images that it lists stay.
func (d deletion) Stay() int {
	n := d.Lists
	for _, b := range d.Along {
		if b.ListedBy == d.Digest {
			n--
		}
	}
	return n
}

// A belonging is what goes along with an image.
type belonging struct {
	Digest       digest.Digest `json:"digest"`
	ArtifactType string        `json:"artifactType"`
	Tags         []string      `json:"tags"`
	ListedBy     digest.Digest `json:"listedBy"`
}

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
func (pg *page) confirmDeletion(at target) error {
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
		Tags         []string      `json:"tags"`
		TagsCut      bool          `json:"tagsCut"`
		Refused      string        `json:"refused"`
		ListedBy     digest.Digest `json:"listedBy"`
		Lists        int           `json:"lists"`
		Along        []belonging   `json:"along"`
		AlongID      digest.Digest `json:"alongID"`
		AlongRefused string        `json:"alongRefused"`
	}
	a := pg.get("/api/v1/deletable", url.Values{"repo": {repo}, "digest": {d.Digest.String()}}, nil)
	if a.status == http.StatusNotFound {
		d.Says = "It is not there any more."
		return nil
	}
	if err := pg.read(a, "/api/v1/deletable", &now); err != nil {
		return err
	}
	d.Tags, d.Lists, d.Along, d.AlongID, d.ListedBy = now.Tags, now.Lists, now.Along, now.AlongID, now.ListedBy
	switch {
	case now.TagsCut:
		d.Says = "It stays: it has more tags than this page can show. Delete it with hallmark delete."
	case len(d.Chosen) > 0 && !slices.ContainsFunc(d.Chosen, func(tag string) bool { return slices.Contains(now.Tags, tag) }):
		d.Says = "It stays: no tag by which you chose it means it any more."
	case now.Refused != "":
		d.Says, d.Waits = sentence("It stays: "+now.Refused), now.ListedBy != ""
	case now.AlongRefused != "":
		d.Says = sentence("It stays: " + now.AlongRefused)
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
func (pg *page) delete(at target) error {
	fields, err := pg.form("delete " + at.Repository)
	if err != nil {
		return err
	}
	var list []deletion
	for _, value := range fields["image"] {
		text, rest, _ := strings.Cut(value, "=")
		id, tags, ok := strings.Cut(rest, "=")
		d, err := digest.Parse(text)
		if err != nil || !ok {
			return refusalf(http.StatusBadRequest, "%q is not an image with its tags.", plain(value))
		}
		list = append(list, deletion{Digest: d, AlongID: digest.Digest(id), Tags: slices.DeleteFunc(strings.Split(tags, ","), func(s string) bool { return s == "" })})
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
	req.Header.Set("Hallmark-Along", d.AlongID.String())
	pg.Registry.ServeHTTP(a, req)
	switch a.status {
	case http.StatusAccepted:
		d.Gone, d.Says = true, "Deleted."
	case http.StatusPreconditionFailed:
		d.Says = "It has other tags, or something else belongs to it, since the page was shown: it stays."
	case http.StatusNotFound:
		d.Says = "It was not there any more."
	default:
		d.Says = sentence("It stays: " + ociMessage(a.body.Bytes()))
	}
}
