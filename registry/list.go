package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/seed-260924e6/hallmark/access"
	"github.com/seed-260924e6/hallmark/provenance"
	"github.com/seed-260924e6/hallmark/storage"
)

// Lists are ours because distribution's walk directories, and without `n` return everything.

// maxList bounds a page, also one that was asked to be larger.
const maxList = 1000

// page is what a list request asks for (OCI distribution specification, "Listing Tags").
type page struct {
	n    int
	last string // the entry behind which the page begins
}

func (c *call) page() (page, error) {
	p := page{n: maxList, last: c.query.Get("last")}
	if s := c.query.Get("n"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return p, newFailure(http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is %.20q, and should be a number", s)
		}
		p.n = min(n, maxList)
	}
	return p, nil
}

// catalog lists the repositories that the caller may pull from.
func (g *Registry) catalog(w http.ResponseWriter, c *call) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	names, next, err := g.Repositories(c.r.Context(), access.Lister(c.who), p.last, p.n)
	if err != nil {
		return err
	}
	return writeList(w, c, p, next, struct {
		Repositories []string `json:"repositories"`
	}{names})
}

// tags lists the tags of a repository.
func (g *Registry) tags(w http.ResponseWriter, c *call) error {
	p, err := c.page()
	if err != nil {
		return err
	}
	names := []string{}
	next, err := g.eachTag(c.r.Context(), c.view, c.repo, TagQuery{After: p.last, Limit: p.n}, func() { names = names[:0] }, func(name string, _ []byte) error {
		names = append(names, name)
		return nil
	})
	if err != nil {
		return err
	}
	if err := g.sayThrough(w, c); err != nil {
		return err
	}
	return writeList(w, c, p, next, struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{c.repo, names})
}

func writeList(w http.ResponseWriter, c *call, p page, next string, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	if next != "" {
		setNext(w.Header(), c, url.Values{"n": {strconv.Itoa(p.n)}, "last": {next}})
	}
	writeBody(w, "application/json", append(data, '\n'))
	return nil
}

// setNext says where the next page is (RFC 8288).
func setNext(h http.Header, c *call, query url.Values) {
	h.Set("Link", "<"+c.r.URL.EscapedPath()+"?"+query.Encode()+`>; rel="next"`)
}

func writeBody(w http.ResponseWriter, mediaType string, body []byte) {
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // a client that left does not matter any more
}

// maxLook bounds the repositories that one page looks at and the caller may not see. It matters only to
// patterns that begin with a star: all others say where to look.
const maxLook = 10_000

// Repositories returns the names of up to n repositories that someone may pull from, in order, from those
// behind last, and what last is for the next page: empty when this is the last one. A page may be short or
// even empty, and still not be the last.
func (g *Registry) Repositories(ctx context.Context, who provenance.Identity, last string, n int) (names []string, next string, err error) {
	return g.RepositoriesFrom(ctx, who, "", last, n)
}

// RepositoriesFrom is Repositories for those whose names begin with a prefix.
func (g *Registry) RepositoriesFrom(ctx context.Context, who provenance.Identity, prefix, last string, n int) (names []string, next string, err error) {
	last = g.openCursor(last)
	prefixes := narrowed(g.gate.Prefixes(who), prefix)
	err = g.store.View(ctx, func(tx storage.Reader) error {
		p := repositoryPage{tx: tx, n: n, last: last, names: []string{}}
		for _, prefix := range prefixes {
			if full, err := p.add(prefix, func(name string) bool { return g.gate.May(who, access.Pull, name) }); full || err != nil {
				names, next = p.names, g.nextCursor(p)
				return err
			}
		}
		names, next = p.names, ""
		return nil
	})
	return names, next, err
}

// RepositoriesNamed returns which of some repositories are there.
func (g *Registry) RepositoriesNamed(ctx context.Context, names []string) (there []string, err error) {
	keys := make([][]byte, len(names))
	for i, name := range names {
		keys[i] = []byte(name)
	}
	err = g.store.View(ctx, func(tx storage.Reader) error {
		there = nil
		rows, err := tx.GetMany(repositoryTable, keys)
		for i := range rows {
			if rows[i] != nil {
				there = append(there, names[i])
			}
		}
		return err
	})
	return there, err
}

// narrowed are the beginnings of what begins with one of prefixes, none of which begins with another, and with prefix.
func narrowed(prefixes []string, prefix string) (list []string) {
	for _, p := range prefixes {
		switch {
		case strings.HasPrefix(p, prefix):
			list = append(list, p)
		case strings.HasPrefix(prefix, p):
			list = append(list, prefix)
		}
	}
	return list
}

// repositoryPage is a page of repositories while it is read.
type repositoryPage struct {
	tx     storage.Reader
	n      int
	last   string // of those that were looked at
	looked int    // at how many that are not to be seen
	names  []string
}

// add looks at the repositories whose names have a beginning, and says whether the page is full.
func (p *repositoryPage) add(prefix string, visible func(name string) bool) (full bool, err error) {
	from := max(prefix, p.last+"\x00")
	for item, err := range p.tx.Scan(repositoryTable, []byte(from), storage.PrefixEnd([]byte(prefix))) {
		name := string(item.Key)
		show := err == nil && visible(name)
		if err != nil || p.looked == maxLook || show && len(p.names) >= p.n {
			return true, err
		}
		p.last = name
		if show {
			p.names = append(p.names, name)
		} else {
			p.looked++
		}
	}
	return false, nil
}

// A TagEntry is a tag with what it means.
type TagEntry struct {
	Name   string
	Digest digest.Digest
	Record uint64 // the record that set it
}

// A TagQuery says which tags of a repository are wanted, in the order of their names.
type TagQuery struct {
	Prefix string // of their names
	After  string // the name behind which the page begins
	Limit  int    // how many at most
	Images bool   // pass over the tags that signing tools make from digests: Beside has them
}

// Tags returns a page of tags of a repository, and what After is for the next page: empty when this is the last one.
// While a manifest with many tags is going, and where many are passed over, a page may be short or even empty, and still
// not be the last. Error: ErrUnknown.
func (g *Registry) Tags(ctx context.Context, repo string, q TagQuery) (tags []TagEntry, next string, err error) {
	next, err = g.eachTag(ctx, g.view, repo, q, func() { tags = nil }, func(name string, value []byte) error {
		row, err := decodeTagRow(value)
		tags = append(tags, TagEntry{Name: name, Digest: row.digest, Record: row.record})
		return err
	})
	return tags, next, err
}

// eachTag calls add for the tags of a page, and returns where the next one begins, as Tags does. It calls reset before it
// begins, each time. Error: ErrUnknown.
func (g *Registry) eachTag(ctx context.Context, in view, repo string, q TagQuery, reset func(), add func(name string, value []byte) error) (next string, err error) {
	reads := func() []storage.Read {
		return []storage.Read{storage.Row(repositoryTable, []byte(repo)), storage.Under(goingTable, repoKey(repo)), q.rows(repo)}
	}
	err = in(ctx, reads, func(tx storage.Reader) error {
		reset()
		_, err := tx.Get(repositoryTable, []byte(repo))
		if errors.Is(err, storage.ErrNotFound) {
			return errNameUnknown(repo)
		}
		if err != nil {
			return err
		}
		p := tagPage{tx: tx, TagQuery: q, add: add}
		next, err = p.fill(repo)
		return err
	})
	return next, err
}

// tagPage is a page of tags while it is read.
type tagPage struct {
	TagQuery // Limit is how many more it may have
	tx       storage.Reader
	passed   int // tags that were passed over
	add      func(name string, value []byte) error
}

// rows are those of the tags from a page on.
func (q TagQuery) rows(repo string) storage.Read {
	prefix := repoKey(repo, []byte(q.Prefix))
	from := max(string(repoKey(repo, []byte(q.After), []byte{0})), string(prefix))
	return storage.Rows(tagTable, []byte(from), storage.PrefixEnd(prefix))
}

func (p *tagPage) fill(repo string) (next string, err error) {
	going, err := goingIn(p.tx, repo)
	if err != nil {
		return "", err
	}
	all := repoKey(repo)
	rows := p.rows(repo)
	at := ""
	for item, err := range p.tx.Scan(rows.Table, rows.Key, rows.To) {
		if err != nil || p.Limit <= 0 || p.passed == maxLook {
			return at, err
		}
		at = string(item.Key[len(all):])
		if p.Images && IsBeside(at) || len(going) > 0 && going[tagMeans(item.Value)] {
			p.passed++
			continue
		}
		if err := p.add(at, item.Value); err != nil {
			return "", err
		}
		p.Limit--
	}
	return "", nil
}
