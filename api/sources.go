package api

import (
	"context"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/registry"
)

// Origins are what records say of where images come from.
type Origins interface {
	// Images returns images that claim a source, a revision or a base. Error: provenance.ErrNoPage.
	Images(ctx context.Context, q provenance.ImageQuery) (provenance.ImagePage, error)
	// Family is a digest with those of the images that it lists, where that is visible.
	Family(ctx context.Context, d digest.Digest, visible func(repository string) bool) ([]digest.Digest, error)
	// Listed are indexes of a repository that list an image.
	Listed(ctx context.Context, repository string, d digest.Digest) ([]digest.Digest, error)
	// Arrivals returns the first record of a digest in each repository that is visible, and whether there are others.
	Arrivals(ctx context.Context, d digest.Digest, visible func(repository string) bool) ([]*provenance.Record, bool, error)
	// Like returns digests or commits that are visible, by how they begin.
	Like(ctx context.Context, q provenance.LikeQuery) (provenance.LikePage, error)
}

// originPage is a page of images that answer a question about where they come from.
type originPage struct {
	Images []originEntry `json:"images"`
	// Derived are images that nobody says to be on the base, or somebody does, and whose layers begin with
	// those of the base: on the last page, when asked for.
	Derived     []originEntry `json:"derived,omitempty"`
	DerivedMore bool          `json:"derivedMore,omitempty"` // there may be others
	// Cut says that of some images more materials are claimed than are read: they may be on the base, too. It is on the last page.
	Cut  bool   `json:"cut,omitempty"`
	Next string `json:"next,omitempty"`
	// Namesakes are names here that more than one account had or has.
	Namesakes provenance.Namesakes `json:"namesakes,omitempty"`
}

func (p originPage) nextPage() string { return p.Next }

// originEntry is an image in a repository, with what says that it answers the question.
type originEntry struct {
	Repository string             `json:"repository"`
	Digest     digest.Digest      `json:"digest"`
	Rules      []string           `json:"rules,omitempty"`    // of descendants
	Compared   string             `json:"compared,omitempty"` // what a derived one was found by: layers or diffIDs
	Claims     []provenance.Claim `json:"claims,omitempty"`   // those that answer
	Record     *uint64            `json:"record,omitempty"`   // the first that makes these claims
	Time       *provenance.Time   `json:"time,omitempty"`     // of that record
	Actor      *provenance.Actor  `json:"actor,omitempty"`    // of that record
	Present    bool               `json:"present"`            // in the repository now
	Tags       []string           `json:"tags,omitempty"`     // that mean it now
	Indexes    []indexEntry       `json:"indexes,omitempty"`  // that are there now and list it; the newest
}

// indexEntry is an index that lists an image.
type indexEntry struct {
	Digest digest.Digest `json:"digest"`
	Tags   []string      `json:"tags,omitempty"`
}

// sources answers GET /api/v1/sources: what was built from a source, a commit, or both.
func (a *API) sources(c *call) (any, error) {
	q := c.query()
	find := provenance.ImageQuery{
		Source: q.text("source"), Revision: q.text("revision"), Repository: q.text("repo"),
		After: a.position(q, c.question()), Limit: q.limit(), Visible: a.mayPull(c),
	}
	if find.Source == "" && find.Revision == "" {
		q.fail("name a source, a revision, or both")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := a.narrowsBeyond(c, find.Repository); err != nil {
		return nil, err
	}
	page, err := a.Origins.Images(c.Context(), find)
	if isOne(err, provenance.ErrNoPage) {
		return nil, errNoPage()
	}
	if err != nil {
		return nil, err
	}
	entries, err := a.entries(c, page.Images)
	if err != nil {
		return nil, err
	}
	names, err := a.namesakes(c.Context(), actorsOfImages(page.Images))
	return originPage{Images: entries, Namesakes: names, Next: a.nextHidden(c, page.Next)}, err
}

func actorsOfImages(images []provenance.ClaimedImage) (actors []provenance.Actor) {
	for _, img := range images {
		actors = append(actors, img.Record.Actor)
	}
	return actors
}

// question is what a page belongs to: the call without where the page begins, and how long it is.
func (c *call) question() string {
	parts := c.without("after", "limit")
	slices.Sort(parts)
	return c.URL.Path + "?" + strings.Join(parts, "&")
}

// nextHidden is the address of the page that begins at a position, or "".
func (a *API) nextHidden(c *call, position []byte) string {
	if position == nil {
		return ""
	}
	return c.nextURL(map[string]string{"after": a.hidden(c.question(), position)})
}

// entries says of images how they stand now.
func (a *API) entries(c *call, images []provenance.ClaimedImage) ([]originEntry, error) {
	entries := []originEntry{}
	for _, img := range images {
		entries = append(entries, originEntry{
			Repository: img.Repository, Digest: img.Digest, Claims: img.Claims,
			Record: &img.Record.Index, Time: &img.Record.Time, Actor: &img.Record.Actor,
		})
	}
	return entries, a.stand(c, entries)
}

// stand fills in how images stand now, and the indexes that list them.
func (a *API) stand(c *call, entries []originEntry) error {
	var images []registry.RepoDigest
	listed := make([][]digest.Digest, len(entries))
	for i, e := range entries {
		var err error
		if listed[i], err = a.Origins.Listed(c.Context(), e.Repository, e.Digest); err != nil {
			return err
		}
		for _, d := range append([]digest.Digest{e.Digest}, listed[i]...) {
			images = append(images, registry.RepoDigest{Repository: e.Repository, Digest: d})
		}
	}
	presences, err := a.Images.Presences(c.Context(), images)
	if err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		e.Present, e.Tags = presences[0].Present, presences[0].Tags
		for j, d := range listed[i] {
			if index := presences[1+j]; index.Present {
				e.Indexes = append(e.Indexes, indexEntry{d, index.Tags})
			}
		}
		presences = presences[1+len(listed[i]):]
	}
	return nil
}

// descendants answers GET /api/v1/descendants: which images stand on a base.
func (a *API) descendants(c *call) (any, error) {
	q := c.query()
	base, repo, ref := q.digest("base"), q.text("repo"), q.text("ref")
	after, limit := a.position(q, c.question()), q.limit()
	derived := q.oneOf("derived", "true", "false") == "true"
	if (base == "") == (repo == "" || ref == "") {
		q.fail("name the base either by its digest (base), or by its repository and tag or digest (repo, ref)")
	}
	if err := q.end(); err != nil {
		return nil, err
	}
	if err := c.narrows(); err != nil {
		return nil, err
	}
	bases, err := a.bases(c, base, repo, ref)
	if err != nil {
		return nil, err
	}
	page, err := a.Origins.Images(c.Context(), provenance.ImageQuery{Bases: bases, After: after, Limit: limit, Visible: a.mayPull(c)})
	if isOne(err, provenance.ErrNoPage) {
		return nil, errNoPage()
	}
	if err != nil {
		return nil, err
	}
	entries, err := a.entries(c, page.Images)
	for i := range entries {
		entries[i].Rules = rulesOf(entries[i].Claims)
	}
	answer := originPage{Images: entries, Next: a.nextHidden(c, page.Next)}
	if err == nil {
		answer.Namesakes, err = a.namesakes(c.Context(), actorsOfImages(page.Images))
	}
	if err != nil || page.Next != nil {
		return answer, err
	}
	cut, err := a.Origins.Images(c.Context(), provenance.ImageQuery{MaterialsLeft: true, Limit: 1, Visible: a.mayPull(c)})
	answer.Cut = len(cut.Images) > 0
	if err != nil || !derived {
		return answer, err
	}
	answer.Derived, answer.DerivedMore, err = a.onLayers(c, repo, bases, limit)
	return answer, err
}

// onLayers returns images whose layers begin with those of one of the bases, in a repository or, where none
// is named, in those that the caller may see.
func (a *API) onLayers(c *call, repo string, bases []digest.Digest, limit int) (entries []originEntry, more bool, err error) {
	for _, base := range bases {
		from := repo
		if from == "" {
			arrivals, _, err := a.Origins.Arrivals(c.Context(), base, a.mayPull(c))
			if err != nil {
				return nil, false, err
			}
			if len(arrivals) == 0 {
				continue
			}
			from = arrivals[0].Repository
		}
		found, others, err := a.Layers.OnLayers(c.Context(), registry.RepoDigest{Repository: from, Digest: base}, a.mayPull(c), limit-len(entries))
		if err != nil {
			return nil, false, err
		}
		more = more || others
		for _, p := range found {
			one := originEntry{Repository: p.Repository, Digest: p.Digest, Rules: []string{"derived"}, Compared: compared(p)}
			known := slices.ContainsFunc(entries, func(e originEntry) bool { return e.Repository == p.Repository && e.Digest == p.Digest })
			if !known { // on another of the bases, too
				entries = append(entries, one)
			}
		}
	}
	return entries, more, a.stand(c, entries)
}

// compared names what an image was found by. Layers are what the registry holds; diff ids are what a config says.
func compared(l registry.Layered) string {
	if l.DiffIDs {
		return "diffIDs"
	}
	return "layers"
}

// bases are the digests under which people name a base: its own, and those of the images that it lists.
func (a *API) bases(c *call, base digest.Digest, repo, ref string) ([]digest.Digest, error) {
	if base != "" {
		return a.Origins.Family(c.Context(), base, a.mayPull(c))
	}
	if err := a.mustPull(c, repo); err != nil {
		return nil, err
	}
	img, err := a.Images.Image(c.Context(), repo, ref)
	if err != nil {
		return nil, err
	}
	return provenance.Parts(img.Digest, img.Children), nil
}

// rulesOf says by which rules images are on a base: the facts that claim it.
func rulesOf(claims []provenance.Claim) (rules []string) {
	for _, fact := range []string{provenance.FactBase, provenance.FactMaterial} {
		for _, claim := range claims {
			if claim.Fact == fact {
				rules = append(rules, fact)
				break
			}
		}
	}
	return rules
}
