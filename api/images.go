package api

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Images are what is in the repositories now.
type Images interface {
	// Repositories returns up to n names behind last that who may pull, and where the next page begins, or "".
	Repositories(ctx context.Context, who provenance.Identity, last string, n int) (names []string, next string, err error)
	// RepositoriesFrom is Repositories for names that begin with a prefix.
	RepositoriesFrom(ctx context.Context, who provenance.Identity, prefix, last string, n int) (names []string, next string, err error)
	// RepositoriesNamed returns which of some repositories are there.
	RepositoriesNamed(ctx context.Context, names []string) (there []string, err error)
	// UsageOf returns what some repositories use, in their order.
	UsageOf(ctx context.Context, repos []string) ([]registry.Usage, error)
	// Tags returns a page of tags, and where the next one begins, or "". Error: registry.ErrUnknown.
	Tags(ctx context.Context, repo string, q registry.TagQuery) (tags []registry.TagEntry, next string, err error)
	// Protections returns what keeps some tags whatever rules of retention say.
	Protections(ctx context.Context, repo string, tags []registry.TagEntry, now time.Time) ([]registry.Protection, error)
	// TagsNamed returns what some tags mean, without those that are not there.
	TagsNamed(ctx context.Context, repo string, names []string) ([]registry.TagEntry, error)
	// Beside returns what stands beside images.
	Beside(ctx context.Context, images []registry.RepoDigest) ([]registry.Beside, error)
	// Deletable says what the deletion of an image would do now. Error: registry.ErrUnknown.
	Deletable(ctx context.Context, repo string, d digest.Digest) (registry.Deletable, error)
	// DeletableTag says what a tag means that would be deleted alone, and why that would be refused, or "". Error: registry.ErrUnknown.
	DeletableTag(ctx context.Context, repo, tag string) (means digest.Digest, refused string, err error)
	// Refused counts what rules refused since the start, by the name of the rule.
	Refused() map[string]uint64
	// DigestsLike returns up to n digests that begin with a prefix.
	DigestsLike(ctx context.Context, repo, prefix string, n int) ([]digest.Digest, error)
	// Named returns repositories or tags that somebody may see, by words in their names.
	Named(ctx context.Context, q registry.NameQuery) (registry.NamePage, error)
	// Image returns what a tag or digest means. Error: registry.ErrUnknown.
	Image(ctx context.Context, repo, ref string) (*registry.Image, error)
	// Presences says of each image whether its repository has it, and which tags mean it.
	Presences(ctx context.Context, images []registry.RepoDigest) ([]registry.Presence, error)
}

// repositoryPage is a page of repositories.
type repositoryPage struct {
	Repositories []repositoryEntry `json:"repositories"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
	// Registry is the public name, which audits compare with the one that the newest record states.
	Registry string `json:"registry,omitempty"`
	Next     string `json:"next,omitempty"`
}

type repositoryEntry struct {
	Name   string        `json:"name"`
	Newest *happenedLast `json:"newest,omitempty"`
	// Size is what its blobs and manifests use, in bytes; a blob counts once in each repository that has it.
	Size  int64 `json:"size"`
	Tags  int64 `json:"tags"` // how many
	Pulls pulls `json:"pulls"`
}

// happenedLast is what happened last in a repository.
type happenedLast struct {
	Record uint64            `json:"record"`
	Time   provenance.Time   `json:"time"`
	Action provenance.Action `json:"action"`
	Actor  provenance.Actor  `json:"actor"`
	// Image is what it was about, where that is here.
	Image *lastImage `json:"image,omitempty"`
}

// lastImage is an image in a list of repositories: of what is about an image, that image.
type lastImage struct {
	Digest    digest.Digest `json:"digest"`
	Tags      []string      `json:"tags,omitempty"`      // that the record set
	ImageSize int64         `json:"imageSize,omitempty"` // of the config and the layers that are here, in bytes
	listed
}

func (p repositoryPage) nextPage() string { return p.Next }

// repositoryList is which repositories are asked for.
type repositoryList struct {
	prefix, after string
	newest        bool
	behind        newestAfter // of the newest first
	limit         int
}

func (q *query) repositoryList() (l repositoryList) {
	l = repositoryList{prefix: q.text("prefix"), limit: q.limit()}
	if l.newest = q.oneOf("order", "name", "newest") == "newest"; l.newest {
		l.behind = q.newestAfter("after")
	} else {
		l.after = q.text("after")
	}
	return l
}

// repositories answers GET /api/v1/repositories.
func (a *API) repositories(c *call) (any, error) {
	q := c.query()
	l := q.repositoryList()
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	find := a.repositoriesByName
	if l.newest {
		find = a.newestRepositories
	}
	found, next, err := find(c, l)
	if err != nil {
		return nil, err
	}
	page := repositoryPage{Registry: a.URL}
	if page.Repositories, page.Namesakes, err = a.repositoryEntries(c, found); err != nil {
		return nil, err
	}
	if next != "" {
		page.Next = c.nextURL(map[string]string{"after": next})
	}
	return page, nil
}

// repositoryAt is a repository and the index of its newest record, or nil.
type repositoryAt struct {
	name   string
	newest *uint64
}

func (r repositoryAt) key() newestAfter {
	if r.newest == nil {
		return newestAfter{name: r.name}
	}
	return newestAfter{record: *r.newest, name: r.name, known: true}
}

func (a *API) repositoriesByName(c *call, l repositoryList) ([]repositoryAt, string, error) {
	names, next, err := a.Images.RepositoriesFrom(c.Context(), access.Lister(c.who), l.prefix, l.after, l.limit)
	if err != nil {
		return nil, "", err
	}
	found, err := a.withNewest(c, names)
	return found, next, err
}

func (a *API) withNewest(c *call, names []string) ([]repositoryAt, error) {
	indexes, err := a.Records.NewestOf(c.Context(), names)
	if err != nil {
		return nil, err
	}
	found := make([]repositoryAt, len(names))
	for i, name := range names {
		found[i] = repositoryAt{name, indexes[i]}
	}
	return found, nil
}

// newestRepositories are repositories in the order in which something happened to them last.
func (a *API) newestRepositories(c *call, l repositoryList) ([]repositoryAt, string, error) {
	names, more, err := a.Images.RepositoriesFrom(c.Context(), access.Lister(c.who), l.prefix, "", maxSorted)
	if err != nil {
		return nil, "", err
	}
	if more != "" {
		return a.followRepositories(c, l)
	}
	all, err := a.withNewest(c, names)
	if err != nil {
		return nil, "", err
	}
	page, next := newest(all, l.behind, l.limit, repositoryAt.key)
	return page, next, nil
}

// followRepositories follows the records that the caller may see to the repositories whose last they are, and that are there.
func (a *API) followRepositories(c *call, l repositoryList) (found []repositoryAt, next string, err error) {
	may := a.mayPull(c)
	visible := func(repo string) bool { return strings.HasPrefix(repo, l.prefix) && may(repo) }
	find := provenance.Query{Descending: true, After: l.behind.follow(), Limit: l.limit, Visible: visible}
	next, err = a.followed(c, find, func(records []*provenance.Record) (*newestAfter, error) {
		now, err := a.lastOf(c, records)
		if err != nil {
			return nil, err
		}
		page, stopped := newest(now, l.behind, l.limit-len(found), repositoryAt.key)
		if found = append(found, page...); stopped != "" || len(found) == l.limit {
			last := found[len(found)-1].key()
			return &last, nil
		}
		return nil, nil
	})
	return found, next, err
}

// lastOf are the repositories of which one of some records is the newest.
func (a *API) lastOf(c *call, records []*provenance.Record) ([]repositoryAt, error) {
	var names []string
	for _, r := range records {
		if r.Repository != "" && !slices.Contains(names, r.Repository) {
			names = append(names, r.Repository)
		}
	}
	there, err := a.Images.RepositoriesNamed(c.Context(), names)
	if err != nil {
		return nil, err
	}
	now, err := a.withNewest(c, there)
	return slices.DeleteFunc(now, func(at repositoryAt) bool {
		return !slices.ContainsFunc(records, func(r *provenance.Record) bool { return at.newest != nil && r.Index == *at.newest })
	}), err
}

// repositoryEntries looks up what is shown of each repository.
func (a *API) repositoryEntries(c *call, found []repositoryAt) ([]repositoryEntry, provenance.Namesakes, error) {
	records := recordSet{}
	for _, at := range found {
		if at.newest != nil {
			records.want(*at.newest)
		}
	}
	if err := records.read(c.Context(), a.Records); err != nil {
		return nil, nil, err
	}
	refs := make([]registry.PullRef, len(found))
	for i, at := range found {
		refs[i].Repository = at.name
	}
	pulled, err := a.listedPulls(c, refs)
	if err != nil {
		return nil, nil, err
	}
	entries := make([]repositoryEntry, len(found))
	names := make([]string, len(found))
	for i, at := range found {
		names[i] = at.name
	}
	used, err := a.Images.UsageOf(c.Context(), names)
	if err != nil {
		return nil, nil, err
	}
	var last []*provenance.Record
	for i, at := range found {
		entries[i] = repositoryEntry{Name: at.name, Size: used[i].Bytes(), Tags: used[i].Tags, Pulls: pulled[i]}
		if at.newest != nil {
			r := records[*at.newest]
			entries[i].Newest, last = lastIn(r), append(last, r)
		}
	}
	if err := a.lastImages(c, entries, records); err != nil {
		return nil, nil, err
	}
	same, err := a.namesakes(c.Context(), actorsOf(last))
	return entries, same, err
}

func lastIn(r *provenance.Record) *happenedLast {
	return &happenedLast{Record: r.Index, Time: r.Time, Action: r.Action, Actor: r.Actor}
}

// lastImages adds the images that the newest records are about, where they are here.
func (a *API) lastImages(c *call, entries []repositoryEntry, records recordSet) error {
	var places []registry.RepoDigest
	var of []*happenedLast
	for _, e := range entries {
		if e.Newest == nil || records[e.Newest.Record].Digest == "" {
			continue
		}
		r := records[e.Newest.Record]
		place := registry.RepoDigest{Repository: r.Repository, Digest: cmp.Or(r.Observed.Subject, r.Digest)}
		places, of = append(places, place), append(of, e.Newest)
	}
	list, err := a.listed(c, places, records)
	if err != nil {
		return err
	}
	for i, newest := range of {
		if list[i].came != nil {
			newest.Image = newLastImage(records[newest.Record], places[i].Digest, list[i])
		}
	}
	return nil
}

// newLastImage is the image that a record is about.
func newLastImage(r *provenance.Record, d digest.Digest, of listedArrival) *lastImage {
	image := &lastImage{Digest: d, ImageSize: of.came.Observed.ImageSize, listed: of.listed}
	for _, t := range r.Tags {
		if r.Meaning(t) == d {
			image.Tags = append(image.Tags, t.Name)
		}
	}
	return image
}
