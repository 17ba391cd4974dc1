package web

import (
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/api"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/retention"
)

// below shows what a path under /r/ names.
func (pg *page) below() error {
	at, ok := parseTarget(pg.r.PathValue("path"))
	switch {
	case !ok:
		return refusalf(404, "%q names neither a repository, as team/app, nor an image, as team/app:1.0.", plain(pg.r.PathValue("path")))
	case at.Remove:
		return pg.confirm(at)
	case at.Delete:
		return pg.confirmDeletion(at)
	case at.History != "":
		return pg.history(at)
	case at.Ref != "":
		return pg.image(at)
	default:
		return pg.repository(at)
	}
}

// repositoryView lists the tags of a repository, the newest first unless another order is asked for. What is about an image
// stands in its row.
type repositoryView struct {
	Frame
	Repository string
	Tags       []tagEntry
	Asked      listAsked
	Next       string
	Namesakes  provenance.Namesakes
	Quotas     []quotaUse // that hold for it, for who may push into it
	Removes    bool       // tags can be chosen, to remove them
	Trash      bool       // its trash can be seen
	Retention  keepRules  // what becomes of its tags, for who may push into it
}

// listAsked is which entries of a list are asked for, as the page's address says.
type listAsked struct {
	Order  string // name or newest
	Prefix string
	By     string // who set it, in a repository
	After  string // where the page begins, or ""
}

// listAsked reads which entries are asked for. What somebody did is in the order in which they did it.
func (pg *page) listAsked() listAsked {
	q := pg.r.URL.Query()
	l := listAsked{Order: "newest", Prefix: q.Get("prefix"), By: q.Get("by"), After: q.Get("after")}
	if q.Get("order") == "name" && l.By == "" {
		l.Order = "name"
	}
	return l
}

// Filtered says that entries may be left out.
func (l listAsked) Filtered() bool { return l.Prefix != "" || l.By != "" }

// query is how the API is asked.
func (l listAsked) query() url.Values {
	ask := url.Values{"limit": {listed}, "order": {l.Order}}
	for name, value := range map[string]string{"prefix": l.Prefix, "identity": l.By, "after": l.After} {
		if value != "" {
			ask.Set(name, value)
		}
	}
	return ask
}

// listedImage is what lists say of an image.
type listedImage struct {
	ImageSize   int64             `json:"imageSize"`
	Platforms   int               `json:"platforms"`
	Built       *provenance.Built `json:"built"`
	Grade       string            `json:"grade"`
	Attached    []attached        `json:"attached"`
	AttachedCut bool              `json:"attachedCut"`
}

type tagEntry struct {
	Name   string
	Digest digest.Digest
	Actor  provenance.Actor
	Time   provenance.Time
	Pulls  pulls
	listedImage
	Held   *provenance.Time  // until when its image is held
	Expiry *retention.Expiry // for who may push into the repository, where rules of retention name it
}

// tagEntries are the tags of the API's page, as a list shows them.
func tagEntries(page api.TagPage) []tagEntry {
	entries := make([]tagEntry, len(page.Tags))
	for i, t := range page.Tags {
		entries[i] = tagEntry{
			Name: t.Name, Digest: t.Digest, Actor: t.Actor, Time: t.Time,
			Pulls:       pulls{Since: t.Pulls.Since, Last: t.Pulls.Last, Lately: int(t.Pulls.Lately)},
			listedImage: listedImage{ImageSize: t.ImageSize, Platforms: t.Platforms, Built: t.Built, Grade: string(t.Grade), AttachedCut: t.AttachedCut},
			Held:        t.HeldUntil, Expiry: t.Expiry,
		}
		for _, a := range t.Attached {
			entries[i].Attached = append(entries[i].Attached, attached{Digest: a.Digest, ArtifactType: a.ArtifactType, Tag: a.Tag})
		}
	}
	return entries
}

// pulls are what is known of the pulls of something.
type pulls struct {
	Since  provenance.Time  `json:"since"`
	Last   *provenance.Time `json:"last"`
	Lately int              `json:"lately"`
}

// repository lists the tags of a repository.
func (pg *page) repository(at target) error {
	view := repositoryView{Repository: at.Repository, Asked: pg.listAsked()}
	ask := view.Asked.query()
	ask.Set("repo", at.Repository)
	ask.Set("images", "true")
	ask.Set("expiry", "true")
	var found api.TagPage
	if err := pg.ask("/api/v1/tags", ask, &found); err != nil {
		return err
	}
	view.Tags, view.Namesakes, view.Next = tagEntries(found), found.Namesakes, pg.following(found.Next)
	view.Trash = pg.mayReturn(at.Repository)
	view.Removes = len(view.Tags) > 0 && pg.mayDelete(at.Repository)
	var err error
	if view.Quotas, err = pg.quotas(at.Repository); err != nil {
		return err
	}
	if view.Retention, err = pg.retention(at.Repository); err != nil {
		return err
	}
	view.Frame = pg.frame(at.Repository)
	return pg.show(200, "repository", view)
}

// attached is what has been put beside an image.
type attached struct {
	Digest       digest.Digest `json:"digest"`
	ArtifactType string        `json:"artifactType"`
	Tag          string        `json:"tag"`
}

// Ref is under what it is found in its repository.
func (a attached) Ref() string {
	if a.Tag != "" {
		return a.Tag
	}
	return a.Digest.String()
}

// Kind is what it is, in a word.
func (a attached) Kind() string { return kindOf(a.ArtifactType, a.Tag) }

// Kinds counts what is attached by its kind, as "2 signatures, 1 SBOM".
func (i listedImage) Kinds() (list []string) {
	var kinds []string
	count := map[string]int{}
	for _, a := range i.Attached {
		kind := a.Kind()
		if count[kind]++; !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	for _, kind := range kinds {
		list = append(list, plural(count[kind], kind))
	}
	return list
}
