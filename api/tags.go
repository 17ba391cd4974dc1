package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// TagPage is a page of tags.
type TagPage struct {
	Repository string     `json:"repository"`
	Tags       []tagEntry `json:"tags"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	Next      string               `json:"next,omitempty"`
}

// tagEntry is a tag with who set it to what, and when.
type tagEntry struct {
	Name      string           `json:"name"`
	Digest    digest.Digest    `json:"digest"`
	MediaType string           `json:"mediaType,omitempty"`
	Size      int64            `json:"size,omitempty"`      // of the manifest, in bytes
	ImageSize int64            `json:"imageSize,omitempty"` // of the config and the layers that are here, in bytes
	Actor     provenance.Actor `json:"actor"`
	Time      provenance.Time  `json:"time"`
	Record    uint64           `json:"record"`
	Pulls     pulls            `json:"pulls"`
	expiry
	listed
}

func (p TagPage) nextPage() string { return p.Next }

// tagList is which tags are asked for.
type tagList struct {
	repo, prefix, after string
	newest              bool
	behind              newestAfter     // of the newest first
	by                  string          // who set them: an actor as answers show it
	kind                provenance.Kind // taken from by
	images              bool            // pass over the tags of signing tools
	expiry              bool            // say what becomes of them by rules of retention
	limit               int
	records             recordSet // that were read to find them
}

// tagList reads which tags are asked for.
func (q *query) tagList() (l tagList) {
	l = tagList{repo: q.needed("repo"), prefix: q.text("prefix"), limit: q.limit(), records: recordSet{}}
	l.images = q.oneOf("images", "true", "false") == "true"
	l.expiry = q.oneOf("expiry", "false", "true") == "true"
	l.kind, l.by = splitActor(q.text("identity"))
	order := q.oneOf("order", "name", "newest")
	if l.newest = order == "newest"; l.newest {
		l.behind = q.newestAfter("after")
	} else {
		l.after = q.text("after")
	}
	if l.by != "" && !l.newest {
		q.fail("identity needs order=newest: who set a tag is found by the records of what they did")
	}
	return l
}

// tags answers GET /api/v1/tags.
func (a *API) tags(c *call) (any, error) {
	q := c.query()
	l := q.tagList()
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.mustPull(c, l.repo); err != nil {
		return nil, err
	}
	find := a.tagsByName
	if l.newest {
		find = a.newestTags
	}
	found, next, err := find(c, l)
	if err != nil {
		return nil, err
	}
	page := TagPage{Repository: l.repo}
	if page.Tags, page.Namesakes, err = a.tagEntries(c, l, found); err != nil {
		return nil, err
	}
	if l.expiry {
		if err := a.addExpiries(c, l.repo, page.Tags); err != nil {
			return nil, err
		}
	}
	if next != "" {
		page.Next = c.nextURL(map[string]string{"after": next})
	}
	return page, nil
}

// tagEntries looks up what is shown of each tag that was found.
func (a *API) tagEntries(c *call, l tagList, found []registry.TagEntry) ([]tagEntry, provenance.Namesakes, error) {
	repo, records, places := l.repo, l.records, make([]registry.RepoDigest, len(found))
	for i, t := range found {
		records.want(t.Record)
		places[i] = registry.RepoDigest{Repository: repo, Digest: t.Digest}
	}
	refs := make([]registry.PullRef, len(found))
	for i, t := range found {
		refs[i] = registry.PullRef{Repository: repo, Ref: t.Name}
	}
	registry.AheadOfList(c.Context(), places, refs)
	provenance.AheadOf(c.Context(), maps.Keys(records))
	about, err := a.listed(c, places, records)
	if err != nil {
		return nil, nil, err
	}
	pulled, err := a.listedPulls(c, refs)
	if err != nil {
		return nil, nil, err
	}
	entries, actors := make([]tagEntry, len(found)), make([]provenance.Actor, len(found))
	for i, t := range found {
		r := records[t.Record]
		actors[i] = r.Actor
		entries[i] = tagEntry{
			Name: t.Name, Digest: t.Digest, MediaType: r.Observed.MediaType, Size: r.Observed.Size,
			ImageSize: r.Observed.ImageSize, Actor: r.Actor, Time: r.Time, Record: t.Record, Pulls: pulled[i], listed: about[i].listed,
		}
	}
	names, err := a.namesakes(c.Context(), actors)
	return entries, names, err
}

func (a *API) tagsByName(c *call, l tagList) ([]registry.TagEntry, string, error) {
	return a.Images.Tags(c.Context(), l.repo, registry.TagQuery{Prefix: l.prefix, After: l.after, Limit: l.limit, Images: l.images})
}

func newestOfTag(t registry.TagEntry) newestAfter {
	return newestAfter{record: t.Record, name: t.Name, known: true}
}

// newestTags are tags in the order in which they were set, the last one first.
func (a *API) newestTags(c *call, l tagList) ([]registry.TagEntry, string, error) {
	q := registry.TagQuery{Prefix: l.prefix, Limit: maxSorted + 1, Images: l.images}
	if l.by != "" {
		q.Limit = 1 // only to know that the repository is there: the records lead to the tags
	}
	all, more, err := a.Images.Tags(c.Context(), l.repo, q)
	if err != nil {
		return nil, "", err
	}
	if l.by == "" && more == "" && len(all) <= maxSorted {
		page, next := newest(all, l.behind, l.limit, newestOfTag)
		return page, next, nil
	}
	return a.followTags(c, l)
}

// followTags follows the records of a repository to the tags that are still as these set them.
func (a *API) followTags(c *call, l tagList) (tags []registry.TagEntry, next string, err error) {
	find := provenance.Query{Repository: l.repo, Identity: l.by, Kind: l.kind, Descending: true, After: l.behind.follow(), Limit: l.limit}
	next, err = a.followed(c, find, func(records []*provenance.Record) (*newestAfter, error) {
		now, err := a.Images.TagsNamed(c.Context(), l.repo, l.namesIn(records))
		if err != nil {
			return nil, err
		}
		now = slices.DeleteFunc(now, func(t registry.TagEntry) bool {
			return !slices.ContainsFunc(records, func(r *provenance.Record) bool { return r.Index == t.Record })
		})
		for _, r := range records {
			l.records[r.Index] = r // what is shown of the tags is in them
		}
		page, stopped := newest(now, l.behind, l.limit-len(tags), newestOfTag)
		if tags = append(tags, page...); stopped != "" || len(tags) == l.limit {
			last := newestOfTag(tags[len(tags)-1])
			return &last, nil
		}
		return nil, nil
	})
	return tags, next, err
}

// namesIn are the tags that records set, of those asked for, each once.
func (l tagList) namesIn(records []*provenance.Record) (names []string) {
	seen := map[string]bool{}
	for _, r := range records {
		for _, t := range r.Tags {
			wanted := r.Meaning(t) != "" && strings.HasPrefix(t.Name, l.prefix) && (!l.images || !registry.IsBeside(t.Name))
			if wanted && !seen[t.Name] {
				seen[t.Name] = true
				names = append(names, t.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}
